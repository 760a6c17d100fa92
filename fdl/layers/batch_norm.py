"""Batch normalisation: every feature is centred and scaled by the statistics of the batch.

With n the number of rows (all axes of x but the last, together), for each feature by itself,

    1. mean = sum x / n
    2. var  = sum (x - mean)^2 / n
    3. r    = 1 / sqrt(var + eps)
    4. xhat = (x - mean) r
    5. y    = gamma xhat + beta

The backward pass walks the steps in reverse. From 5,

    dbeta = sum dy        dgamma = sum dy xhat        dxhat = gamma dy

From 4 and 3, x reaches y directly, through r and through the mean. With dr/dvar = -r^3 / 2,

    dvar  += sum dxhat (x - mean) (-r^3 / 2)  =  -r^2 / 2  gamma dgamma
    dmean += sum dxhat (-r)                   =  -r gamma dbeta

where both sums start from the gradients that arrive from outside at the outputs mean and var.
Step 2 hands dvar to x as 2 (x - mean) / n (and nothing to the mean, since sum (x - mean) = 0), and
step 1 hands dmean to x as 1 / n. Together

    dx = r gamma dy + (2 (x - mean) dvar + dmean) / n

which needs x and a few numbers per feature: xhat is recomputed, never stored. Without anything arriving
at mean and var this is the well-known dx = gamma r / n (n dy - dbeta - xhat dgamma).

The variance is the mean of squared deviations. The textbook's E[x^2] - E[x]^2 subtracts two large
numbers, and in float32 a mean of 1e4 leaves nothing of a variance of 1.

In inference mean and var are constants that were averaged during training, and y is affine in x.

Source: Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing
internal covariate shift" (2015).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from fdl.errors import InputError
from fdl.layer import Layer, Tree
from fdl.layers.checks import check_eps, check_names, check_vectors, is_number
from fdl.layers.scale_and_shift import scale_and_shift
from fdl.rule import rule, wide


@rule(static=["eps"])
def batch_norm(
    x: jax.Array, gamma: jax.Array, beta: jax.Array, *, eps: float = 1e-5
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Normalises the last axis of x with the statistics of the batch: y = gamma (x - mean) / sqrt(var + eps) + beta.

    Args:
        x: [..., C]; the statistics are over all axes but the last.
        gamma, beta: [C].
        eps: what keeps the root away from zero.

    Returns:
        (y, mean, var): y as x; mean and var [C], in float32 or wider, the variance biased (over n).

    Raises:
        InputError: when gamma or beta is not [C], or x has no axis to average over.

    Remembers:
        x and gamma, which exist anyway, and two numbers per feature.

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.array([[1.0, 10.0], [3.0, 30.0]])
        >>> y, mean, var = batch_norm(x, jnp.ones(2), jnp.zeros(2))
        >>> y.round(3).tolist(), mean.tolist(), var.tolist()
        ([[-1.0, -1.0], [1.0, 1.0]], [2.0, 20.0], [1.0, 100.0])
    """
    rows = tuple(range(x.ndim - 1))
    mean = jnp.mean(x, rows, dtype=wide(x))
    var = jnp.mean(jnp.square(x - mean), rows)
    y = (x - mean) * jax.lax.rsqrt(var + eps) * gamma + beta
    return y.astype(x.dtype), mean, var


@batch_norm.validate
def _(x, gamma, beta, *, eps):
    _check_shapes("batch_norm", x, gamma=gamma, beta=beta)


@batch_norm.forward
def _(x, gamma, beta, *, eps):
    rows = tuple(range(x.ndim - 1))
    mean = jnp.mean(x, rows, dtype=wide(x))
    var = jnp.mean(jnp.square(x - mean), rows)
    # Without this barrier, and those below, XLA would write x - mean out for its next use, not subtract again.
    mean, var = jax.lax.optimization_barrier((mean, var))
    r = jax.lax.rsqrt(var + eps)
    y = (x - mean) * r * gamma + beta
    return (y.astype(x.dtype), mean, var), (x, gamma, mean, r)


@batch_norm.backward
def _(residuals, upstream, *, eps):
    x, gamma, mean, r = residuals
    dy, dmean, dvar = upstream
    rows = tuple(range(x.ndim - 1))
    n = math.prod(x.shape[:-1])
    # 5. y = gamma xhat + beta
    dbeta = jnp.sum(dy, rows, dtype=wide(dy))
    mean, dbeta = jax.lax.optimization_barrier((mean, dbeta))
    r = r if n else jnp.zeros_like(r)  # without rows var is NaN, but the sums are zero
    dgamma = r * jnp.sum(dy * (x - mean), rows)
    mean, dgamma = jax.lax.optimization_barrier((mean, dgamma))
    # 4. xhat = (x - mean) r      3. r = 1 / sqrt(var + eps)
    dvar = dvar - gamma * dgamma * r**2 / 2
    dmean = dmean - gamma * dbeta * r
    # 2. var = sum (x - mean)^2 / n      1. mean = sum x / n
    dx = gamma * r * dy + (2 * (x - mean) * dvar + dmean) / n
    return dx, dgamma, dbeta


