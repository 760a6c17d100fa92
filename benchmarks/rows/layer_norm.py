"""Layer and RMS normalisation."""

from fdl.layers import layer_norm, rms_norm
from rows.row import Row


def rows(scale):
    n = 4096 // scale
    return [
        Row(layer_norm, f"{n}x1024", lambda draw: {"x": draw(n, 1024), "gamma": draw(1024), "beta": draw(1024)}),
        Row(layer_norm, f"{n}x256", lambda draw: {"x": draw(n, 256), "gamma": draw(256), "beta": draw(256)}),
        Row(rms_norm, f"{n}x1024", lambda draw: {"x": draw(n, 1024), "gamma": draw(1024)}),
    ]
