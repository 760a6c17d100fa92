"""Spaces: which values a search may try of each hyperparameter, and on what scale.

    space = {"learning_rate": LogUniform(1e-5, 1e-1), "width": LogIntegers(32, 512), "norm": Choice("batch", "layer")}

A space is a dict of ranges and choices by name, and a configuration a dict of one value of each. What multiplies, such
as a learning rate or a penalty, is searched on the scale of its logarithm: from 1e-5 to 1e-1, nine tenths of all
uniform values would lie above 1e-2.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from fdl.errors import InputError

Config = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Range:
    """All values from low to high; its kinds differ in their scale, and in whether values are whole numbers.

    Raises:
        InputError: for ends that are not finite or not in order, for ends of a logarithmic range that are not positive,
            and for ends of `Integers` that are not whole.
    """

    low: float
    high: float
    is_log: ClassVar[bool] = False
    is_whole: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", own(self.low))
        object.__setattr__(self, "high", own(self.high))
        who, ends = type(self).__name__, (self.low, self.high)
        if not all(_is_number(end) and math.isfinite(end) for end in ends) or not self.low < self.high:
            raise InputError(f"{who} needs two finite numbers, the lower one first, got {self.low!r} and {self.high!r}")
        if self.is_log and self.low <= 0:
            raise InputError(f"{who} has a logarithmic scale, on which all numbers are positive; got {self.low!r}")
        if self.is_whole and not all(isinstance(end, int) for end in ends):
            raise InputError(f"{who} needs whole numbers, got {self.low!r} and {self.high!r}")

    def place(self, value: Any) -> float:
        """Where a value is on the scale: 0 at the low end, 1 at the high one.

        Raises:
            InputError: for what is not in the range.

        Example:
            >>> LogUniform(1e-4, 1e-2).place(1e-3), Uniform(0, 10).place(4)
            (0.5, 0.4)
        """
        if not _is_number(value) or not self.low <= value <= self.high:
            raise InputError(f"{value!r} is not in {self!r}")
        low, high, here = map(self._scaled, (self.low, self.high, value))
        return (here - low) / (high - low)

    def at(self, place: float) -> Any:
        """The value at a place: what `place` is the inverse of, up to rounding.

        Example:
            >>> LogIntegers(1, 100).at(0.5)
            10
        """
        return self._between(self.low, self.high, place)

    def draw(self, share: float) -> Any:
        """The value below which this share of the range lies; of whole numbers, each has an equal stretch."""
        margin = 0.5 if self.is_whole else 0.0
        return self._between(self.low - margin, self.high + margin, share)

    def points(self, count: int) -> list[Any]:
        """Evenly spaced values from end to end; of whole numbers fewer, where there are no more."""
        return list(dict.fromkeys(self.at(place) for place in np.linspace(0, 1, count)))

    def around(self, values: Iterable[Any], tried: Iterable[Any]) -> "Range":
        """The part that holds some of the values that were tried, up to the nearest others on either side."""
        values, tried = list(values), list(tried)
        below = [value for value in tried if value < min(values)]
        above = [value for value in tried if value > max(values)]
        return type(self)(max(below, default=self.low), min(above, default=self.high))

    def side(self, value: Any, share: float) -> str | None:
        """Whether a value is so close to the "lower" or the "upper" end."""
        place = self.place(value)
        return "lower" if place <= share else "upper" if place >= 1 - share else None

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.is_log else float(value)

    def _between(self, low: float, high: float, place: float) -> Any:
        here = (1 - place) * self._scaled(low) + place * self._scaled(high)
        value = math.exp(here) if self.is_log else here
        return min(max(round(value) if self.is_whole else float(value), self.low), self.high)


class Uniform(Range):
    """Numbers from low to high, all alike: for what adds, such as a momentum or a rate of dropout.

    Example:
        >>> Uniform(0.5, 0.9).points(3)
        [0.5, 0.7, 0.9]
    """


class LogUniform(Range):
    """Numbers from low to high on a logarithmic scale: for what multiplies, such as a learning rate or a penalty.

    Example:
        >>> [round(value, 6) for value in LogUniform(1e-4, 1e-2).points(3)]
        [0.0001, 0.001, 0.01]
    """

    is_log = True


class Integers(Range):
    """Whole numbers from low to high, both included.

    Example:
        >>> Integers(1, 4).points(10)
        [1, 2, 3, 4]
    """

    is_whole = True


class LogIntegers(Range):
    """Whole numbers from low to high on a logarithmic scale: for widths and other sizes.

    Example:
        >>> LogIntegers(16, 256).points(5)
        [16, 32, 64, 128, 256]
    """

    is_log = is_whole = True


class Choice:
    """One of several options: numbers, strings, True, False or None, which a file can keep.

    What is chosen is named, and looked up where it is used: ``{"adam": adam, "lion": lion}[config["optimizer"]]``.

    Raises:
        InputError: for no options, for one that is given twice, and for anything else than these.

    Example:
        >>> Choice("adam", "lion", "muon").points(2)
        ['adam', 'lion', 'muon']
    """

    def __init__(self, *options: Any):
        options = tuple(map(own, options))
        odd = [option for option in options if not (option is None or isinstance(option, str | bool | int | float))]
        if odd:
            raise InputError(
                f"the options of a Choice are numbers, strings, True, False or None, got {odd[0]!r}: give it a name, "
                'and look it up by config["..."] where it is used'
            )
        if not options or len(set(map(repr, options))) < len(options):
            raise InputError(f"a Choice needs at least one option, each once, got {options}")
        self.options = options

    def __repr__(self) -> str:
        return f"Choice({', '.join(map(repr, self.options))})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Choice) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def place(self, value: Any) -> float:
        """Where an option is in their order, from 0 to 1."""
        value = own(value)
        for i, option in enumerate(self.options):
            if type(option) is type(value) and option == value:
                return i / (len(self.options) - 1) if len(self.options) > 1 else 0.5
        raise InputError(f"{value!r} is not in {self!r}")

    def draw(self, share: float) -> Any:
        """An option; each has an equal stretch."""
        return self.options[min(int(share * len(self.options)), len(self.options) - 1)]

    def points(self, count: int) -> list[Any]:
        """All options, whatever the count."""
        return list(self.options)

    def around(self, values: Iterable[Any], tried: Iterable[Any]) -> "Choice":
        """A choice between those options alone."""
        kept = set(map(repr, values))
        return Choice(*(option for option in self.options if repr(option) in kept))

    def side(self, value: Any, share: float) -> str | None:
        """Whether a number is the "lower" or the "upper" end of three or more; other options have no order."""
        if len(self.options) < 3 or not all(map(_is_number, self.options)):
            return None
        return "lower" if value == min(self.options) else "upper" if value == max(self.options) else None


Space = Mapping[str, Range | Choice]


def check_space(space: Space) -> None:
    """Refuses what is not a dict of ranges and choices.

    Example:
        >>> check_space({"learning_rate": 0.1})
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: a space has a range or a choice for each name, but 0.1 for "learning_rate": \
write Choice(0.1) for what is fixed
    """
    if not isinstance(space, Mapping) or not space:
        raise InputError(f"a space is a dict of ranges and choices by name, got {space!r}")
    for name, values in space.items():
        if not isinstance(values, Range | Choice):
            raise InputError(
                f'a space has a range or a choice for each name, but {values!r} for "{name}": write {_meant(values)}'
            )


def _meant(values: Any) -> str:
    """What somebody may have meant who gave something else than a range or a choice."""
    if not isinstance(values, list | tuple):
        return f"Choice({values!r}) for what is fixed"
    options = ", ".join(map(repr, values))
    if len(values) == 2 and all(map(_is_number, values)):
        return f"Uniform({options}) or LogUniform({options}) for what lies between, Choice({options}) for one of them"
    return f"Choice({options}) for one of them"


def own(value: Any) -> Any:
    """Python's own number in the place of NumPy's, as a file gives it back: an interrupted search then knows it again.

    Example:
        >>> own(np.float64(0.1)), own(np.int64(64)), own("adam")
        (0.1, 64, 'adam')
    """
    return value.item() if isinstance(value, np.generic) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
