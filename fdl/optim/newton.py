"""Newton's method: the minimum of the quadratic that f is near x.

    f(x + p) ~ f + g . p + 1/2 p' H p          H p = -g

The steps converge quadratically, but only where H is positive definite does p lead downhill. Two ways to keep it so:

newton has the whole Hessian. In its eigenvectors, H = Q L Q', the quadratic is a sum of parabolas. Those that open
downwards have a maximum where the others have a minimum, so the step goes the other way, and to flat ones at most
rounding gives a slope:

    p = -Q |L|^-1 Q' g

Where g = 0 and there is a negative eigenvalue, x is a saddle or a maximum. Along q, the eigenvector of the lowest
eigenvalue, f decreases both ways, by a^2 l / 2. That is the direction there, so that newton stops at minima only.

newton_cg has products H v. Conjugate gradients solve H p = -g, and stop where the curvature d' H d of one of their
directions is not positive, with the sum that they have so far (or -g, when that is nothing), or when

    |H p + g| <= min(1/2, sqrt |g|) |g|

Far from the minimum an exact solution would be wasted, and close to it the tolerance goes to zero with the gradient,
which makes the convergence superlinear. Where g = 0 it has nothing to go by, and stays at a saddle.

Source: Nocedal and Wright, "Numerical optimization" (2006), section 3.4 and algorithm 7.1; Moré and Sorensen (1979)
for negative curvature; Dembo, Eisenstat and Steihaug, "Inexact Newton methods" (1982) for the tolerance.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.lengths import norm
from fdl.optim.full_batch import Descent
from fdl.optim.line_search import Direction, LineSearch, backtracking
from fdl.optim.problem import Objective, Point
from fdl.optim.vectors import dot, largest


class Spectrum(NamedTuple):
    """The Hessian at the present point: its eigenvalues: [n], in rising order, and eigenvectors: [n, n]."""

    values: jax.Array
    vectors: jax.Array


@dataclasses.dataclass(frozen=True)
class newton(Descent):
    """Newton's method with the full Hessian: n^2 numbers, for up to some hundred parameters.

    A step takes n products H v, forward over reverse, and the eigenvectors of H. Eigenvalues below rounding count
    as rounding; negative ones make a saddle when they are more than sqrt(eps) of the largest.

    Args:
        line_search: `backtracking`, unless told otherwise. ``fixed_step()`` takes every step in full, and
            ``fixed_step(0.5)`` damps them all alike.

    Source:
        Nocedal and Wright, algorithm 3.2 with the modification of eigenvalues of section 3.4.

    Example:
        >>> import jax.numpy as jnp
        >>> from fdl.optim import minimize
        >>> saddle = lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 2
        >>> solution = minimize(saddle, jnp.zeros(2), method="newton")
        >>> abs(solution.params).round(3).tolist(), solution.value.item()
        ([0.0, 1.0], -0.5)
    """

    line_search: str | LineSearch = dataclasses.field(default_factory=backtracking)

    def init(self, problem: Objective, point: Point) -> Spectrum:
        return Spectrum(*jnp.linalg.eigh(problem.hessian(point.x)))

    def direction(self, problem: Objective, point: Point, state: Spectrum) -> Direction:
        L, Q = state
        steepest = jnp.where(largest(L) > 0, largest(L), 1)
        lowest = L.size * jnp.finfo(L.dtype).eps * steepest
        p = -dot(Q, dot(Q.T, point.gradient) / jnp.maximum(jnp.abs(L), lowest))
        is_saddle = (largest(point.gradient) <= problem.tolerance) & ~self.is_minimum(state)
        q = Q[:, 0] * jnp.where(dot(Q[:, 0], point.gradient) > 0, -1, 1)
        return Direction(jnp.where(is_saddle, q, p), bend=jnp.where(is_saddle, L[0], 0))

    def update(
        self, problem: Objective, before: Point, after: Point, state: Spectrum, direction: Direction
    ) -> Spectrum:
        return self.init(problem, after)

    def is_minimum(self, state: Spectrum) -> jax.Array:
        return state.values[0] >= -jnp.sqrt(jnp.finfo(state.values.dtype).eps) * largest(state.values)


@dataclasses.dataclass(frozen=True)
class newton_cg(Descent):
    """Newton's method by conjugate gradients: products H v in place of the Hessian, four vectors of memory.

    Args:
        line_search: `backtracking`, unless told otherwise.
        max_products: how many products a step may take; None for 20 times as many as there are parameters.

    Raises:
        InputError: for max_products that is not a whole number from 1.

    Source:
        Nocedal and Wright, algorithm 7.1 (line search Newton-CG); Dembo, Eisenstat and Steihaug (1982).

    Example:
        >>> import jax.numpy as jnp
        >>> from fdl.optim import minimize
        >>> solution = minimize(lambda x: jnp.sum(jnp.cosh(x - 1)), jnp.zeros(3), method=newton_cg())
        >>> solution.params.round(3).tolist()
        [1.0, 1.0, 1.0]
    """

    line_search: str | LineSearch = dataclasses.field(default_factory=backtracking)
    max_products: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_products is not None:
            check_count("newton_cg", "max_products", self.max_products)

    def init(self, problem: Objective, point: Point) -> tuple[()]:
        return ()

    def direction(self, problem: Objective, point: Point, state: tuple[()]) -> Direction:
        g, size = point.gradient, norm(point.gradient)
        tolerance = jnp.minimum(0.5, jnp.sqrt(size)) * size

        def body(carry: Any) -> Any:
            p, r, d, products, _ = carry
            Hd = problem.hessian_product(point.x, d)
            curvature = dot(d, Hd)
            is_convex = curvature > 0
            alpha = dot(r, r) / curvature
            r1 = r + alpha * Hd
            p1 = jnp.where(is_convex, p + alpha * d, jnp.where(products == 0, -g, p))
            done = ~is_convex | (norm(r1) <= tolerance)
            return p1, r1, -r1 + dot(r1, r1) / dot(r, r) * d, products + 1, done

        def solving(carry: Any) -> jax.Array:
            *_, products, done = carry
            return ~done & (products < (self.max_products or 20 * g.size))

        first = jnp.zeros_like(g), g, -g, jnp.int32(0), size == 0
        return Direction(jax.lax.while_loop(solving, body, first)[0])

    def update(
        self, problem: Objective, before: Point, after: Point, state: tuple[()], direction: Direction
    ) -> tuple[()]:
        return state
