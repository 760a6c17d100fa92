"""The fused affine map and softmax cross-entropy."""

import numpy as np

from fdl.losses import linear_softmax_cross_entropy
from rows.row import Row


def rows(scale):
    n, classes = 2048 // scale, 32768 // scale
    ids = np.random.default_rng(0).integers(classes, size=n)

    def arguments(draw):
        return {"x": draw(n, 512), "w": 0.05 * draw(512, classes), "b": draw(classes), "labels": ids}

    return [Row(linear_softmax_cross_entropy, f"{n}x512 to {classes}", arguments)]
