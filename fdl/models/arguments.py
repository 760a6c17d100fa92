"""Checks of arguments that several models share."""

from collections.abc import Sequence

import numpy as np

from fdl.counts import check_count
from fdl.errors import InputError


def check_heads(who: str, features: int, heads: int) -> None:
    """Refuses a number of heads that does not divide the features, and what is no number of either.

    Raises:
        InputError: with the numbers.

    Example:
        >>> check_heads("gpt", 100, 8)
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: gpt divides its features among its heads, got 100 features and 8 heads
    """
    check_count(who, "features", features)
    check_count(who, "heads", heads)
    if features % heads:
        raise InputError(f"{who} divides its features among its heads, got {features} features and {heads} heads")


def check_shape(who: str, shape: Sequence[int]) -> None:
    """Refuses what is not the shape of an example.

    Raises:
        InputError: for a shape without axes, and for axes of no length.

    Example:
        >>> check_shape("vae", ())
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: vae needs the shape of one example, such as (28, 28, 1), got ()
    """
    if np.ndim(shape) == 0 or not shape or min(shape) < 1:
        got = tuple(shape) if np.ndim(shape) else f"{shape}: for one axis, ({shape},)"
        raise InputError(f"{who} needs the shape of one example, such as (28, 28, 1), got {got}")


def check_widths(who: str, widths: Sequence[int]) -> None:
    """Refuses a number in the place of one for each hidden layer.

    Raises:
        InputError: with what is meant.

    Example:
        >>> check_widths("vae", 500)
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: vae takes the sizes of all hidden layers: for one, (500,)
    """
    if np.ndim(widths) == 0:
        raise InputError(f"{who} takes the sizes of all hidden layers: for one, ({widths},)")
