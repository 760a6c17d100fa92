"""Cases of the affine map."""

import numpy as np

from fdl.layers import affine
from tests.proof.case import Case


def formula(x, w, b):
    y = np.einsum("...i,ij->...j", x, w)
    return y if b is None else y + b


def arguments(*shape, out, bias=True):
    *leading, features = shape

    def make(rng, n):
        return {
            "x": rng.normal(size=(n, *leading, features)),
            "w": rng.normal(size=(features, out)),
            "b": rng.normal(size=out) if bias else None,
        }

    return make


CASES = [
    Case("matrix", affine, arguments(3, out=4), formula),
    Case("linear", affine, arguments(3, out=4, bias=False), formula),
    Case("leading axes", affine, arguments(2, 3, 5, out=3), formula),
    Case("sizes one", affine, arguments(1, out=1), formula),
    Case("prime sizes", affine, arguments(7, 13, out=11), formula),
    Case(
        "vector",
        affine,
        lambda rng, n: {**arguments(3, out=4)(rng, n), "w": rng.normal(size=(n, 4)), "x": rng.normal(size=n)},
        formula,
        batched=(),
    ),
]
