"""Parts of an array along one axis, from a start that is known only when a loop runs.

`jax.lax` counts a negative start from the end, which takes three operations for every start. Loops over blocks have
none, and their kernels are compiled faster without. (Where a stack of layers has such a loop in it, JAX computes the
starts before the stack, in a loop of its own.)
"""

import jax


def slice_at(a: jax.Array, start: int | jax.Array, size: int, axis: int = 0) -> jax.Array:
    """So many elements of an axis, from a start >= 0 on; like `jax.lax`'s, moved back where they would go beyond it.

    Example:
        >>> import jax.numpy as jnp
        >>> slice_at(jnp.arange(6), 2, 3).tolist(), slice_at(jnp.arange(6), 5, 3).tolist()
        ([2, 3, 4], [3, 4, 5])
    """
    return jax.lax.dynamic_slice_in_dim(a, start, size, axis, allow_negative_indices=False)


def put_at(a: jax.Array, part: jax.Array, start: int | jax.Array, axis: int = 0) -> jax.Array:
    """The array with a part in the place that `slice_at` would have it from.

    Example:
        >>> import jax.numpy as jnp
        >>> put_at(jnp.zeros(4), jnp.ones(2), 1).tolist()
        [0.0, 1.0, 1.0, 0.0]
    """
    return jax.lax.dynamic_update_slice_in_dim(a, part, start, axis, allow_negative_indices=False)
