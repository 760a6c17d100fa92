"""The three sums of a convolution, each in the form that is fastest: what `conv` and its relatives are made of.

On one axis, with taps t of a window, stride s, dilation d and `low` positions of padding in front,

    y[o]  = sum over t of x[o s + t d - low] w[t]
    dx[u] = sum over t, o with o s + t d - low = u of dy[o] w[t]
    dw[t] = sum over o of x[o s + t d - low] dy[o]

and on several axes t, o and u are tuples of numbers; products over channels are matrix products. All three are
convolutions again, and XLA has one operation for them:

    dx    dy with s - 1 zeros between its positions, under the mirrored window, channels in and out exchanged
    dw    x under a window that is dy, with dilation and stride exchanged; batch and channels exchanged

On CPU (jax 0.10, two cores) XLA's y and dx are near the peak of a matrix product on one axis and on two, with a
stride or without. Elsewhere other forms are better; milliseconds of CPU time there and here:

    one tap       dw 14 to 27 -> 4 to 8. Without padding it is a product of matrices: dw = x^T dy. So on every device.
    dw            113 -> 62 for 3x3 taps on [64, 32, 32, 64], 73 -> 53 on [64, 8, 8, 256], with an eighth and two fifths
                  of the memory. A sum over chunks of examples, for which dy stays in the cache.
    depthwise     y 59 -> 3.4, dw 58 -> 14 for 3x3 taps on [16, 32, 32, 128]. A sum over taps of elementwise products.
    groups        y 72 -> 16, dw 1290 -> 20 for 4 groups of 32 channels on the same. One group after the other.
    three axes    y 48 -> 10, dw 77 -> 16 for 3x3x3 taps on [4, 16, 16, 16, 32]. A sum over the taps of the first
                  axis of convolutions on two, one example after the other, so that little memory is needed.

The last four are for CPU alone; other devices get XLA's operation (`jax.lax.platform_dependent`). One product for each
tap, products of gathered patches, and one convolution for each phase of the stride were measured as well, and were
slower than these or needed more memory.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from fdl.layers.conv_operation import (
    operation,
    operation_input_gradient,
    operation_weight_gradient,
    weight_gradient_by_chunks,
    zero_like,
)
from fdl.layers.conv_products import (
    depthwise,
    depthwise_input_gradient,
    depthwise_weight_gradient,
    one_tap,
    one_tap_input_gradient,
    one_tap_weight_gradient,
    positions_around,
)
from fdl.rule import wide
from fdl.slices import put_at, slice_at
from fdl.windows import Windows


def convolve(x: jax.Array, w: jax.Array, laid: Windows, groups: int = 1) -> jax.Array:
    """y: [N, *output, out] of x [N, *sizes, in] and w [*kernel, in / groups, out], in float32 or wider.

    Example:
        >>> from fdl.windows import windows
        >>> x, w = jnp.arange(4.0).reshape(1, 4, 1), jnp.array([1.0, 10.0]).reshape(2, 1, 1)
        >>> convolve(x, w, windows("", (4,), 2)).ravel().tolist()
        [10.0, 21.0, 32.0]
    """
    if is_product(laid, groups):
        return one_tap(x, w, laid)
    if is_operation(laid, groups):
        return operation(x, w, laid, groups)
    return jax.lax.platform_dependent(
        x, w, cpu=lambda x, w: _on_cpu(x, w, laid, groups), default=lambda x, w: operation(x, w, laid, groups)
    )


def input_gradient(dy: jax.Array, w: jax.Array, laid: Windows, sizes: Sequence[int], groups: int = 1) -> jax.Array:
    """dx: [N, *sizes, in] of dy [N, *output, out] and w [*kernel, in / groups, out], in float32 or wider.

    Example:
        >>> from fdl.windows import windows
        >>> dy, w = jnp.ones((1, 3, 1)), jnp.array([1.0, 10.0]).reshape(2, 1, 1)
        >>> input_gradient(dy, w, windows("", (4,), 2), (4,)).ravel().tolist()
        [1.0, 11.0, 11.0, 10.0]
    """
    if is_product(laid, groups):
        return one_tap_input_gradient(dy, w, laid, sizes)
    if is_operation(laid, groups):
        return operation_input_gradient(dy, w, laid, sizes, groups)
    return jax.lax.platform_dependent(
        dy,
        w,
        cpu=lambda dy, w: _input_gradient_on_cpu(dy, w, laid, sizes, groups),
        default=lambda dy, w: operation_input_gradient(dy, w, laid, sizes, groups),
    )


def weight_gradient(x: jax.Array, dy: jax.Array, laid: Windows, groups: int = 1) -> jax.Array:
    """dw: [*kernel, in / groups, out] of x [N, *sizes, in] and dy [N, *output, out], in float32 or wider.

    Example:
        >>> from fdl.windows import windows
        >>> x, dy = jnp.arange(4.0).reshape(1, 4, 1), jnp.array([1.0, 0.0, 0.0]).reshape(1, 3, 1)
        >>> weight_gradient(x, dy, windows("", (4,), 2)).ravel().tolist()
        [0.0, 1.0]
    """
    if is_product(laid, groups):
        return one_tap_weight_gradient(x, dy, laid)
    return jax.lax.platform_dependent(
        x,
        dy,
        cpu=lambda x, dy: _weight_gradient_on_cpu(x, dy, laid, groups),
        default=lambda x, dy: operation_weight_gradient(x, dy, laid, groups),
    )


# Which form: by shapes alone.


def is_product(laid: Windows, groups: int) -> bool:
    """Whether windows of a single tap lie inside the input, so that a product of matrices is all there is."""
    return groups == 1 and math.prod(laid.kernel) == 1 and not any(map(any, laid.padding))


def is_operation(laid: Windows, groups: int) -> bool:
    """Whether XLA's operation is best on CPU as well."""
    return groups == 1 and len(laid.kernel) < 3


