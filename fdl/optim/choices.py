"""Choices: what the full-batch methods can be told, and what they say when it is not among that."""

from collections.abc import Mapping
from typing import Any, TypeVar

from fdl.errors import InputError

T = TypeVar("T")


def chosen(who: str, what: str, choice: Any, known: Mapping[str, T], kind: type[T]) -> T:
    """The choice itself, or what a string names.

    Raises:
        InputError: for another string, with the known ones, and for what is no ``kind``.

    Example:
        >>> chosen("square", "a power", "three", {"two": 2}, int)
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: square expects a power, "two" or a value of that kind, got 'three'
    """
    if isinstance(choice, kind):
        return choice
    if isinstance(choice, str) and choice in known:
        return known[choice]
    names = ", ".join(f'"{name}"' for name in known)
    hint = f": call it, {choice.__name__}()" if isinstance(choice, type) and issubclass(choice, kind) else ""
    raise InputError(f"{who} expects {what}, {names} or a value of that kind, got {choice!r}{hint}")


def check_between(who: str, low: float, high: float, **numbers: Any) -> None:
    """Refuses numbers that are not strictly between two others; NaN is not.

    Raises:
        InputError: with the name of the number and its value.

    Example:
        >>> check_between("backtracking", 0, 1, shrink=2.0)
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: backtracking needs shrink in (0, 1), got 2.0
    """
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not low < number < high:
            raise InputError(f"{who} needs {name} in ({low}, {high}), got {number!r}")
