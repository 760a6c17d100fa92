"""Fused sandwiches."""

from fdl.layers import affine_norm_relu, affine_relu
from rows.row import Row


def rows(scale):
    n = 4096 // scale

    def arguments(draw):
        return {"x": draw(n, 256), "w": draw(256, 512)}

    size = f"{n}x256 to 512"
    return [
        Row(affine_relu, size, lambda draw: arguments(draw) | {"b": draw(512)}),
        Row(affine_norm_relu, size, lambda draw: arguments(draw) | {"gamma": draw(512), "beta": draw(512)}),
    ]
