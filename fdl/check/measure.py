"""The three gradients: by the rules, by JAX's own derivative, and by differences, of f as a function of one vector.

What is compared, and why so, is told in `fdl.check.gradients`.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.tree_util import all_leaves, keystr, tree_flatten_with_path

from fdl.errors import InputError
from fdl.rule import differentiation

_STEPS = np.array([1e-4, 1e-5, 1e-6])  # h / max(1, |w|), each a tenth of the one before
_SMALL = 1e-3  # |w| that the shortest of them may be too long for
_EPS = float(np.finfo(np.float64).eps)


class Part(NamedTuple):
    """One array's place in the vector of all that is differentiated."""

    path: str
    shape: tuple[int, ...]
    where: slice


def as_function_of_vector(
    f: Callable[..., Any], args: tuple[Any, ...], argnums: int | Sequence[int] | None, has_aux: bool
) -> tuple[Callable[[jax.Array], jax.Array], jax.Array, list[Part]]:
    """f as a compiled function of one float64 vector, that vector, and which part of it is which array."""
    by_argument = [tree_flatten_with_path(arg)[0] for arg in args]
    with_floats = [i for i, leaves in enumerate(by_argument) if any(_is_float(leaf) for _, leaf in leaves)]
    wanted = with_floats if argnums is None else [argnums] if isinstance(argnums, int) else list(argnums)
    wanted = [i + len(args) if i < 0 else i for i in wanted]
    if not wanted or not set(wanted) <= set(with_floats):
        chosen = "" if argnums is None else f" with argnums={argnums}"
        raise InputError(
            "the gradient check needs arguments that hold floating-point numbers, to differentiate: "
            f"got ({', '.join(type(arg).__name__ for arg in args)}){chosen}"
        )
    leaves: list[Any] = []  # of all arguments
    places: list[int] = []  # which of them are parts of the vector
    parts: list[Part] = []
    end = 0
    for i, name in enumerate(_argument_names(f, len(args))):
        for path, leaf in by_argument[i]:
            is_part = i in wanted and _is_float(leaf)
            if is_part or (_is_float(leaf) and not isinstance(leaf, float)):  # Python's stay what they are
                leaf = jnp.asarray(leaf, jnp.float64)
            if is_part:
                inner = keystr(path, simple=True, separator=".")
                outer = name if len(wanted) > 1 or not inner else ""
                parts.append(Part(".".join(filter(None, (outer, inner))), leaf.shape, slice(end, end + leaf.size)))
                places.append(len(leaves))
                end += leaf.size
            leaves.append(leaf)
    treedef = jax.tree.structure(args)
    start, as_arrays = ravel_pytree([leaves[place] for place in places])

    @jax.jit
    def loss(w: jax.Array) -> jax.Array:
        moved = dict(zip(places, as_arrays(w), strict=True))
        output = f(*jax.tree.unflatten(treedef, [moved.get(place, leaf) for place, leaf in enumerate(leaves)]))
        return _one_number(output, has_aux)

    return loss, start, parts


def _is_float(leaf: Any) -> bool:
    if isinstance(leaf, jax.Array | np.ndarray | np.generic):
        return jnp.issubdtype(leaf.dtype, jnp.floating)
    return isinstance(leaf, float)


def _argument_names(f: Callable[..., Any], count: int) -> list[str]:
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):  # some callables that are not written in Python do not tell
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind == p.VAR_POSITIONAL), "arg")
    return [*names[:count], *(f"{rest}{i}" for i in range(count - len(names)))]


def _one_number(output: Any, has_aux: bool) -> jax.Array:
    if has_aux:
        if not isinstance(output, tuple) or len(output) != 2:
            raise InputError(f"with has_aux=True, f must give (number, anything else), got a {type(output).__name__}")
        output = output[0]
    if not all_leaves([output]):
        raise InputError(
            f"f must give one number, got a {type(output).__name__}: has_aux=True is for an f that gives "
            "(number, anything else)"
        )
    if jnp.shape(output) != ():
        raise InputError(f"f must give one number, got shape {list(jnp.shape(output))}: take its sum or its mean")
    if not jnp.issubdtype(jnp.result_type(output), jnp.floating):
        raise InputError(f"f must give a floating-point number, got {jnp.result_type(output)}")
    return jnp.asarray(output, jnp.float64)


