"""Cases of the activations."""

import numpy as np

from fdl.layers import relu
from tests.proof.case import Case


def anywhere(*shape):
    return lambda rng, n: {"x": rng.normal(size=(n, *shape))}


def special(rng, n):
    """Kinks, both zeros, the infinities and NaN, in every row."""
    return {"x": np.tile([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-300, -1e-300], (n, 1))}


def relu_formula(x):
    return np.where(np.isnan(x), x, np.where(x > 0, x, 0.0))


CASES = [
    Case("matrix", relu, anywhere(4), relu_formula, remembers=("bool[5,4]",)),
    Case("images", relu, anywhere(2, 3, 2), relu_formula, remembers=("bool[5,2,3,2]",)),
    Case("special values", relu, special, relu_formula, remembers=("bool[5,7]",), smooth=False),
]
