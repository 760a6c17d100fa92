"""Line searches: how far to go along a direction p.

Along the line, f is a function of one number, phi(a) = f(x + a p), with the slope phi'(a) = grad f(x + a p) . p.
A step that is worth taking decreases f by a share of what its slope promises (Armijo, 1966)

    phi(a) <= phi(0) + c1 a phi'(0)                      sufficient decrease

and is long enough when it ends where the slope has become flatter (the strong Wolfe conditions, 1969)

    |phi'(a)| <= c2 |phi'(0)|                            curvature

The second makes s . y > 0 for the step s and the change y of the gradient, which BFGS needs, and a small c2 comes
near the exact minimum along the line. Where the slope promises nothing, as at a saddle, a direction with
b = p' H p < 0 still decreases f by a^2 b / 2: both conditions then count with phi'(0) + a b in place of the slope,
and a phi'(0) + a^2 b / 2 for what is promised (Moré and Sorensen, "On the use of directions of negative curvature
in a modified Newton method", 1979).

Near a minimum, differences of f are rounding while its gradient still tells the way. So f may rise, in `backtracking`
by ten roundings of its value, and in `strong_wolfe`, whose other condition judges a step by its slope, by
eps^(2/3) |f|. With exact comparisons a gradient of sqrt(eps) is the best that can be reached (Hager and Zhang, "A new
conjugate gradient method with guaranteed descent and an efficient line search", 2005, section 4).

Whatever is not finite counts as too far. Source: Nocedal and Wright, "Numerical optimization" (2nd edition,
2006), chapter 3, whose algorithms are quoted by their numbers.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.concrete import is_concrete
from fdl.counts import check_count
from fdl.errors import InputError
from fdl.optim.choices import check_between, chosen
from fdl.optim.problem import Objective, Point
from fdl.optim.vectors import check_params, dot, select, to_vector


class Direction(NamedTuple):
    """Where to: p: [n], the step to try first, and b = p' H p where it is known to be negative (else zero)."""

    p: jax.Array
    alpha: Any = 1.0
    bend: Any = 0.0


class Trial(NamedTuple):
    """A place on the line: a, the point x + a p, and the slope phi'(a)."""

    alpha: jax.Array
    point: Point
    slope: jax.Array


class Found(NamedTuple):
    """The step that a search takes, or its start when it ``failed``, and how many evaluations it took."""

    trial: Trial
    evaluations: jax.Array
    failed: jax.Array


Along = Callable[[jax.Array], Trial]


class LineSearch:
    """How to search: `backtracking`, `strong_wolfe` or `fixed_step`."""

    def search(self, along: Along, start: Trial, direction: Direction) -> Found:
        """Finds a step by evaluations ``along(alpha)`` of the line that begins at ``start``."""
        raise NotImplementedError


def search_along(line_search: LineSearch, problem: Objective, point: Point, direction: Direction) -> Found:
    """Searches from a point of a problem in a direction."""

    def along(alpha: jax.Array) -> Trial:
        here = problem.at(point.x + alpha * direction.p)
        return Trial(alpha, here, dot(here.gradient, direction.p))

    dtype = point.x.dtype
    direction = Direction(direction.p, jnp.asarray(direction.alpha, dtype), jnp.asarray(direction.bend, dtype))
    start = Trial(jnp.zeros((), dtype), point, dot(point.gradient, direction.p))
    return line_search.search(along, start, direction)


@dataclasses.dataclass(frozen=True)
class fixed_step(LineSearch):
    """No search: the same share of every step, all of it unless told otherwise.

    Full steps are Newton's and Gauss's own methods; a smaller size is the simplest damping. Nothing keeps f
    from rising.

    Args:
        size: > 0, times the step that the method proposes.

    Raises:
        InputError: for a size that is not positive and finite.

    Example:
        >>> fixed_step(0.5)
        fixed_step(size=0.5)
    """

    size: float = 1.0

    def __post_init__(self) -> None:
        check_between("fixed_step", 0, float("inf"), size=self.size)

    def search(self, along: Along, start: Trial, direction: Direction) -> Found:
        return Found(along(self.size * direction.alpha), jnp.int32(1), jnp.bool_(False))


