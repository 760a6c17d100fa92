"""Checks of arguments that the kinds of attention share."""

from typing import Any

import jax.numpy as jnp

from fdl.errors import InputError
from fdl.layers.checks import check_floats


def check_sequences(who: str, axes: str, **arrays: Any) -> None:
    """Refuses arrays that are no floats, or have not the axes that are named, as in "[N, T, dim]".

    Raises:
        InputError: with the name of the array and its shape.

    Example:
        >>> check_sequences("attention", "[N, T, heads, dim]", q=jnp.ones((2, 3)))
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: attention expects q of shape [N, T, heads, dim], got [2, 3]
    """
    for name, array in arrays.items():
        check_floats(who, array)
        if jnp.ndim(array) != axes.count(",") + 1:
            raise InputError(f"{who} expects {name} of shape {axes}, got {list(jnp.shape(array))}")


def check_mask(who: str, mask: Any, axes: str, shape: tuple[int, ...]) -> None:
    """Refuses a mask that is not boolean or does not broadcast to the shape of the scores.

    Raises:
        InputError: with both shapes.

    Example:
        >>> check_mask("attention", jnp.ones((3, 4)), "[N, heads, Tq, Tk]", (2, 1, 3, 4))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: attention expects mask as booleans, True where a query attends to a key, got float32...
    """
    if mask is None:
        return
    if jnp.result_type(mask) != jnp.bool_:
        raise InputError(
            f"{who} expects mask as booleans, True where a query attends to a key, got {jnp.result_type(mask)}: "
            "what is added to the scores is a bias"
        )
    check_broadcasts(who, axes, shape, mask=mask)


def check_broadcasts(who: str, axes: str, shape: tuple[int, ...], **array: Any) -> None:
    """Refuses an array that does not broadcast to the shape of the scores, or makes it larger.

    Raises:
        InputError: with both shapes.

    Example:
        >>> check_broadcasts("attention", "[N, heads, Tq, Tk]", (2, 1, 3, 4), bias=jnp.ones(3))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: attention expects bias of a shape that broadcasts to [N, heads, Tq, Tk], here [2, 1, ...
    """
    ((name, own),) = ((name, jnp.shape(value)) for name, value in array.items())
    sizes = zip(own[::-1], shape[::-1], strict=False)
    if len(own) > len(shape) or any(size not in (1, full) for size, full in sizes):
        raise InputError(
            f"{who} expects {name} of a shape that broadcasts to {axes}, here {list(shape)}, got {list(own)}"
        )
