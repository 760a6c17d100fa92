"""Levenberg-Marquardt: Gauss-Newton steps, made shorter until the linear problem is to be trusted.

    (J' J + mu D^2) h = -J' r

For mu = 0 the step is Gauss-Newton's, and for a large mu a short one along -D^-2 grad f: f decreases for some mu. How
far each parameter may move is a matter of its units, which D knows:

    Levenberg      D = I
    Marquardt      D = diag |J e_j|, the lengths of the columns, of which the longest so far counts

With Marquardt's D a step is the same whatever the units. In the variables D x, with J D^-1 in place of J, it is
Levenberg's step, and so it is computed: |D h|^2 is then |h|^2.

The damping follows how well the linear residuals predicted the decrease of f (a trust region in disguise)

    ratio = (f(x) - f(x + h)) / (1/2 |J h|^2 + mu |D h|^2)

A step with a ratio above 0 is taken, and

    mu <- mu max(1/3, 1 - (2 ratio - 1)^3)     nu <- 2

Otherwise x stays, and mu <- mu nu, nu <- 2 nu. The first mu is a small share of the curvature |J g|^2 / |g|^2 along
the gradient g. Where f cannot be decreased, mu grows until the step is too small.

f(x) - f(x + h) is computed as (r - r1) . (r + r1) / 2, which does not cancel when both are almost the same.

Source: Levenberg, "A method for the solution of certain non-linear problems in least squares" (1944); Marquardt, "An
algorithm for least-squares estimation of nonlinear parameters" (1963); Moré, "The Levenberg-Marquardt algorithm:
implementation and theory" (1978) for D and for the prediction; Nielsen, "Damping parameter in Marquardt's method"
(1999) for mu.
"""

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from fdl.lengths import norm
from fdl.optim.choices import check_between
from fdl.optim.full_batch import Step
from fdl.optim.gauss_newton import LeastSquaresMethod
from fdl.optim.problem import LeastSquares, Linearized, Point
from fdl.optim.vectors import dot, select


class Damping(NamedTuple):
    """mu, its factor nu when a step is refused, and the diagonal of D: [n]."""

    mu: jax.Array
    nu: jax.Array
    D: jax.Array


@dataclasses.dataclass(frozen=True)
class _Damped(LeastSquaresMethod):
    """What Levenberg's and Marquardt's methods share: all but D."""

    jacobian: Literal["products", "dense"] = "products"
    damping: float = 1e-3
    solve_tolerance: float = 1e-6
    max_products: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_between(type(self).__name__, 0, float("inf"), damping=self.damping)

    def scale(self, linear: Linearized, x: jax.Array) -> jax.Array:
        """The diagonal of D at x."""
        raise NotImplementedError

    def init(self, problem: LeastSquares, point: Point) -> Damping:
        linear = self.linearized(problem, point.x)
        D = self.scale(linear, point.x)
        g = point.gradient / D
        Jg = linear.push(g / D)
        curvature = dot(Jg, Jg) / dot(g, g)
        mu = self.damping * jnp.where(curvature > 0, curvature, 1)
        return Damping(mu, jnp.full_like(mu, 2), D)

    def step(self, problem: LeastSquares, point: Point, state: Damping) -> Step:
        mu, nu, _ = state
        linear = self.linearized(problem, point.x)
        D = jnp.maximum(state.D, self.scale(linear, point.x))
        Dh = self.solve(_in_units_of(D, linear), mu)
        h = Dh / D
        Jh = linear.push(h)
        trial = problem.at(point.x + h)
        r, r1 = linear.r, problem.residual(trial.x)
        ratio = dot(r - r1, r + r1) / (dot(Jh, Jh) + 2 * mu * dot(Dh, Dh))
        is_taken = (ratio > 0) & trial.is_finite
        softer = Damping(mu * jnp.maximum(1 / 3, 1 - (2 * ratio - 1) ** 3), jnp.full_like(nu, 2), D)
        harder = Damping(mu * nu, 2 * nu, D)
        evaluations, failed = jnp.int32(1), jnp.bool_(False)
        return Step(select(is_taken, trial, point), select(is_taken, softer, harder), h, evaluations, failed)

    def solve(self, linear: Linearized, mu: jax.Array) -> jax.Array:
        """Solves (J' J + mu I) h = -J' r."""
        if linear.J is None:
            return self.cgls(linear, mu)
        # The least squares of [J; sqrt(mu) I] h = [-r; 0], whose condition is not squared (Moré, 1978).
        n = linear.J.shape[1]
        Q, R = jnp.linalg.qr(jnp.concatenate([linear.J, jnp.sqrt(mu) * jnp.eye(n, dtype=mu.dtype)]))
        return jax.scipy.linalg.solve_triangular(R, -dot(Q[:-n].T, linear.r))


