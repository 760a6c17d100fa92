"""Group and instance normalisation."""

from fdl.layers import group_norm, instance_norm
from rows.row import Row


def rows(scale):
    n = 64 // scale

    def arguments(draw):
        return {"x": draw(n, 32, 32, 64), "gamma": draw(64), "beta": draw(64)}

    size = f"{n}x32x32x64"
    return [
        Row(group_norm, f"{size}, 8 groups", lambda draw: arguments(draw) | {"groups": 8}),
        Row(instance_norm, size, arguments),
    ]
