"""Convolutions: wide, strided, of one tap, depthwise, in groups, on one and three axes, transposed, with a norm."""

from fdl.layers import conv, conv_norm_relu, conv_transpose
from rows.row import Row


def rows(scale):
    n = 64 // min(scale, 16)

    def row(what, x_shape, w_shape, **choices):
        return Row(conv, what, lambda draw: {"x": draw(*x_shape), "w": draw(*w_shape), **choices})

    return [
        row(f"{n}x16x16x128, 3x3", (n, 16, 16, 128), (3, 3, 128, 128)),
        row(f"{n}x16x16x128, 3x3 stride 2", (n, 16, 16, 128), (3, 3, 128, 256), stride=2),
        row(f"{n}x32x32x64, 1x1", (n, 32, 32, 64), (1, 1, 64, 128)),
        row(f"{n}x32x32x64, 1x1 stride 2", (n, 32, 32, 64), (1, 1, 64, 128), stride=2),
        row(f"{n}x32x32x3, 3x3", (n, 32, 32, 3), (3, 3, 3, 64)),
        row(f"{n // 4}x112x112x3, 7x7 stride 2", (n // 4, 112, 112, 3), (7, 7, 3, 64), stride=2),
        row(f"{n // 4}x32x32x128, depthwise 3x3", (n // 4, 32, 32, 128), (3, 3, 1, 128), groups=128),
        row(
            f"{n // 4}x32x32x128, depthwise 3x3 stride 2",
            (n // 4, 32, 32, 128),
            (3, 3, 1, 128),
            groups=128,
            stride=2,
        ),
        row(f"{n // 4}x32x32x128, 3x3 in 4 groups", (n // 4, 32, 32, 128), (3, 3, 32, 128), groups=4),
        row(f"{n // 4}x1024x64, 5", (n // 4, 1024, 64), (5, 64, 64)),
        row(f"{n // 16}x16x16x16x32, 3x3x3", (n // 16, 16, 16, 16, 32), (3, 3, 3, 32, 32)),
        Row(
            conv_transpose,
            f"{n // 4}x16x16x128, 4x4 stride 2",
            lambda draw: {"x": draw(n // 4, 16, 16, 128), "w": draw(4, 4, 128, 64), "stride": 2},
        ),
        Row(
            conv_norm_relu,
            f"{n}x32x32x64, 3x3",
            lambda draw: {
                "x": draw(n, 32, 32, 64),
                "w": 0.05 * draw(3, 3, 64, 64),
                "gamma": draw(64),
                "beta": draw(64),
            },
        ),
    ]
