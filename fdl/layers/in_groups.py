"""A loop over groups of examples, or of rows, where what is made of all of them at once would leave the cache.

They are independent of each other, so a loop over them costs little, and what an operation makes of a few of them is
still at hand for the next one. A GPU or TPU needs many of them to be busy: it has groups of its own size.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fdl.slices import slice_at


def in_groups(
    function: Callable[[Any], tuple[Any, Any]], on_cpu: int, elsewhere: int, examples: Any, zero: Any = ()
) -> tuple[Any, Any]:
    """What a function makes of all examples, computed for some of them at a time, one group after the other.

    Args:
        function: from a group, a tree like `examples`, to (arrays with the examples along their first axis, a tree to
            be summed over groups).
        on_cpu, elsewhere: how many examples a group has, a divisor of their number.
        examples: a tree of arrays with the examples along their first axis.
        zero: where the sum starts.

    Example:
        >>> made, total = in_groups(lambda a: (2 * a, a.sum()), 2, 6, jnp.arange(6.0), 0.0)
        >>> made.tolist(), float(total)
        ([0.0, 2.0, 4.0, 6.0, 8.0, 10.0], 15.0)
    """
    if on_cpu == elsewhere:
        return _one_after_the_other(function, on_cpu, examples, zero)
    return jax.lax.platform_dependent(
        examples,
        cpu=lambda examples: _one_after_the_other(function, on_cpu, examples, zero),
        default=lambda examples: _one_after_the_other(function, elsewhere, examples, zero),
    )


def group_size(n: int, numbers: int, most: int, least: int = 0) -> int:
    """How many of n examples, each of so many numbers, have at most so many together, as a divisor of n.

    All of them, if there were only two groups otherwise, if no divisor has at least so many, and where n is a symbol.

    Example:
        >>> group_size(12, 100, 500), group_size(12, 100, 600)
        (4, 12)
        >>> group_size(13, 100, 500), group_size(13, 100, 500, least=200)
        (1, 13)
    """
    if not isinstance(n, int) or n * numbers <= 2 * most:
        return n
    size = divisor(n, most // max(1, numbers))
    return size if size * numbers >= least else n


def divisor(n: int, most: int) -> int:
    """The largest divisor of n that is at most so many, but at least one; 0 of 0.

    A symbol (`jax.export`) stays what it is: a loop has to know how often it runs.

    Example:
        >>> divisor(12, 5), divisor(7, 5), divisor(0, 5)
        (4, 1, 0)
    """
    if not isinstance(n, int):
        return n
    return next((size for size in range(min(n, most), 1, -1) if n % size == 0), min(n, 1))


def _one_after_the_other(function: Any, size: int, examples: Any, zero: Any) -> tuple[Any, Any]:
    n = jax.tree.leaves(examples)[0].shape[0]
    if size == n:
        return function(examples)

    def step(sums: Any, start: jax.Array) -> tuple[Any, Any]:
        # Slices of the arrays as they are: reshaped to groups, they are copied once more.
        group = jax.tree.map(lambda a: slice_at(a, start, size), examples)
        made, terms = function(group)
        return jax.tree.map(jnp.add, sums, terms), made

    sums, made = jax.lax.scan(step, zero, jnp.arange(0, n, size))
    return jax.tree.map(lambda a: a.reshape(n, *a.shape[2:]), made), sums
