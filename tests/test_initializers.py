"""The moments of what initializers draw, and how they behave as values."""

import jax
import jax.numpy as jnp
import pytest

import fdl
from fdl import initializers
from fdl.initializers import constant, glorot_normal, he_normal, lecun_normal, normal, ones, uniform, zeros

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("initializer", "variance"),
    [
        (normal(0.3), 0.09),
        (uniform(0.3), 0.03),
        (lecun_normal(), 1 / 300),
        (glorot_normal(), 2 / 700),
        (he_normal(), 2 / 300),
    ],
)
def test_mean_and_variance(initializer, variance):
    w = initializer(KEY, (300, 400))
    assert abs(w.mean()) < 5 * (variance / w.size) ** 0.5
    assert w.var() == pytest.approx(variance, rel=0.02)


def test_variance_through_a_deep_relu_network_stays():
    x = jax.random.normal(KEY, (200, 256))
    for key in jax.random.split(KEY, 20):
        x = jnp.maximum(x @ he_normal()(key, (256, 256)), 0)
    assert 0.3 < (x**2).mean() < 3


def test_kernels_count_in_the_fans():
    assert initializers.fans((3, 5, 7, 11)) == (105, 165)
    with pytest.raises(fdl.InputError, match=r"\[\*kernel, in, out\] to have fans, got \[4\]"):
        he_normal()(KEY, (4,))


def test_fixed_values_and_dtypes():
    for initializer, value in [(zeros(), 0), (ones(), 1), (constant(0.5), 0.5)]:
        w = initializer(KEY, (2, 3), jnp.bfloat16)
        assert w.dtype == jnp.bfloat16
        assert (w == value).all()
    assert he_normal()(KEY, (2, 3), jnp.bfloat16).dtype == jnp.bfloat16


def test_initializers_are_values():
    assert normal(0.1) == normal(stddev=0.1) != normal(0.2)
    assert hash(normal(0.1)) == hash(normal(stddev=0.1))
    assert repr(normal(0.1)) == "normal(stddev=0.1)"
    assert repr(he_normal()) == "he_normal()"
    with pytest.raises(TypeError):
        normal(spread=0.1)
