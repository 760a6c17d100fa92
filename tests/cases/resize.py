"""Cases of resizing and of pixel shuffling."""

import numpy as np

from fdl.layers import pixel_shuffle, pixel_unshuffle, resize
from tests.proof.case import Case


def cubic(t, a=-0.5):
    t = abs(t)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0


KERNELS = {"bilinear": lambda t: max(1 - abs(t), 0), "bicubic": cubic}


def resized(x, m, axis, method):
    """One axis of x, position by position, from every position of the input near enough."""
    n, positions = x.shape[axis], []
    for i in range(m):
        if method == "nearest":
            positions.append(np.take(x, int((i + 0.5) * n / m), axis))
            continue
        center = (i + 0.5) * n / m - 0.5
        weights = [KERNELS[method](center - j) for j in range(n)]
        positions.append(sum(w * np.take(x, j, axis) for j, w in enumerate(weights)) / sum(weights))
    return np.stack(positions, axis)


def formula(x, size, method="nearest"):
    sizes = (size,) * (x.ndim - 2) if isinstance(size, int) else size
    for axis, m in enumerate(sizes, start=1):
        x = resized(x, m, axis, method)
    return x


def shuffle_formula(x, factor):
    n, *spatial, channels = x.shape
    c = channels // factor ** len(spatial)
    y = np.zeros((n, *(s * factor for s in spatial), c))
    for at in np.ndindex(*spatial):
        for number, tap in enumerate(np.ndindex(*[factor] * len(spatial))):
            to = tuple(i * factor + t for i, t in zip(at, tap, strict=True))
            y[(slice(None), *to)] = x[(slice(None), *at, slice(number * c, (number + 1) * c))]
    return y


def unshuffle_formula(x, factor):
    n, *spatial, c = x.shape
    y = np.zeros((n, *(s // factor for s in spatial), c * factor ** len(spatial)))
    for at in np.ndindex(*y.shape[1:-1]):
        for number, tap in enumerate(np.ndindex(*[factor] * len(spatial))):
            to = tuple(i * factor + t for i, t in zip(at, tap, strict=True))
            y[(slice(None), *at, slice(number * c, (number + 1) * c))] = x[(slice(None), *to)]
    return y


def anywhere(*shape):
    return lambda rng, n: {"x": rng.normal(size=(n, *shape))}


def rows(name, arguments, remembers, **choices):
    return [
        Case(f"{method} {name}", resize, arguments, formula, {**choices, "method": method}, remembers=remembers)
        for method in ("nearest", "bilinear", "bicubic")
    ]


CASES = [
    *rows("twice and less", anywhere(3, 5, 2), ("float32[5,3,5,0]",), size=(6, 3)),
    *rows("one axis", anywhere(7, 2), ("float32[5,7,0]",), size=5),
    Case("two axes", pixel_shuffle, anywhere(2, 3, 8), shuffle_formula, {"factor": 2}),
    Case("one axis", pixel_shuffle, anywhere(3, 6), shuffle_formula, {"factor": 3}),
    Case("two axes", pixel_unshuffle, anywhere(4, 6, 2), unshuffle_formula, {"factor": 2}),
    Case("one axis", pixel_unshuffle, anywhere(9, 2), unshuffle_formula, {"factor": 3}),
]