class Gradient(NamedTuple):
    """One way's value and gradient of the loss, and how far rounding moves the gradient."""

    value: np.ndarray
    gradient: np.ndarray  # [P]
    by_half: np.ndarray  # twice the gradient of half the loss, [P]
    moved: np.ndarray  # by how much rounding was seen to move each element, [P]


def gradient(loss: Any, w: jax.Array, how: Literal["rules", "autodiff"]) -> Gradient:
    """The gradient at w, by the rules or by JAX's own derivative."""

    @jax.jit
    def of_scaled(w: jax.Array, scale: Any) -> Any:
        value, pull_back = jax.vjp(loss, w)
        return value, *pull_back(scale)

    def moved(k: int) -> np.ndarray:
        # All weights by one factor, so that what is tied or zero stays so and no kink is crossed.
        scale = jnp.asarray(1 + k * 1e-6)
        return np.abs(np.asarray(of_scaled(w * (1 + k * _EPS), scale)[1]) / float(scale) - at_w)

    with differentiation(how):
        value, at_w = map(np.asarray, of_scaled(w, jnp.ones(())))
        by_half = 2 * np.asarray(of_scaled(w, jnp.asarray(0.5))[1])
        return Gradient(value, at_w, by_half, np.max([moved(k) for k in (1, 3, 5, 7)], axis=0))


def rounding(rules: Gradient, own: Gradient, parts: list[Part]) -> np.ndarray:
    """For each element, the difference between the two gradients that rounding explains."""
    # Rounding moves little. What moves more is at a kink after all, or not linear, or wild: no excuse for itself.
    size = max(largest(own.gradient), largest(own.value))
    moved = np.maximum(np.minimum(own.moved, 1e-11 * max(size, 1)), np.minimum(rules.moved, 1e-11 * (size or 1)))
    return np.concatenate([np.full(math.prod(part.shape), 10 * largest(moved[part.where])) for part in parts])


def largest(array: np.ndarray) -> float:
    """The largest magnitude among the finite elements, or 0."""
    return float(np.max(np.abs(array), initial=0, where=np.isfinite(array)))


def relative_error(a: Any, b: Any, slack: Any, tolerance: float) -> np.ndarray:
    """|a - b| / (|a| + |b|), but no more than the tolerance where |a - b| is no more than the slack; inf for NaN."""
    gap = np.abs(a - b)
    scale = np.maximum(np.abs(a) + np.abs(b), slack / tolerance)
    return np.where(np.isfinite(gap), gap / np.where(gap > 0, scale, 1), np.inf)


def choose(errors: np.ndarray, where: slice, samples: int | None, rng: np.random.Generator) -> np.ndarray:
    """Indices in one part of the vector, in order: of the worst element and of random others."""
    size = errors[where].size
    if samples is None or size <= samples:
        return np.arange(where.start, where.stop)
    worst = np.argmax(errors[where])
    others = rng.choice(size - 1, samples - 1, replace=False)
    return where.start + np.sort(np.append(others + (others >= worst), worst))


class Around(NamedTuple):
    """Values of the loss around w, in the direction of some elements and by each of the steps."""

    at: np.ndarray  # indices of these elements, in order, [S]
    value: float
    w: np.ndarray  # [S, 1]
    up: np.ndarray  # w + h, [S, steps]
    down: np.ndarray  # w - h
    above: np.ndarray  # L(w + h)
    below: np.ndarray  # L(w - h)


