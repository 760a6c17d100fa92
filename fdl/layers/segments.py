"""Segments: which rows belong together, and what is the same for everything that collects by segments.

An index says for each of E entries to which of ``size`` segments it belongs, and ``where``, if it is given, which
entries take part. An entry that does not is sent to a place of its own behind the last segment, which is never read.
"""

from typing import Any

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.ids import check_ids, slots
from fdl.layers.checks import check_floats


def places(index: Any, size: int, where: Any = None) -> jax.Array:
    """The segment of each entry, with ``size`` for one that takes no part, or that belongs to none.

    Example:
        >>> places(jnp.array([2, 0, 1, 9]), 3, jnp.array([True, True, False, True])).tolist()
        [2, 0, 3, 3]
    """
    place = slots(index, size)
    return place if where is None else jnp.where(where, place, size)


def nothing(value: float, index: Any, size: int, where: Any = None) -> jax.Array:
    """What is in a segment before any entry: the value, but NaN when an entry that takes part belongs to no segment.

    Example:
        >>> float(nothing(0, jnp.array([2, 0]), 3)), float(nothing(0, jnp.array([3, 0]), 3))
        (0.0, nan)
    """
    is_lost = slots(index, size) == size
    return jnp.where(jnp.any(is_lost, where=where), jnp.nan, value)


def picked(segments: jax.Array, place: jax.Array, otherwise: float = 0) -> jax.Array:
    """The row of its segment for each entry, and 0, or what is said, for one that has none.

    Example:
        >>> picked(jnp.array([1.0, 2.0]), jnp.array([1, 0, 2])).tolist()
        [2.0, 1.0, 0.0]
    """
    return jnp.take(segments, place, axis=0, mode="fill", fill_value=otherwise)


def along_rows(vector: jax.Array, rows: jax.Array) -> jax.Array:
    """A vector with one number for each row, in a shape in which they meet.

    Example:
        >>> along_rows(jnp.ones(3), jnp.ones((3, 2, 5))).shape
        (3, 1, 1)
    """
    return jnp.expand_dims(vector, tuple(range(1, rows.ndim)))


def check_segments(who: str, values: jax.Array, index: jax.Array, size: int, where: jax.Array | None) -> None:
    """Refuses what cannot be collected by segments.

    Raises:
        InputError: for values that are no floats, an index or ``where`` that is not one integer or boolean for
            each of them, a size that is no count, and an index outside [0, size) of an entry that takes part.

    Example:
        >>> check_segments("scatter_sum", jnp.ones((3, 2)), jnp.array([0, 1, 4]), 4, None)
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: scatter_sum expects ids in [0, 4), got 4: ids start at 0
    """
    check_floats(who, values)
    check_count(who, "size", size, least=0)
    entries = jnp.shape(values)[:1]
    for name, vector in (("index", index), ("where", where)):
        if vector is not None and (jnp.shape(vector) != entries or not entries):
            raise InputError(
                f"{who} expects values [E, ...] and {name} of shape [E], got {list(jnp.shape(values))} "
                f"and {list(jnp.shape(vector))}"
            )
    if where is not None and not jnp.issubdtype(jnp.result_type(where), jnp.bool_):
        raise InputError(f"{who} expects where as booleans, got {jnp.result_type(where)}")
    check_ids(who, index, size, where)
