"""Full-batch methods: how they step, when they stop, and what they return.

Every method repeats x <- x + step until one of these holds, in this order:

    NON_FINITE           f, its gradient or the step is NaN or infinite; the last point where it was not is returned
    GRADIENT             max |df/dx_i| <= tolerance, and the method sees no negative curvature (`newton` looks)
    LINE_SEARCH_FAILED   no step along the direction decreases f enough
    SMALL_STEP           |step| <= eps (|x| + eps), for eps = step_tolerance
    MAX_ITERATIONS       so many steps were taken

Only the first-order condition, GRADIENT, says that the result is what was looked for. The other codes say why
there is none; a small step or a line search in vain is often all that the digits of the dtype allow.

A `Method` is one step of this loop. Those that search along a direction are a `Descent`.
"""

import enum
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from fdl.lengths import norm
from fdl.optim.choices import chosen
from fdl.optim.line_search import LINE_SEARCHES, Direction, LineSearch, search_along
from fdl.optim.problem import Objective, Point
from fdl.optim.vectors import largest, select


class Stop(enum.IntEnum):
    """Why a method stopped: what ``Solution.stop`` means."""

    RUNNING = 0
    GRADIENT = 1
    SMALL_STEP = 2
    MAX_ITERATIONS = 3
    LINE_SEARCH_FAILED = 4
    NON_FINITE = 5


class Solution(NamedTuple):
    """What `minimize` and `least_squares` return; a pytree of arrays.

    ``value`` is f(params), ``gradient_norm`` the largest |df/dw| there, ``iterations`` the number of steps,
    ``evaluations`` how often f and its gradient were computed, and ``stop`` a number of `Stop`, which ``why``
    shows by name.
    """

    params: Any
    value: jax.Array
    gradient_norm: jax.Array
    iterations: jax.Array
    evaluations: jax.Array
    stop: jax.Array

    @property
    def why(self) -> Stop:
        """Why the method stopped, where the result is concrete: outside jit, and of a single run."""
        return Stop(int(self.stop))


class Step(NamedTuple):
    """What a method did in one iteration: the next point and state; the step that it tried; what it took."""

    point: Point
    state: Any
    move: jax.Array
    evaluations: jax.Array
    failed: jax.Array


class Method:
    """A full-batch method: an immutable, hashable value, whose repr is the expression that makes it."""

    needs_residuals: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuses choices that the method does not know, and numbers outside their range."""

    def init(self, problem: Any, point: Point) -> Any:
        """What the method remembers, at its first point."""
        raise NotImplementedError

    def step(self, problem: Any, point: Point, state: Any) -> Step:
        """One iteration."""
        raise NotImplementedError

    def is_minimum(self, state: Any) -> jax.Array:
        """Whether what the method knows agrees with a minimum, where the gradient is zero."""
        return jnp.bool_(True)


class Descent(Method):
    """A method that searches along a direction: x <- x + a p."""

    line_search: str | LineSearch

    def __post_init__(self) -> None:
        super().__post_init__()
        self.how_to_search()

    def how_to_search(self) -> LineSearch:
        """The line search, which may have been chosen by its name."""
        return chosen(type(self).__name__, "a line search", self.line_search, LINE_SEARCHES, LineSearch)

    def direction(self, problem: Any, point: Point, state: Any) -> Direction:
        """p, from the point and what is remembered."""
        raise NotImplementedError

    def update(self, problem: Any, before: Point, after: Point, state: Any, direction: Direction) -> Any:
        """What is remembered after a step, from both of its ends."""
        raise NotImplementedError

    def step(self, problem: Any, point: Point, state: Any) -> Step:
        direction = self.direction(problem, point, state)
        (alpha, after, _), evaluations, failed = search_along(self.how_to_search(), problem, point, direction)
        state = self.update(problem, point, after, state, direction)
        return Step(after, state, alpha * direction.p, evaluations, failed)


class _Progress(NamedTuple):
    point: Point
    state: Any
    iterations: jax.Array
    evaluations: jax.Array
    stop: jax.Array


def solve(
    problem: Objective,
    method: Method,
    x: jax.Array,
    to_params: Callable[[jax.Array], Any],
    step_tolerance: Any,
    max_iterations: Any,
) -> Solution:
    """Runs a method from x until it stops."""

    def body(now: _Progress) -> _Progress:
        step = method.step(problem, now.point, now.state)
        finite = step.point.is_finite & jnp.isfinite(norm(step.move))
        iterations = now.iterations + 1
        stop = _first(
            (~finite, Stop.NON_FINITE),
            (is_stationary(step.point) & method.is_minimum(step.state), Stop.GRADIENT),
            (step.failed, Stop.LINE_SEARCH_FAILED),
            (norm(step.move) <= step_tolerance * (norm(step.point.x) + step_tolerance), Stop.SMALL_STEP),
            (iterations >= max_iterations, Stop.MAX_ITERATIONS),
        )
        point = select(finite, step.point, now.point)
        return _Progress(point, step.state, iterations, now.evaluations + step.evaluations, stop)

    def is_stationary(point: Point) -> jax.Array:
        return largest(point.gradient) <= problem.tolerance

    start = problem.at(x)
    state = method.init(problem, start)
    stop = _first(
        (~start.is_finite, Stop.NON_FINITE),
        (is_stationary(start) & method.is_minimum(state), Stop.GRADIENT),
        (jnp.asarray(max_iterations) <= 0, Stop.MAX_ITERATIONS),
    )
    first = _Progress(start, state, jnp.int32(0), jnp.int32(1), stop)
    last = jax.lax.while_loop(lambda now: now.stop == Stop.RUNNING, body, first)
    point = last.point
    return Solution(
        to_params(point.x), point.value, largest(point.gradient), last.iterations, last.evaluations, last.stop
    )


def _first(*tests: tuple[jax.Array, Stop]) -> jax.Array:
    """The code of the first test that holds."""
    held, codes = zip(*tests, strict=True)
    return jnp.select(held, [jnp.int32(code) for code in codes], jnp.int32(Stop.RUNNING))