def _on_cpu(x, w, laid, groups):
    if groups > 1 and w.shape[-2] == 1:
        return depthwise(x, w, laid)
    if groups > 1:
        return _for_each_group(lambda x, w: _on_cpu(x, w, laid, 1), groups, x, w)
    return operation(x, w, laid, 1) if len(laid.kernel) < 3 else _volume(x, w, laid)


def _input_gradient_on_cpu(dy, w, laid, sizes, groups):
    if groups > 1 and w.shape[-2] == 1:
        return depthwise_input_gradient(dy, w, laid, sizes, groups)
    if groups > 1:
        return _for_each_group(lambda dy, w: _input_gradient_on_cpu(dy, w, laid, sizes, 1), groups, dy, w)
    if len(laid.kernel) < 3:
        return operation_input_gradient(dy, w, laid, sizes, 1)
    return _volume_input_gradient(dy, w, laid, sizes)


def _weight_gradient_on_cpu(x, dy, laid, groups):
    if groups == x.shape[-1] > 1:
        return depthwise_weight_gradient(x, dy, laid)
    if groups > 1:
        return _for_each_group(lambda x, dy: _weight_gradient_on_cpu(x, dy, laid, 1), groups, x, dy)
    if len(laid.kernel) == 3:
        return _volume_weight_gradient(x, dy, laid)
    return weight_gradient_by_chunks(x, dy, laid)


# Groups: one after the other, so that little memory is needed.


def _for_each_group(function, groups, *arrays):
    """The results of a function of a group's channels, which are the last axis of everything, side by side."""

    def one(group):
        return function(*(_channels(a, group * (a.shape[-1] // groups), a.shape[-1] // groups) for a in arrays))

    def put(group, whole):
        part = one(group)
        return put_at(whole, part, group * part.shape[-1], whole.ndim - 1)

    part = jax.eval_shape(one, 0)
    nothing = zero_like(arrays[0], part.dtype)
    return jax.lax.fori_loop(0, groups, put, jnp.full((*part.shape[:-1], groups * part.shape[-1]), nothing))


def _channels(a, first, count):
    return slice_at(a, first, count, axis=a.ndim - 1)


# Three axes: planes along the first, each of them a convolution on two. One example after the other.


def _volume(x, w, laid):
    def one(x):
        return sum(_on_cpu(seen, w[t], _plane(laid), 1) for t, seen in _slabs(x, laid))

    return jax.lax.map(one, x)


def _volume_input_gradient(dy, w, laid, sizes):
    n, *rest = sizes

    def one(dy):
        terms = (_input_gradient_on_cpu(dy, of_tap, _plane(laid), rest, 1) for of_tap in w)
        return sum(_pad_first(term, around, laid) for term, around in zip(terms, _first(laid, n), strict=True))

    return jax.lax.map(one, dy)


def _volume_weight_gradient(x, dy, laid):
    def add(total, example):
        x, dy = example
        terms = [_weight_gradient_on_cpu(seen, dy, _plane(laid), 1) for _, seen in _slabs(x, laid)]
        return total + jnp.stack(terms), None

    zero = jnp.full((*laid.kernel, x.shape[-1], dy.shape[-1]), zero_like(x, wide(x, dy)))
    return jax.lax.scan(add, zero, (x, dy))[0]


def _slabs(x, laid):
    """(tap of the first axis, the planes of an example that all windows see there)."""
    for t, (before, after) in enumerate(_first(laid, len(x))):
        yield t, jax.lax.pad(x, jnp.zeros((), x.dtype), [(-before, -after, 0), *[(0, 0, 0)] * 3])[:: laid.stride[0]]


def _first(laid, n):
    """For each tap of the first axis, how many positions lie before the windows and after them."""
    first = Windows(*(choice[:1] for choice in laid))
    return [around for t in range(laid.kernel[0]) for around in positions_around((t,), first, (n,))]


def _pad_first(x, around, laid):
    return jax.lax.pad(x, jnp.zeros((), x.dtype), [(*around, laid.stride[0] - 1), *[(0, 0, 0)] * 3])


def _plane(laid):
    return Windows(*(choice[1:] for choice in laid))
