"""Nonlinear conjugate gradients: each direction is the gradient, turned so that the last step is not undone.

    p = -g + beta p0

For a quadratic with exact line searches, every choice of beta makes the directions conjugate, p' H p0 = 0, so that
a minimum along one stays a minimum along it, and n steps are enough. With y = g - g0, they are

    Fletcher-Reeves      beta = (g . g) / (g0 . g0)
    Polak-Ribiere+       beta = max(0, (g . y) / (g0 . g0))
    Hestenes-Stiefel+    beta = max(0, (g . y) / (p0 . y))

Where f is no quadratic they differ: after a bad step, with g nearly g0, the last two forget the past by themselves,
while Fletcher-Reeves keeps taking small steps. The gradients of a quadratic are orthogonal, and where two that follow
each other are far from that, by Powell's test

    |g . g0| >= 0.1 g . g                                                                       (5.52)

the directions are far from conjugate, and all begin anew from -g, as they do when p is not downhill. On a quadratic
with a condition of 1e3, that took Polak-Ribiere from 126 steps to 33.

A direction has no natural length. The first step to try is the one that promises the same decrease as the last one
made, a = a0 (g0 . p0) / (g . p), and 1 / |g| at the beginning.

Source: Hestenes and Stiefel (1952); Fletcher and Reeves (1964); Polak and Ribiere (1969); Powell (1977) for
the test; Gilbert and Nocedal (1992) for the "+". Equations as in Nocedal and Wright, "Numerical optimization" (2006),
section 5.2, and section 3.5 for the first step to try.
"""

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from fdl.errors import InputError
from fdl.lengths import norm
from fdl.optim.full_batch import Descent
from fdl.optim.line_search import Direction, LineSearch, strong_wolfe
from fdl.optim.problem import Objective, Point
from fdl.optim.vectors import dot

BETAS = ("polak_ribiere", "fletcher_reeves", "hestenes_stiefel")


class CGState(NamedTuple):
    """The direction p: [n], and the step along it to try first."""

    p: jax.Array
    alpha: jax.Array


@dataclasses.dataclass(frozen=True)
class conjugate_gradient(Descent):
    """Nonlinear conjugate gradients: three vectors of memory, for when even those of L-BFGS are too many.

    Args:
        beta: "polak_ribiere", "fletcher_reeves" or "hestenes_stiefel".
        line_search: strong Wolfe with c2 = 0.1, unless told otherwise: conjugacy lives on good searches.

    Raises:
        InputError: for another beta.

    Source:
        Nocedal and Wright, algorithm 5.4.

    Example:
        >>> import jax.numpy as jnp
        >>> from fdl.optim import minimize
        >>> solution = minimize(lambda x: jnp.sum(jnp.cosh(x - 1)), jnp.zeros(3), method="conjugate_gradient")
        >>> solution.params.round(3).tolist()
        [1.0, 1.0, 1.0]
    """

    beta: Literal["polak_ribiere", "fletcher_reeves", "hestenes_stiefel"] = "polak_ribiere"
    line_search: str | LineSearch = dataclasses.field(default_factory=lambda: strong_wolfe(curvature=0.1))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta not in BETAS:
            raise InputError(f"conjugate_gradient needs beta as one of {', '.join(BETAS)}, got {self.beta!r}")

    def init(self, problem: Objective, point: Point) -> CGState:
        return CGState(-point.gradient, point.first_scale)

    def direction(self, problem: Objective, point: Point, state: CGState) -> Direction:
        return Direction(state.p, state.alpha)

    def update(self, problem: Objective, before: Point, after: Point, state: CGState, direction: Direction) -> CGState:
        (_, _, g0), (x, _, g), p0 = before, after, state.p
        y = g - g0
        if self.beta == "fletcher_reeves":
            beta = dot(g, g) / dot(g0, g0)
        elif self.beta == "polak_ribiere":
            beta = jnp.maximum(0, dot(g, y) / dot(g0, g0))
        else:
            beta = jnp.maximum(0, dot(g, y) / dot(p0, y))
        p = -g + beta * p0
        is_conjugate = (jnp.abs(dot(g, g0)) < 0.1 * dot(g, g)) & (dot(p, g) < 0)  # of NaN, it is not
        p = jnp.where(is_conjugate, p, -g)
        alpha0 = norm(x - before.x) / norm(p0)
        alpha = alpha0 * dot(g0, p0) / dot(g, p)
        return CGState(p, jnp.where(jnp.isfinite(alpha) & (alpha > 0), alpha, 1))
