"""Fused sandwiches: an affine map with what usually follows it, as one rule that remembers less than its parts.

    affine_relu         y = relu(x w + b)
    affine_norm_relu    y = relu(batch_norm(x w, gamma, beta))

The chain rule runs through the parts in reverse, each with the backward pass of its own rule:

    relu           dn = dy where n > 0, else 0
    batch_norm     dz, dgamma, dbeta from dn, z and the statistics
    affine         dx = dz w^T        dw = x^T dz        db = sum over rows of dz

What is saved is the side that each element of the ReLU was on, which its own rule keeps as a boolean each.
In affine_relu y tells it: it is the output, and the next layer has to keep it anyway. In affine_norm_relu
z tells it, from which n is had again by one multiplication and one addition per element.

affine_norm_relu takes no bias: batch norm would subtract it again with the mean.
"""

from typing import Any

import jax
import jax.numpy as jnp

from fdl.initializers import Initializer, he_normal
from fdl.layer import Layer, Tree
from fdl.layers.activation import relu
from fdl.layers.affine import Affine, affine
from fdl.layers.batch_norm import BatchNorm, batch_norm, batch_norm_inference
from fdl.layers.checks import check_names, check_real, weights_of
from fdl.rule import rule


@rule
def affine_relu(x: jax.Array, w: jax.Array, b: jax.Array | None = None) -> jax.Array:
    """An affine map and a ReLU: y = max(x w + b, 0).

    Args:
        x: [..., in], with any leading axes.
        w: [in, out].
        b: [out], or None for a linear map.

    Returns:
        y: [..., out].

    Raises:
        InputError: when the shapes do not fit together, and for complex numbers.

    Remembers:
        x and w, which exist anyway, and y, which is the output.

    Example:
        >>> import jax.numpy as jnp
        >>> affine_relu(jnp.array([1.0, 2.0]), jnp.array([[1.0, 0.0], [0.0, -3.0]]), jnp.array([0.5, 0.5])).tolist()
        [1.5, 0.0]
    """
    return relu(affine(x, w, b))


@affine_relu.validate
def _(x, w, b):
    affine.part("validate")(x, w, b)
    check_real("affine_relu", x, w)


@affine_relu.forward
def _(x, w, b):
    z, kept = affine.part("forward")(x, w, b)
    y = relu(z)
    return y, (kept, y)


@affine_relu.backward
def _(residuals, dy):
    kept, y = residuals
    # y = relu(z)      z = x w + b
    dz = jnp.where(y == 0, 0, dy)
    return affine.part("backward")(kept, dz)


