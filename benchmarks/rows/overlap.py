"""The Dice loss."""

import numpy as np

from fdl.losses import dice
from rows.row import Row


def rows(scale):
    n = 16 // min(scale, 16)

    def arguments(draw):
        scores = draw(n, 128, 128, 8)
        targets = (scores == scores.max(-1, keepdims=True)).astype(np.float32)
        return {"probabilities": np.clip(np.abs(draw(n, 128, 128, 8)), 0, 1), "targets": targets}

    return [Row(dice, f"{n}x128x128x8", arguments)]
