"""Cases of rotary positions."""

import numpy as np

from fdl.layers import rotary
from tests.proof.case import Case


def formula(x, positions, base=10_000.0):
    """Each pair as a complex number, which a rotation multiplies."""
    n, length, _, dim = x.shape
    positions = np.broadcast_to(positions, (n, length))
    y = np.zeros_like(x)
    for t, pair in np.ndindex(length, dim // 2):
        turn = np.exp(1j * positions[:, t] * base ** (-2 * pair / dim))[:, None]
        point = (x[:, t, :, 2 * pair] + 1j * x[:, t, :, 2 * pair + 1]) * turn
        y[:, t, :, 2 * pair], y[:, t, :, 2 * pair + 1] = point.real, point.imag
    return y


def arguments(length, heads, dim, own=False):
    """own: whether each example has positions of its own."""

    def make(rng, n):
        shape = (n, length) if own else (length,)
        return {"x": rng.normal(size=(n, length, heads, dim)), "positions": rng.integers(1000, size=shape)}

    return make


def case(name, arguments, **choices):
    return Case(name, rotary, arguments, formula, choices=choices, batched=("x",) + ("positions",) * ("own" in name))


CASES = [
    case("shared", arguments(3, 2, 6)),
    case("positions of its own for each example", arguments(2, 1, 4, own=True), base=100.0),
    case("sizes one", arguments(1, 1, 2)),
]
