"""JAX's settings that refuse to broadcast and to promote (`jax_numpy_rank_promotion`, `jax_numpy_dtype_promotion`)."""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp


@contextlib.contextmanager
def mixing() -> Iterator[None]:
    """Lets the parts of rules broadcast, and mix float32 with narrower floats, whatever JAX is set to refuse elsewhere.

    They do both on purpose. What JAX's settings against it say of the arguments of a rule is told by its own checks of
    shapes, and by `check_one_dtype`. Where JAX refuses nothing, nothing is set: it would trace its own functions anew.
    """
    config: Any = jax.config
    if (config.jax_numpy_rank_promotion, config.jax_numpy_dtype_promotion) == ("allow", "standard"):
        yield
    else:
        with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            yield


def check_one_dtype(arrays: tuple[Any, ...]) -> None:
    """Raises JAX's own error where it is set to promote nothing, and the arguments are floats of several dtypes."""
    config: Any = jax.config
    if config.jax_numpy_dtype_promotion != "strict":
        return
    floats = [a for a in arrays if isinstance(a, jax.Array) and jnp.issubdtype(a.dtype, jnp.floating)]
    if floats:
        jnp.result_type(*floats)
