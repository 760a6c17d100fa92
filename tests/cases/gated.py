"""Cases of the gated linear units."""

import numpy as np

from fdl.layers import geglu, glu, swiglu
from tests.cases.activation import gelu_formula, swish_formula
from tests.proof.case import Case


def gated(gate):
    def formula(x, **choices):
        a, b = np.split(x, 2, axis=-1)
        return a * gate(b, **choices)

    return formula


def anywhere(*shape):
    return lambda rng, n: {"x": 2 * rng.normal(size=(n, *shape))}


def special(rng, n):
    """Every one of these values next to every one as its gate."""
    a, b = np.meshgrid([0.0, 1.0, 1e4, -1e4, np.nan], [0.0, 20.0, -20.0, 1e4, -1e4, np.nan])
    return {"x": np.tile(np.concatenate([a.ravel(), b.ravel()]), (n, 1))}


def rows(rule, formula, name="", **choices):
    yield Case(f"{name}sequences", rule, anywhere(3, 4), formula, choices=choices)
    yield Case(f"{name}special values", rule, special, formula, choices=choices, smooth=False)


CASES = [
    *rows(glu, gated(lambda b: 1 / (1 + np.exp(-b)))),
    *rows(swiglu, gated(lambda b: swish_formula(b, 1))),
    *rows(geglu, gated(gelu_formula)),
    Case("exact", geglu, anywhere(4), gated(gelu_formula), choices={"approximate": False}),
]
