"""Batches: a data set in pieces, in an order that can be had again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from fdl.counts import check_count
from fdl.data.arrays import count, generator, rows
from fdl.errors import InputError


class Position(NamedTuple):
    """A place in the data: how many epochs are over, and how many batches of the next one.

    A pair of integers, which JSON and any checkpoint can keep.
    """

    epoch: int = 0
    batch: int = 0


class Epoch(Sequence[Any]):
    """The batches of one epoch: a sequence with a length, each batch cut out of the arrays when it is asked for.

    A slice of it, such as ``epoch[100:]``, is a shorter one, and reads nothing either.

    Args:
        arrays: a pytree of arrays with one row per example; batches have the same form.
        order: [n], which example comes where.
        batch_size: how many examples a batch has. Only the last one may have fewer.
        starts: where in the order each batch begins; by default, where the one before ends.

    Example:
        >>> batches = Epoch(np.array([10, 11, 12]), order=np.array([2, 0, 1]), batch_size=2)
        >>> len(batches), batches[0].tolist(), batches[-1].tolist()
        (2, [12, 10], [11])
    """

    def __init__(self, arrays: Any, order: np.ndarray, batch_size: int, starts: range | None = None):
        self._arrays = arrays
        self._order = order
        self._batch_size = batch_size
        self._starts = range(0, len(order), batch_size) if starts is None else starts

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Epoch(self._arrays, self._order, self._batch_size, self._starts[index])
        start = self._starts[index]
        return rows(self._arrays, self._order[start : start + self._batch_size])


@dataclass(frozen=True, eq=False)
class Batches:
    """All epochs of a data set: each goes through the examples once, in an order of its own, in batches.

    The order depends on nothing but (seed, epoch), so a batch depends on nothing but its position, and a run that
    goes on from a saved position sees the batches that it would have seen.

    Called with an epoch, it gives that epoch's batches as a sequence: ``fit(..., Batches(data, 32, seed=0), ...)``.

    Args:
        arrays: a pytree of arrays with one row per example, such as (images, labels); see `fdl.data.arrays`
            for what an array may be. Memory maps are read batch by batch.
        batch_size: how many examples a batch has.
        seed: an integer >= 0.
        drop_last: whether to leave out the examples at the end of an epoch that fill no batch, which keeps every
            batch the same size, or to give them as a smaller one. An epoch leaves out others than the next.

    Raises:
        InputError: for arrays of different lengths, for a batch size that is not positive or is larger than
            the data, and for a negative seed.

    Example:
        >>> import numpy as np
        >>> batches = Batches(np.arange(7), 3, seed=0, drop_last=False)
        >>> batches
        Batches(7 examples, batch_size=3, seed=0, drop_last=False)
        >>> [batch.tolist() for batch in batches(0)]
        [[2, 4, 3], [6, 5, 0], [1]]
        >>> for after, batch in batches.iterate(Position(epoch=0, batch=1)):
        ...     print(batch, after)
        ...     if after == Position(epoch=1, batch=1):
        ...         break  # `after` is saved with the parameters: batches.iterate(after) goes on from here
        [6 5 0] Position(epoch=0, batch=2)
        [1] Position(epoch=1, batch=0)
        [1 3 6] Position(epoch=1, batch=1)
    """

    arrays: Any
    batch_size: int
    seed: int = field(kw_only=True)
    drop_last: bool = field(default=True, kw_only=True)

    def __post_init__(self):
        examples = count(self.arrays)
        check_count("Batches", "batch_size", self.batch_size, most=examples, of="the number of examples")
        generator(self.seed)

    def __repr__(self) -> str:
        settings = f"batch_size={self.batch_size}, seed={self.seed}, drop_last={self.drop_last}"
        return f"Batches({count(self.arrays)} examples, {settings})"

    @property
    def per_epoch(self) -> int:
        """How many batches an epoch has."""
        examples = count(self.arrays)
        return examples // self.batch_size if self.drop_last else -(-examples // self.batch_size)

    def __call__(self, epoch: int) -> Epoch:
        examples = count(self.arrays)
        order = generator(self.seed, epoch).permutation(examples)
        kept = examples - examples % self.batch_size if self.drop_last else examples
        return Epoch(self.arrays, order[:kept], self.batch_size)

    def at(self, position: tuple[int, int]) -> Any:
        """The batch at this position.

        Raises:
            InputError: for a position that this data set does not have.
        """
        epoch, batch = self._checked(position)
        return self(epoch)[batch]

    def iterate(self, start: tuple[int, int] = (0, 0)) -> Iterator[tuple[Position, Any]]:
        """All batches from a position on, without end.

        Args:
            start: where to begin; what a checkpoint gives back (a list, arrays) will do.

        Returns:
            An iterator of pairs (after, batch): ``after`` is where to go on when the batch is done with, the
            position to save along with what was learnt from it.

        Raises:
            InputError: for a position that this data set does not have.
        """
        return self._iterate(self._checked(start))

    def _iterate(self, start: Position) -> Iterator[tuple[Position, Any]]:
        epoch, first = start
        while True:
            batches = self(epoch)
            for batch in range(first, len(batches)):
                is_last = batch + 1 == len(batches)
                yield (Position(epoch + 1, 0) if is_last else Position(epoch, batch + 1)), batches[batch]
            epoch, first = epoch + 1, 0

    def _checked(self, position: Any) -> Position:
        epoch, batch = (int(number) for number in position)
        if epoch < 0 or not 0 <= batch < self.per_epoch:
            raise InputError(
                f"there is no batch {batch} of epoch {epoch}: {self!r} has {self.per_epoch} batches per epoch, counted "
                "from 0. A saved position is of use only with the data and the batch size that it was saved with"
            )
        return Position(epoch, batch)


def shuffled_batches(arrays: Any, batch_size: int, *, seed: int, epoch: int, drop_last: bool = True) -> Epoch:
    """The batches of one epoch of `Batches`: all examples once, in random order.

    Args:
        arrays, batch_size, seed, drop_last: as in `Batches`.
        epoch: an integer >= 0.

    Returns:
        A sequence of batches, each a pytree like ``arrays``.

    Raises:
        InputError: as `Batches`, and for a negative epoch.

    Example:
        >>> import numpy as np
        >>> for batch in shuffled_batches(np.arange(7), 3, seed=0, epoch=0, drop_last=False):
        ...     print(batch)
        [2 4 3]
        [6 5 0]
        [1]
    """
    return Batches(arrays, batch_size, seed=seed, drop_last=drop_last)(epoch)


def ordered_batches(arrays: Any, batch_size: int) -> Epoch:
    """All examples once, in the order that they have, in batches: for evaluation, so none is left out.

    Args:
        arrays: a pytree of arrays with one row per example.
        batch_size: how many examples a batch has; the last one may have fewer.

    Raises:
        InputError: for arrays of different lengths, and for a batch size that is not positive.

    Example:
        >>> import numpy as np
        >>> [batch.tolist() for batch in ordered_batches(np.arange(5), 3)]
        [[0, 1, 2], [3, 4]]
    """
    check_count("ordered_batches", "batch_size", batch_size)
    return Epoch(arrays, np.arange(count(arrays)), batch_size)
