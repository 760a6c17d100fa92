"""Lengths of vectors of any size: measured in a unit of their own, in which no square overflows or vanishes."""

import math

import jax
import jax.numpy as jnp
import numpy as np

TINY = float(np.finfo(np.float32).tiny)  # what is smaller, XLA takes for zero


def is_positive(number: float) -> bool:
    """Whether a number is positive and finite, in float32 and for XLA too.

    Example:
        >>> is_positive(1e-30), is_positive(1e-40), is_positive(0.0), is_positive(float("nan"))
        (True, False, False, False)
    """
    return TINY <= float(np.float32(number)) < math.inf


def unit_of(largest: jax.Array) -> jax.Array:
    """A unit for numbers up to this size: about the largest, and a number whose inverse can be written too; 1 for 0.

    XLA divides by multiplying with the inverse, and takes what is too small to be normal for zero.

    Example:
        >>> unit_of(jnp.array([4.0, 2e38, 0.0])).tolist()
        [4.0, 8.507059173023462e+37, 1.0]
    """
    tiny = float(jnp.finfo(largest.dtype).tiny)
    return jnp.clip(jnp.where(largest == 0, 1, largest), tiny, 1 / tiny)


def norm(a: jax.Array) -> jax.Array:
    """The Euclidean length of an array, infinite only if a component is, or if the length itself cannot be written.

    Example:
        >>> float(norm(jnp.array([3.0, 4.0]))), float(norm(jnp.array([2.0**127, 1.0]))) == 2.0**127
        (5.0, True)
    """
    unit = unit_of(jnp.max(jnp.abs(a), initial=0))
    return unit * jnp.sqrt(jnp.sum(jnp.square(a / unit)))
