"""Splits: training, validation and test data that share no example.

Parts of arrays that are in memory are copies. What is on disk stays there: its parts are `fdl.data.arrays.Subset`,
which `Batches` reads as it reads the whole.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fdl.counts import check_count
from fdl.data.arrays import count, generator, subset
from fdl.errors import InputError


def split(arrays: Any, parts: Sequence[float] | Sequence[int], *, seed: int, stratify: Any = None) -> tuple[Any, ...]:
    """Deals the examples out at random into parts.

    Args:
        arrays: a pytree of arrays with one row per example, such as (images, labels).
        parts: fractions that add up to 1, or numbers of examples that add up to all of them.
        seed: an integer >= 0; the same seed gives the same parts.
        stratify: [n], for instance the labels. Every part then has every class in the same proportion, up
            to one example.

    Returns:
        One pytree like ``arrays`` for each part.

    Raises:
        InputError: for arrays of different lengths, and for parts that are negative, empty, or add up to
            something else.

    Example:
        >>> import numpy as np
        >>> x, labels = np.arange(10), np.array([0, 1, 1, 1, 1, 0, 1, 1, 1, 1])
        >>> train, test = split((x, labels), (0.5, 0.5), seed=0, stratify=labels)
        >>> train[1].tolist().count(0), test[1].tolist().count(0), sorted([*train[0], *test[0]]) == list(x)
        (1, 1, True)
    """
    examples = count(arrays)
    dealt = _dealt(_sizes(parts, examples), seed, stratify)
    return tuple(subset(arrays, index) for index in dealt)


def k_folds(arrays: Any, k: int, *, seed: int, stratify: Any = None) -> Iterator[tuple[Any, Any]]:
    """Deals the examples out at random into k parts, each of which is the validation data once.

    Args:
        arrays: a pytree of arrays with one row per example, such as (images, labels).
        k: how many parts, at least 2. Their sizes differ by one example at most.
        seed: an integer >= 0; the same seed gives the same parts.
        stratify: as in `split`.

    Returns:
        An iterator of k pairs (training, validation), each pair made when it is asked for. Every example is in
        the validation data of one pair and in the training data of the others.

    Raises:
        InputError: for arrays of different lengths, and for a k that is not between 2 and their length.

    Example:
        >>> import numpy as np
        >>> for training, validation in k_folds(np.arange(5), 2, seed=0):
        ...     print(training, validation)
        [0 1] [2 4 3]
        [2 4 3] [0 1]
    """
    examples = count(arrays)
    check_count("k_folds", "k", k, least=2, most=examples, of="the number of examples")
    parts = _dealt(np.array([len(part) for part in np.array_split(range(examples), k)]), seed, stratify)
    rest = lambda i: np.concatenate([*parts[:i], *parts[i + 1 :]])  # noqa: E731
    return ((subset(arrays, rest(i)), subset(arrays, parts[i])) for i in range(k))


def _dealt(sizes: np.ndarray, seed: int, stratify: Any) -> list[np.ndarray]:
    """Which examples each part of these sizes gets, in random order."""
    order = generator(seed).permutation(sizes.sum())
    if stratify is None:
        return np.split(order, np.cumsum(sizes)[:-1])
    classes = np.asarray(stratify)
    if classes.shape != order.shape:
        raise InputError(f"stratify needs one class per example, [{len(order)}], got {list(classes.shape)}")
    parts = _part_of_each(classes[order], sizes)
    return [order[parts == part] for part in range(len(sizes))]


def _sizes(parts: Sequence[float], examples: int) -> np.ndarray:
    """How many examples each part has."""
    if not isinstance(parts, Sequence | np.ndarray):
        raise InputError(f"split needs a fraction or a size for each part, such as (0.8, 0.2), got {parts!r}")
    whole = 1 if any(isinstance(part, float | np.floating) for part in parts) else examples
    if not len(parts) or min(parts) < 0 or not math.isclose(sum(parts), whole):
        raise InputError(
            f"split needs fractions that add up to 1 or sizes that add up to {examples}, the number of examples; "
            f"got {tuple(parts)}, together {sum(parts)}"
        )
    sizes = np.diff([0, *(round(examples * end / whole) for end in np.cumsum(parts))])
    if min(sizes) == 0:
        raise InputError(f"split would leave a part empty: {examples} examples in parts of {tuple(parts)}")
    return sizes


def _part_of_each(classes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The part that each example goes to, such that one of size s gets n s / N of the n of a class, up to one.

    Rounded down, that leaves some of each class over. They go, one class after the other, to the parts that lack most,
    which fills all of them in the end (Gale, "A theorem on flows in networks", 1957).
    """
    _, kinds = np.unique(classes, return_inverse=True)
    numbers = np.bincount(kinds)
    shares = numbers[:, None] * sizes // len(classes)
    lacking = sizes - shares.sum(0)
    parts = np.empty(len(classes), int)
    for kind, (number, share) in enumerate(zip(numbers, shares, strict=True)):
        one_more = np.argsort(-lacking, kind="stable")[: number - share.sum()]
        share[one_more] += 1
        lacking[one_more] -= 1
        parts[kinds == kind] = np.repeat(np.arange(len(sizes)), share)
    return parts
