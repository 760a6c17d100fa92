"""Convolutions without a window: one tap is a product of matrices, one channel a sum of elementwise products.

These are forms of the sums in `fdl.layers.conv_forms`, for windows of a single tap and for groups of one channel.
"""

import math
from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from fdl.rule import wide

# One tap: products of matrices.


def one_tap(x, w, laid):
    """y: the product of what each window sees and w."""
    return _matmul(_strided(x, laid), w.reshape(w.shape[-2:]))


def one_tap_input_gradient(dy, w, laid, sizes):
    """dx: dy w^T where a window saw x, and zero between and behind."""
    seen = _matmul(dy, w.reshape(w.shape[-2:]).T)
    after = [n - (out - 1) * s - 1 for n, out, s in zip(sizes, laid.output, laid.stride, strict=True)]
    return pad_spatial(seen, [(0, more) for more in after], laid.stride)


def one_tap_weight_gradient(x, dy, laid):
    """dw: x^T dy, over what the windows saw."""
    x, dy = (a.reshape(math.prod(a.shape[:-1]), a.shape[-1]) for a in (_strided(x, laid), dy))
    return _matmul(x.T, dy).reshape(*laid.kernel, x.shape[-1], dy.shape[-1])


def _strided(x, laid):
    return x[(slice(None), *(slice(None, None, s) for s in laid.stride))]


def _matmul(a, b):
    return jnp.matmul(a, b, preferred_element_type=wide(a, b))


# Depthwise: elementwise products, summed over taps. The outputs that one channel makes lie next to each other.


def depthwise(x, w, laid):
    """y: for each tap, what the windows see there times its weights."""
    x, w = (a.astype(wide(x, w)) for a in (x, w))
    terms = ((_repeated(inside, w.shape[-1]) * w[tap][0], outside) for tap, inside, outside in _taps(x, laid))
    return sum(pad_spatial(term, outside) for term, outside in terms)


def depthwise_input_gradient(dy, w, laid, sizes, channels):
    """dx: for each tap, dy times its weights, back where the windows saw it."""
    dy, w = (a.astype(wide(dy, w)) for a in (dy, w))

    def of_tap(tap):
        term = dy * w[tap][0]
        term = term.reshape(*term.shape[:-1], channels, term.shape[-1] // channels).sum(-1)
        return pad_spatial(term, positions_around(tap, laid, sizes), laid.stride)

    return sum(map(of_tap, np.ndindex(*laid.kernel)))


def depthwise_weight_gradient(x, dy, laid):
    """dw: for each tap, the sum of what the windows saw there times dy."""
    x, dy = (a.astype(wide(x, dy)) for a in (x, dy))
    seen = (pad_spatial(inside, outside) for _, inside, outside in _taps(x, laid))
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
        axes = zip(positions_around(tap, laid, sizes), laid.stride, laid.output, strict=True)
        for (before, after), s, out in axes:
            ahead = min(max(0, -(before // s)), out)  # windows that see the padding in front
            behind = min(max(0, -(after // s)), out - ahead)
            inside = out - ahead - behind
            starts.append(before + ahead * s if inside else 0)
            stops.append(starts[-1] + (inside - 1) * s + 1 if inside else 0)
            outside.append((ahead, behind))
        slices = (0, *starts, 0), (x.shape[0], *stops, x.shape[-1]), (1, *laid.stride, 1)
        yield tap, jax.lax.slice(x, *slices), outside


def positions_around(tap, laid, sizes):
    """How many positions lie before what the first window sees at a tap, and after what the last one sees."""
    for t, n, s, (low, _), d, out in zip(tap, sizes, *laid[1:], strict=True):
        yield t * d - low, n - (t * d - low) - (out - 1) * s - 1


def pad_spatial(x: jax.Array, pairs: Iterable[tuple[int, int]], stride: Sequence[int] = (1, 1, 1)) -> jax.Array:
    """x with zeros around its spatial axes, and stride - 1 zeros between its positions; a negative number crops."""
    around = [(low, high, s - 1) for (low, high), s in zip(pairs, stride, strict=False)]
    return jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *around, (0, 0, 0)])
