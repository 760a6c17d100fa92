"""Attention: one long sequence, a batch of short ones, and one in between; additive attention; rotary positions."""

import numpy as np

from fdl.layers import additive_attention, attention, rotary
from rows.row import Row


def rows(scale):
    def multi_head(n, length, heads, dim, **choices):
        def arguments(draw):
            return {name: draw(n, length, heads, dim) for name in ("q", "k", "v")} | choices

        words = "".join(f", {word}" for word, value in choices.items() if value is True)
        return Row(attention, f"{n}x{length}x{heads}x{dim}{words}", arguments)

    def additive(draw):
        n, hidden = 64 // scale, 256
        return {"q": draw(n, 30, hidden), "k": draw(n, 50, hidden), "v": draw(n, 50, 512), "w": draw(hidden)}

    return [
        multi_head(1, 4096 // scale, 4, 32, causal=True),
        multi_head(32 // scale, 128, 8, 64),
        multi_head(8, 512 // scale, 8, 64, causal=True),
        Row(additive_attention, f"{64 // scale}x30x50x256", additive),
        Row(
            rotary,
            f"{32 // scale}x128x8x64",
            lambda draw: {"x": draw(32 // scale, 128, 8, 64), "positions": np.arange(128)},
        ),
    ]
