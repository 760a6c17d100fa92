"""Cases of the draw from a normal distribution. What a key draws is JAX's to say."""

import jax
import numpy as np

from fdl.layers import gaussian_sample
from tests.proof.case import Case


def arguments(*shape):
    return lambda rng, n: {
        "mean": rng.normal(size=(n, *shape)),
        "log_var": rng.normal(size=(n, *shape)),
        "key": jax.random.key(3),
    }


def formula(mean, log_var, key):
    return mean + np.sqrt(np.exp(log_var)) * np.asarray(jax.random.normal(key, mean.shape, mean.dtype))


def special(rng, n):
    some = {"mean": [1.0, np.nan, 0.0, -1e4, 2.0], "log_var": [-1e4, 0.0, np.nan, -np.inf, 60.0]}
    return {name: np.resize(values, n) for name, values in some.items()} | {"key": jax.random.key(3)}


def case(name, arguments, kept, **options):
    return Case(name, gaussian_sample, arguments, formula, batched=("mean", "log_var"), remembers=(kept,), **options)


CASES = [
    case("matrix", arguments(4), "float32[5,4]"),
    case("special values", special, "float32[5]", smooth=False),
]
