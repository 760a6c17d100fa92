"""Splits: training, validation and test data that share no example.

Parts of arrays that are in memory are copies. What is on disk stays there: its parts are `fdl.data.arrays.Subset`,
which `Batches` reads as it reads the whole.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

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
    ends = _ends(parts, examples)
    order = _order(examples, seed, stratify)
    return tuple(subset(arrays, index) for index in np.split(order, ends))


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
    if not 2 <= k <= examples:
        raise InputError(f"k_folds needs k between 2 and {examples}, the number of examples; got {k}")
    parts = np.array_split(_order(examples, seed, stratify), k)
    rest = lambda i: np.concatenate([*parts[:i], *parts[i + 1 :]])  # noqa: E731
    return ((subset(arrays, rest(i)), subset(arrays, parts[i])) for i in range(k))


def _order(examples: int, seed: int, stratify: Any) -> np.ndarray:
    """The examples in random order, such that parts are stretches of it."""
    order = generator(seed).permutation(examples)
    if stratify is None:
        return order
    classes = np.asarray(stratify)
    if classes.shape != (examples,):
        raise InputError(f"stratify needs one class per example, [{examples}], got {list(classes.shape)}")
    return _spread(classes[order], order)


def _ends(parts: Sequence[float], examples: int) -> list[int]:
    """Where each part but the last ends."""
    whole = 1 if any(isinstance(part, float | np.floating) for part in parts) else examples
    if not parts or min(parts) < 0 or not math.isclose(sum(parts), whole):
        raise InputError(
            f"split needs fractions that add up to 1 or sizes that add up to {examples}, the number of examples; "
            f"got {tuple(parts)}, together {sum(parts)}"
        )
    ends = [round(examples * end / whole) for end in np.cumsum(parts)]
    if min(np.diff([0, *ends])) == 0:
        raise InputError(f"split would leave a part empty: {examples} examples in parts of {tuple(parts)}")
    return ends[:-1]


def _spread(classes: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Reorders examples such that any stretch holds the classes in proportion.

    The k-th of the n examples of a class goes to the place (k + 1/2) / n between 0 and 1; the sort is
    stable, so that chance, which has been at work in ``order``, decides between equals.
    """
    place = np.empty(len(order))
    for one in np.unique(classes):
        members = np.flatnonzero(classes == one)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return order[np.argsort(place, kind="stable")]
