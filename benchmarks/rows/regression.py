"""The losses of a distance."""

from fdl.losses import absolute_error, huber, squared_error
from rows.row import Row


def rows(scale):
    n = 4096 // scale
    return [
        Row(rule, f"{n}x1024", lambda draw: {"predictions": draw(n, 1024), "targets": draw(n, 1024)})
        for rule in (squared_error, absolute_error, huber)
    ]
