"""The pools."""

import numpy as np

from fdl.layers import avg_pool, global_avg_pool, global_max_pool, max_pool, max_unpool
from rows.row import Row

TILES = {"window": 2}
OVERLAP = {"window": 3, "stride": 2}
SAME = {**OVERLAP, "padding": "SAME"}


def rows(scale):
    n, rng = 64 // scale, np.random.default_rng(0)
    size = f"{n}x32x32x64"

    def pool(rule, how, choices):
        return Row(rule, f"{size}, {how}", lambda draw: {"x": draw(n, 32, 32, 64), **choices})

    def unpool(how, places, taps, choices):
        index = rng.integers(taps, size=(n, places, places, 64)).astype(np.uint8)
        return Row(
            max_unpool,
            f"{size}, {how}",
            lambda draw: {"y": draw(n, places, places, 64), "index": index, "size": 32, **choices},
        )

    return [
        pool(max_pool, "2x2", TILES),
        pool(max_pool, "3x3 stride 2", OVERLAP),
        pool(max_pool, "3x3 stride 2 SAME", SAME),
        pool(max_pool, "3x3 stride 1 SAME", {**SAME, "stride": 1}),
        unpool("2x2", 16, 4, TILES),
        unpool("3x3 stride 2", 15, 9, OVERLAP),
        pool(avg_pool, "2x2", TILES),
        pool(avg_pool, "3x3 stride 2", OVERLAP),
        pool(avg_pool, "3x3 stride 2 SAME", SAME),
        pool(avg_pool, "3x3 stride 1 SAME", {**SAME, "stride": 1}),
        Row(global_avg_pool, size, lambda draw: {"x": draw(n, 32, 32, 64)}),
        Row(global_max_pool, size, lambda draw: {"x": draw(n, 32, 32, 64)}),
    ]
