"""Cases of the pools."""

import itertools

import numpy as np

from fdl.layers import avg_pool, global_avg_pool, global_max_pool, max_pool, max_unpool
from tests.proof.case import Case


def each(value, axes):
    return (value,) * axes if isinstance(value, int) else tuple(value)


def boxes(sizes, window, stride=None, padding="VALID"):
    """Window by window: its index, the slices of what it sees, its first position, and how long it is."""
    axes = len(sizes)
    window, stride = each(window, axes), each(window if stride is None else stride, axes)
    starts = []
    for n, k, s, axis in zip(sizes, window, stride, range(axes), strict=True):
        if padding == "SAME":
            total = max((-(-n // s) - 1) * s + k - n, 0)
            low, high = total // 2, total - total // 2
        elif isinstance(padding, str):
            low, high = 0, 0
        else:
            low, high = (padding, padding) if isinstance(padding, int) else padding[axis]
        starts.append([start for start in range(-low, n + high, s) if start + k <= n + high])
    for o in itertools.product(*(range(len(s)) for s in starts)):
        first = [s[i] for s, i in zip(starts, o, strict=True)]
        inside = tuple(slice(max(f, 0), max(f + k, 0)) for f, k in zip(first, window, strict=True))
        yield o, inside, first, window


def empty(x, all_boxes):
    *_, (last, _, _, _) = all_boxes
    return np.zeros((len(x), *(i + 1 for i in last), x.shape[-1]))


def max_formula(x, window, stride=None, padding="VALID"):
    all_boxes = list(boxes(x.shape[1:-1], window, stride, padding))
    y = empty(x, all_boxes)
    for o, inside, _, _ in all_boxes:
        y[(slice(None), *o)] = x[(slice(None), *inside)].max(tuple(range(1, x.ndim - 1)))
    return y


def avg_formula(x, window, stride=None, padding="VALID", count_padding=False):
    all_boxes = list(boxes(x.shape[1:-1], window, stride, padding))
    y = empty(x, all_boxes)
    for o, inside, _, extents in all_boxes:
        seen = x[(slice(None), *inside)]
        count = np.prod(extents) if count_padding else np.prod(seen.shape[1:-1])
        y[(slice(None), *o)] = seen.sum(tuple(range(1, x.ndim - 1))) / count
    return y


def unpool_formula(y, index, size, window, stride=None, padding="VALID"):
    sizes = each(size, y.ndim - 2)
    x = np.zeros((len(y), *sizes, y.shape[-1]))
    for o, _, first, extents in boxes(sizes, window, stride, padding):
        for n, c in np.ndindex(len(y), y.shape[-1]):
            number = index[(n, *o, c)]
            if number < np.prod(extents):
                at = np.add(first, np.unravel_index(number, extents))
                if all(0 <= u < size for u, size in zip(at, sizes, strict=True)):
                    x[(n, *at, c)] += y[(n, *o, c)]
    return x


def anywhere(*shape):
    return lambda rng, n: {"x": rng.normal(size=(n, *shape))}


def ties(*shape):
    return lambda rng, n: {"x": rng.choice([0, 1, np.inf], size=(n, *shape))}


def to_place(*shape, numbers):
    return lambda rng, n: {
        "y": rng.normal(size=(n, *shape)),
        "index": rng.integers(numbers, size=(n, *shape)).astype(np.uint8),
    }


KEPT = "float32[5,5,4,0]"  # the sizes of x
TILES = {"window": 2}
OVERLAP = {"window": 3, "stride": 2, "padding": "SAME"}
UNEVEN = {"window": (3, 2), "stride": (1, 3), "padding": ((2, 1), (0, 1))}
MANY = {"window": (5, 4), "stride": 2, "padding": ((2, 1), (1, 2))}

CASES = [
    Case("tiles", max_pool, anywhere(5, 4, 2), max_formula, TILES, remembers=("uint8[5,2,2,2]", KEPT)),
    Case(
        "overlap", max_pool, anywhere(5, 4, 2), max_formula, OVERLAP, remembers=("uint8[5,3,2,2]", "float32[5,5,4,0]")
    ),
    Case("uneven", max_pool, anywhere(4, 5, 2), max_formula, UNEVEN, remembers=("uint8[5,5,2,2]", "float32[5,4,5,0]")),
    Case(
        "many taps",
        max_pool,
        anywhere(6, 5, 1),
        max_formula,
        MANY,
        remembers=("uint8[5,3,3,1]", "float32[5,6,5,0]"),
    ),
    Case(
        "ties",
        max_pool,
        ties(4, 5, 2),
        max_formula,
        {"window": (3, 2), "stride": (2, 1), "padding": 1},
        remembers=("uint8[5,2,6,2]", "float32[5,4,5,0]"),
        smooth=False,
    ),
    Case("tiles", max_unpool, to_place(2, 2, 2, numbers=4), unpool_formula, {"size": (5, 4), **TILES}, ("y", "index")),
    Case(
        "overlap of one axis",
        max_unpool,
        to_place(4, 2, numbers=3),
        unpool_formula,
        {"size": 7, "window": 3, "stride": 2, "padding": 1},
        ("y", "index"),
    ),
    Case(
        "no such tap",
        max_unpool,
        to_place(5, 2, 2, numbers=9),
        unpool_formula,
        {"size": (4, 5), **UNEVEN},
        ("y", "index"),
        smooth=False,
    ),
    Case("tiles", avg_pool, anywhere(5, 4, 2), avg_formula, TILES, remembers=(KEPT,)),
    Case("overlap", avg_pool, anywhere(5, 4, 2), avg_formula, OVERLAP, remembers=(KEPT,)),
    Case("uneven", avg_pool, anywhere(4, 5, 2), avg_formula, UNEVEN, remembers=("float32[5,4,5,0]",)),
    Case("many taps", avg_pool, anywhere(6, 5, 1), avg_formula, MANY, remembers=("float32[5,6,5,0]",)),
    Case(
        "counting",
        avg_pool,
        anywhere(4, 5, 2),
        avg_formula,
        {**UNEVEN, "count_padding": True},
        remembers=("float32[5,4,5,0]",),
    ),
    Case("images", global_avg_pool, anywhere(3, 4, 2), lambda x: x.mean((1, 2)), remembers=("float32[5,3,4,0]",)),
    Case(
        "images",
        global_max_pool,
        anywhere(3, 4, 2),
        lambda x: x.max((1, 2)),
        remembers=("uint8[5,2]", "float32[5,3,4,0]"),
    ),
    Case(
        "ties",
        global_max_pool,
        ties(256, 1),
        lambda x: x.max(1),
        remembers=("uint16[5,1]", "float32[5,256,0]"),
        smooth=False,
    ),
    Case(
        "nan",
        global_max_pool,
        lambda rng, n: {"x": np.where(rng.uniform(size=(n, 4, 3)) < 0.3, np.nan, rng.normal(size=(n, 4, 3)))},
        lambda x: x.max(1),
        remembers=("uint8[5,3]", "float32[5,4,0]"),
        smooth=False,
    ),
]
