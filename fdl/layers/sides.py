"""The two sides of zero, with slopes at zero itself that add up to one: 1 on the left, 0 on the right.

    left(x) = min(x, 0)          right(x) = max(x, 0)          x = left(x) + right(x)          -|x| = left(x) - right(x)

JAX halves the slope of a minimum at a tie. What a forward part computes is differentiated again by a second derivative,
which would then not be that of the reference, whose branches take zero to one side.
"""

import jax
import jax.numpy as jnp


@jax.custom_jvp
def left(x: jax.Array) -> jax.Array:
    """min(x, 0), which is -0 on the right.

    Example:
        >>> left(jnp.array([-2.0, 3.0])).tolist(), float(jax.grad(left)(0.0))
        ([-2.0, -0.0], 1.0)
    """
    # XLA shares equal constants between loops, and a sum that shares its zero needs an array of them on CPU.
    return jnp.minimum(x, -0.0)


@left.defjvp
def _(primals, tangents):
    (x,), (dx,) = primals, tangents
    return left(x), jnp.where(x > 0, 0, dx)


@jax.custom_jvp
def right(x: jax.Array) -> jax.Array:
    """max(x, 0).

    Example:
        >>> right(jnp.array([-2.0, 3.0])).tolist(), float(jax.grad(right)(0.0))
        ([0.0, 3.0], 0.0)
    """
    return jnp.maximum(x, 0)


@right.defjvp
def _(primals, tangents):
    (x,), (dx,) = primals, tangents
    return right(x), jnp.where(x > 0, dx, 0)
