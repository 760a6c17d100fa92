"""Quasi-Newton methods: the curvature of f from how its gradient changed in the steps so far.

With s = x1 - x0 and y = grad f(x1) - grad f(x0), H s = y holds for the average Hessian between two points. Of all
symmetric matrices B that act like its inverse on the last step, B y = s, BFGS takes the one nearest to the last B

    B1 = (I - rho s y') B (I - rho y s') + rho s s'             rho = 1 / (s . y)               (6.17)

which stays positive definite as long as s . y > 0. A strong-Wolfe search sees to that; a pair for which rounding
breaks it is left out. The direction is p = -B grad f, downhill, and its length is right without a search: a = 1 is
tried first.

Multiplied out, B after m pairs is m of these products around the first B, and B g takes 4 m n multiplications from
the pairs alone. L-BFGS keeps the last m pairs, never a matrix, and a first B = gamma I with the newest pair's scale

    gamma = (s . y) / (y . y)                                                                   (7.20)

The first step of both is 1 long at most, since a gradient says nothing of lengths.

Source: Broyden, Fletcher, Goldfarb and Shanno (1970, each); Liu and Nocedal, "On the limited memory BFGS method for
large scale optimization" (1989). Equations as in Nocedal and Wright, "Numerical optimization" (2006), chapters 6, 7.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.lengths import norm
from fdl.optim.full_batch import Descent
from fdl.optim.line_search import Direction, LineSearch, strong_wolfe
from fdl.optim.problem import Objective, Point
from fdl.optim.vectors import dot, select


class BFGSState(NamedTuple):
    """B: [n, n], and whether no pair has entered it yet."""

    B: jax.Array
    is_first: jax.Array


@dataclasses.dataclass(frozen=True)
class bfgs(Descent):
    """BFGS: a full approximation of the inverse Hessian, n^2 numbers.

    Superlinear near a minimum, for up to some thousand parameters. On a quadratic with exact searches it ends
    after n steps. Where the gradient is zero at the start, as at a saddle, it stays.

    Args:
        line_search: strong Wolfe with c2 = 0.9, unless told otherwise.

    Source:
        Nocedal and Wright, algorithm 6.1; the first B is scaled as in their equation 6.20.

    Example:
        >>> import jax.numpy as jnp
        >>> from fdl.optim import minimize
        >>> solution = minimize(lambda x: (x[0] - 1) ** 2 + 10 * (x[1] - x[0] ** 2) ** 2, jnp.zeros(2), method="bfgs")
        >>> solution.params.round(3).tolist(), solution.why.name
        ([1.0, 1.0], 'GRADIENT')
    """

    line_search: str | LineSearch = dataclasses.field(default_factory=strong_wolfe)

    def init(self, problem: Objective, point: Point) -> BFGSState:
        return BFGSState(point.first_scale * jnp.eye(point.x.size, dtype=point.x.dtype), jnp.bool_(True))

    def direction(self, problem: Objective, point: Point, state: BFGSState) -> Direction:
        return Direction(-dot(state.B, point.gradient))

    def update(
        self, problem: Objective, before: Point, after: Point, state: BFGSState, direction: Direction
    ) -> BFGSState:
        s, y, sy, usable = _pair(before, after)
        B = jnp.where(state.is_first, sy / dot(y, y) * jnp.eye(y.size, dtype=y.dtype), state.B)
        By = dot(B, y)
        B = B - (jnp.outer(By, s) + jnp.outer(s, By)) / sy + (1 + dot(y, By) / sy) / sy * jnp.outer(s, s)
        return select(usable, BFGSState(B, jnp.bool_(False)), state)


class LBFGSState(NamedTuple):
    """The last m pairs, s and y: [m, n], in a ring: pair k is in row k mod m. Rows not used yet are zero."""

    s: jax.Array
    y: jax.Array
    rho: jax.Array
    gamma: jax.Array
    pairs: jax.Array


@dataclasses.dataclass(frozen=True)
class lbfgs(Descent):
    """L-BFGS: BFGS from the last pairs alone, 2 m n numbers. The method to try first.

    Args:
        memory: m >= 1, how many pairs; 3 to 20 are usual.
        line_search: strong Wolfe with c2 = 0.9, unless told otherwise.

    Raises:
        InputError: for a memory that is not a whole number from 1.

    Source:
        Nocedal and Wright, algorithms 7.4 (two loops) and 7.5; Liu and Nocedal (1989).

    Example:
        >>> import jax.numpy as jnp
        >>> from fdl.optim import minimize
        >>> solution = minimize(lambda w: jnp.sum((w["a"] - 3) ** 4), {"a": jnp.zeros(5)}, method=lbfgs(memory=5))
        >>> solution.why.name, bool(abs(solution.params["a"] - 3).max() < 0.1)
        ('GRADIENT', True)
    """

    memory: int = 10
    line_search: str | LineSearch = dataclasses.field(default_factory=strong_wolfe)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("lbfgs", "memory", self.memory)

    def init(self, problem: Objective, point: Point) -> LBFGSState:
        rows = jnp.zeros((self.memory, point.x.size), point.x.dtype)
        return LBFGSState(rows, rows, jnp.zeros(self.memory, point.x.dtype), point.first_scale, jnp.int32(0))

    def direction(self, problem: Objective, point: Point, state: LBFGSState) -> Direction:
        def row(age: jax.Array) -> jax.Array:
            return (state.pairs - 1 - age) % self.memory

        def from_newest(age: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            q, a = carry
            i = row(age)
            a = a.at[i].set(state.rho[i] * dot(state.s[i], q))
            return q - a[i] * state.y[i], a

        def from_oldest(count: jax.Array, carry: jax.Array) -> jax.Array:
            i = row(self.memory - 1 - count)
            return carry + (a[i] - state.rho[i] * dot(state.y[i], carry)) * state.s[i]

        q, a = jax.lax.fori_loop(0, self.memory, from_newest, (point.gradient, jnp.zeros_like(state.rho)))
        return Direction(-jax.lax.fori_loop(0, self.memory, from_oldest, state.gamma * q))

    def update(
        self, problem: Objective, before: Point, after: Point, state: LBFGSState, direction: Direction
    ) -> LBFGSState:
        s, y, sy, usable = _pair(before, after)
        i = state.pairs % self.memory

        def put(rows: jax.Array, new: jax.Array) -> jax.Array:
            return rows.at[i].set(jnp.where(usable, new, rows[i]))

        gamma = jnp.where(usable, sy / dot(y, y), state.gamma)
        return LBFGSState(
            put(state.s, s), put(state.y, y), put(state.rho, 1 / sy), gamma, state.pairs + usable.astype(jnp.int32)
        )


def _pair(before: Point, after: Point) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """s, y, s . y, and whether s . y is positive beyond rounding."""
    s, y = after.x - before.x, after.gradient - before.gradient
    sy = dot(s, y)
    return s, y, sy, sy > jnp.finfo(s.dtype).eps * norm(s) * norm(y)
