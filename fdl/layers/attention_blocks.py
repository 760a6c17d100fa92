"""The blocks in which `attention` goes over its matrices of scores: how large they are, and where they start.

A block has no more scores than stay in a processor's cache from one operation to the next. All blocks have the same
size: the last ones are moved back until they end where the matrix ends, and overlap those before them.
"""

SCORES = 2**18  # that a block of all matrices together may have: a megabyte of float32
SIDE = 128  # of a block, which is at least so long: below, a block costs more to begin than to compute


def block_sizes(q: tuple[int, ...], k: tuple[int, ...], block: int | None) -> tuple[int, int]:
    """How many queries and keys a block has: few blocks, which overlap little.

    Args:
        q, k: the shapes [N, Tq, heads, dim] and [N, Tk, kv_heads, dim].
        block: the most queries, and the most keys, that a block may have, or None to choose them by the size of
            the problem.

    Example:
        >>> block_sizes((1, 4096, 4, 32), (1, 4096, 4, 32), None), block_sizes((8, 1, 8, 64), (8, 10_000, 2, 64), None)
        ((256, 256), (1, 3334))
        >>> block_sizes((1, 10, 4, 32), (1, 5, 4, 32), 4)
        (4, 3)
    """
    (n, queries, heads, _), keys = q, k[1]
    matrices = n * heads
    side = SIDE if block is None else block
    while block is None and side < max(queries, keys) and matrices * (2 * side) ** 2 <= SCORES:
        side *= 2
    rows = _even(queries, side)
    while block is None and side < keys and matrices * rows * 2 * side <= SCORES:
        side *= 2
    return rows, _even(keys, side)


def _even(length: int, most: int) -> int:
    """The size of as few blocks of at most so many as cover the length, when all have the same."""
    return -(-length // max(1, -(-length // most)))


def block_starts(queries: int, keys: int, sizes: tuple[int, int], causal: bool) -> list[tuple[int, int]]:
    """The first query and key of each block that are in no block before it, without the blocks that causality empties.

    Args:
        queries, keys: the size of a matrix of scores.
        sizes: how many of each a block has.
        causal: whether query t attends to no key beyond t + keys - queries.

    Example:
        >>> block_starts(4, 4, (2, 2), causal=True), block_starts(2, 5, (2, 3), causal=False)
        ([(0, 0), (2, 0), (2, 2)], [(0, 0), (0, 3)])
    """
    return [
        (row, column)
        for row in range(0, queries, max(1, sizes[0]))
        for column in range(0, keys, max(1, sizes[1]))
        if not causal or column < min(row + sizes[0], queries) + keys - queries
    ]


def query_block(queries: int, numbers: int, block: int | None) -> int:
    """How many queries additive attention compares at once, when one of them takes so many numbers.

    Example:
        >>> query_block(50, 2**20, None), query_block(50, 100, None), query_block(50, 100, 3)
        (1, 50, 3)
    """
    if block is None:
        block = SCORES // max(1, numbers)
    return max(1, min(queries, block))
