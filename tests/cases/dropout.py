"""Cases of dropout. Which elements a key keeps is JAX's to say; what becomes of them is checked here."""

import jax
import numpy as np

from fdl.layers import dropout
from tests.proof.case import Case


def formula(x, key, rate):
    keep = np.asarray(jax.random.bernoulli(key, 1 - rate, x.shape))
    return x * keep / (1 - rate)


def arguments(*shape):
    return lambda rng, n: {"x": rng.normal(size=(n, *shape)), "key": jax.random.key(3)}


CASES = [
    Case("matrix", dropout, arguments(4), formula, choices={"rate": 0.3}, remembers=("bool[5,4]",)),
    Case("images", dropout, arguments(2, 3, 2), formula, choices={"rate": 0.8}, remembers=("bool[5,2,3,2]",)),
    Case("many", dropout, arguments(200), formula, choices={"rate": 0.8}, remembers=("bool[5,200]",), smooth=False),
    Case("nothing dropped", dropout, arguments(4), formula, choices={"rate": 0.0}, remembers=("bool[5,4]",)),
]
