"""The sums of `fdl.layers.conv_forms` by XLA's own operation, which has a form for each of the three."""

import math

import jax
import jax.numpy as jnp

from fdl.layers.conv_arguments import DIMENSION_NUMBERS
from fdl.rule import wide
from fdl.slices import slice_at


def operation(x, w, laid, groups):
    """y: x under the window w."""
    return _conv(
        x,
        w,
        DIMENSION_NUMBERS[len(laid.kernel)],
        window_strides=laid.stride,
        padding=laid.padding,
        rhs_dilation=laid.dilation,
        feature_group_count=groups,
    )


def operation_input_gradient(dy, w, laid, sizes, groups):
    """dx: dy, with its stride written out as zeros, under the mirrored window, channels in and out exchanged."""
    *kernel, ins, outs = w.shape
    exchanged = jnp.swapaxes(_flipped(w).reshape(*kernel, ins, groups, outs // groups), -3, -1)
    return _conv(
        dy,
        exchanged.reshape(*kernel, outs // groups, groups * ins),
        DIMENSION_NUMBERS[len(kernel)],
        window_strides=(1,) * len(kernel),
        padding=_mirrored(laid, sizes),
        lhs_dilation=laid.stride,
        rhs_dilation=laid.dilation,
        feature_group_count=groups,
    )


def operation_weight_gradient(x, dy, laid, groups):
    """dw: x under a window that is dy, dilation and stride exchanged, batch and channels exchanged."""
    axes = "DHW"[-len(laid.kernel) :]
    return _conv(
        x,
        dy,
        (f"C{axes}N", f"I{axes}O", f"{axes}NC"),
        window_strides=laid.dilation,
        padding=list(_seen(laid, x.shape[1:-1])),
        rhs_dilation=laid.stride,
        batch_group_count=groups,
    )


def weight_gradient_by_chunks(x, dy, laid):
    """dw: the sum over chunks of examples, each with the order of axes that CPU needs."""
    examples = x.shape[0]
    size = chunk_size(math.prod(laid.output), examples)
    chunks = examples // size
    if chunks < 2:
        return _of_chunk(x, dy, laid)

    def add(chunk, total):
        x_seen, dy_seen = (slice_at(a, chunk * size, size) for a in (x, dy))
        return total + _of_chunk(x_seen, dy_seen, laid)

    if examples % size:
        rest = _of_chunk(x[chunks * size :], dy[chunks * size :], laid)
    else:
        rest = jnp.full((*laid.kernel, x.shape[-1], dy.shape[-1]), zero_like(x, wide(x, dy)))
    return jax.lax.fori_loop(0, chunks, add, rest)


def _of_chunk(x, dy, laid):
    # XLA exchanges the axes like this by itself, but not in loops, where it would not use its fast kernels.
    x, dy = jnp.swapaxes(x, 0, -1), jnp.moveaxis(dy, 0, -2)
    numbers, seen = DIMENSION_NUMBERS[len(laid.kernel)], list(_seen(laid, x.shape[1:-1]))
    dw = _conv(x, dy, numbers, window_strides=laid.dilation, padding=seen, rhs_dilation=laid.stride)
    return jnp.moveaxis(dw, 0, -2)


def chunk_size(outputs: int, examples: int) -> int:
    """How many examples a chunk of the weight gradient has: at least 4, and 1024 positions of dy.

    Up to twice as many, if then no examples are left over: these are one more program to compile. All of them, where
    their number is a symbol (`jax.export`): a loop has to know how often it runs.

    Example:
        >>> chunk_size(32 * 32, 64), chunk_size(10 * 10, 128), chunk_size(10 * 10, 127), chunk_size(4 * 4, 64)
        (4, 16, 11, 64)
    """
    if not isinstance(examples, int):
        return examples
    least = max(4, -(-1024 // outputs))
    return next((size for size in range(least, 2 * least) if examples % size == 0), least)


def zero_like(x, dtype):
    """Zero, as a number that varies over a mesh as x does: what a loop begins with must be of the kind it ends with."""
    return jnp.sum(x[:0], dtype=dtype)


def _seen(laid, sizes):
    """The padding of x such that the window that is dy has as many places as the kernel has taps."""
    for n, k, s, (low, _), d, out in zip(sizes, *laid, strict=True):
        yield low, (k - 1) * d + (out - 1) * s + 1 - n - low


def _conv(a, b, numbers, **options):
    dtype = jnp.result_type(a, b)
    return jax.lax.conv_general_dilated(
        a.astype(dtype), b.astype(dtype), dimension_numbers=numbers, preferred_element_type=wide(a, b), **options
    )


def _mirrored(laid, sizes):
    """The padding of dy, with its stride written out as zeros, under the mirrored window."""
    pairs = []
    for n, k, s, (low, _), d, out in zip(sizes, *laid, strict=True):
        before = (k - 1) * d - low
        pairs.append((before, n + (k - 1) * d - ((out - 1) * s + 1) - before))
    return pairs


def _flipped(w):
    return jnp.flip(w, range(w.ndim - 2))
