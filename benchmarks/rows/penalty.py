"""Penalties on parameters."""

from fdl.losses import l1, l2
from rows.row import Row


def rows(scale):
    arrays = 100 // scale
    return [
        Row(rule, f"{arrays} of 40960", lambda draw: {"params": [draw(40960) for _ in range(arrays)]})
        for rule in (l1, l2)
    ]