def values_around(loss: Any, w: jax.Array, at: np.ndarray, least: float = 1.0) -> Around:
    """Evaluates the loss three steps up and three steps down in each of the directions ``at``.

    The steps are parts of |w|, or of ``least`` where that is more.
    """

    @jax.jit
    def evaluate(w: jax.Array, indices: Any, points: Any) -> jax.Array:
        def changed(change: Any) -> jax.Array:
            return loss(w.at[change[0]].set(change[1], mode="drop") if w.size else w)

        # One after the other, so that memory is that of one evaluation, whatever the size of the network.
        return jax.lax.map(changed, (indices, points))

    here = np.asarray(w)[at][:, None]
    h = _STEPS * np.maximum(least, np.abs(here))
    points = np.concatenate([here + h, here - h], axis=1)
    nowhere = w.size  # an index that changes nothing, for the value of the loss itself
    with differentiation("autodiff"):  # of what the rules stand for, so that a wrong forward part shows
        values = np.asarray(evaluate(w, np.append(np.repeat(at, points.shape[1]), nowhere), np.append(points, 0.0)))
    sides = np.split(points, 2, axis=1) + np.split(values[:-1].reshape(points.shape), 2, axis=1)
    return Around(at, float(values[-1]), here, *sides)


class Differences(NamedTuple):
    """What differences say of some elements of the gradient."""

    at: np.ndarray  # indices of the elements, in order, [S]
    values: np.ndarray  # for each element the estimate that is nearest to the gradient, [S]
    errors: np.ndarray  # relative, [S]
    usable: np.ndarray  # whether the estimates agree among themselves, [S]


def differences(around: Around, gradient: np.ndarray, slack: np.ndarray, tolerance: float) -> Differences:
    """What differences say of the gradient at the elements around which the loss was evaluated."""
    at, value, w, up, down, above, below = around
    central = (above - below) / (up - down)
    right = _at_no_step((above - value) / (up - w))
    left = _at_no_step((value - below) / (w - down))
    estimates = np.column_stack([central, right, left])  # [S, 5]: by each of the three steps, and to either side
    finite = np.isfinite(estimates)
    distances = np.where(finite, np.abs(estimates - gradient[:, None]), np.inf)
    nearest = np.take_along_axis(estimates, np.argmin(distances, axis=1)[:, None], axis=1)[:, 0]

    # The longest step sees the most curvature and the least rounding: it is no part of the doubt.
    most = np.max(estimates[:, 1:], axis=1, initial=-np.inf, where=finite[:, 1:])
    least = np.min(estimates[:, 1:], axis=1, initial=np.inf, where=finite[:, 1:])
    doubt = 2 * np.maximum(most - least, 0)
    rounding = _EPS * np.nan_to_num(abs(value)) / (up - w)
    size = np.max(np.abs(estimates), axis=1, initial=0, where=finite)
    usable = finite[:, 1:].all(axis=1) & (doubt <= np.maximum(5e-3 * size, 100 * rounding[:, -1]))
    errors = relative_error(gradient, nearest, slack + doubt + 10 * rounding[:, 0], tolerance)
    # Where f is NaN on both sides, as the logarithm of something smaller than the steps, it says nothing of a gradient.
    return Differences(at, nearest, np.where(usable | ~np.isfinite(gradient), errors, 0), usable)


def differences_closer_by(
    loss: Any, w: jax.Array, found: Differences, gradient: np.ndarray, slack: np.ndarray, tolerance: float
) -> Differences:
    """The same, with steps in proportion to w where it is small and the usual ones contradict each other or it."""
    size = np.abs(np.asarray(w)[found.at])
    again = np.flatnonzero((~found.usable | (found.errors > tolerance)) & (size > 0) & (size < _SMALL))
    if not len(again):
        return found
    around = values_around(loss, w, found.at[again], least=0.0)
    closer = differences(around, gradient[again], slack[again], tolerance)
    # Divided by so short a step, rounding is soon all there is: of L, or in a network that is float32 on its way.
    rounding = 100 * _EPS * abs(around.value) / (around.up - around.w)[:, -1]
    better = closer.usable & (rounding < 5e-3 * np.abs(closer.values))
    better &= ~found.usable[again] | (closer.errors < found.errors[again])
    values, errors, usable = (np.copy(array) for array in found[1:])
    for array, news in ((values, closer.values), (errors, closer.errors), (usable, closer.usable)):
        array[again[better]] = news[better]
    return Differences(found.at, values, errors, usable)


def _at_no_step(slopes: np.ndarray) -> np.ndarray:
    """One-sided slopes by the two shorter steps, extrapolated to h = 0: curvature adds in proportion to h."""
    longer, shorter = slopes[:, -2], slopes[:, -1]
    return shorter + (shorter - longer) / 9
