"""Resizing and pixel shuffling."""

from fdl.layers import pixel_shuffle, pixel_unshuffle, resize
from rows.row import Row


def rows(scale):
    n = 16 // min(scale, 16)

    def resized(method, before, after):
        return Row(
            resize,
            f"{n}x{before}x{before}x64 to {after}x{after}, {method}",
            lambda draw: {"x": draw(n, before, before, 64), "size": after, "method": method},
        )

    return [
        *(resized(method, 32, 64) for method in ("nearest", "bilinear", "bicubic")),
        *(resized(method, 64, 32) for method in ("nearest", "bilinear", "bicubic")),
        resized("bilinear", 37, 61),
        Row(pixel_shuffle, f"{n}x32x32x256 by 2", lambda draw: {"x": draw(n, 32, 32, 256), "factor": 2}),
        Row(pixel_unshuffle, f"{n}x64x64x64 by 2", lambda draw: {"x": draw(n, 64, 64, 64), "factor": 2}),
    ]
