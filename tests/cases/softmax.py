"""Cases of the softmax and its logarithm."""

import numpy as np

from fdl.layers import log_softmax, softmax
from tests.proof.case import Case


def softmax_formula(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def log_softmax_formula(x, axis=-1):
    shifted = x - x.max(axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))


def anywhere(*shape, spread=2.0):
    return lambda rng, n: {"x": spread * rng.normal(size=(n, *shape))}


def special(rng, n):
    """Rows of equal scores, of impossible ones, and with a NaN."""
    rows = [[1e4] * 4, [0, -np.inf, 1, -1e4], [-np.inf] * 4, [0, np.nan, 1, 2], [1e4, -1e4, 0, 9999]]
    return {"x": np.resize(np.array(rows, float), (n, 4))}


def rows(rule, formula, remembers):
    yield Case("sequences", rule, anywhere(3, 4), formula, remembers=remembers("5,3,4", "5,3,1"))
    yield Case("one class", rule, anywhere(1), formula, remembers=remembers("5,1", "5,1"), smooth=False)
    two_axes = remembers("5,2,3,2", "5,1,3,1")
    yield Case("two axes", rule, anywhere(2, 3, 2), formula, choices={"axis": (1, -1)}, remembers=two_axes)
    yield Case("special values", rule, special, formula, remembers=remembers("5,4", "5,1"), smooth=False)


def value(whole, row):
    return (f"float32[{whole}]",)


def two_numbers(whole, row):
    return (f"float32[{row}]",) * 2


CASES = [*rows(softmax, softmax_formula, value), *rows(log_softmax, log_softmax_formula, two_numbers)]