def _in_units_of(D: jax.Array, linear: Linearized) -> Linearized:
    """The same for the variables D x, of which J D^-1 is the Jacobian."""
    r, push, pull, J = linear
    return Linearized(r, lambda v: push(v / D), lambda u: pull(u) / D, None if J is None else J / D)


class levenberg(_Damped):
    """Levenberg's method: (J' J + mu I) h = -J' r.

    For many parameters of one kind, such as a network's: by products, a step costs no more than its conjugate
    gradients do. It is slow where the parameters have units that differ by much; `levenberg_marquardt` is not.

    Args:
        jacobian: "products" solves by products with J and J'; "dense" builds J, [m, n], and solves by QR.
        damping: > 0, the first mu as a share of the curvature along the gradient.
        solve_tolerance: |q| / |J' r| at which the products end.
        max_products: how many products of each kind a step may take; None for 20 times as many as there are
            parameters.

    Raises:
        InputError: for a choice outside its range.

    Source:
        Levenberg (1944); Nielsen (1999) for the damping.

    Example:
        >>> import jax.numpy as jnp
        >>> from fdl.optim import least_squares
        >>> rosenbrock = lambda x: jnp.array([1 - x[0], 10 * (x[1] - x[0] ** 2)])
        >>> least_squares(rosenbrock, jnp.array([-1.2, 1.0]), method="levenberg").params.round(3).tolist()
        [1.0, 1.0]
    """

    def scale(self, linear: Linearized, x: jax.Array) -> jax.Array:
        return jnp.ones_like(x)


class levenberg_marquardt(_Damped):
    """Levenberg-Marquardt: (J' J + mu D^2) h = -J' r, with D from the columns of J. For curve fitting.

    By products, the lengths of the columns take n forward products a step, one after the other: the memory is
    that of one column, and the time that of building J. With many parameters, prefer `levenberg`.

    Args:
        jacobian: "products" solves by products with J and J'; "dense" builds J, [m, n], and solves by QR.
        damping: > 0, the first mu as a share of the curvature along the gradient.
        solve_tolerance: |q| / |J' r| at which the products end, in the variables D x.
        max_products: how many products of each kind a step may take; None for 20 times as many as there are
            parameters.

    Raises:
        InputError: for a choice outside its range.

    Source:
        Marquardt (1963); Moré (1978) for D; Nielsen (1999) for the damping.

    Example:
        >>> import jax.numpy as jnp
        >>> from fdl.optim import least_squares
        >>> rosenbrock = lambda x: jnp.array([1 - x[0], 10 * (x[1] - x[0] ** 2)])
        >>> solution = least_squares(rosenbrock, jnp.array([-1.2, 1.0]), method=levenberg_marquardt(jacobian="dense"))
        >>> solution.params.round(3).tolist(), solution.why.name
        ([1.0, 1.0], 'GRADIENT')
    """

    def scale(self, linear: Linearized, x: jax.Array) -> jax.Array:
        if linear.J is None:
            lengths = jax.lax.map(lambda j: norm(linear.push(jnp.zeros_like(x).at[j].set(1))), jnp.arange(x.size))
        else:
            lengths = jnp.sqrt(jnp.sum(jnp.square(linear.J), 0))
        return jnp.where(lengths > 0, lengths, 1)
