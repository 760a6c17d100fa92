"""Resizing: the values of an image at the positions of another grid.

With n positions before and m after on some axis, both grids divide the same extent, and the centre of position i lies
at i + 1/2. So position i of the result lies, in positions of the input, at

    u_i = (i + 1/2) n / m - 1/2

and its value is a weighted sum of its neighbours on either side, with the fraction r = u - floor(u):

    nearest     weight 1 for the position that u lies in; the right one where it lies between two
    bilinear    1 - r and r for the two neighbours
    bicubic     f(1 + r), g(r), g(1 - r), f(2 - r) for the four neighbours, with Keys' cubic convolution,
                g(t) = (3 t^3 - 5 t^2 + 2) / 2,   f(t) = (4 - 8 t + 5 t^2 - t^3) / 2

where neighbours beyond the edge are left out, and the weights of the others scaled so that their sum is 1. Nothing is
smoothed before it is sampled ("antialiasing"), so a much smaller result misses what lies between its samples: pool
first.

All axes together are one linear map, a matrix A for each axis, and so is the gradient:

    y = A x            dx = A^T dy

A has a few entries in each row: y is a sum of as many arrays, each picked from x by one index for every row, and with
the entries sorted by column instead of row the same sum gives A^T dy. Nothing is scattered and nothing remembered.

These are the conventions of jax.image.resize with antialias=False. PyTorch's interpolate with align_corners=False
agrees on bilinear; its "nearest" takes floor(i n / m) ("nearest-exact" is this one), and its bicubic, as OpenCV's, has
Keys' parameter a = -3/4 in the place of -1/2, which does not give back a straight line, and repeats the edge.

Source: Keys, "Cubic convolution interpolation for digital image processing" (1981).
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.counts import for_each_axis
from fdl.errors import InputError
from fdl.layer import Layer, Tree
from fdl.layers.checks import check_floats
from fdl.layers.taps import check_images
from fdl.rule import rule, wide


@rule(static=["size", "method"])
def resize(x: jax.Array, size: int | Sequence[int], method: str = "nearest") -> jax.Array:
    """The image on a grid of another size, by interpolation between the centres of positions.

    Args:
        x: [N, *spatial, C] with one to three spatial axes; floats, or for "nearest" anything.
        size: of the spatial axes of the result, one number for all or one for each.
        method: "nearest", "bilinear" (linear in each axis, however many there are) or "bicubic".

    Returns:
        y: [N, *size, C], in the dtype of x.

    Raises:
        InputError: for x of another rank or without any position, for sizes below one, for an unknown method, and for
            integers that would have to be interpolated.

    Remembers:
        the sizes of x, in no bytes.

    Source:
        Keys (1981), bicubic.

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.array([1.0, 5.0]).reshape(1, 2, 1)
        >>> resize(x, 4).ravel().tolist(), resize(x, 4, "bilinear").ravel().tolist()
        ([1.0, 1.0, 5.0, 5.0], [1.0, 2.0, 4.0, 5.0])
    """
    y = x
    for axis, (n, m) in _axes(x, size):
        rows, columns, weights = _entries(n, m, method)
        if method == "nearest":
            y = jnp.take(y, columns, axis)
        else:
            matrix = np.zeros((m, n))
            np.add.at(matrix, (rows, columns), weights)
            y = jnp.moveaxis(jnp.tensordot(y.astype(wide(x)), matrix.astype(wide(x)), (axis, 1)), -1, axis)
    return y.astype(x.dtype)


@resize.validate
def _(x, size, method):
    check_images("resize", x)
    _check_method(method)
    for_each_axis("resize", "size", size, jnp.ndim(x) - 2)
    if 0 in jnp.shape(x)[1:-1]:
        raise InputError(f"resize needs at least one position, got x of shape {list(jnp.shape(x))}")
    if method != "nearest":
        check_floats(f"resize by {method}", x)


@resize.forward
def _(x, size, method):
    y = x.astype(wide(x)) if jnp.issubdtype(x.dtype, jnp.floating) else x
    for axis, (n, m) in _axes(x, size):
        rows, columns, weights = _entries(n, m, method)
        y = _summed(y, axis, rows, columns, weights, m)
    return y.astype(x.dtype), x[..., :0]


@resize.backward
def _(x, dy, *, size, method):
    dx = dy.astype(wide(dy))
    # y = A x, for each axis
    for axis, (n, m) in _axes(x, size):
        rows, columns, weights = _entries(n, m, method)
        dx = _summed(dx, axis, columns, rows, weights, n)
    return (dx,)


def _axes(x, size):
    """Each spatial axis, with its size before and after."""
    sizes = for_each_axis("resize", "size", size, jnp.ndim(x) - 2)
    return list(enumerate(zip(x.shape[1:-1], sizes, strict=True), start=1))


def _entries(n, m, method):
    """The rows, columns and values of the entries of A: [m, n] that are not zero, by row."""
    i = np.arange(m)
    if method == "nearest":
        return i, (2 * i + 1) * n // (2 * m), np.ones(m)
    u = (2 * i + 1) * n / (2 * m) - 0.5
    r = u - np.floor(u)
    weights = np.stack([1 - r, r] if method == "bilinear" else [_outer(1 + r), _inner(r), _inner(1 - r), _outer(2 - r)])
    first = np.floor(u) if method == "bilinear" else np.floor(u) - 1
    columns = first.astype(int) + np.arange(len(weights))[:, None]
    weights = np.where((columns >= 0) & (columns < n), weights, 0)
    weights = weights / weights.sum(axis=0)
    tap, rows = np.nonzero(weights)
    return rows, columns[tap, rows], weights[tap, rows]


def _inner(t):
    return (3 * t**3 - 5 * t**2 + 2) / 2


def _outer(t):
    return (4 - 8 * t + 5 * t**2 - t**3) / 2


def _summed(x, axis, rows, columns, weights, size):
    """y[row] = sum of weight x[column] over the entries, along one axis that becomes ``size`` long."""
    total: Any = 0
    while rows.size:
        some = np.unique(rows, return_index=True)[1]  # one entry of every row that still has some
        picked, factor = np.zeros(size, int), np.zeros(size)
        picked[rows[some]], factor[rows[some]] = columns[some], weights[some]
        scale = jnp.asarray(factor, x.dtype).reshape(size, *(1 for _ in x.shape[axis + 1 :]))
        total = total + jnp.where(scale == 0, 0, scale * jnp.take(x, picked, axis, mode="clip"))
        rows, columns, weights = (np.delete(entries, some) for entries in (rows, columns, weights))
    return total


def _check_method(method):
    if method not in ("nearest", "bilinear", "bicubic"):
        raise InputError(f'resize takes "nearest", "bilinear" or "bicubic" as method, got {method!r}')


class Resize(Layer):
    """The layer of `resize`, to a given size or by a given factor.

    Args:
        size: of the spatial axes of the output, one number for all or one for each.
        scale: what to multiply the size of the input by instead, likewise; the product is rounded down.
        method: "nearest", "bilinear" or "bicubic".

    Raises:
        InputError: when not exactly one of size and scale is given, and as `resize`.

    Example:
        >>> import jax.numpy as jnp
        >>> Resize(scale=2, method="bilinear").apply({}, {}, jnp.ones((5, 7, 9, 8)))[0].shape
        (5, 14, 18, 8)
    """

    size: int | tuple[int, ...] | None = None
    scale: float | tuple[float, ...] | None = None
    method: str = "nearest"

    def __post_init__(self) -> None:
        if (self.size is None) == (self.scale is None):
            raise InputError(f"Resize needs either a size or a scale, got size={self.size} and scale={self.scale}")
        _check_method(self.method)

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        return resize(x, self.output_sizes(x), self.method), state

    def receptive_window(self, x: Any) -> tuple[tuple[int, Fraction, int], ...]:
        windows = []
        for _, (n, m) in _axes(x, self.output_sizes(x)):
            rows, _, _ = _entries(n, m, self.method)
            windows.append((int(np.bincount(rows).max()), Fraction(n, m), 1))
        return tuple(windows)

    def output_sizes(self, x: Any) -> tuple[int, ...]:
        """The spatial sizes of the output for this input."""
        axes = len(x.shape) - 2
        if self.size is not None:
            return for_each_axis("Resize", "size", self.size, axes)
        scales = self.scale if isinstance(self.scale, tuple) else (self.scale,) * axes
        if len(scales) != axes:
            raise InputError(f"Resize needs a scale for each of {axes} spatial axes, or one for all, got {self.scale}")
        sizes = [int(n * scale) for n, scale in zip(x.shape[1:-1], scales, strict=True)]
        return for_each_axis("Resize", "size", sizes, axes)
