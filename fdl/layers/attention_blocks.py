"""The blocks in which `attention` goes over its matrices of scores: how large they are, and where they lie.

A block has about as many scores as stay in a processor's cache from one operation to the next. Where a few blocks with
all keys are enough for an example, each is computed by itself, a causal one with the keys alone that its queries attend
to. Longer sequences have blocks of some queries and some keys, and a loop goes through them. These all have the same
size: the last ones are moved back until they end where the matrix ends, and overlap those before them.
"""

from typing import Any, NamedTuple

from fdl.layers.in_groups import divisor, group_size

SCORES = 2**20  # that a block should have on a CPU, all its heads and examples together: four megabytes of float32
SCORES_ELSEWHERE = 2**26  # enough to keep a GPU busy
MOST_SCORES = 3 * 2**20  # of one example in a block with all keys, which is faster than two with half of them even so
FEW = 4  # blocks that are computed without a loop, each compiled by itself
SIDE = 128  # of a block, which is at least so long: below, a block costs more to begin than to compute
SIDE_OF_MANY = 512  # of a block in a loop through many, if it has at most four times so many scores then


class Sizes(NamedTuple):
    """How many examples, queries and keys a block has."""

    examples_on_cpu: int
    examples_elsewhere: int
    queries: int
    keys: int


class Place(NamedTuple):
    """Where a block lies. The first query and key are numbers, or known only when the loop runs."""

    query: Any
    key: Any
    queries: int
    keys: int


def block_sizes(q: tuple[int, ...], k: tuple[int, ...], block: int | None, causal: bool) -> Sizes:
    """How large a block is: few blocks, which overlap little.

    Args:
        q, k: the shapes [N, Tq, heads, dim] and [N, Tk, kv_heads, dim].
        block: the most examples, queries and keys that a block may have, or None to choose them by the size of the
            problem. The examples are a divisor of N.
        causal: whether blocks of some queries have to do with some of the keys alone.

    Example:
        >>> tuple(block_sizes((16, 256, 8, 32), (16, 256, 8, 32), None, causal=True))
        (4, 16, 128, 256)
        >>> tuple(block_sizes((1, 4096, 4, 32), (1, 4096, 4, 32), None, causal=True))
        (1, 1, 512, 512)
        >>> tuple(block_sizes((6, 10, 4, 32), (6, 5, 4, 32), 4, causal=False))
        (3, 3, 4, 3)
    """
    (n, queries, heads, _), keys = q, k[1]
    if block is not None:
        examples = divisor(n, block)
        return Sizes(examples, examples, _even(queries, block), _even(keys, block))
    is_in_loop = isinstance(n, int) and n > 1
    rows, columns = _whole_rows(queries, keys, heads, causal, is_in_loop) or _tiles(queries, keys, heads)
    scores = heads * rows * columns
    return Sizes(divisor(n, SCORES // max(1, scores)), group_size(n, scores, SCORES_ELSEWHERE), rows, columns)


def _whole_rows(queries: int, keys: int, heads: int, causal: bool, is_in_loop: bool) -> tuple[int, int] | None:
    """Blocks with all keys, where a few are enough.

    Without a loop over groups of examples all blocks are in memory together, and new in every step.
    """
    parts = 2 if causal and queries >= 2 * SIDE else 1
    while 2 * parts <= FEW and heads * -(-queries // parts) * keys > SCORES:
        parts *= 2
    rows = -(-queries // parts)
    return (rows, keys) if heads * rows * keys <= (MOST_SCORES if is_in_loop else SCORES) else None


def _tiles(queries: int, keys: int, heads: int) -> tuple[int, int]:
    """Square blocks: there will be many."""
    side = SIDE
    while side < min(SIDE_OF_MANY, max(queries, keys)) and heads * (2 * side) ** 2 <= 4 * SCORES:
        side *= 2
    return _even(queries, side), _even(keys, side)


def _even(length: int, most: int) -> int:
    """The size of as few blocks of at most so many as cover the length, when all have the same."""
    return -(-length // max(1, -(-length // most)))


def block_starts(queries: int, keys: int, sizes: Sizes, causal: bool) -> list[tuple[int, int]]:
    """The first query and key of each block that are in no block before it, without the blocks that causality empties.

    Args:
        queries, keys: the size of a matrix of scores.
        sizes: how many of each a block has.
        causal: whether query t attends to no key beyond t + keys - queries.

    Example:
        >>> block_starts(4, 4, Sizes(1, 1, 2, 2), causal=True), block_starts(2, 5, Sizes(1, 1, 2, 3), causal=False)
        ([(0, 0), (2, 0), (2, 2)], [(0, 0), (0, 3)])
    """
    return [
        (row, column)
        for row in range(0, queries, max(1, sizes.queries))
        for column in range(0, keys, max(1, sizes.keys))
        if not causal or column < min(row + sizes.queries, queries) + keys - queries
    ]


def few_blocks(queries: int, keys: int, sizes: Sizes, causal: bool) -> list[Place] | None:
    """The places of all blocks, where they have all keys that are needed and there are few; or None.

    Example:
        >>> [tuple(place) for place in few_blocks(5, 6, Sizes(1, 1, 3, 6), causal=True)]
        [(0, 0, 3, 4), (3, 0, 2, 6)]
        >>> few_blocks(4, 4, Sizes(1, 1, 2, 2), causal=True)
    """
    starts = range(0, queries, max(1, sizes.queries))
    if not 0 < len(starts) <= FEW or sizes.keys < keys:
        return None
    places = []
    for start in starts:
        rows = min(sizes.queries, queries - start)
        attended = max(0, min(keys, start + rows + keys - queries)) if causal else keys
        places.append(Place(start, 0, rows, attended))
    return places


def query_block(queries: int, numbers: int, block: int | None) -> int:
    """How many queries additive attention compares at once, when one of them takes so many numbers.

    Example:
        >>> query_block(50, 2**20, None), query_block(50, 100, None), query_block(50, 100, 3)
        (1, 50, 3)
    """
    if block is None:
        block = SCORES // 4 // max(1, numbers)
    return max(1, min(queries, block))
