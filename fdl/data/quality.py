"""A look at the data before it is trained on: ranges, class balance, examples that are there twice.

What is looked for is what spoils results without a word: pixels from 0 to 255 where the network expects about one, a
part that was scaled in another way, NaN, a class that a part does not have, test examples that were trained on.
"""

import dataclasses
import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.columns import aligned
from fdl.data.arrays import blocks, count
from fdl.errors import InputError
from fdl.paths import path_of

LARGE = 10.0  # standard deviations above this make for a first layer that saturates or explodes
OTHER_SCALE = 2.0  # standard deviations that differ by more than this factor are another scaling, not chance
UNBALANCED = 10.0  # the largest class over the smallest


@dataclasses.dataclass(frozen=True)
class ArrayRow:
    """One array of one part.

    Attributes:
        part, path: which, like "training" and "0".
        shape, dtype: of the array.
        low, high, mean, std: over the numbers that are finite; NaN when there are none.
        not_finite: how many are NaN or infinite.
        classes: for class ids, integers [n], how many examples each class has; otherwise empty.
    """

    part: str
    path: str
    shape: tuple[int, ...]
    dtype: str
    low: float
    high: float
    mean: float
    std: float
    not_finite: int
    classes: Mapping[int, int]

    @property
    def name(self) -> str:
        """Part and path."""
        return f"{self.part}.{self.path}".removesuffix(".")


@dataclasses.dataclass(frozen=True)
class Duplicate:
    """An example that is there again: bit by bit the same in everything but its class ids.

    Attributes:
        part, index: where it is.
        first_part, first_index: where it was met first.
        same_class: whether its class ids are the same too.
    """

    part: str
    index: int
    first_part: str
    first_index: int
    same_class: bool


