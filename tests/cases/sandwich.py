"""Cases of the fused sandwiches."""

import numpy as np

from fdl.layers import affine_norm_relu, affine_relu
from tests.cases import affine, batch_norm
from tests.proof.case import Case


def relu_formula(x, w, b):
    return np.maximum(affine.formula(x, w, b), 0)


def norm_formula(x, w, gamma, beta, eps=1e-5):
    n, mean, var = batch_norm.formula(x @ w, gamma, beta, eps)
    return np.maximum(n, 0), mean, var


def with_kinks(rng, n):
    made = affine.arguments(3, out=4)(rng, n)
    made["x"][::2] = 0
    made["x"][1::4] = np.nan
    return made | {"b": np.array([0.0, 1.0, -1.0, 0.0])}


def arguments(*shape, out):
    def make(rng, n):
        made = affine.arguments(*shape, out=out, bias=False)(rng, n)
        return {"x": made["x"], "w": made["w"], **batch_norm.vectors(rng, out)}

    return make


def near_kinks(rng, n):
    """So many units that some are just about to be switched off, and one that is at the kink for every row."""
    made = arguments(3, out=500)(rng, n)
    made["x"] += 2
    made["gamma"][0] = made["beta"][0] = 0
    return made


CASES = [
    Case("matrix", affine_relu, affine.arguments(3, out=4), relu_formula, remembers=("float32[5,4]",)),
    Case("kinks and nan", affine_relu, with_kinks, relu_formula, remembers=("float32[5,4]",), smooth=False),
    Case(
        "matrix",
        affine_norm_relu,
        arguments(3, out=4),
        norm_formula,
        remembers=("float32[5,4]", "float32[4]", "float32[4]"),
    ),
    Case(
        "leading axes",
        affine_norm_relu,
        arguments(2, 3, out=2),
        norm_formula,
        {"eps": 0.1},
        remembers=("float32[5,2,2]", "float32[2]", "float32[2]"),
    ),
    Case(
        "near kinks",
        affine_norm_relu,
        near_kinks,
        norm_formula,
        remembers=("float32[5,500]", "float32[500]", "float32[500]"),
        smooth=False,
    ),
]
