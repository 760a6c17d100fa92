"""The activations."""

from fdl.layers import (
    elu,
    geglu,
    gelu,
    glu,
    hard_sigmoid,
    hard_swish,
    leaky_relu,
    log_softmax,
    maxout,
    mish,
    prelu,
    relu,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    swiglu,
    swish,
    tanh,
)
from rows.row import Row

ELEMENTWISE = [
    relu,
    leaky_relu,
    hard_sigmoid,
    hard_swish,
    sigmoid,
    tanh,
    softplus,
    elu,
    selu,
    silu,
    gelu,
    mish,
    glu,
    swiglu,
    geglu,
]


def rows(scale):
    n = 1024 // scale
    size = f"{n}x1024"

    def matrix(draw):
        return {"x": draw(n, 1024)}

    return [
        Row(relu, f"{64 // scale}x32x32x64", lambda draw: {"x": draw(64 // scale, 32, 32, 64)}),
        *(Row(rule, size, matrix) for rule in ELEMENTWISE),
        Row(gelu, f"{size}, exact", lambda draw: matrix(draw) | {"approximate": False}),
        Row(prelu, size, lambda draw: matrix(draw) | {"alpha": draw(1024)}),
        Row(prelu, f"{n}x32x32, one alpha", lambda draw: {"x": draw(n, 32, 32), "alpha": draw()}),
        Row(swish, size, lambda draw: matrix(draw) | {"beta": draw(1024)}),
        Row(swish, f"{n}x32x32, one beta", lambda draw: {"x": draw(n, 32, 32), "beta": draw()}),
        Row(softmax, f"{n}x1024", lambda draw: {"x": draw(n, 1024)}),
        *(Row(rule, f"{4 * n}x1024", lambda draw: {"x": draw(4 * n, 1024)}) for rule in (softmax, log_softmax)),
        Row(maxout, f"{size}, 4 pieces", lambda draw: matrix(draw) | {"pieces": 4}),
    ]
