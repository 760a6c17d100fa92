"""Batch normalisation."""

from fdl.layers import batch_norm, batch_norm_inference
from rows.row import Row


def rows(scale):
    n = 64 // scale

    def arguments(draw):
        return {"x": draw(n, 32, 32, 64), "gamma": draw(64), "beta": draw(64)}

    def with_statistics(draw):
        return arguments(draw) | {"mean": draw(64), "var": draw(64) ** 2}

    size = f"{n}x32x32x64"
    return [Row(batch_norm, size, arguments), Row(batch_norm_inference, size, with_statistics)]
