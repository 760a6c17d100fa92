"""The activations."""

from fdl.layers import relu
from rows.row import Row


def rows(scale):
    n = 64 // scale
    return [Row(relu, f"{n}x32x32x64", lambda draw: {"x": draw(n, 32, 32, 64)})]
