"""Group and instance normalisation: every example is centred and scaled by itself, in groups of features.

With S positions (all axes between the first and the last, together), C features in G groups of C / G, and
m = S C / G the number of values in a group, for each group of each example by itself,

    1. mean = sum x / m
    2. var  = sum (x - mean)^2 / m
    3. r    = 1 / sqrt(var + eps)
    4. xhat = (x - mean) r
    5. y    = gamma xhat + beta              gamma, beta: one number per feature

Instance normalisation is the case of one feature per group, G = C. The backward pass is that of layer
normalisation, with a group in place of a row:

    dbeta = sum dy        dgamma = sum dy xhat        over examples and positions
    dx = r (dxhat - sum dxhat / m - xhat (sum dxhat xhat) / m)        dxhat = gamma dy, over the group

Both pairs of sums are had from the same two, sum dy and sum dy (x - mean) over the positions, which are
one number per example and feature: added up over the examples they are dbeta and (times r) dgamma, over
the features of a group, weighted by gamma, they are what dx needs. x and two numbers per group are
remembered.

Source: Wu and He, "Group normalization" (2018); Ulyanov, Vedaldi and Lempitsky, "Instance normalization:
the missing ingredient for fast stylization" (2016).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from fdl.counts import check_count, is_count
from fdl.errors import InputError
from fdl.layer import Layer, Tree
from fdl.layers.checks import check_eps, check_names, check_vectors
from fdl.layers.scale_and_shift import scale_and_shift
from fdl.layers.taps import as_rows
from fdl.rule import rule, wide


@rule(static=["groups", "eps"])
def group_norm(x: jax.Array, gamma: jax.Array, beta: jax.Array, *, groups: int, eps: float = 1e-5) -> jax.Array:
    """Normalises groups of features by their own statistics: y = gamma (x - mean) / sqrt(var + eps) + beta.

    Args:
        x: [N, ..., C]; the statistics of an example are over a group of C / groups features and all axes between.
        gamma, beta: [C].
        groups: how many groups; they are made of neighbouring features.
        eps: what keeps the root away from zero.

    Returns:
        y, of the shape and dtype of x.

    Raises:
        InputError: when groups does not divide C, and when gamma or beta is not [C].

    Remembers:
        x and gamma, which exist anyway, and two numbers per example and group.

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.array([[1.0, 3.0, 10.0, 30.0]])
        >>> group_norm(x, jnp.ones(4), jnp.zeros(4), groups=2).round(3).tolist()
        [[-1.0, 1.0, -1.0, 1.0]]
    """
    grouped = x.astype(wide(x)).reshape(x.shape[0], math.prod(x.shape[1:-1]), groups, x.shape[-1] // groups)
    mean = jnp.mean(grouped, (1, 3), keepdims=True)
    var = jnp.mean(jnp.square(grouped - mean), (1, 3), keepdims=True)
    xhat = (grouped - mean) * jax.lax.rsqrt(var + eps)
    return (xhat.reshape(x.shape) * gamma + beta).astype(x.dtype)


@group_norm.validate
def _(x, gamma, beta, *, groups, eps):
    _check_shapes("group_norm", x, groups, gamma=gamma, beta=beta)


@group_norm.forward
def _(x, gamma, beta, *, groups, eps):
    rows = _rows(x)
    mean = _group_means(jnp.mean(rows, 1), groups)
    rows, mean = jax.lax.optimization_barrier((rows, mean))
    deviation = rows - _for_features(mean, x)
    r = jax.lax.rsqrt(_group_means(jnp.mean(jnp.square(deviation), 1), groups) + eps)
    y = deviation * _for_features(r, x) * gamma + beta
    return y.reshape(x.shape).astype(x.dtype), (x, gamma, mean, r)


@group_norm.backward
def _(residuals, dy, *, groups, eps):
    x, gamma, mean, r = residuals
    dy, deviation = _rows(dy), _rows(x) - _for_features(mean, x)
    positions = dy.shape[1]
    # y = gamma xhat + beta      xhat = deviation r
    sum_dy = jnp.sum(dy, 1)
    sum_dy_deviation = jnp.sum(dy * deviation, 1)
    dbeta = jnp.sum(sum_dy, 0)
    r = r if positions else jnp.zeros_like(r)  # it is NaN where there was nothing to take statistics of
    dgamma = jnp.sum(sum_dy_deviation * _for_features(r, x)[:, 0], 0)
    from_mean = _group_means(gamma * sum_dy, groups) / positions
    from_root = _group_means(gamma * sum_dy_deviation, groups) / positions * r**2
    dx = _for_features(r, x) * (gamma * dy - _for_features(from_mean, x) - deviation * _for_features(from_root, x))
    return dx.reshape(x.shape), dgamma, dbeta


@rule(static=["eps"])
def instance_norm(x: jax.Array, gamma: jax.Array, beta: jax.Array, *, eps: float = 1e-5) -> jax.Array:
    """Normalises every feature of every example over its positions: y = gamma (x - mean) / sqrt(var + eps) + beta.

    Args:
        x: [N, ..., C]; the statistics are over all axes between the first and the last.
        gamma, beta: [C].
        eps: what keeps the root away from zero.

    Returns:
        y, of the shape and dtype of x.

    Raises:
        InputError: when gamma or beta is not [C].

    Remembers:
        x and gamma, which exist anyway, and two numbers per example and feature.

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.array([[[1.0, 10.0], [3.0, 30.0]]])
        >>> instance_norm(x, jnp.ones(2), jnp.zeros(2)).round(3).tolist()
        [[[-1.0, -1.0], [1.0, 1.0]]]
    """
    return group_norm.reference(x, gamma, beta, groups=x.shape[-1], eps=eps)


@instance_norm.validate
def _(x, gamma, beta, *, eps):
    _check_shapes("instance_norm", x, jnp.shape(x)[-1] if jnp.shape(x) else 1, gamma=gamma, beta=beta)


@instance_norm.forward
def _(x, gamma, beta, *, eps):
    return group_norm.part("forward")(x, gamma, beta, groups=x.shape[-1], eps=eps)


@instance_norm.backward
def _(residuals, dy, *, eps):
    return group_norm.part("backward")(residuals, dy, groups=dy.shape[-1], eps=eps)


def _rows(x):
    """All positions as one axis, in the dtype of sums: [N, S, C]."""
    return as_rows(x).astype(wide(x))


def _group_means(values, groups):
    """From one number per feature, [N, C], their means in each group, [N, G]."""
    n, features = values.shape
    return jnp.mean(values.reshape(n, groups, features // groups), 2)


def _for_features(values, x):
    """From one number per group, [N, G], the same for each of its features: [N, 1, C]."""
    n, groups = values.shape
    return jnp.repeat(values, x.shape[-1] // groups, axis=1).reshape(n, 1, x.shape[-1])


def _check_shapes(who, x, groups, **vectors):
    shape = jnp.shape(x)
    if len(shape) < 2 or not shape[-1]:
        raise InputError(f"{who} expects x of shape [N, ..., C] with at least one feature, got {list(shape)}")
    if not is_count(groups) or shape[-1] % groups:
        raise InputError(
            f"{who} needs a number of groups that divides the {shape[-1]} features of x {list(shape)}, got {groups}"
        )
    check_vectors(who, x, **vectors)


class GroupNorm(Layer):
    """The layer of `group_norm`, with parameters ``gamma`` and ``beta``; training and inference are the same.

    Args:
        groups: how many groups of features; it must divide their number.
        eps: what keeps the root away from zero.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = GroupNorm(2), jnp.array([[1.0, 3.0, 10.0, 30.0]])
        >>> params, state = layer.init(jax.random.key(0), x)
        >>> layer.apply(params, state, x)[0].round(3).tolist()
        [[-1.0, 1.0, -1.0, 1.0]]
    """

    groups: int
    eps: float = 1e-5

    def __post_init__(self) -> None:
        check_count("GroupNorm", "groups", self.groups)
        check_eps("GroupNorm", self.eps)

    def init(self, key: Any, x: Any) -> tuple[Tree, Tree]:
        return scale_and_shift(x), {}

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        check_names(self, params, "gamma", "beta")
        return group_norm(x, params["gamma"], params["beta"], groups=self.groups, eps=self.eps), state


class InstanceNorm(Layer):
    """The layer of `instance_norm`, with parameters ``gamma`` and ``beta``; training and inference are the same.

    Args:
        eps: what keeps the root away from zero.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = InstanceNorm(), jnp.array([[[1.0], [3.0]]])
        >>> params, state = layer.init(jax.random.key(0), x)
        >>> layer.apply(params, state, x)[0].round(3).tolist()
        [[[-1.0], [1.0]]]
    """

    eps: float = 1e-5

    def __post_init__(self) -> None:
        check_eps("InstanceNorm", self.eps)

    def init(self, key: Any, x: Any) -> tuple[Tree, Tree]:
        return scale_and_shift(x), {}

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        check_names(self, params, "gamma", "beta")
        return instance_norm(x, params["gamma"], params["beta"], eps=self.eps), state
