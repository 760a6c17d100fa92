"""The losses of single scores."""

import numpy as np

from fdl.losses import hinge, sigmoid_cross_entropy
from rows.row import Row


def rows(scale):
    n = 4096 // scale
    ids = np.random.default_rng(0).integers(1000, size=n)
    return [
        Row(
            sigmoid_cross_entropy,
            f"{n}x1000",
            lambda draw: {"logits": draw(n, 1000), "targets": np.clip(draw(n, 1000), 0, 1)},
        ),
        Row(hinge, f"{n}x1000", lambda draw: {"scores": draw(n, 1000), "labels": ids}),
    ]
