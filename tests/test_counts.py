"""Whole numbers as arguments: NumPy's make the same layers and results as Python's, and True is none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import InputError
from fdl.augment import random_crop
from fdl.layers import (
    LSTM,
    Affine,
    Conv,
    ConvTranspose,
    Embedding,
    GroupNorm,
    MaxPool,
    MultiHeadAttention,
    Repeat,
    Resize,
    avg_pool,
)

IMAGES, SEQUENCES = jnp.ones((2, 8, 8, 4)), jnp.ones((2, 5, 4))
LAYERS = {
    "affine": (lambda n: Affine(n(3)), SEQUENCES),
    "conv": (lambda n: Conv(n(3), n(3), stride=n(2), dilation=n(1), padding=n(1), groups=n(1)), IMAGES),
    "conv-transpose": (lambda n: ConvTranspose(n(3), (n(2), n(3)), stride=n(2)), IMAGES),
    "max-pool": (lambda n: MaxPool(n(2), stride=n(1), padding=((n(0), n(1)), (n(1), n(0)))), IMAGES),
    "resize": (lambda n: Resize(n(5)), IMAGES),
    "group-norm": (lambda n: GroupNorm(n(2)), IMAGES),
    "lstm": (lambda n: LSTM(n(3)), SEQUENCES),
    "attention": (lambda n: MultiHeadAttention(n(2), dim=n(4), kv_heads=n(1)), SEQUENCES),
    "embedding": (lambda n: Embedding(n(5), n(3)), jnp.zeros((2, 4), jnp.int32)),
    "repeat": (lambda n: Repeat(Affine(n(4)), n(3)), SEQUENCES),
}


@pytest.mark.parametrize(("layer", "x"), LAYERS.values(), ids=LAYERS)
def test_sizes_may_have_been_computed_by_numpy(layer, x):
    def result(number):
        params, state = layer(number).init(jax.random.key(0), x)
        return layer(number).apply(params, state, x)[0]

    np.testing.assert_array_equal(result(np.int64), result(int))


def test_functions_take_them_too():
    np.testing.assert_array_equal(avg_pool(IMAGES, np.int32(2)), avg_pool(IMAGES, 2))
    key = jax.random.key(0)
    np.testing.assert_array_equal(random_crop(key, IMAGES, np.uint8(2)), random_crop(key, IMAGES, 2))


@pytest.mark.parametrize("value", [True, 3.0, np.float32(3), "3", None, -1, jnp.array(3)], ids=repr)
def test_what_is_none(value):
    with pytest.raises(InputError, match="Affine needs features as a whole number of at least 1, got "):
        Affine(value)
