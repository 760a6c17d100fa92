"""Cases of the dropouts. What a key draws is JAX's to say; what becomes of it is checked here."""

import jax
import numpy as np
from jax.extend.random import threefry_2x32

from fdl.layers import drop_path, dropout, spatial_dropout
from tests.proof.case import Case


def words(key, shape):
    """JAX's own hash of (example, place within the example), its two words made one."""
    batch, *example = shape
    counters = np.indices((batch, int(np.prod(example)))).astype(np.uint32)
    first, second = np.split(np.asarray(threefry_2x32(jax.random.key_data(key), counters.ravel())), 2)
    return (first ^ second).reshape(shape)


def formula(x, key, rate):
    keep = words(key, x.shape) / 2**32 >= rate
    return x * keep / (1 - rate)


def by_channel(x, key, rate):
    n, *spatial, c = x.shape
    dropped = np.asarray(jax.random.bernoulli(key, rate, (n, *[1] * len(spatial), c)))
    return x * ~dropped / (1 - rate)


def by_example(x, key, rate):
    dropped = np.asarray(jax.random.bernoulli(key, rate, (len(x), *[1] * (x.ndim - 1))))
    return x * ~dropped / (1 - rate)


def arguments(*shape):
    return lambda rng, n: {"x": rng.normal(size=(n, *shape)), "key": jax.random.key(3)}


BITS_OF_ONE_ELEMENT = 1904534612  # drawn in the first case; bits that equal the rate exactly are kept

CASES = [
    Case("matrix", dropout, arguments(4), formula, choices={"rate": BITS_OF_ONE_ELEMENT / 2**32}),
    Case("images", dropout, arguments(2, 3, 2), formula, choices={"rate": 0.8}),
    Case("many", dropout, arguments(200), formula, choices={"rate": 0.8}, smooth=False),
    Case("nothing dropped", dropout, arguments(4), formula, choices={"rate": 0.0}, smooth=False),
    Case(
        "images", spatial_dropout, arguments(2, 3, 4), by_channel, choices={"rate": 0.6}, remembers=("bool[5,1,1,4]",)
    ),
    Case("matrix", spatial_dropout, arguments(4), by_channel, choices={"rate": 0.3}, remembers=("bool[5,4]",)),
    Case("sequences", drop_path, arguments(3, 2), by_example, choices={"rate": 0.6}, remembers=("bool[5,1,1]",)),
    Case("numbers", drop_path, arguments(), by_example, choices={"rate": 0.3}, remembers=("bool[5]",)),
]