@rule(static=["eps"])
def batch_norm_inference(
    x: jax.Array, gamma: jax.Array, beta: jax.Array, mean: jax.Array, var: jax.Array, *, eps: float = 1e-5
) -> jax.Array:
    """Normalises the last axis of x with given statistics: y = gamma (x - mean) / sqrt(var + eps) + beta.

    Args:
        x: [..., C].
        gamma, beta, mean, var: [C].
        eps: what keeps the root away from zero.

    Returns:
        y, of the shape and dtype of x.

    Raises:
        InputError: when one of the vectors is not [C].

    Remembers:
        x and the vectors that it was given, which exist anyway.

    Example:
        >>> import jax.numpy as jnp
        >>> x, two = jnp.array([[2.0], [6.0]]), jnp.array([2.0])
        >>> batch_norm_inference(x, gamma=two, beta=two, mean=two, var=two * two, eps=0.0).tolist()
        [[2.0], [6.0]]
    """
    scale = gamma * jax.lax.rsqrt(var.astype(wide(x, var)) + eps)
    return ((x - mean) * scale + beta).astype(x.dtype)


@batch_norm_inference.validate
def _(x, gamma, beta, mean, var, *, eps):
    _check_shapes("batch_norm_inference", x, gamma=gamma, beta=beta, mean=mean, var=var)


@batch_norm_inference.forward
def _(x, gamma, beta, mean, var, *, eps):
    return batch_norm_inference.reference(x, gamma, beta, mean, var, eps=eps), (x, gamma, mean, var)


@batch_norm_inference.backward
def _(residuals, dy, *, eps):
    x, gamma, mean, var = residuals
    rows = tuple(range(x.ndim - 1))
    r = jax.lax.rsqrt(var.astype(wide(x, var)) + eps)
    # y = gamma (x - mean) r + beta      r = 1 / sqrt(var + eps)
    dbeta = jnp.sum(dy, rows, dtype=wide(dy))
    dgamma = jnp.sum(dy * ((x - mean) * r), rows)
    dmean = -gamma * r * dbeta
    dvar = -gamma * r**2 * dgamma / 2
    dx = gamma * r * dy
    return dx, dgamma, dbeta, dmean, dvar


def _check_shapes(who, x, **vectors):
    shape = jnp.shape(x)
    if len(shape) < 2:
        raise InputError(f"{who} expects x of shape [..., C] with at least one axis before C, got {list(shape)}")
    check_vectors(who, x, **vectors)


class BatchNorm(Layer):
    """Batch normalisation of the last axis, with running statistics for inference.

    Parameters are ``gamma`` and ``beta``; state is the running ``mean`` and ``var``. While training,
    x is normalised by the batch's own statistics, and each running one becomes
    momentum * running + (1 - momentum) * batch. Otherwise the running ones are used, unchanged.

    Args:
        momentum: how much of the running statistics each step keeps, in [0, 1); PyTorch's is what it takes of the new
            ones, 1 - momentum, and its running variance is over n - 1.
        eps: what keeps the root away from zero.

    Raises:
        InputError: in training, for a batch with nothing to average.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = BatchNorm(), jnp.array([[1.0], [3.0]])
        >>> params, state = layer.init(jax.random.key(0), x)
        >>> y, state = layer.apply(params, state, x, train=True)
        >>> y.round(3).tolist(), state["mean"].round(3).tolist()
        ([[-1.0], [1.0]], [0.2])
    """

    momentum: float = 0.9
    eps: float = 1e-5

    def __post_init__(self) -> None:
        if not (is_number(self.momentum) and 0 <= self.momentum < 1):
            raise InputError(f"BatchNorm needs a momentum in [0, 1), got {self.momentum!r}")
        check_eps("BatchNorm", self.eps)

    def init(self, key: Any, x: Any) -> tuple[Tree, Tree]:
        features = x.shape[-1:]
        return scale_and_shift(x), {"mean": jnp.zeros(features, jnp.float32), "var": jnp.ones(features, jnp.float32)}

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        check_names(self, params, "gamma", "beta")
        gamma, beta = params["gamma"], params["beta"]
        if not train:
            return batch_norm_inference(x, gamma, beta, state["mean"], state["var"], eps=self.eps), state
        y, mean, var = batch_norm(x, gamma, beta, eps=self.eps)
        return y, self.averaged("BatchNorm", state, y, mean, var)

    def averaged(self, who: str, state: Tree, y: Any, mean: Any, var: Any) -> Tree:
        """The running statistics after one more batch, of which y was made, with this mean and variance."""
        if y.size == 0:
            raise InputError(f"{who} cannot take statistics of an empty batch, got one of shape {list(y.shape)}")

        def average(running: Any, batch: Any) -> Any:
            return (self.momentum * running + (1 - self.momentum) * batch).astype(running.dtype)

        return {"mean": average(state["mean"], mean), "var": average(state["var"], var)}
