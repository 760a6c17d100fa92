"""Whether the values of arrays can be looked at, for checks that refuse what is wrong with them."""

from typing import Any

import jax


def is_concrete(*arrays: Any) -> bool:
    """Whether the values of all of these are here.

    Inside jit an array has none. Where several processes share one, each has its part of it alone, and no process may
    wait for the others in a check that they may not come to.

    Example:
        >>> import jax.numpy as jnp
        >>> is_concrete(jnp.ones(3), None), bool(jax.jit(lambda a: is_concrete(a))(jnp.ones(3)))
        (True, False)
    """
    return all(map(_is_here, arrays))


def _is_here(array: Any) -> bool:
    if isinstance(array, jax.core.Tracer):
        return False
    return not isinstance(array, jax.Array) or array.is_fully_addressable or array.is_fully_replicated
