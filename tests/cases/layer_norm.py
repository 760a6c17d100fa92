"""Cases of layer and RMS normalisation."""

import numpy as np

from fdl.layers import layer_norm, rms_norm
from tests.proof.case import Case


def layer_formula(x, gamma, beta, eps=1e-5):
    deviation = x - x.mean(-1, keepdims=True)
    return gamma * deviation / np.sqrt((deviation**2).mean(-1, keepdims=True) + eps) + beta


def rms_formula(x, gamma, eps=1e-6):
    return gamma * x / np.sqrt((x**2).mean(-1, keepdims=True) + eps)


def arguments(*shape, names=("gamma", "beta"), shift=0.0, spread=1.0):
    def make(rng, n):
        x = shift + spread * rng.normal(size=(n, *shape))
        return {"x": x} | {name: rng.normal(size=shape[-1]) for name in names}

    return make


def with_nan(names):
    def make(rng, n):
        made = arguments(3, names=names)(rng, n)
        made["x"][::2, 1] = np.nan
        return made

    return make


TWO = ("float32[5]", "float32[5]")
ONE = ("float32[5]",)

CASES = [
    Case("matrix", layer_norm, arguments(3), layer_formula, remembers=TWO),
    Case(
        "sequence", layer_norm, arguments(2, 7, shift=3.0), layer_formula, {"eps": 0.1}, remembers=("float32[10]",) * 2
    ),
    Case("constant", layer_norm, arguments(3, shift=2.0, spread=0.0), layer_formula, remembers=TWO, smooth=False),
    Case("one feature", layer_norm, arguments(1), layer_formula, remembers=TWO, smooth=False),
    Case("nan", layer_norm, with_nan(("gamma", "beta")), layer_formula, remembers=TWO, smooth=False),
    Case("matrix", rms_norm, arguments(3, names=("gamma",)), rms_formula, remembers=ONE),
    Case(
        "sequence", rms_norm, arguments(2, 7, names=("gamma",)), rms_formula, {"eps": 0.1}, remembers=("float32[10]",)
    ),
    Case("zeros", rms_norm, arguments(3, names=("gamma",), spread=0.0), rms_formula, remembers=ONE, smooth=False),
    Case("nan", rms_norm, with_nan(("gamma",)), rms_formula, remembers=ONE, smooth=False),
]
