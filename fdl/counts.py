"""Whole numbers as arguments: how many features, steps, heads or pixels.

NumPy's are as good as Python's, since sizes are often computed with it; True and False are none.
"""

from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np

from fdl.errors import InputError


def is_count(value: Any, least: int = 1) -> TypeGuard[int]:
    """Whether something is a whole number of at least so many.

    Example:
        >>> is_count(3), is_count(np.int64(3)), is_count(0), is_count(3.0), is_count(True)
        (True, True, False, False, False)
    """
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= least)


def check_count(who: str, name: str, value: Any, least: int = 1, most: int | None = None, of: str = "") -> None:
    """Refuses what is not a whole number of at least so many, and of at most so many where there is a most.

    Args:
        who: the function that complains.
        name, value: of its argument.
        least, most: the range, with both ends.
        of: what there is ``most`` of, such as "the number of examples".

    Raises:
        InputError: with the name of the argument.

    Example:
        >>> check_count("Affine", "features", 0)
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: Affine needs features as a whole number of at least 1, got 0
    """
    if not is_count(value, least) or (most is not None and value > most):
        to = f"of at least {least}" if most is None else f"from {least} to {most}, {of}"
        raise InputError(f"{who} needs {name} as a whole number {to}, got {value!r}")


def for_each_axis(who: str, name: str, value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    """A number for each spatial axis, where one stands for all.

    Raises:
        InputError: for another number of them, and for what is not a whole number of at least one.

    Example:
        >>> for_each_axis("max_pool", "stride", 2, axes=3), for_each_axis("max_pool", "stride", (2, 1), axes=2)
        ((2, 2, 2), (2, 1))
    """
    values = tuple(value) if isinstance(value, Sequence) else (value,) * axes
    if len(values) != axes or not all(map(is_count, values)):
        raise InputError(f"{who} needs a {name} of at least 1 for each of {axes} spatial axes, got {value!r}")
    return tuple(map(int, values))
