"""What the losses have in common: labels, masks, and the refusal of what does not fit."""

from typing import Any

import jax
import jax.numpy as jnp

from fdl.errors import InputError
from fdl.ids import first_outside
from fdl.rule import wide


def are_ids(labels: Any) -> bool:
    """Whether labels count as class ids: integers, and booleans, which are refused as ids later."""
    kind = jnp.result_type(labels)
    return jnp.issubdtype(kind, jnp.integer) or kind == jnp.bool_


def without_masked(where: jax.Array | None, *arrays: jax.Array) -> tuple[jax.Array, ...]:
    """The arrays with zero where they are masked, so that no NaN of it survives a product with zero.

    Class ids of 8 and 16 bits come out in 32, where they can be compared with any number of classes.
    """
    arrays = tuple(a.astype(jnp.int32) if are_ids(a) and a.dtype.itemsize < 4 else a for a in arrays)
    if where is None:
        return arrays
    return tuple(jnp.where(where.reshape(where.shape + (1,) * (a.ndim - where.ndim)), a, 0) for a in arrays)


def widened(where: jax.Array | None, *arrays: jax.Array) -> tuple[jax.Array, ...]:
    """The arrays in the dtype that they are summed in, with zero where they are masked."""
    dtype = wide(*arrays)
    return without_masked(where, *(a.astype(dtype) for a in arrays))


def peak_and_total(z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What softmax and lse = peak + log total are made of: the largest of each row, and its sum of exp(z - peak)."""
    peak = jax.lax.stop_gradient(z.max(-1))  # on which neither depends
    return peak, jnp.exp(z - peak[..., None]).sum(-1)


def unmasked(values: jax.Array, where: jax.Array | None) -> jax.Array:
    """The values, with 0 where they are masked, even if they are NaN: the mean of no elements gives such gradients."""
    return values if where is None else jnp.where(where, values, 0)


def valid(values: jax.Array, labels: jax.Array, where: jax.Array | None, classes: int) -> jax.Array:
    """The values, one per example, with 0 where it is masked, and NaN where its class id does not exist."""
    if are_ids(labels):
        values = values * jnp.where((labels >= 0) & (labels < classes), jnp.ones_like(values), jnp.nan)
    return unmasked(values, where)


def check_alike(who: str, **arrays: Any) -> None:
    """Refuses arrays that are no floats, or not of the shape of the first of them."""
    (first, model), *_ = arrays.items()
    for name, array in arrays.items():
        if jnp.shape(array) != jnp.shape(model):
            raise InputError(
                f"{who} expects {name} of the shape {list(jnp.shape(model))} of {first}, "
                f"got {list(jnp.shape(array))}: nothing is broadcast here, since that is mostly a mistake"
            )
        if not jnp.issubdtype(jnp.result_type(array), jnp.floating):
            raise InputError(f"{who} expects {name} as floats, got {jnp.result_type(array)}: cast it with astype")


def check_where(who: str, where: Any, shape: tuple[int, ...]) -> None:
    """Refuses a mask that is not boolean or not of this shape."""
    if where is not None and (jnp.shape(where) != shape or jnp.result_type(where) != jnp.bool_):
        raise InputError(
            f"{who} expects where as booleans of shape {list(shape)}, "
            f"got {jnp.result_type(where)} of shape {list(jnp.shape(where))}"
        )


def check_smoothing(who: str, label_smoothing: float) -> None:
    """Refuses label smoothing outside [0, 1)."""
    if not 0 <= label_smoothing < 1:
        raise InputError(f"{who} needs label_smoothing in [0, 1), got {label_smoothing}")


def check_labels(who: str, ids: Any, shape: tuple[int, ...], of: str) -> None:
    """Refuses what is no array of integers of this shape; ``of`` says what they label."""
    if jnp.shape(ids) != shape or not jnp.issubdtype(jnp.result_type(ids), jnp.integer):
        raise InputError(
            f"{who} of {of} expects labels as class ids, integers of shape {list(shape)}, "
            f"got {jnp.result_type(ids)} of shape {list(jnp.shape(ids))}"
        )


def check_range(who: str, ids: Any, where: Any, classes: int) -> None:
    """Refuses class ids outside [0, classes) that are not masked, where they can be seen: outside jit."""
    if (outside := first_outside(ids, classes, where)) is not None:
        raise InputError(
            f"{who} expects class ids in [0, {classes}), the number of classes, "
            f"got {outside}: ids start at 0, and padding is masked with where="
        )
