"""Integers as arguments: ids that name a class, a row or a node, and lengths that count steps.

Whether they are in their range can be seen only where they are concrete, outside jit. There a wrong one is refused, by
name; inside jit, `slots` sends all that do not exist to one place behind the others, so that none is taken for
another, as a negative index in NumPy is.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.concrete import is_concrete
from fdl.errors import InputError


def slots(ids: Any, classes: int) -> jax.Array:
    """The ids as int32, with ``classes`` in the place of all that are outside [0, classes), whatever their type.

    Example:
        >>> slots(jnp.array([3, -1, 7, 100], jnp.int8), 7).tolist(), slots(jnp.array([200], jnp.uint8), 300).tolist()
        ([3, 7, 7, 7], [200])
    """
    ids = jnp.asarray(ids)
    largest = min(classes, jnp.iinfo(ids.dtype).max)  # a narrow type may not have room for the number of classes
    return jnp.where(ids < 0, classes, jnp.minimum(ids, largest).astype(jnp.int32))


def first_outside(integers: Any, end: int, where: Any = None) -> int | None:
    """The first integer outside [0, end) among those that ``where`` keeps; None if all are inside, or cannot be seen.

    Example:
        >>> first_outside(np.array([1, 5, -1]), 5), first_outside(np.array([1, 5]), 5, where=np.array([True, False]))
        (5, None)
    """
    if not is_concrete(integers, where):
        return None
    seen = np.asarray(integers)
    outside = seen[((seen < 0) | (seen >= end)) & (True if where is None else np.asarray(where))]
    return int(outside.flat[0]) if outside.size else None


def check_ids(who: str, ids: Any, classes: int, where: Any = None) -> None:
    """Refuses what is no id: other types than integers, and integers outside [0, classes) where they can be seen.

    Those that ``where`` masks may be any.

    Raises:
        InputError: with the first id that does not exist.

    Example:
        >>> check_ids("embedding", jnp.array([0, 12]), 10)
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: embedding expects ids in [0, 10), got 12: ids start at 0
    """
    if not jnp.issubdtype(jnp.result_type(ids), jnp.integer):
        raise InputError(f"{who} expects ids as integers, got {jnp.result_type(ids)}")
    if (outside := first_outside(ids, classes, where)) is not None:
        raise InputError(f"{who} expects ids in [0, {classes}), got {outside}: ids start at 0")


def check_lengths(who: str, lengths: Any, examples: int, most: int, of: str) -> None:
    """Refuses lengths that are not one integer for each example, or, where they can be seen, not in [0, most].

    Args:
        who: the rule that complains.
        lengths: what is checked; None stands for no lengths, and is fine.
        examples, most: N, and the length that none may exceed.
        of: what is counted, such as "steps".

    Raises:
        InputError: with what was expected, and what came.

    Example:
        >>> check_lengths("attention", jnp.array([2, 5]), 2, 4, "keys")
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: attention expects lengths in [0, 4], the number of keys, got 5
    """
    if lengths is None:
        return
    if jnp.shape(lengths) != (examples,) or not jnp.issubdtype(jnp.result_type(lengths), jnp.integer):
        raise InputError(
            f"{who} expects lengths as integers of shape [{examples}], how many {of} each example has, "
            f"got {jnp.result_type(lengths)} of shape {list(jnp.shape(lengths))}"
        )
    if (outside := first_outside(lengths, most + 1)) is not None:
        raise InputError(f"{who} expects lengths in [0, {most}], the number of {of}, got {outside}")
