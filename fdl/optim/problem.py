"""Problems: what the full-batch methods ask of the function that they minimise.

    Objective      f: R^n -> R                       f(x), its gradient, H v
    LeastSquares   f = 1/2 |r|^2, r: R^n -> R^m      r(x), J v and J' u besides

No second derivative and no Jacobian is ever stored here. H v is the derivative of the gradient along v, forward
over reverse, at the cost of two gradients (Pearlmutter, "Fast exact multiplication by the Hessian", 1994). J v is
forward mode, which goes through fdl's rules as `differentiation("autodiff")`; J' u is reverse mode, by the rules.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from fdl.errors import InputError
from fdl.lengths import norm
from fdl.optim.vectors import dot
from fdl.rule import differentiation


class Point(NamedTuple):
    """A place x: [n] with f(x) and its gradient: [n]."""

    x: jax.Array
    value: jax.Array
    gradient: jax.Array

    @property
    def is_finite(self) -> jax.Array:
        """Whether f and its gradient are."""
        return jnp.isfinite(self.value) & jnp.isfinite(self.gradient).all()

    @property
    def first_scale(self) -> jax.Array:
        """The scale of a first step along -g that makes it 1 long at most."""
        return 1 / jnp.maximum(1, norm(self.gradient))


class Objective:
    """A function f: R^n -> R.

    Args:
        who: the caller, for its errors.
        f: a function of a vector that gives one number.
        x: a vector, of which only the shape and dtype are read.
        tolerance: a gradient whose elements are all within it is zero.

    Raises:
        InputError: for an f that does not give one float.
    """

    def __init__(self, who: str, f: Callable[[jax.Array], Any], x: jax.Array, tolerance: Any):
        y = jax.eval_shape(f, x)
        if not isinstance(y, jax.ShapeDtypeStruct) or y.shape != ():
            raise InputError(
                f"{who} expects a function that gives one number, got {_described(y)}: of losses take the "
                "mean, and least_squares is for residuals"
            )
        _check_float(who, y)
        self.f, self.tolerance = f, tolerance

    def at(self, x: jax.Array) -> Point:
        """Evaluates f and its gradient."""
        value, gradient = jax.value_and_grad(self.f)(x)
        return Point(x, value.astype(x.dtype), gradient)

    def hessian_product(self, x: jax.Array, v: jax.Array) -> jax.Array:
        """H v."""
        return jax.jvp(jax.grad(self.f), (x,), (v,))[1]

    def hessian(self, x: jax.Array) -> jax.Array:
        """H: [n, n], by n products with the unit vectors; made symmetric, which rounding leaves it not quite."""
        h = jax.vmap(lambda v: self.hessian_product(x, v))(jnp.eye(x.size, dtype=x.dtype))
        return (h + h.T) / 2


class Linearized(NamedTuple):
    """r(x + h) = r + J h to first order: r: [m], ``push(h)`` = J h, ``pull(u)`` = J' u, J: [m, n] if it was built."""

    r: jax.Array
    push: Callable[[jax.Array], jax.Array]
    pull: Callable[[jax.Array], jax.Array]
    J: jax.Array | None = None


class LeastSquares(Objective):
    """The objective 1/2 |r(x)|^2 of a vector of residuals."""

    def __init__(self, who: str, residual: Callable[[jax.Array], Any], x: jax.Array, tolerance: Any):
        y = jax.eval_shape(residual, x)
        if isinstance(y, jax.ShapeDtypeStruct) and y.shape == ():
            raise InputError(
                f"{who} expects a function that gives residuals, an array of them, got one number: return "
                "them before they are squared and summed. For a loss there is minimize"
            )
        if not jax.tree.leaves(y):
            raise InputError(f"{who} expects a function that gives residuals, got {_described(y)}")
        for leaf in jax.tree.leaves(y):
            _check_float(who, leaf)
        self.residual = lambda x: ravel_pytree(residual(x))[0].astype(x.dtype)
        super().__init__(who, self._half_square, x, tolerance)

    def _half_square(self, x: jax.Array) -> jax.Array:
        r = self.residual(x)
        return dot(r, r) / 2

    def linearized(self, x: jax.Array) -> Linearized:
        """The residuals at x and the products with their Jacobian."""
        r, pull = jax.vjp(self.residual, x)
        with differentiation("autodiff"):
            _, push = jax.linearize(self.residual, x)
        return Linearized(r, push, lambda u: pull(u)[0])

    def with_jacobian(self, x: jax.Array) -> Linearized:
        """The same with J, built by m reverse or n forward products, whichever are fewer."""
        r, push, pull, _ = self.linearized(x)
        if r.size < x.size:
            J = jax.vmap(pull)(jnp.eye(r.size, dtype=r.dtype))
        else:
            J = jax.vmap(push, out_axes=1)(jnp.eye(x.size, dtype=x.dtype))
        return Linearized(r, lambda v: dot(J, v), lambda u: dot(J.T, u), J)


def _check_float(who: str, y: jax.ShapeDtypeStruct) -> None:
    if not jnp.issubdtype(y.dtype, jnp.floating):
        raise InputError(f"{who} expects a function that gives floats, got {y.dtype}")


def _described(y: Any) -> str:
    if isinstance(y, jax.ShapeDtypeStruct):
        return f"an array of shape {list(y.shape)}"
    return f"{type(y).__name__} of arrays" if jax.tree.leaves(y) else repr(y)
