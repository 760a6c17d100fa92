"""The affine map."""

from fdl.layers import affine
from rows.row import Row


def rows(scale):
    n = 4096 // scale
    return [
        Row(affine, f"{n}x512 to 512", lambda draw: {"x": draw(n, 512), "w": draw(512, 512), "b": draw(512)}),
        Row(affine, f"{n}x64 to 10", lambda draw: {"x": draw(n, 64), "w": draw(64, 10), "b": draw(10)}),
    ]