@dataclasses.dataclass(frozen=True)
class backtracking(LineSearch):
    """Backtracking: a <- shrink a until the decrease is sufficient.

    For steps with a natural length of 1, such as Newton's: the curvature condition is not asked for.

    Args:
        decrease: c1 in (0, 1).
        shrink: in (0, 1).
        max_evaluations: after how many steps in vain the search fails.

    Raises:
        InputError: for a number outside its range.

    Source:
        Nocedal and Wright, algorithm 3.1; Armijo, "Minimization of functions having Lipschitz continuous first
        partial derivatives" (1966).

    Example:
        >>> import jax.numpy as jnp
        >>> line_search(lambda x: x**4, jnp.array(1.0), jnp.array(-4.0), method=backtracking()).alpha.item()
        0.25
    """

    decrease: float = 1e-4
    shrink: float = 0.5
    max_evaluations: int = 30

    def __post_init__(self) -> None:
        check_between("backtracking", 0, 1, decrease=self.decrease, shrink=self.shrink)
        check_count("backtracking", "max_evaluations", self.max_evaluations)

    def search(self, along: Along, start: Trial, direction: Direction) -> Found:
        slack = 10 * jnp.finfo(start.alpha.dtype).eps * jnp.abs(start.point.value)

        def body(carry: Any) -> Any:
            alpha, evaluations, _, _ = carry
            trial = along(alpha)
            enough = _enough(self.decrease, start, trial, direction.bend, slack)
            return self.shrink * alpha, evaluations + 1, trial, enough

        def searching(carry: Any) -> Any:
            _, evaluations, _, enough = carry
            return ~enough & (evaluations < self.max_evaluations)

        first = direction.alpha, jnp.int32(0), start, jnp.bool_(False)
        _, evaluations, trial, enough = jax.lax.while_loop(searching, body, first)
        return Found(select(enough, trial, start), evaluations, ~enough)


class _End(NamedTuple):
    """An end of a bracket: a, phi(a) and phi'(a)."""

    alpha: jax.Array
    value: jax.Array
    slope: jax.Array


class _Bracket(NamedTuple):
    """``low`` has the lowest phi of the sufficient decreases so far; on the way to ``high`` it falls further.

    As long as nothing was too far, ``high`` is at infinity.
    """

    low: Trial
    high: _End
    alpha: jax.Array
    evaluations: jax.Array
    done: jax.Array


@dataclasses.dataclass(frozen=True)
class strong_wolfe(LineSearch):
    """The strong Wolfe conditions: a bracket around a step that meets them, made narrower by cubic interpolation.

    Steps are doubled until one is too far, which has too high a value, or a slope that points back; from then
    on a trial inside the bracket replaces one of its ends. Algorithms 3.5 and 3.6 do the same with a trial,
    so they are one loop here, which brackets as long as its upper end is infinite.

    When the evaluations are used up, the best step with a sufficient decrease is taken, if f is lower or flatter there.

    Args:
        decrease: c1, and
        curvature: c2, with 0 < c1 < c2 < 1. 0.9 suits quasi-Newton steps, 0.1 conjugate gradients.
        max_evaluations: after how many the search ends.

    Raises:
        InputError: for a number outside its range.

    Source:
        Nocedal and Wright, algorithms 3.5 and 3.6, and equation 3.59 for the interpolation.

    Example:
        >>> import jax.numpy as jnp
        >>> exact = strong_wolfe(curvature=1e-3)
        >>> round(line_search(lambda x: (x - 3) ** 2, jnp.array(0.0), jnp.array(1.0), method=exact).alpha.item(), 3)
        3.0
    """

    decrease: float = 1e-4
    curvature: float = 0.9
    max_evaluations: int = 30

    def __post_init__(self) -> None:
        check_between("strong_wolfe", 0, 1, decrease=self.decrease)
        check_between("strong_wolfe", self.decrease, 1, curvature=self.curvature)
        check_count("strong_wolfe", "max_evaluations", self.max_evaluations)

    def search(self, along: Along, start: Trial, direction: Direction) -> Found:
        slack = jnp.finfo(start.alpha.dtype).eps ** (2 / 3) * jnp.abs(start.point.value)

        def body(bracket: _Bracket) -> _Bracket:
            low, high, alpha, evaluations, _ = bracket
            trial = along(alpha)
            above_low = trial.point.value > low.point.value + slack
            enough = (
                _enough(self.decrease, start, trial, direction.bend, slack) & ~above_low & jnp.isfinite(trial.slope)
            )
            flat = jnp.abs(trial.slope) <= -self.curvature * (start.slope + alpha * direction.bend)
            points_back = trial.slope * (high.alpha - low.alpha) >= 0
            # Too far: the trial is the new high. Else it is the new low, and if it points back, the old low is high.
            high = select(enough, select(points_back, _end(low), high), _end(trial))
            low = select(enough, trial, low)
            alpha = jnp.where(jnp.isinf(high.alpha), 2 * alpha, _interpolate(_end(low), high))
            return _Bracket(low, high, alpha, evaluations + 1, enough & flat)

        def searching(bracket: _Bracket) -> jax.Array:
            return ~bracket.done & (bracket.evaluations < self.max_evaluations)

        beyond = _End(jnp.full_like(start.alpha, jnp.inf), start.point.value, start.slope)
        first = _Bracket(start, beyond, direction.alpha, jnp.int32(0), jnp.bool_(False))
        last = jax.lax.while_loop(searching, body, first)
        is_flatter = jnp.abs(last.low.slope) < jnp.abs(start.slope)
        succeeded = last.done | is_flatter | (last.low.point.value < start.point.value)
        return Found(select(succeeded, last.low, start), last.evaluations, ~succeeded)


