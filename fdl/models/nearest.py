"""Nearest neighbours: what is close to an example is probably of its class. Nothing is learnt, all is remembered.

    d(x, m)^2 = |x|^2 - 2 x . m + |m|^2            x: a query   m: an example of the memory

so that all distances between two sets are one matrix product and two vectors. The memory is gone through in blocks, and
of each the k nearest so far are kept:

    queries [N, D] ---+
                      |--> distances [N, block] --> the k smallest, with those kept so far --> next block
    memory [M, D] ----+

which needs N (block + k) numbers at a time, where all distances would need N M. The three terms cancel where an example
is near to a query, and leave few digits of its distance. So some more than k are found like this, and their distances
computed again from x - m.

The error of the nearest neighbour is at most twice that which no method can avoid, once the memory is large enough; in
many dimensions that takes very many examples. Distances are those of the features as they are: standardise them, or
take their principal components (`fdl.data.fit_pca`), where scales differ or there are very many.

Sources: Fix and Hodges, "Discriminatory analysis: nonparametric discrimination" (1951); Cover and Hart, "Nearest
neighbor pattern classification" (1967), for the error.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.ids import check_ids
from fdl.layers import one_hot
from fdl.rule import wide
from fdl.slices import slice_at

SPARE = 8  # examples beyond k: as many may be in the wrong order


def nearest_neighbours(x: jax.Array, memory: jax.Array, k: int, *, block: int = 4096) -> tuple[jax.Array, jax.Array]:
    """The k examples of a memory that are nearest to each query.

    Args:
        x: the queries, [N, ...]; what an example is made of counts as one row of D features.
        memory: the examples, [M, ...].
        k: how many neighbours, from 1 to M.
        block: how many examples of the memory are compared at once.

    Returns:
        (distances, index), both [N, k], the nearest first: the distances in float32 or wider, and which rows of the
        memory they belong to. Of examples that are equally far, the first.

    Raises:
        InputError: for queries of another shape than the examples, and for k or a block outside their range.

    Source: Fix and Hodges (1951).

    Example:
        >>> import jax.numpy as jnp
        >>> memory = jnp.array([[0.0, 0.0], [3.0, 4.0], [1.0, 0.0]])
        >>> distances, index = nearest_neighbours(jnp.array([[0.0, 0.0]]), memory, 2)
        >>> distances.tolist(), index.tolist()
        ([[0.0, 1.0]], [[0, 2]])
    """
    x_shape, m_shape = jnp.shape(x), jnp.shape(memory)
    if len(x_shape) < 2 or x_shape[1:] != m_shape[1:]:
        raise InputError(
            f"nearest_neighbours compares queries [N, ...] with a memory of the same features, got {list(x_shape)} "
            f"and {list(m_shape)}: a single query is x[None]"
        )
    check_count("nearest_neighbours", "k", k, most=m_shape[0], of="the size of the memory")
    check_count("nearest_neighbours", "block", block)
    return _nearest(jnp.asarray(x), jnp.asarray(memory), k, min(block, m_shape[0]))


def k_nearest_neighbours(
    x: jax.Array, memory: jax.Array, labels: jax.Array, k: int, *, classes: int, block: int = 4096
) -> jax.Array:
    """The share of each class among the k nearest neighbours: its largest is the prediction.

    Args:
        x: the queries, [N, ...].
        memory: the examples, [M, ...].
        labels: their class ids, [M], integers in [0, classes).
        k, block: as for `nearest_neighbours`.
        classes: how many there are.

    Returns:
        [N, classes], in float32, at least 0 and with a sum of 1. As scores, they can be given to
        `fdl.train.accuracy`; of classes with equal votes, that takes the first.

    Raises:
        InputError: as `nearest_neighbours`, and for labels that are no class ids, or not one for each example.

    Source: Cover and Hart (1967).

    Example:
        >>> import jax.numpy as jnp
        >>> memory, labels = jnp.array([[0.0], [1.0], [5.0], [6.0]]), jnp.array([0, 0, 1, 1])
        >>> k_nearest_neighbours(jnp.array([[0.4], [5.1]]), memory, labels, 1, classes=2).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    if jnp.shape(labels) != jnp.shape(memory)[:1]:
        raise InputError(
            f"k_nearest_neighbours expects labels [{jnp.shape(memory)[0]}], one for each example of the memory, "
            f"got {list(jnp.shape(labels))}"
        )
    check_ids("k_nearest_neighbours", labels, classes)
    _, index = nearest_neighbours(x, memory, k, block=block)
    return one_hot(jnp.asarray(labels)[index], classes).mean(axis=1)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _nearest(x: jax.Array, memory: jax.Array, k: int, block: int) -> tuple[jax.Array, jax.Array]:
    """The nearest among somewhat more than k, by their differences, which lose no digit to the products."""
    candidates = _candidates(x, memory, min(k + SPARE, len(memory)), block)

    def nearest_of(query: Any) -> tuple[jax.Array, jax.Array]:
        x, index = query
        difference = memory[index].astype(wide(x, memory)) - x
        squared = jnp.sum(jnp.square(difference), axis=range(1, difference.ndim))
        squared, index = jax.lax.sort((squared, index), num_keys=2)
        return jnp.sqrt(squared[:k]), index[:k]

    return jax.lax.map(nearest_of, (x, candidates), batch_size=min(len(x), 32) or None)


def _candidates(x: jax.Array, memory: jax.Array, k: int, block: int) -> jax.Array:
    total = len(memory)
    x, memory = x.reshape(len(x), -1), memory.reshape(total, -1)
    middle = memory.mean(axis=0, dtype=wide(memory))  # far from zero, the terms of d^2 would cancel to a few digits
    x = x - middle

    def look(i: Any, best: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        start = jnp.minimum(i * block, total - block)  # the last block begins within the one before
        examples = slice_at(memory, start, block) - middle
        index = start + jnp.arange(block)
        far = jnp.where(index < i * block, jnp.inf, (examples**2).sum(axis=1))
        squared = far - 2 * jnp.matmul(x, examples.T, precision="highest")
        squared = jnp.concatenate([best[0], squared], axis=1)
        index = jnp.concatenate([best[1], jnp.broadcast_to(index, (len(x), block))], axis=1)
        smallest, where = jax.lax.top_k(-squared, k)
        return -smallest, jnp.take_along_axis(index, where, axis=1)

    nothing = jnp.full((len(x), k), jnp.inf, x.dtype), jnp.zeros((len(x), k), int)
    return jax.lax.fori_loop(0, -(-total // block), look, nothing)[1]
