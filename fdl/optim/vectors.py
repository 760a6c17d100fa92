"""Parameters as one vector: what the full-batch methods compute with.

A direction is a vector, an approximation of the Hessian is a matrix, and the textbooks write both as such.
So a tree of parameters becomes a vector x in R^n when a method begins, and a tree again where f sees it.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from fdl.errors import InputError
from fdl.paths import path_of


def check_params(who: str, params: Any) -> None:
    """Refuses parameters that a full-batch method cannot change in small enough steps.

    Raises:
        InputError: with the path of what is no float32 or float64, and when there are no arrays at all.

    Example:
        >>> check_params("minimize", {"steps": jnp.arange(3)})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: minimize expects parameters in float32 or float64, got int32 at steps: convert them ...
    """
    leaves = jax.tree.leaves_with_path(params)
    for keys, leaf in leaves:
        dtype = getattr(leaf, "dtype", type(leaf).__name__)
        if dtype not in ("float", jnp.float32, jnp.float64):
            at = f" at {path_of(keys)}" if keys else ""
            raise InputError(
                f"{who} expects parameters in float32 or float64, got {dtype}{at}: convert them with "
                "x.astype(jnp.float32) (the last steps to a minimum are lost in the rounding of narrower floats), "
                "and pass what is not to change as a further argument of the function"
            )
    if not any(jnp.size(leaf) for _, leaf in leaves):
        raise InputError(f"{who} expects parameters, a pytree of float arrays, got {params!r}, which holds no number")


def to_vector(params: Any) -> tuple[jax.Array, Callable[[jax.Array], Any]]:
    """The vector of all parameters, and the function that makes them of a vector again.

    Example:
        >>> x, to_params = to_vector({"w": jnp.ones((2, 1)), "b": jnp.zeros(1)})
        >>> x.tolist(), to_params(2 * x)["w"].tolist()
        ([0.0, 1.0, 1.0], [[2.0], [2.0]])
    """
    return ravel_pytree(jax.tree.map(lambda leaf: jnp.array(leaf, jnp.result_type(leaf)), params))


def dot(a: jax.Array, b: jax.Array) -> jax.Array:
    """a b, of vectors or matrices, with all digits of its dtype, which accelerators do not keep unasked."""
    return jnp.dot(a, b, precision="highest")


def largest(a: jax.Array) -> jax.Array:
    """max |a_i|; zero where there are none."""
    return jnp.max(jnp.abs(a), initial=0)


def select(which: jax.Array, a: Any, b: Any) -> Any:
    """The tree a where ``which``, a scalar, is true, and b otherwise."""
    return jax.tree.map(lambda leaf_a, leaf_b: jnp.where(which, leaf_a, leaf_b), a, b)
