"""Penalties on the size of parameters, to be added to a loss with a small factor.

    l1:   L = sum of |w| over every element of every array        dw = sign(w) dL
    l2:   L = sum of w^2 over every element of every array        dw = 2 w dL

The gradient of l2 is linear in the weight, so that a step of gradient descent shrinks every weight by the
same factor ("weight decay"). (Krogh and Hertz, "A simple weight decay can improve generalization", 1992.)
The gradient of l1 is as large for a small weight as for a large one, so that weights which help little
become zero, where the kink has slope 0. (Tibshirani, "Regression shrinkage and selection via the lasso", 1996.)
"""

from typing import Any

import jax
import jax.numpy as jnp

from fdl.layers.checks import check_real
from fdl.rule import rule, wide


@rule
def l1(params: Any) -> jax.Array:
    """The sum of the absolute values of all parameters, with slope 0 at 0.

    Args:
        params: an array or any pytree of arrays.

    Returns:
        A scalar, in float32 or wider.

    Raises:
        InputError: for complex parameters.

    Remembers:
        the parameters, which exist anyway.

    Source: Tibshirani, "Regression shrinkage and selection via the lasso" (1996).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = {"w": jnp.array([1.0, -2.0]), "b": jnp.array(0.0)}
        >>> float(l1(params)), jax.grad(l1)(params)["w"].tolist()
        (3.0, [1.0, -1.0])
    """
    sizes = [jnp.sum(w * jnp.sign(w), dtype=wide(w)) for w in jax.tree.leaves(params)]
    return jnp.asarray(sum(sizes, start=0.0))


@l1.validate
def _(params):
    check_real("l1", *jax.tree.leaves(params))


@l1.forward
def _(params):
    sizes = [jnp.sum(jnp.abs(w), dtype=wide(w)) for w in jax.tree.leaves(params)]
    return jnp.asarray(sum(sizes, start=0.0)), params


@l1.backward
def _(params, dy):
    # y = sum |w|
    return (jax.tree.map(lambda w: jnp.sign(w) * dy, params),)


@rule
def l2(params: Any) -> jax.Array:
    """The sum of the squares of all parameters, without a factor 1/2.

    Args:
        params: an array or any pytree of arrays.

    Returns:
        A scalar, in float32 or wider.

    Raises:
        InputError: for complex parameters.

    Remembers:
        the parameters, which exist anyway.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = {"w": jnp.array([1.0, 2.0]), "b": jnp.array(3.0)}
        >>> float(l2(params)), float(jax.grad(l2)(params)["b"])
        (14.0, 6.0)
    """
    squares = [jnp.sum(jnp.square(w.astype(wide(w)))) for w in jax.tree.leaves(params)]
    return jnp.asarray(sum(squares, start=0.0))


@l2.validate
def _(params):
    check_real("l2", *jax.tree.leaves(params))


@l2.forward
def _(params):
    return l2.reference(params), params


@l2.backward
def _(params, dy):
    # y = sum w^2
    return (jax.tree.map(lambda w: w * (2 * dy), params),)
