"""Random keys as arguments."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.errors import InputError


def check_key(who: str, key: Any) -> None:
    """Refuses what is not one JAX random key: seeds, other arrays, and several keys at once.

    Raises:
        InputError: with what came instead.

    Example:
        >>> check_key("dropout", 0)
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: dropout expects a JAX random key, such as jax.random.key(0), got 0
        >>> check_key("dropout", jax.random.split(jax.random.key(0), 8))
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: dropout expects one JAX random key, got 8 of them: jax.vmap gives each call its own
    """
    if not isinstance(key, jax.Array | np.ndarray | jax.ShapeDtypeStruct):
        raise InputError(f"{who} expects a JAX random key, such as jax.random.key(0), got {key!r}")
    is_typed, axes = jnp.issubdtype(key.dtype, jax.dtypes.prng_key), len(key.shape)
    if not is_typed and (key.dtype != jnp.uint32 or axes == 0):
        raise InputError(
            f"{who} expects a JAX random key, such as jax.random.key(0), got {key.dtype} of shape {list(key.shape)}"
        )
    if axes > (0 if is_typed else 1):
        raise InputError(
            f"{who} expects one JAX random key, got {key.shape[0]} of them: jax.vmap gives each call its own"
        )


def split_key(who: str, key: Any, number: int = 2) -> jax.Array:
    """So many keys made of one, by `jax.random.split`, if it is one.

    Raises:
        InputError: as `check_key` does.

    Example:
        >>> split_key("Affine", jax.random.key(0)).shape
        (2,)
    """
    check_key(who, key)
    return jax.random.split(key, number)
