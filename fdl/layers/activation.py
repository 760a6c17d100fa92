"""Rectifiers: piecewise linear activations with one kink, applied to every element by itself.

For an elementwise y = f(x) the Jacobian is diagonal, so the backward pass is one product per element,

    dx = f'(x) dy

and the only question is what to remember to have f'(x) again.

    relu          y = max(x, 0)                        slope 0 left, 1 right
    leaky_relu    y = max(x, 0) + alpha min(x, 0)      slope alpha left, 1 right
    prelu         the same with a learned alpha        slope alpha left, 1 right; dalpha = sum min(x, 0) dy

At 0 they have a kink, and any slope between the two would do: fdl counts 0 to the left, which makes
relu'(0) = 0. Where only the side matters, one boolean per element says it, where remembering x or y would
take 32 bits. prelu needs x itself, for dalpha.

Sources: Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines" (2010); Maas,
Hannun and Ng, "Rectifier nonlinearities improve neural network acoustic models" (2013), leaky; He, Zhang,
Ren and Sun, "Delving deep into rectifiers" (2015), learned.
"""

from typing import Any

import jax
import jax.numpy as jnp

from fdl.errors import InputError
from fdl.layer import Tree
from fdl.layers.checks import check_feature_scale, check_floats, check_real, is_number
from fdl.layers.rule_layer import RuleLayer, learned_scalar
from fdl.layers.sides import left
from fdl.rule import rule, wide


@rule
def relu(x: jax.Array) -> jax.Array:
    """The rectified linear unit y = max(x, 0), elementwise, with slope 0 at 0.

    Args:
        x: an array of any shape.

    Returns:
        y, of the same shape and dtype. NaN stays NaN.

    Raises:
        InputError: for complex numbers.

    Remembers:
        whether each element was off, as a boolean of the shape of x.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x = jnp.array([-1.0, 0.0, 2.0])
        >>> relu(x).tolist(), jax.vmap(jax.grad(relu))(x).tolist()
        ([0.0, 0.0, 2.0], [0.0, 0.0, 1.0])
    """
    return jnp.where(x <= 0, 0, x)


@relu.validate
def _(x):
    check_real("relu", x)


@relu.forward
def _(x):
    off = x <= 0
    return jnp.where(off, 0, x), off


@relu.backward
def _(off, dy):
    # y = 0 where off, x elsewhere
    return (jnp.where(off, 0, dy),)


@rule(static=["alpha"])
def leaky_relu(x: jax.Array, alpha: float = 0.01) -> jax.Array:
    """The leaky rectifier y = x where x > 0, alpha x elsewhere, with slope alpha at 0.

    Args:
        x: floats of any shape.
        alpha: the slope on the negative side, a fixed number; `prelu` learns it.

    Returns:
        y, of the same shape and dtype. NaN stays NaN.

    Raises:
        InputError: for integers.

    Remembers:
        the side of each element, as a boolean of the shape of x.

    Source:
        Maas, Hannun and Ng (2013).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x = jnp.array([-1.0, 0.0, 2.0])
        >>> leaky_relu(x, 0.5).tolist(), jax.vmap(jax.grad(lambda x: leaky_relu(x, 0.5)))(x).tolist()
        ([-0.5, 0.0, 2.0], [0.5, 0.5, 1.0])
    """
    return jnp.where(x <= 0, alpha * x, x)


@leaky_relu.validate
def _(x, alpha):
    check_floats("leaky_relu", x)


@leaky_relu.forward
def _(x, alpha):
    left = x <= 0
    return jnp.where(left, alpha * x, x), left


@leaky_relu.backward
def _(left, dy, *, alpha):
    # y = alpha x on the left, x elsewhere
    return (jnp.where(left, alpha * dy, dy),)


@rule
def prelu(x: jax.Array, alpha: jax.Array) -> jax.Array:
    """The parametric rectifier y = max(x, 0) + alpha min(x, 0), with slope alpha at 0 and a learned alpha.

    Args:
        x: [..., C], floats.
        alpha: the slope on the negative side: a scalar, or [C] for one per feature.

    Returns:
        y, of the shape and dtype of x. NaN stays NaN.

    Raises:
        InputError: for integers, and when alpha has another shape.

    Remembers:
        x and alpha, which exist anyway.

    Source:
        He, Zhang, Ren and Sun (2015).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x, alpha = jnp.array([[-1.0, -2.0], [-3.0, 4.0]]), jnp.array([0.5, 0.1])
        >>> prelu(x, alpha).tolist()
        [[-0.5, -0.2], [-1.5, 4.0]]
        >>> jax.grad(lambda alpha: prelu(x, alpha).sum())(alpha).tolist()
        [-4.0, -2.0]
    """
    y = jnp.where(x > 0, x, 0) + alpha * jnp.where(x > 0, 0, x)
    return y.astype(jnp.result_type(x))


@prelu.validate
def _(x, alpha):
    check_floats("prelu", x)
    check_feature_scale("prelu", x, alpha=alpha)


@prelu.forward
def _(x, alpha):
    return prelu.reference(x, alpha), (x, alpha)


@prelu.backward
def _(residuals, dy):
    x, alpha = residuals
    # y = max(x, 0) + alpha min(x, 0)
    dx = jnp.where(x > 0, dy, alpha * dy)
    shared_axes = tuple(range(jnp.ndim(x) - jnp.ndim(alpha)))
    dalpha = jnp.sum(left(x) * dy.astype(wide(dy)), shared_axes)
    return dx, dalpha


class Relu(RuleLayer):
    """The layer of `relu`; it has no parameters.

    Example:
        >>> import jax.numpy as jnp
        >>> Relu().apply({}, {}, jnp.array([-1.0, 2.0]))[0].tolist()
        [0.0, 2.0]
    """

    rule = relu


class LeakyRelu(RuleLayer):
    """The layer of `leaky_relu`; it has no parameters.

    Args:
        alpha: the slope on the negative side.

    Example:
        >>> import jax.numpy as jnp
        >>> LeakyRelu(0.5).apply({}, {}, jnp.array([-1.0, 2.0]))[0].tolist()
        [-0.5, 2.0]
    """

    rule = leaky_relu
    alpha: float = 0.01


class Prelu(RuleLayer):
    """The layer of `prelu`, with the parameter ``alpha`` [C], or a scalar when it is shared.

    Args:
        start: where alpha starts, between -1 and 1.
        shared: whether all features share one alpha.

    Raises:
        InputError: for another start, such as the number of features, which is read off x.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = Prelu(), jnp.array([[-1.0, 2.0]])
        >>> params, state = layer.init(jax.random.key(0), x)
        >>> params["alpha"].tolist(), layer.apply(params, state, x)[0].tolist()
        ([0.25, 0.25], [[-0.25, 2.0]])
    """

    rule = prelu
    start: float = 0.25
    shared: bool = False

    def __post_init__(self) -> None:
        if not (is_number(self.start) and -1 <= self.start <= 1):
            raise InputError(
                f"Prelu starts from a slope between -1 and 1, got {self.start!r}: the number of features is read off x"
            )

    def init(self, key: Any, x: Any) -> tuple[Tree, Tree]:
        return {"alpha": learned_scalar("Prelu", x, self.start, self.shared)}, {}