@rule(static=["eps"])
def affine_norm_relu(
    x: jax.Array, w: jax.Array, gamma: jax.Array, beta: jax.Array, *, eps: float = 1e-5
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """A linear map, batch normalisation and a ReLU: y = max(batch_norm(x w, gamma, beta), 0).

    Args:
        x: [..., in], with at least one axis before the last.
        w: [in, out].
        gamma, beta: [out].
        eps: what keeps the root away from zero.

    Returns:
        (y, mean, var): y [..., out]; mean and var [out] are the statistics of x w, as from `batch_norm`.

    Raises:
        InputError: when the shapes do not fit together.

    Remembers:
        its arguments, which exist anyway, x w, and two numbers per feature.

    Example:
        >>> import jax.numpy as jnp
        >>> x, one = jnp.array([[1.0], [3.0]]), jnp.ones(1)
        >>> y, mean, var = affine_norm_relu(x, jnp.ones((1, 1)), one, 0 * one)
        >>> y.round(3).tolist(), mean.tolist(), var.tolist()
        ([[0.0], [1.0]], [2.0], [1.0])
    """
    n, mean, var = batch_norm(affine(x, w), gamma, beta, eps=eps)
    return relu(n), mean, var


@affine_norm_relu.validate
def _(x, w, gamma, beta, *, eps):
    affine.part("validate")(x, w, None)
    z = jax.ShapeDtypeStruct((*jnp.shape(x)[:-1], jnp.shape(w)[-1]), jnp.result_type(x, w))
    batch_norm.part("validate")(z, gamma, beta, eps=eps)


@affine_norm_relu.forward
def _(x, w, gamma, beta, *, eps):
    z, kept_by_affine = affine.part("forward")(x, w, None)
    (n, mean, var), kept_by_norm = batch_norm.part("forward")(z, gamma, beta, eps=eps)
    return (relu(n), mean, var), (kept_by_affine, kept_by_norm, beta)


@affine_norm_relu.backward
def _(residuals, upstream, *, eps):
    kept_by_affine, kept_by_norm, beta = residuals
    dy, dmean, dvar = upstream
    z, gamma, mean, r = kept_by_norm
    # y = relu(n)      n = gamma (z - mean) r + beta      z = x w
    n = (z - mean) * r * gamma + beta
    dn = jnp.where(n <= 0, 0, dy)
    dz, dgamma, dbeta = batch_norm.part("backward")(kept_by_norm, (dn, dmean, dvar), eps=eps)
    dx, dw, _ = affine.part("backward")(kept_by_affine, dz)
    return dx, dw, dgamma, dbeta


class AffineRelu(Affine):
    """The layer of `affine_relu`: what ``Serial(Affine(features), Relu())`` computes, with the parameters of `Affine`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer = AffineRelu(10)
        >>> params, state = layer.init(jax.random.key(0), jnp.ones((32, 64)))
        >>> y, state = layer.apply(params, state, jnp.ones((32, 64)))
        >>> y.shape, bool((y >= 0).all())
        ((32, 10), True)
    """

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        return affine_relu(x, *weights_of(self, params)), state


class AffineNormRelu(Layer):
    """The layer of `affine_norm_relu`: what ``Serial(Affine(features, bias=False), BatchNorm(), Relu())`` computes.

    Parameters are ``w``, ``gamma`` and ``beta``; state is the running ``mean`` and ``var``, as in `BatchNorm`.

    Args:
        features: how many outputs; the number of inputs is read off x at init.
        momentum, eps: as in `BatchNorm`.
        w_init: how w starts.

    Raises:
        InputError: as `Affine` and `BatchNorm` do.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = AffineNormRelu(10), jax.random.normal(jax.random.key(1), (32, 64))
        >>> params, state = layer.init(jax.random.key(0), x)
        >>> y, state = layer.apply(params, state, x, train=True)
        >>> y.shape, bool((y >= 0).all())
        ((32, 10), True)
    """

    features: int
    momentum: float = 0.9
    eps: float = 1e-5
    w_init: Initializer = he_normal()

    def __post_init__(self) -> None:
        self.affine, self.norm  # which refuse what is out of range  # noqa: B018

    @property
    def affine(self) -> Affine:
        """Its map, as a layer by itself."""
        return Affine(self.features, bias=False, w_init=self.w_init)

    @property
    def norm(self) -> BatchNorm:
        """Its norm, as a layer by itself."""
        return BatchNorm(self.momentum, self.eps)

    def init(self, key: Any, x: Any) -> tuple[Tree, Tree]:
        params, _ = self.affine.init(key, x)
        norm_params, state = self.norm.init(key, jax.ShapeDtypeStruct((*x.shape[:-1], self.features), x.dtype))
        return params | norm_params, state

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        check_names(self, params, "w", "gamma", "beta")
        w, gamma, beta = params["w"], params["gamma"], params["beta"]
        if not train:
            n = batch_norm_inference(affine(x, w), gamma, beta, state["mean"], state["var"], eps=self.eps)
            return relu(n), state
        y, mean, var = affine_norm_relu(x, w, gamma, beta, eps=self.eps)
        return y, self.norm.averaged("AffineNormRelu", state, y, mean, var)
