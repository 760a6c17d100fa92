"""Dropout."""

import jax

from fdl.layers import dropout
from rows.row import Row


def rows(scale):
    n = 4096 // scale
    return [Row(dropout, f"{n}x1024", lambda draw: {"x": draw(n, 1024), "key": jax.random.key(0), "rate": 0.5})]
