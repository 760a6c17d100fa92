"""Initializers that do not look at the size of a layer: constants and plain distributions."""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from fdl.initializers.initializer import Shape, initializer


@initializer
def zeros(key: jax.Array, shape: Shape, dtype: DTypeLike) -> jax.Array:
    """All zero: for biases. Weights that start equal stay equal, so it is not for those.

    Example:
        >>> import jax
        >>> zeros()(jax.random.key(0), (3,)).tolist()
        [0.0, 0.0, 0.0]
    """
    return jnp.zeros(shape, dtype)


@initializer
def ones(key: jax.Array, shape: Shape, dtype: DTypeLike) -> jax.Array:
    """All one: for the scales of normalisation layers.

    Example:
        >>> import jax
        >>> ones()(jax.random.key(0), (3,)).tolist()
        [1.0, 1.0, 1.0]
    """
    return jnp.ones(shape, dtype)


@initializer
def constant(key: jax.Array, shape: Shape, dtype: DTypeLike, *, value: float) -> jax.Array:
    """All ``value``: for biases that start away from zero, such as those of an LSTM's forget gates.

    Example:
        >>> import jax
        >>> constant(0.5)(jax.random.key(0), (3,)).tolist()
        [0.5, 0.5, 0.5]
    """
    return jnp.full(shape, value, dtype)


@initializer
def normal(key: jax.Array, shape: Shape, dtype: DTypeLike, *, stddev: float = 0.01) -> jax.Array:
    """Independent draws from N(0, stddev^2).

    Example:
        >>> import jax
        >>> round(float(normal(0.3)(jax.random.key(0), (100, 100)).std()), 2)
        0.3
    """
    return stddev * jax.random.normal(key, shape, dtype)


@initializer
def uniform(key: jax.Array, shape: Shape, dtype: DTypeLike, *, scale: float = 0.01) -> jax.Array:
    """Independent draws from U(-scale, scale), whose variance is scale^2 / 3.

    Example:
        >>> import jax
        >>> round(float(abs(uniform(0.3)(jax.random.key(0), (100, 100))).max()), 2)
        0.3
    """
    return jax.random.uniform(key, shape, dtype, -scale, scale)


@initializer
def truncated_normal(key: jax.Array, shape: Shape, dtype: DTypeLike, *, stddev: float = 0.01) -> jax.Array:
    """Independent draws from N(0, stddev^2), drawn again until they are within two standard deviations.

    ``stddev`` is that of the normal before it is truncated, as in most libraries; what is drawn has
    0.88 stddev. `he_truncated_normal` and its like make up for that.

    Example:
        >>> import jax
        >>> w = truncated_normal(0.5)(jax.random.key(0), (100, 100))
        >>> bool(abs(w).max() <= 1), round(float(w.std()), 2)
        (True, 0.44)
    """
    return stddev * jax.random.truncated_normal(key, -2, 2, shape, dtype)
