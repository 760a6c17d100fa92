"""Activations: the nonlinearity between affine maps, applied to every element by itself.

For an elementwise y = f(x) the Jacobian is diagonal, so the backward pass is one product per element,

    dx = f'(x) dy

and the only question is what to remember to have f'(x) again.

ReLU: y = max(x, 0) has the slope 1 where x > 0 and 0 where x < 0. At 0 it has a kink, and any slope in
[0, 1] would do: fdl takes 0. One bit per element says which side x was on, where remembering x or y
would take 32. (Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines", 2010.)
"""

from typing import Any

import jax
import jax.numpy as jnp

from fdl.layer import Layer, Tree
from fdl.rule import rule


@rule
def relu(x: jax.Array) -> jax.Array:
    """The rectified linear unit y = max(x, 0), elementwise, with slope 0 at 0.

    Args:
        x: an array of any shape.

    Returns:
        y, of the same shape and dtype. NaN stays NaN.

    Remembers:
        whether each element was off, as a boolean of the shape of x.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x = jnp.array([-1.0, 0.0, 2.0])
        >>> relu(x).tolist(), jax.vmap(jax.grad(relu))(x).tolist()
        ([0.0, 0.0, 2.0], [0.0, 0.0, 1.0])
    """
    return jnp.where(x <= 0, 0, x)


@relu.forward
def _(x):
    off = x <= 0
    return jnp.where(off, 0, x), off


@relu.backward
def _(off, dy):
    # y = 0 where off, x elsewhere
    return (jnp.where(off, 0, dy),)


class Relu(Layer):
    """The layer of `relu`; it has no parameters.

    Example:
        >>> import jax.numpy as jnp
        >>> Relu().apply({}, {}, jnp.array([-1.0, 2.0]))[0].tolist()
        [0.0, 2.0]
    """

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        return relu(x), state
