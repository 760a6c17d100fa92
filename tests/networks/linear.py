"""Linear models."""

import jax
import jax.numpy as jnp

from fdl.losses import sigmoid_cross_entropy, softmax_cross_entropy, squared_error
from fdl.models import linear_regression, logistic_regression, softmax_regression
from tests.networks.row import Published, Refused, Small

DIGITS = (jax.ShapeDtypeStruct((2, 64), jnp.float32),)

PUBLISHED = [
    Published("linear-regression", linear_regression(), DIGITS, (2, 1), 65),
    Published("softmax-regression", softmax_regression(10), DIGITS, (2, 10), 650),
]


def batch(key):
    x = jax.random.normal(key, (6, 3), jnp.float64)
    return (x,), (x[:, :2] > 0).astype(jnp.float64)


SMALL = [
    Small("linear-regression", linear_regression(2), batch, squared_error),
    Small("logistic-regression", logistic_regression(2), batch, sigmoid_cross_entropy),
    Small(
        "softmax-regression",
        softmax_regression(2),
        lambda key: (*batch(key)[:1], jnp.arange(6) % 2),
        softmax_cross_entropy,
    ),
]

REFUSED = [
    Refused("softmax-regression-classes", lambda: softmax_regression(0), "Affine needs features as a whole number")
]