@dataclasses.dataclass(frozen=True)
class DataReport:
    """What `data_report` found. Its ``str`` is a table with the warnings below it.

    Attributes:
        rows: an `ArrayRow` for each array of each part.
        duplicates: a `Duplicate` for each example that was met before.
        warnings: what is likely to be wrong, in sentences.
    """

    rows: tuple[ArrayRow, ...]
    duplicates: tuple[Duplicate, ...]
    warnings: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether there is nothing to warn of."""
        return not self.warnings

    def __str__(self) -> str:
        head = ("array", "shape", "dtype", "from", "to", "mean", "std", "classes")
        table = aligned([head, *map(_cells, self.rows)], gap=3)
        return "\n".join([*table, *(f"WARNING: {warning}" for warning in self.warnings)])


def data_report(parts: Mapping[str, Any]) -> DataReport:
    """Looks at all parts of a data set, each by itself and next to the others.

    Integer arrays of shape [n] are taken for class ids, all others for what the examples are made of; so are inputs,
    the first of a pair (inputs, targets), which may have lengths in them. Data on disk is read in blocks.

    Args:
        parts: the parts by name, such as ``{"training": (images, labels), "test": (...)}``, each a pytree of
            arrays with one row per example.

    Returns:
        A `DataReport`. It warns of numbers that are not finite; of arrays that are constant, have a standard
        deviation above 10, or another scale than the same array of the first part (by a factor of 2, or a mean
        that is off by more than one standard deviation); of class ids that are left out, missing in one part, or
        ten times as frequent as others; of examples that are in the data twice.

    Raises:
        InputError: for no parts or parts without names, for arrays of different lengths, and for those of other things
            than numbers.

    Example:
        >>> import numpy as np
        >>> x, labels = np.linspace(-1, 1, 12).reshape(6, 2), np.array([0, 1, 0, 1, 0, 1])
        >>> print(data_report({"training": (x[:4], labels[:4]), "test": (x[3:], labels[3:])}))
        array        shape    dtype     from     to      mean     std     classes
        training.0   [4, 2]   float64   -1       0.273   -0.364   0.417
        training.1   [4]      int64     0        1       0.5      0.5     2 of 2 to 2
        test.0       [3, 2]   float64   0.0909   1       0.545    0.311
        test.1       [3]      int64     0        1       0.667    0.471   2 of 1 to 2
        WARNING: training.0 has mean -0.364 and standard deviation 0.417, test.0 0.545 and 0.311: scale all parts alike
        WARNING: 1 example of test is in training too, where what was learnt by heart counts (test 0 is training 3)
    """
    if not isinstance(parts, Mapping):
        raise InputError(
            f'a report needs the parts of the data by name, such as {{"training": (images, labels)}}, '
            f"got a {type(parts).__name__}"
        )
    if not parts:
        raise InputError("a report needs at least one part of the data, got none")
    examined: list[ArrayRow] = []
    duplicates: list[Duplicate] = []
    seen: dict[bytes, tuple[str, int, bytes]] = {}
    for part, arrays in parts.items():
        if not count(arrays):
            raise InputError(f"the part {part!r} has no examples")
        leaves = [
            (path_of(keys), leaf, _is_class_ids(arrays, keys, leaf)) for keys, leaf in jax.tree.leaves_with_path(arrays)
        ]
        for path, array, _ in leaves:
            _check_numbers(part, path, array)
        examined += [_examined(part, *leaf) for leaf in leaves]
        content, ids = ([array for _, array, is_ids in leaves if is_ids == wanted] for wanted in (False, True))
        duplicates += _duplicates(part, content, ids, seen)
    warnings = [*_about_numbers(examined), *_about_classes(examined), *_about_duplicates(duplicates)]
    return DataReport(tuple(examined), tuple(duplicates), tuple(warnings))


def _check_numbers(part: str, path: str, array: Any) -> None:
    if not (jnp.issubdtype(array.dtype, jnp.number) or array.dtype == np.bool_):
        raise InputError(
            f"{f'{part}.{path}'.removesuffix('.')} has no numbers, but {array.dtype}: of classes by name, "
            "np.unique(names, return_inverse=True) makes ids"
        )


def _is_class_ids(arrays: Any, keys: Any, array: Any) -> bool:
    is_input = type(arrays) in (tuple, list) and len(arrays) == 2 and keys[0].idx == 0
    return array.ndim == 1 and np.issubdtype(array.dtype, np.integer) and not is_input


def _examined(part: str, path: str, array: Any, is_ids: bool) -> ArrayRow:
    low, high, total, squares, finite, not_finite = math.inf, -math.inf, 0.0, 0.0, 0, 0
    classes: Counter[int] = Counter()
    centre = None
    for block in blocks(array):
        numbers = block.astype(np.float64)
        numbers = numbers[np.isfinite(numbers)]
        not_finite += block.size - numbers.size
        finite += numbers.size
        if numbers.size:
            centre = numbers.mean() if centre is None else centre  # near the mean, so that squares cancel nothing
            low, high = min(low, numbers.min()), max(high, numbers.max())
            total += (numbers - centre).sum()
            squares += np.square(numbers - centre).sum()
        if is_ids:
            classes.update(dict(zip(*(one.tolist() for one in np.unique(block, return_counts=True)), strict=True)))
    if centre is None:
        low = high = mean = std = math.nan
    else:
        mean, std = centre + total / finite, math.sqrt(max(squares / finite - (total / finite) ** 2, 0.0))
    shape, dtype = tuple(array.shape), str(np.dtype(array.dtype))
    return ArrayRow(part, path, shape, dtype, float(low), float(high), float(mean), float(std), not_finite, classes)


def _duplicates(
    part: str, content: list[Any], ids: list[Any], seen: dict[bytes, tuple[str, int, bytes]]
) -> Iterator[Duplicate]:
    """The examples of a part that were seen before; the others are added to what was seen."""
    if not content:
        return
    index = 0
    for block_of_content, block_of_ids in blocks((content, ids)):
        for i in range(len(block_of_content[0])):
            digest = hashlib.blake2b(digest_size=16)
            for array in block_of_content:
                digest.update(array[i].tobytes())
            classes = b"".join(np.int64(array[i]).tobytes() for array in block_of_ids)
            before = seen.setdefault(digest.digest(), (part, index, classes))
            if before[:2] != (part, index):
                yield Duplicate(part, index, before[0], before[1], classes == before[2])
            index += 1


def _about_numbers(examined: list[ArrayRow]) -> Iterator[str]:
    first: dict[str, ArrayRow] = {}
    for row in examined:
        if row.not_finite:
            yield f"{row.name} has {row.not_finite:,} numbers that are NaN or infinite"
        if row.classes:
            continue
        if row.low == row.high:
            yield f"{row.name} is {row.low:g} everywhere"
        if row.std > LARGE and row.dtype in ("uint8", "float16", "bfloat16", "float32", "float64"):
            yield (
                f"{row.name} goes from {row.low:g} to {row.high:g}: networks learn best from numbers around one, so "
                "divide, or take the mean away and divide by the standard deviation"
            )
        one = first.setdefault(row.path, row)
        wide, narrow = max(one.std, row.std), min(one.std, row.std)
        if wide > OTHER_SCALE * narrow or abs(one.mean - row.mean) > wide:
            yield (
                f"{one.name} has mean {one.mean:.3g} and standard deviation {one.std:.3g}, {row.name} {row.mean:.3g} "
                f"and {row.std:.3g}: scale all parts alike"
            )


def _about_classes(examined: list[ArrayRow]) -> Iterator[str]:
    of_class_ids = [row for row in examined if row.classes]
    for path in dict.fromkeys(row.path for row in of_class_ids):
        parts = [row for row in of_class_ids if row.path == path]
        known = dict.fromkeys(sorted(set().union(*(row.classes for row in parts))))
        lowest, highest = min(known), max(known)
        if lowest < 0:
            yield f"{path or 'class ids'}: there is class {lowest}, but ids count from 0"
        if left_out := list(islice((one for one in range(highest) if one not in known), 6)):
            yield f"{path or 'class ids'}: there is class {highest}, but none of class {_some(left_out)}"
        for row in parts:
            if absent := [one for one in known if one not in row.classes]:
                yield f"{row.name} has no example of class {_some(absent)}"
            most, least = max(row.classes, key=row.classes.__getitem__), min(row.classes, key=row.classes.__getitem__)
            if row.classes[most] > UNBALANCED * row.classes[least]:
                yield (
                    f"{row.name} has {row.classes[most]:,} examples of class {most} and {row.classes[least]:,} of "
                    f"class {least}: accuracy says little about the rare ones"
                )


def _about_duplicates(duplicates: list[Duplicate]) -> Iterator[str]:
    pairs = Counter((one.first_part, one.part) for one in duplicates)
    for (first, part), number in pairs.items():
        example = next(one for one in duplicates if (one.first_part, one.part) == (first, part))
        place = f"({part} {example.index} is {first} {example.first_index})"
        examples, are = ("1 example", "is") if number == 1 else (f"{number:,} examples", "are")
        where = "there again" if first == part else f"in {first} too, where what was learnt by heart counts"
        yield f"{examples} of {part} {are} {where} {place}"
    if contradicting := [one for one in duplicates if not one.same_class]:
        one = contradicting[0]
        yield (
            f"of these, {len(contradicting):,} have another class than the first time, such as "
            f"{one.part} {one.index} and {one.first_part} {one.first_index}"
        )


def _some(ids: list[int]) -> str:
    return ", ".join(map(str, ids[:5])) + (", ..." if len(ids) > 5 else "")


def _cells(row: ArrayRow) -> tuple[str, ...]:
    numbers = tuple(f"{number:.3g}" for number in (row.low, row.high, row.mean, row.std))
    sizes = row.classes.values()
    classes = f"{len(row.classes)} of {min(sizes):,} to {max(sizes):,}" if row.classes else ""
    return row.name, str(list(row.shape)), row.dtype, *numbers, classes
