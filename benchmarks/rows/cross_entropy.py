"""The softmax cross-entropy."""

import numpy as np

from fdl.losses import softmax_cross_entropy
from rows.row import Row


def rows(scale):
    n = 4096 // scale
    ids = np.random.default_rng(0).integers(1000, size=n)
    return [
        Row(softmax_cross_entropy, f"{n}x1000, ids", lambda draw: {"logits": draw(n, 1000), "labels": ids}),
        Row(
            softmax_cross_entropy,
            f"{n}x1000, distributions",
            lambda draw: {"logits": draw(n, 1000), "labels": np.full((n, 1000), 1e-3, np.float32)},
        ),
    ]
