"""Batches: a data set in pieces, in an order that can be had again."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fdl.data.arrays import count, generator, rows
from fdl.errors import InputError


class Batches(Sequence[Any]):
    """The batches of one epoch: a sequence with a length, each batch cut out of the arrays when it is asked for.

    Args:
        arrays: a pytree of arrays with one row per example; batches have the same form.
        order: [n], which example comes where.
        batch_size: how many examples a batch has. Only the last one may have fewer.

    Example:
        >>> batches = Batches(np.array([10, 11, 12]), order=np.array([2, 0, 1]), batch_size=2)
        >>> len(batches), batches[0].tolist(), batches[-1].tolist()
        (2, [12, 10], [11])
    """

    def __init__(self, arrays: Any, order: np.ndarray, batch_size: int):
        self._arrays = arrays
        self._order = order
        self._batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self._order) // self._batch_size)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        start = range(0, len(self._order), self._batch_size)[index]
        return rows(self._arrays, self._order[start : start + self._batch_size])


def shuffled_batches(arrays: Any, batch_size: int, *, seed: int, epoch: int, drop_last: bool = True) -> Batches:
    """All examples once, in random order, in batches. The order depends on nothing but (seed, epoch).

    Args:
        arrays: a pytree of arrays with one row per example, such as (images, labels).
        batch_size: how many examples a batch has.
        seed, epoch: integers >= 0.
        drop_last: whether to leave out the examples at the end that fill no batch, which keeps every batch
            the same size, or to give them as a smaller one. An epoch leaves out others than the next.

    Returns:
        A sequence of batches, each a pytree like ``arrays``.

    Raises:
        InputError: for arrays of different lengths, and for a batch size that is not positive or is larger
            than the data.

    Example:
        >>> import numpy as np
        >>> for batch in shuffled_batches(np.arange(7), 3, seed=0, epoch=0, drop_last=False):
        ...     print(batch)
        [2 4 3]
        [6 5 0]
        [1]
    """
    examples = count(arrays)
    if not 1 <= batch_size <= examples:
        raise InputError(f"a batch size must be between 1 and {examples}, the number of examples; got {batch_size}")
    order = generator(seed, epoch).permutation(examples)
    kept = examples - examples % batch_size if drop_last else examples
    return Batches(arrays, order[:kept], batch_size)
