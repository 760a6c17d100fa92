"""Dropout."""

import jax

from fdl.layers import drop_path, dropout, spatial_dropout
from rows.row import Row


def rows(scale):
    n, batch, key = 4096 // scale, 64 // scale, jax.random.key(0)

    def images(draw):
        return {"x": draw(batch, 32, 32, 64), "key": key, "rate": 0.1}

    return [
        Row(dropout, f"{n}x1024", lambda draw: {"x": draw(n, 1024), "key": key, "rate": 0.5}),
        Row(dropout, f"{batch}x32x32x64", images),
        Row(spatial_dropout, f"{batch}x32x32x64", images),
        Row(drop_path, f"{batch}x32x32x64", images),
    ]
