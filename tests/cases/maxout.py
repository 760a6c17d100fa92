"""Cases of maxout."""

import numpy as np

from fdl.layers import maxout
from tests.proof.case import Case


def formula(x, pieces):
    return np.stack([x[..., p::pieces] for p in range(pieces)]).max(0)


def anywhere(*shape):
    return lambda rng, n: {"x": rng.normal(size=(n, *shape))}


def ties(rng, n):
    row = [1.0, 2.0, 2.0, 0.0, -0.0, 0.0, -1.0, -np.inf, np.inf, np.nan, 1.0, 2.0, 3.0, np.nan, np.nan]
    return {"x": np.tile(np.array(row), (n, 1))}


CASES = [
    Case("two pieces", maxout, anywhere(6), formula, choices={"pieces": 2}, remembers=("uint8[5,3]",)),
    Case("images", maxout, anywhere(4, 3, 6), formula, choices={"pieces": 3}, remembers=("uint8[5,4,3,2]",)),
    Case("one piece", maxout, anywhere(3), formula, choices={"pieces": 1}, remembers=("uint8[5,3]",), smooth=False),
    Case(
        "256 pieces", maxout, anywhere(256), formula, choices={"pieces": 256}, remembers=("uint8[5,1]",), smooth=False
    ),
    Case(
        "257 pieces", maxout, anywhere(257), formula, choices={"pieces": 257}, remembers=("uint16[5,1]",), smooth=False
    ),
    Case("ties", maxout, ties, formula, choices={"pieces": 3}, remembers=("uint8[5,5]",), smooth=False),
]
