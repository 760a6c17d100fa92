"""Samples for the members of an ensemble: drawn with replacement, and dealt out in batches that hold one for each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fdl.counts import check_count
from fdl.data.arrays import count, generator, subset
from fdl.data.batches import Epoch
from fdl.errors import InputError


def bootstrap(arrays: Any, members: int, *, seed: int) -> Iterator[tuple[Any, Any]]:
    """Draws as many examples as there are, with replacement, for each member of an ensemble.

    Each then learns from about 63 % of the examples, 1 - 1/e, some of them several times, and can be tested on the
    others.

    Args:
        arrays: a pytree of arrays with one row per example, such as (images, labels).
        members: how many samples to draw, at least 1.
        seed: an integer >= 0; the same seed gives the same samples.

    Returns:
        An iterator of pairs (drawn, left out), as of `k_folds`.

    Raises:
        InputError: for arrays of different lengths, and for numbers outside their range.

    Source: Breiman, "Bagging predictors" (1996).

    Example:
        >>> for drawn, left_out in bootstrap(np.arange(5), 2, seed=0):
        ...     print(drawn, left_out)
        [4 3 2 1 1] [0]
        [0 0 0 0 4] [1 2 3]
    """
    examples = count(arrays)
    check_count("bootstrap", "members", members)
    drawn = generator(seed).integers(0, examples, (members, examples))
    everything = np.arange(examples)
    return ((subset(arrays, index), subset(arrays, np.setdiff1d(everything, index))) for index in drawn)


@dataclass(frozen=True, eq=False)
class MemberBatches:
    """All epochs of a data set from which each member of an ensemble takes its own examples, in its own order.

    A batch has one row of each member for every row of an ordinary batch: [batch_size, members, ...]. So all
    members train in one step, `fdl.train.vmap_steps`, and whichever examples they have, it is compiled once.
    As with `Batches`, a batch depends on nothing but its position.

    Args:
        arrays: a pytree of arrays with one row per example; memory maps are read batch by batch.
        samples: for each member the places of its examples, such as the training parts of
            ``k_folds(np.arange(n), 5, seed=0)`` or of `bootstrap`. An epoch is as long as the smallest of them allows,
            and leaves out what fills no batch.
        batch_size: how many examples of each member a batch has.
        seed: an integer >= 0.

    Raises:
        InputError: for arrays of different lengths, for samples that are not places in them, for a batch size that is
            not positive or larger than the smallest sample, and for a negative seed.

    Example:
        >>> batches = MemberBatches(np.arange(10), [np.arange(5), np.arange(5, 10)], 2, seed=0)
        >>> [batch.tolist() for batch in batches(0)]
        [[[2, 6], [4, 8]], [[3, 9], [0, 7]]]
    """

    arrays: Any
    samples: Sequence[Any]
    batch_size: int
    seed: int = field(kw_only=True)

    def __post_init__(self):
        examples = count(self.arrays)
        for sample in map(np.asarray, self.samples):
            if sample.ndim != 1 or not np.issubdtype(sample.dtype, np.integer) or not len(sample):
                raise InputError(f"a sample is a list of places, integers of shape [n], got {sample!r}")
            if sample.min() < 0 or sample.max() >= examples:
                raise InputError(
                    f"a sample has places from 0 to {examples - 1}, got {sample.min()} to {sample.max()}: "
                    "the samples and the data do not belong together"
                )
        smallest = min(map(len, self.samples), default=0)
        check_count("MemberBatches", "batch_size", self.batch_size, most=smallest, of="the size of the smallest sample")
        generator(self.seed)

    def __repr__(self) -> str:
        sizes = f"{len(self.samples)} members of {count(self.arrays)} examples"
        return f"MemberBatches({sizes}, batch_size={self.batch_size}, seed={self.seed})"

    def __call__(self, epoch: int) -> Epoch:
        orders = [
            generator(self.seed, epoch, member).permutation(np.asarray(sample))
            for member, sample in enumerate(self.samples)
        ]
        smallest = min(map(len, orders))
        kept = smallest - smallest % self.batch_size
        return Epoch(self.arrays, np.stack([order[:kept] for order in orders], axis=1), self.batch_size)
