"""Gauss-Newton: least squares by making the residuals linear.

    f(x) = 1/2 |r(x)|^2                      grad f = J' r                 H = J' J + sum_i r_i H_i

The second term of H is small where the residuals are small or nearly linear, and without it only first derivatives
remain. The step is that of the linear problem min_h |r + J h|^2, the solution of the normal equations

    J' J h = -J' r

which converges like Newton's method when the residuals of the solution are zero, and may diverge when they are not.

They are never formed, for J' J squares the condition of J, nor is J: conjugate gradients that keep s = -(r + J h)
and q = J' s side by side (CGLS) need J v and J' u only. Starting from h = 0 they find the shortest of all solutions
when J has not full rank. With damping, q = J' s - mu h, they solve (J' J + mu I) h = -J' r.

Where s stays large, q is never less than the rounding of its sums, about sqrt(m) eps |J| |s|. Directions made of that
lead anywhere, the further the more there are, so that there they end; |J| is the largest |J p| / |p| that was met.

Source: Gauss (1809); Björck, "Numerical methods for least squares problems" (1996), algorithm 7.4.1 for CGLS; Paige
and Saunders, "LSQR" (1982), for where to end it; Nocedal and Wright, "Numerical optimization" (2006), section 10.3.
"""

import dataclasses
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.optim.choices import check_between
from fdl.optim.full_batch import Descent, Method
from fdl.optim.line_search import Direction, LineSearch, fixed_step
from fdl.optim.problem import LeastSquares, Linearized, Point
from fdl.optim.vectors import dot

JACOBIANS = ("products", "dense")


class LeastSquaresMethod(Method):
    """A method that needs residuals; how it solves its linear problems is chosen the same way for all."""

    needs_residuals: ClassVar[bool] = True
    jacobian: Literal["products", "dense"]
    solve_tolerance: float
    max_products: int | None

    def __post_init__(self) -> None:
        super().__post_init__()
        who = type(self).__name__
        if self.jacobian not in JACOBIANS:
            raise InputError(f"{who} needs jacobian as one of {', '.join(JACOBIANS)}, got {self.jacobian!r}")
        check_between(who, 0, 1, solve_tolerance=self.solve_tolerance)
        if self.max_products is not None:
            check_count(who, "max_products", self.max_products)

    def linearized(self, problem: LeastSquares, x: jax.Array) -> Linearized:
        """The residuals at x and their products with J, which is built or not."""
        return problem.with_jacobian(x) if self.jacobian == "dense" else problem.linearized(x)

    def cgls(self, linear: Linearized, damping: Any) -> jax.Array:
        """Solves (J' J + mu I) h = -J' r to the tolerance, by no more products with each of J and J' than allowed."""
        r, push, pull, _ = linear
        q = -pull(r)
        enough = self.solve_tolerance**2 * dot(q, q)
        eps = r.size**0.5 * jnp.finfo(r.dtype).eps

        def body(carry: Any) -> Any:
            h, s, q, p, products, size, _ = carry
            Jp = push(p)
            curvature = dot(Jp, Jp) + damping * dot(p, p)
            alpha = dot(q, q) / curvature
            h, s = h + alpha * p, s - alpha * Jp
            q1 = pull(s) - damping * h
            size = jnp.maximum(size, curvature / dot(p, p))
            rounding = eps**2 * size * (dot(s, s) + damping * dot(h, h))
            return h, s, q1, q1 + dot(q1, q1) / dot(q, q) * p, products + 1, size, rounding

        def solving(carry: Any) -> jax.Array:
            _, _, q, _, products, _, rounding = carry
            return (dot(q, q) > jnp.maximum(enough, rounding)) & (products < (self.max_products or 20 * q.size))

        zero = jnp.zeros_like(enough)
        return jax.lax.while_loop(solving, body, (jnp.zeros_like(q), -r, q, q, jnp.int32(0), zero, zero))[0]


@dataclasses.dataclass(frozen=True)
class gauss_newton(LeastSquaresMethod, Descent):
    """Gauss-Newton: J' J h = -J' r, x <- x + h.

    Its full steps may diverge: `levenberg_marquardt` is the safe choice, ``line_search=backtracking()`` another.

    Args:
        line_search: ``fixed_step()``, unless told otherwise.
        jacobian: "products" solves by products with J and J'; "dense" builds J, [m, n], and solves by its singular
            values, which is exact also where J is ill-conditioned. Both find the shortest step when the rank of
            J is not full.
        solve_tolerance: |J' (J h + r)| / |J' r| at which the products end.
        max_products: how many products of each kind a step may take; None for 20 times as many as
            there are parameters.

    Raises:
        InputError: for a choice outside its range.

    Source:
        Nocedal and Wright, section 10.3; Björck (1996).

    Example:
        >>> import jax.numpy as jnp
        >>> from fdl.optim import least_squares
        >>> def residual(w, x, y):
        ...     return w[0] * jnp.exp(w[1] * x) - y
        >>> x = jnp.array([0.0, 1.0, 2.0])
        >>> fit = least_squares(residual, jnp.array([1.0, 0.5]), x, 2 * jnp.exp(x), method="gauss_newton")
        >>> fit.params.round(3).tolist()
        [2.0, 1.0]
    """

    line_search: str | LineSearch = dataclasses.field(default_factory=fixed_step)
    jacobian: Literal["products", "dense"] = "products"
    solve_tolerance: float = 1e-6
    max_products: int | None = None

    def init(self, problem: LeastSquares, point: Point) -> tuple[()]:
        return ()

    def direction(self, problem: LeastSquares, point: Point, state: tuple[()]) -> Direction:
        linear = self.linearized(problem, point.x)
        if linear.J is None:
            return Direction(self.cgls(linear, damping=0))
        return Direction(jnp.linalg.lstsq(linear.J, -linear.r)[0])

    def update(
        self, problem: LeastSquares, before: Point, after: Point, state: tuple[()], direction: Direction
    ) -> tuple[()]:
        return state