def _enough(decrease: float, start: Trial, trial: Trial, bend: jax.Array, slack: jax.Array) -> jax.Array:
    """Sufficient decrease, in the direction of a descent; of NaN and infinity it is never said."""
    promised = trial.alpha * start.slope + trial.alpha**2 * bend / 2
    limit = start.point.value + decrease * promised + slack
    return (promised < 0) & (trial.point.value <= limit) & jnp.isfinite(trial.point.value)


def _end(trial: Trial) -> _End:
    return _End(trial.alpha, trial.point.value, trial.slope)


def _interpolate(low: _End, high: _End) -> jax.Array:
    """Where the cubic through both ends, with their slopes, is least, but not at an end; else the middle."""
    (a, phi_a, slope_a), (b, phi_b, slope_b) = low, high
    d1 = slope_a + slope_b - 3 * (phi_a - phi_b) / (a - b)
    d2 = jnp.sign(b - a) * jnp.sqrt(d1**2 - slope_a * slope_b)
    share = 1 - (slope_b + d2 - d1) / (slope_b - slope_a + 2 * d2)  # of the way from a to b
    return a + (b - a) * jnp.where(jnp.isfinite(share), jnp.clip(share, 0.02, 0.98), 0.5)


LINE_SEARCHES = {"backtracking": backtracking(), "fixed_step": fixed_step(), "strong_wolfe": strong_wolfe()}


class LineSearchResult(NamedTuple):
    """Where a line search ends: the parameters, f and its gradient there, and how it came to that.

    ``alpha`` is the step in directions; it is zero, and all else as at the start, when the search ``failed``. Of
    the ``evaluations`` the first is that of the start.
    """

    params: Any
    alpha: jax.Array
    value: jax.Array
    gradient: Any
    evaluations: jax.Array
    failed: jax.Array


def line_search(
    f: Callable[..., Any],
    params: Any,
    direction: Any,
    *args: Any,
    method: str | LineSearch = "strong_wolfe",
    alpha: Any = 1.0,
) -> LineSearchResult:
    """Finds a step a > 0 along a direction p that decreases f(w + a p) enough.

    Args:
        f: a pure function of (params, *args) that gives one number.
        params: w, a pytree of float32 or float64 arrays.
        direction: p, of the same form, downhill: grad f . p < 0. With any other the search fails.
        args: arrays that f needs besides; data belongs here, not into a closure (see `minimize`).
        method: `strong_wolfe`, `backtracking` or `fixed_step`, or its name.
        alpha: > 0, the step to try first.

    Returns:
        A `LineSearchResult`.

    Raises:
        InputError: for an unknown method, a direction that does not fit the parameters, parameters that are
            not float32 or float64, an alpha that is not positive, and an f that does not give one number.

    Source:
        Nocedal and Wright, "Numerical optimization" (2006), chapter 3.

    Example:
        >>> import jax.numpy as jnp
        >>> def f(params):
        ...     return jnp.sum(params["w"] ** 2)
        >>> found = line_search(f, {"w": jnp.array([2.0, 1.0])}, {"w": jnp.array([-4.0, -2.0])}, method="backtracking")
        >>> found.alpha.item(), found.params["w"].tolist(), found.evaluations.item()
        (0.5, [0.0, 0.0], 3)
    """
    how = chosen("line_search", "a method", method, LINE_SEARCHES, LineSearch)
    check_params("line_search", params)
    if jax.tree.map(jnp.shape, params) != jax.tree.map(jnp.shape, direction):
        shapes = [jax.tree.map(lambda leaf: list(jnp.shape(leaf)), tree) for tree in (direction, params)]
        raise InputError(f"line_search expects a direction of the form of the parameters, {shapes[1]}, got {shapes[0]}")
    if is_concrete(alpha) and not 0 < alpha < float("inf"):
        raise InputError(f"line_search needs alpha, the step to try first, positive and finite, got {alpha}")
    return _line_search(f, how, params, direction, args, alpha)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _line_search(
    f: Callable[..., Any], how: LineSearch, params: Any, direction: Any, args: Any, alpha: Any
) -> LineSearchResult:
    x, to_params = to_vector(params)
    p, _ = to_vector(direction)
    problem = Objective("line_search", lambda x: f(to_params(x), *args), x, tolerance=0.0)
    (alpha, point, _), evaluations, failed = search_along(how, problem, problem.at(x), Direction(p, alpha))
    return LineSearchResult(to_params(point.x), alpha, point.value, to_params(point.gradient), evaluations + 1, failed)
