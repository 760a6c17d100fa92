"""Sliding windows as whole arrays: what all windows see at one of their taps, and the way back.

Window o of an axis lies on the positions o s - low + t, for taps t = 0, ..., k - 1 (`fdl.windows`). The taps of
windows on several axes are numbered in row-major order, the last axis fastest.

Towards the windows, x[o s - low + t] for all o together is a strided slice. Many slices that meet in one sum or
maximum are one loop over memory once they are compiled.

On the way back, position u collects from every window that lies on it. The last of these is o = floor((u + low) / s),
of which it is tap t = u + low - o s; of window o - q, it is tap t + q s. So

    dx[u] = sum over q = 0, 1, ... of term(t + q s, window o - q)          while t + q s < k

with one term for windows that tile, and two on each axis where they are at most twice as long as their stride. Each
is again a whole array, picked from those of the windows by one index for every position. Nothing is scattered.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.errors import InputError
from fdl.layers.checks import check_floats
from fdl.windows import Padding, Windows, windows


def pool_windows(
    who: str,
    sizes: Sequence[int],
    window: int | Sequence[int],
    stride: int | Sequence[int] | None,
    padding: Padding,
) -> Windows:
    """How the windows of a pool lie on spatial axes of these sizes; a stride of None is the window.

    Raises:
        InputError: as `fdl.windows.windows`, and for a window that lies in the padding alone.

    Example:
        >>> pool_windows("max_pool", (5, 8), 2, None, "VALID").output
        (2, 4)
    """
    laid = windows(who, sizes, window, stride=window if stride is None else stride, padding=padding)
    for n, k, s, (low, _), out in zip(sizes, laid.kernel, laid.stride, laid.padding, laid.output, strict=True):
        if low >= k or (out - 1) * s - low >= n:
            raise InputError(
                f"{who} needs windows that see at least one position, but with padding {list(laid.padding)} around "
                f"sizes {list(sizes)}, one of {list(laid.kernel)} lies in the padding alone"
            )
    return laid


def check_images(who: str, x: Any) -> None:
    """Refuses what is not [N, *spatial, C] with one to three spatial axes.

    Raises:
        InputError: with the shape.

    Example:
        >>> check_images("max_pool", jnp.ones((28, 28)))
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: max_pool expects x of shape [N, *spatial, C] with 1 to 3 spatial axes, got [28, 28]
    """
    if not 3 <= jnp.ndim(x) <= 5:
        raise InputError(
            f"{who} expects x of shape [N, *spatial, C] with 1 to 3 spatial axes, got {list(jnp.shape(x))}"
        )


def check_pool(who: str, x: Any, window: Any, stride: Any, padding: Any) -> None:
    """Refuses images, and windows on them, of which no pool can be made.

    Raises:
        InputError: as `check_images`, `pool_windows` and `fdl.layers.checks.check_floats`.
    """
    check_images(who, x)
    pool_windows(who, jnp.shape(x)[1:-1], window, stride, padding)
    check_floats(who, x)


def as_rows(x: jax.Array) -> jax.Array:
    """All positions of images [N, *spatial, C] as one axis: [N, positions, C]."""
    return x.reshape(x.shape[0], math.prod(x.shape[1:-1]), x.shape[-1])


def padded(x: jax.Array, laid: Windows, fill: float) -> tuple[jax.Array, Windows]:
    """x with its padding written out, and windows that lie on it without any.

    Example:
        >>> x, laid = padded(jnp.ones((1, 3, 1)), windows("", (3,), 3, padding=1), fill=0)
        >>> x.ravel().tolist(), laid.padding
        ([0.0, 1.0, 1.0, 1.0, 0.0], ((0, 0),))
    """
    return _pad(x, laid.padding, fill), laid._replace(padding=((0, 0),) * len(laid.kernel))


def taps(x: jax.Array, laid: Windows, fill: float) -> Iterator[jax.Array]:
    """What all windows see at tap 0, at tap 1, and so on: arrays [N, *windows, C], with ``fill`` for padding.

    Example:
        >>> x = jnp.arange(5.0).reshape(1, 5, 1)
        >>> [tap.ravel().tolist() for tap in taps(x, windows("", (5,), 3, stride=2, padding=1), fill=-1)]
        [[-1.0, 1.0, 3.0], [0.0, 2.0, 4.0], [1.0, 3.0, -1.0]]
    """
    axes = zip(x.shape[1:-1], laid.kernel, laid.stride, laid.padding, laid.output, strict=True)
    on_axes = [[_seen_by(t, n, s, low, out) for t in range(k)] for n, k, s, (low, _), out in axes]
    for tap in itertools.product(*on_axes):
        starts, stops, outside = zip(*tap, strict=True)
        part = jax.lax.slice(x, (0, *starts, 0), (x.shape[0], *stops, x.shape[-1]), (1, *laid.stride, 1))
        yield _pad(part, outside, fill)


def _seen_by(t: int, n: int, s: int, low: int, out: int) -> tuple[int, int, tuple[int, int]]:
    """Of one axis, where tap t of the windows begins and ends inside, and how many windows have it before and after.

    Example:
        >>> [_seen_by(t, n=4, s=2, low=1, out=2) for t in range(3)]  # windows on -1, 0, 1 and on 1, 2, 3
        [(1, 2, (1, 0)), (0, 3, (0, 0)), (1, 4, (0, 0))]
    """
    at = s * np.arange(out) - low + t
    inside = at[(at >= 0) & (at < n)]
    start, stop = (int(inside[0]), int(inside[-1]) + 1) if inside.size else (0, 0)
    return start, stop, (int(np.sum(at < 0)), int(np.sum(at >= n)))


def collected(term: Callable[..., jax.Array], laid: Windows, sizes: Sequence[int], *arrays: jax.Array) -> jax.Array:
    """For every position, the sum of term(tap, *arrays) over the windows that lie on it: [N, *sizes, C].

    Args:
        term: from the number of the tap, for each position, and what the arrays hold for the window, what the
            position gets from that window. Where none of its taps is there, the number is how many it has.
        laid: how the windows lie.
        sizes: of the spatial axes that they lie on.
        arrays: [N, *windows, C]; beyond the first and last window they may hold anything.

    Example:
        >>> laid = windows("", (5,), 3, stride=2)
        >>> collected(lambda tap, y: jnp.where(tap < 3, y, 0), laid, (5,), jnp.ones((1, 2, 1))).ravel().tolist()
        [1.0, 1.0, 2.0, 1.0, 1.0]
    """
    axes = zip(sizes, laid.kernel, laid.stride, laid.padding, laid.output, strict=True)
    on_axes = [_windows_on(n, k, s, low, out) for n, k, s, (low, _), out in axes]
    choices = list(itertools.product(*on_axes))  # one window on each axis
    total: Any = 0
    for choice in choices:
        number, exists, picked = np.zeros((), int), np.ones((), bool), arrays
        for axis, ((window, tap, is_there), k) in enumerate(zip(choice, laid.kernel, strict=True), start=1):
            number, exists = number[..., None] * k + tap, exists[..., None] & is_there
            picked = tuple(_picked(array, window, axis, repeat=len(choices) == 1) for array in picked)
        number = np.where(exists, number, math.prod(laid.kernel)).astype(tap_dtype(laid))
        total = total + term(number[..., None], *picked)
    return total


def _windows_on(n: int, k: int, s: int, low: int, out: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Of one axis, for q = 0, 1, ...: the q-th window from the last on each position, its tap there, and if they exist.

    Example:
        >>> for arrays in _windows_on(n=5, k=3, s=2, low=0, out=2):  # windows on 0, 1, 2 and on 2, 3, 4
        ...     print(*(array.astype(int).tolist() for array in arrays))
        [0, 0, 1, 1, 2] [0, 1, 0, 1, 0] [1, 1, 1, 1, 0]
        [-1, -1, 0, 0, 1] [2, 3, 2, 3, 2] [0, 0, 1, 0, 1]
    """
    last, first_tap = np.divmod(np.arange(n) + low, s)
    by_q = [(last - q, first_tap + q * s) for q in range(-(-k // s))]
    return [(window, tap, (window >= 0) & (window < out) & (tap < k)) for window, tap in by_q]


def once(compute: Callable[..., jax.Array], *arrays: jax.Array) -> jax.Array:
    """compute(*arrays), from arrays that are written out before, and written out itself.

    XLA fuses what is cheap into each of the operations that use it: a picture of which every position is used in
    nine windows would be computed nine times, from what it is made of in its turn, and what a forward pass has
    remembered would be computed again in the backward pass, from what it was to be remembered instead of. That is what
    optimization barriers are for, but its CPU compiler takes them away before it fuses. It does not look into a branch
    that it cannot choose, so there is one; a GPU would have to ask for the number that chooses, and wait.

    Example:
        >>> once(jnp.square, jnp.arange(3.0)).tolist()
        [0.0, 1.0, 4.0]
    """
    compute = jax.jit(compute, inline=True)  # which traces it once for all branches
    written = jax.lax.optimization_barrier
    return jax.lax.platform_dependent(
        *arrays,
        cpu=lambda *arrays: _in_a_branch(compute, *arrays),
        default=lambda *arrays: written(compute(*written(arrays))),
    )


def overlap(laid: Windows) -> bool:
    """Whether some position may be in several windows.

    Example:
        >>> overlap(windows("", (8,), 2, stride=2)), overlap(windows("", (8,), 3, stride=2))
        (False, True)
    """
    return any(k > s for k, s in zip(laid.kernel, laid.stride, strict=True))


def many_taps(laid: Windows) -> bool:
    """Whether a window has more taps than are well written out one by one.

    Example:
        >>> many_taps(windows("", (9, 9), 4)), many_taps(windows("", (9, 9), 5))
        (False, True)
    """
    return math.prod(laid.kernel) > 16


def stages(laid: Windows, sizes: Sequence[int]) -> list[tuple[Windows, tuple[int, ...]]]:
    """Windows, one after the other, that see together what these see, each with the sizes that it lies on.

    They are those of one axis at a time, the last one first, where a window has many taps: a sum or a maximum over a
    box is one over each of its lines and then one over these.

    Example:
        >>> [(stage.kernel, sizes) for stage, sizes in stages(windows("", (9, 9), 5), (9, 9))]
        [((1, 5), (9, 9)), ((5, 1), (9, 5))]
        >>> len(stages(windows("", (9, 9), 3), (9, 9)))
        1
    """
    left, result = tuple(sizes), []
    if not many_taps(laid):
        return [(laid, left)]
    for axis in reversed(range(len(left))):
        kernel, stride, padding = [1] * len(left), [1] * len(left), [(0, 0)] * len(left)
        kernel[axis], stride[axis], padding[axis] = laid.kernel[axis], laid.stride[axis], laid.padding[axis]
        result.append((windows("taps", left, kernel, stride=stride, padding=padding), left))
        left = (*left[:axis], laid.output[axis], *left[axis + 1 :])
    return result


def first_inside(laid: Windows) -> np.ndarray:
    """The number of the first tap of each window that does not lie in the padding: [*windows, 1].

    Example:
        >>> first_inside(windows("", (5,), 3, stride=2, padding=1)).ravel().tolist()
        [1, 0, 0]
    """
    number = np.zeros((), int)
    for k, s, (low, _), out in zip(laid.kernel, laid.stride, laid.padding, laid.output, strict=True):
        number = number[..., None] * k + np.maximum(low - s * np.arange(out), 0)  # tap low - o s lies on position 0
    return number[..., None]


def positions_inside(laid: Windows, sizes: Sequence[int]) -> np.ndarray:
    """How many of its taps each window has inside the input: [*windows, 1].

    Example:
        >>> positions_inside(windows("", (5,), 3, stride=2, padding=1), (5,)).ravel().tolist()
        [2.0, 3.0, 2.0]
    """
    count = np.ones((), int)
    axes = zip(laid.kernel, laid.stride, laid.padding, laid.output, sizes, strict=True)
    for k, s, (low, _), out, n in axes:
        start = s * np.arange(out) - low
        count = count[..., None] * (np.minimum(start + k, n) - np.maximum(start, 0))
    return count[..., None].astype(np.float32)


def tap_dtype(laid: Windows) -> np.dtype:
    """The smallest unsigned integer that holds the number of every tap and one more, for no tap.

    Example:
        >>> tap_dtype(windows("", (9, 9), 3)).name, tap_dtype(windows("", (300,), 256)).name
        ('uint8', 'uint16')
    """
    return np.min_scalar_type(math.prod(laid.kernel))


def seen(laid: Windows) -> tuple[tuple[int, int, int], ...]:
    """What `fdl.Layer.receptive_window` says of a layer with these windows.

    Example:
        >>> seen(windows("", (8, 8), 3, stride=2))
        ((3, 2, 1), (3, 2, 1))
    """
    return tuple(zip(laid.kernel, laid.stride, laid.dilation, strict=True))


def _picked(x: jax.Array, index: np.ndarray, axis: int, repeat: bool) -> jax.Array:
    """x at these positions of an axis, or at the nearest that are there; by repeating each of them, where possible."""
    times, rest = divmod(len(index), x.shape[axis])
    if repeat and rest == 0 and (index == np.arange(len(index)) // times).all():
        return jnp.repeat(x, times, axis)  # XLA turns the layout of what it picks, which costs a copy where that is all
    return jnp.take(x, index, axis, mode="clip")


def _pad(x: jax.Array, pairs: Sequence[tuple[int, int]], fill: float) -> jax.Array:
    if not any(map(any, pairs)):
        return x
    return jax.lax.pad(x, jnp.asarray(fill, x.dtype), ((0, 0, 0), *((low, high, 0) for low, high in pairs), (0, 0, 0)))


def _in_a_branch(compute: Callable[..., jax.Array], *arrays: jax.Array) -> jax.Array:
    def never(*arrays: jax.Array) -> jax.Array:
        zero = jnp.sum(arrays[0][:0])  # one that varies over the same devices
        return jax.tree.map(lambda y: jnp.full(y.shape, zero, y.dtype), jax.eval_shape(compute, *arrays))

    return jax.lax.cond(jax.lax.rng_uniform(0.0, 1.0, ()) < 2, compute, never, *arrays)
