"""The batches of an epoch from a position on, several at a time."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.data import Position
from fdl.errors import InputError


def place(position: tuple[int, int]) -> Position:
    """A position as `fit` takes it, which a checkpoint or JSON may have made a list.

    Example:
        >>> place([2, 0])
        Position(epoch=2, batch=0)
    """
    epoch, batch = map(int, position)
    if epoch < 0 or batch < 0:
        raise InputError(f"fit goes on from a position of whole numbers of at least 0, got {(epoch, batch)}")
    return Position(epoch, batch)


def behind(batches: Iterable[Any], position: Position) -> Iterator[Any]:
    """The batches of an epoch behind those that it began with; all of them may be behind it.

    Raises:
        InputError: for an epoch that has fewer.

    Example:
        >>> list(behind("abcd", Position(0, 1))), list(behind(iter("abcd"), Position(0, 4)))
        (['b', 'c', 'd'], [])
    """
    epoch, begun = position
    rest: Iterator[Any]
    if isinstance(batches, Sequence):
        number, rest = len(batches), (batches[i] for i in range(begun, len(batches)))
    else:
        rest = iter(batches)
        number = sum(1 for _ in itertools.islice(rest, begun))
    if begun > number:
        raise InputError(
            f"there are no {begun} batches of epoch {epoch} behind which to go on: batches({epoch}) gave {number}. A "
            "saved position is of use only with the data and the batch size that it was saved with"
        )
    return rest


def groups(batches: Iterator[Any], size: int) -> Iterator[list[Any]]:
    """The batches, ``size`` at a time where they have the same shapes, and one by one elsewhere.

    Example:
        >>> [len(group) for group in groups(iter([np.ones(4)] * 5 + [np.ones(3)] * 3), 3)]
        [3, 1, 1, 1, 1, 1]
    """
    while group := list(itertools.islice(batches, size)):
        if len(group) == size and len(set(map(_form, group))) == 1:
            yield group
        else:
            yield from ([batch] for batch in group)


def _form(batch: Any) -> Any:
    leaves, tree = jax.tree.flatten(batch)
    return tree, tuple(np.shape(leaf) for leaf in leaves)


def stacked(group: list[Any]) -> Any:
    """The batches of a group along a first axis, by NumPy unless they are on a device.

    Example:
        >>> stacked([np.ones(4), np.zeros(4)]).shape
        (2, 4)
    """
    return jax.tree.map(lambda *leaves: (jnp if isinstance(leaves[0], jax.Array) else np).stack(leaves), *group)
