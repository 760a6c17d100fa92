"""The three sums of a convolution, each in the form that is fastest: what `conv` and its relatives are made of.

On one axis, with taps t of a window, stride s, dilation d and `low` positions of padding in front,

    y[o]  = sum over t of x[o s + t d - low] w[t]
    dx[u] = sum over t, o with o s + t d - low = u of dy[o] w[t]
    dw[t] = sum over o of x[o s + t d - low] dy[o]

and on several axes t, o and u are tuples of numbers; products over channels are matrix products. All three are
convolutions again, and XLA has one operation for them:

    dx    dy with s - 1 zeros between its positions, under the mirrored window, channels in and out exchanged
    dw    x under a window that is dy, with dilation and stride exchanged; batch and channels exchanged

On CPU (jax 0.10, two cores) XLA's y and dx are near the peak of a matrix product on two axes, with a stride or without.
Elsewhere other forms are better; milliseconds of CPU time there and here:

    one tap       dw 14 to 27 -> 4 to 8. Without padding it is a product of matrices: dw = x^T dy. So on every device.
    one axis      7.4 -> 3.7. As two axes, one of them of size 1, it runs on all cores. So on every device.
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
from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from fdl.rule import wide
from fdl.windows import Windows

_SPATIAL = {1: "W", 2: "HW", 3: "DHW"}


def convolve(x: jax.Array, w: jax.Array, laid: Windows, groups: int = 1) -> jax.Array:
    """y: [N, *output, out] of x [N, *sizes, in] and w [*kernel, in / groups, out], in float32 or wider.

    Example:
        >>> from fdl.windows import windows
        >>> x, w = jnp.arange(4.0).reshape(1, 4, 1), jnp.array([1.0, 10.0]).reshape(2, 1, 1)
        >>> convolve(x, w, windows("", (4,), 2)).ravel().tolist()
        [10.0, 21.0, 32.0]
    """
    if is_product(laid, groups):
        return _product(x, w, laid)
    if len(laid.kernel) == 1:
        return convolve(x[:, None], w[None], _on_two_axes(laid), groups)[:, 0]
    if is_operation(laid, groups):
        return _operation(x, w, laid, groups)
    return jax.lax.platform_dependent(
        x, w, cpu=lambda x, w: _on_cpu(x, w, laid, groups), default=lambda x, w: _operation(x, w, laid, groups)
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
        return _product_input_gradient(dy, w, laid, sizes)
    if len(laid.kernel) == 1:
        return input_gradient(dy[:, None], w[None], _on_two_axes(laid), (1, *sizes), groups)[:, 0]
    if is_operation(laid, groups):
        return _operation_input_gradient(dy, w, laid, sizes, groups)
    return jax.lax.platform_dependent(
        dy,
        w,
        cpu=lambda dy, w: _input_gradient_on_cpu(dy, w, laid, sizes, groups),
        default=lambda dy, w: _operation_input_gradient(dy, w, laid, sizes, groups),
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
        return _product_weight_gradient(x, dy, laid)
    return jax.lax.platform_dependent(
        x,
        dy,
        cpu=lambda x, dy: _weight_gradient_on_cpu(x, dy, laid, groups),
        default=lambda x, dy: _operation_weight_gradient(x, dy, laid, groups),
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
        return _depthwise(x, w, laid)
    if groups > 1:
        return _for_each_group(lambda x, w: _on_cpu(x, w, laid, 1), groups, x, w)
    return _operation(x, w, laid, 1) if len(laid.kernel) < 3 else _volume(x, w, laid)


def _input_gradient_on_cpu(dy, w, laid, sizes, groups):
    if groups > 1 and w.shape[-2] == 1:
        return _depthwise_input_gradient(dy, w, laid, sizes, groups)
    if groups > 1:
        return _for_each_group(lambda dy, w: _input_gradient_on_cpu(dy, w, laid, sizes, 1), groups, dy, w)
    if len(laid.kernel) < 3:
        return _operation_input_gradient(dy, w, laid, sizes, 1)
    return _volume_input_gradient(dy, w, laid, sizes)


def _weight_gradient_on_cpu(x, dy, laid, groups):
    if groups == x.shape[-1] > 1:
        return _depthwise_weight_gradient(x, dy, laid)
    if groups > 1:
        return _for_each_group(lambda x, dy: _weight_gradient_on_cpu(x, dy, laid, 1), groups, x, dy)
    if len(laid.kernel) == 3:
        return _volume_weight_gradient(x, dy, laid)
    return _weight_gradient_by_chunks(x, dy, laid)


# XLA's operation.


def _operation(x, w, laid, groups):
    axes = _SPATIAL[len(laid.kernel)]
    return _conv(
        x,
        w,
        (f"N{axes}C", f"{axes}IO", f"N{axes}C"),
        window_strides=laid.stride,
        padding=laid.padding,
        rhs_dilation=laid.dilation,
        feature_group_count=groups,
    )


def _operation_input_gradient(dy, w, laid, sizes, groups):
    axes = _SPATIAL[len(laid.kernel)]
    *kernel, ins, outs = w.shape
    exchanged = jnp.swapaxes(_flipped(w).reshape(*kernel, ins, groups, outs // groups), -3, -1)
    return _conv(
        dy,
        exchanged.reshape(*kernel, outs // groups, groups * ins),
        (f"N{axes}C", f"{axes}IO", f"N{axes}C"),
        window_strides=(1,) * len(kernel),
        padding=_mirrored(laid, sizes),
        lhs_dilation=laid.stride,
        rhs_dilation=laid.dilation,
        feature_group_count=groups,
    )


def _operation_weight_gradient(x, dy, laid, groups):
    axes = _SPATIAL[len(laid.kernel)]
    return _conv(
        x,
        dy,
        (f"C{axes}N", f"I{axes}O", f"{axes}NC"),
        window_strides=laid.dilation,
        padding=list(_seen(laid, x.shape[1:-1])),
        rhs_dilation=laid.stride,
        batch_group_count=groups,
    )


def _weight_gradient_by_chunks(x, dy, laid):
    """The sum over chunks of examples, each with the order of axes that CPU needs, and on two axes if there is one."""
    size = chunk_size(math.prod(laid.output))
    chunks = len(x) // size

    def of(x, dy):
        if len(laid.kernel) == 1:
            return _of_chunk(x[:, None], dy[:, None], _on_two_axes(laid))[0]
        return _of_chunk(x, dy, laid)

    if chunks < 2:
        return of(x, dy)

    def add(chunk, total):
        return total + of(*(jax.lax.dynamic_slice_in_dim(a, chunk * size, size) for a in (x, dy)))

    rest = of(x[chunks * size :], dy[chunks * size :])
    return jax.lax.fori_loop(0, chunks, add, rest)


def _of_chunk(x, dy, laid):
    # XLA exchanges the axes like this by itself, but not in loops, where it would not use its fast kernels.
    x, dy = jnp.swapaxes(x, 0, -1), jnp.moveaxis(dy, 0, -2)
    seen, numbers = list(_seen(laid, x.shape[1:-1])), ("NHWC", "HWIO", "NHWC")
    dw = _conv(x, dy, numbers, window_strides=laid.dilation, padding=seen, rhs_dilation=laid.stride)
    return jnp.moveaxis(dw, 0, -2)


def chunk_size(outputs: int) -> int:
    """How many examples a chunk of the weight gradient has: at least 4, and 1024 positions of dy.

    Example:
        >>> chunk_size(32 * 32), chunk_size(8 * 8), chunk_size(4 * 4)
        (4, 16, 64)
    """
    return max(4, -(-1024 // outputs))


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


# One tap: products of matrices.


def _product(x, w, laid):
    return _matmul(_strided(x, laid), w.reshape(w.shape[-2:]))


def _product_input_gradient(dy, w, laid, sizes):
    seen = _matmul(dy, w.reshape(w.shape[-2:]).T)
    after = [n - (out - 1) * s - 1 for n, out, s in zip(sizes, laid.output, laid.stride, strict=True)]
    return _pad(seen, [(0, more) for more in after], laid.stride)


def _product_weight_gradient(x, dy, laid):
    x, dy = (a.reshape(math.prod(a.shape[:-1]), a.shape[-1]) for a in (_strided(x, laid), dy))
    return _matmul(x.T, dy).reshape(*laid.kernel, x.shape[-1], dy.shape[-1])


def _strided(x, laid):
    return x[(slice(None), *(slice(None, None, s) for s in laid.stride))]


def _matmul(a, b):
    return jnp.matmul(a, b, preferred_element_type=wide(a, b))


# Depthwise: elementwise products, summed over taps. The outputs that one channel makes lie next to each other.


def _depthwise(x, w, laid):
    x, w = (a.astype(wide(x, w)) for a in (x, w))
    terms = ((_repeated(inside, w.shape[-1]) * w[tap][0], outside) for tap, inside, outside in _taps(x, laid))
    return sum(_pad(term, outside) for term, outside in terms)


def _depthwise_input_gradient(dy, w, laid, sizes, channels):
    dy, w = (a.astype(wide(dy, w)) for a in (dy, w))

    def of_tap(tap):
        term = dy * w[tap][0]
        term = term.reshape(*term.shape[:-1], channels, term.shape[-1] // channels).sum(-1)
        return _pad(term, _around(tap, laid, sizes), laid.stride)

    return sum(map(of_tap, np.ndindex(*laid.kernel)))


def _depthwise_weight_gradient(x, dy, laid):
    x, dy = (a.astype(wide(x, dy)) for a in (x, dy))
    seen = (_pad(inside, outside) for _, inside, outside in _taps(x, laid))
    products = tuple(_repeated(of_tap, dy.shape[-1]) * dy for of_tap in seen)
    # All taps are one reduction: XLA would write out what goes into a sum of its own.
    zeros = (jnp.zeros((), dy.dtype),) * len(products)
    dw = jax.lax.reduce(products, zeros, lambda a, b: jax.tree.map(jnp.add, a, b), tuple(range(dy.ndim - 1)))
    return jnp.stack(dw).reshape(*laid.kernel, 1, dy.shape[-1])


def _repeated(x, outs):
    """Every channel as often as there are outputs that it makes."""
    *rows, channels = x.shape
    return jnp.broadcast_to(x[..., None], (*x.shape, outs // channels)).reshape(*rows, outs)


def _taps(x, laid):
    """(tap, what the windows that do not see padding there see, how many windows on each side see padding)."""
    sizes = x.shape[1:-1]
    for tap in np.ndindex(*laid.kernel):
        starts, stops, outside = [], [], []
        axes = zip(_around(tap, laid, sizes), laid.stride, laid.output, strict=True)
        for (before, after), s, out in axes:
            ahead = min(max(0, -(before // s)), out)  # windows that see the padding in front
            behind = min(max(0, -(after // s)), out - ahead)
            inside = out - ahead - behind
            starts.append(before + ahead * s if inside else 0)
            stops.append(starts[-1] + (inside - 1) * s + 1 if inside else 0)
            outside.append((ahead, behind))
        slices = (0, *starts, 0), (len(x), *stops, x.shape[-1]), (1, *laid.stride, 1)
        yield tap, jax.lax.slice(x, *slices), outside


def _around(tap, laid, sizes):
    """How many positions lie before what the first window sees at a tap, and after what the last one sees."""
    for t, n, s, (low, _), d, out in zip(tap, sizes, *laid[1:], strict=True):
        yield t * d - low, n - (t * d - low) - (out - 1) * s - 1


# Groups: one after the other, so that little memory is needed.


def _for_each_group(function, groups, *arrays):
    """The results of a function of a group's channels, which are the last axis of everything, side by side."""

    def one(group):
        return function(*(_channels(a, group * (a.shape[-1] // groups), a.shape[-1] // groups) for a in arrays))

    def put(group, whole):
        part = one(group)
        return jax.lax.dynamic_update_slice_in_dim(whole, part, group * part.shape[-1], whole.ndim - 1)

    part = jax.eval_shape(one, 0)
    nothing = _zero_like(arrays[0], part.dtype)
    return jax.lax.fori_loop(0, groups, put, jnp.full((*part.shape[:-1], groups * part.shape[-1]), nothing))


def _channels(a, first, count):
    return jax.lax.dynamic_slice_in_dim(a, first, count, axis=a.ndim - 1)


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

    zero = jnp.full((*laid.kernel, x.shape[-1], dy.shape[-1]), _zero_like(x, wide(x, dy)))
    return jax.lax.scan(add, zero, (x, dy))[0]


def _slabs(x, laid):
    """(tap of the first axis, the planes of an example that all windows see there)."""
    for t, (before, after) in enumerate(_first(laid, len(x))):
        yield t, jax.lax.pad(x, jnp.zeros((), x.dtype), [(-before, -after, 0), *[(0, 0, 0)] * 3])[:: laid.stride[0]]


def _first(laid, n):
    """For each tap of the first axis, how many positions lie before the windows and after them."""
    first = Windows(*(choice[:1] for choice in laid))
    return [around for t in range(laid.kernel[0]) for around in _around((t,), first, (n,))]


def _pad_first(x, around, laid):
    return jax.lax.pad(x, jnp.zeros((), x.dtype), [(*around, laid.stride[0] - 1), *[(0, 0, 0)] * 3])


# How windows lie on more or fewer axes.


def _on_two_axes(laid):
    return Windows(
        (1, *laid.kernel), (1, *laid.stride), ((0, 0), *laid.padding), (1, *laid.dilation), (1, *laid.output)
    )


def _plane(laid):
    return Windows(*(choice[1:] for choice in laid))


def _zero_like(x, dtype):
    """Zero, as a number that varies over a mesh as x does: what a loop begins with must be of the kind it ends with."""
    return jnp.sum(x[:0], dtype=dtype)


def _pad(x: jax.Array, pairs: Iterable[tuple[int, int]], stride: Sequence[int] = (1, 1, 1)) -> jax.Array:
    """x with zeros around its spatial axes, and stride - 1 zeros between its positions; a negative number crops."""
    around = [(low, high, s - 1) for (low, high), s in zip(pairs, stride, strict=False)]
    return jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *around, (0, 0, 0)])
