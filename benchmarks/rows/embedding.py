"""The embedding."""

import numpy as np

from fdl.layers import embedding
from rows.row import Row


def rows(scale):
    rng, n = np.random.default_rng(0), 8192 // scale
    words = np.minimum(rng.zipf(1.2, size=n), 8192) - 1  # as often as words of a language
    pixels = rng.integers(1000, size=8 * n)
    return [
        Row(embedding, f"{n} of 8192x512", lambda draw: {"ids": words, "table": draw(8192, 512)}),
        Row(embedding, f"{8 * n} of 1000x64", lambda draw: {"ids": pixels, "table": draw(1000, 64)}),
    ]
