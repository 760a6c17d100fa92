"""A loop over groups of examples, or of rows, where what is made of all of them at once would leave the cache.

They are independent of each other, so a loop over them costs little, and what an operation makes of a few of them is
still at hand for the next one. A GPU or TPU needs many of them to be busy: it has groups of its own size, and each of
them has examples from all over the batch, since the batch may be spread over several.
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
    n = jax.tree.leaves(examples)[0].shape[0]
    if on_cpu == elsewhere == n:
        return function(examples)
    return jax.lax.platform_dependent(
        examples,
        cpu=lambda examples: _one_after_the_other(function, on_cpu, examples, zero),
        default=lambda examples: interleaved(function, elsewhere, examples, zero),
    )


def interleaved(
    function: Callable[[Any], tuple[Any, Any]], size: int, examples: Any, zero: Any = ()
) -> tuple[Any, Any]:
    """`in_groups`, in groups of every so many-th example: of n / size groups, one has examples 0, n / size, ...

    Where the examples are spread over devices, each device has some of every group, and works in every round of the
    loop. Of neighbours, it would be given those that lie elsewhere, and all devices would compute the same.

    Args:
        function, examples, zero: as for `in_groups`.
        size: how many examples a group has, a divisor of their number. A multiple of the number of devices moves none.

    Example:
        >>> interleaved(lambda a: (a - a[0], ()), 2, jnp.arange(6.0))[0].tolist()
        [0.0, 0.0, 0.0, 3.0, 3.0, 3.0]
    """
    n = jax.tree.leaves(examples)[0].shape[0]
    if size == n:
        return function(examples)
    groups = n // size
    apart = jax.tree.map(lambda a: a.reshape(size, groups, *a.shape[1:]), examples)

    def step(sums: Any, number: jax.Array) -> tuple[Any, Any]:
        made, terms = function(jax.tree.map(lambda a: slice_at(a, number, 1, axis=1).squeeze(1), apart))
        return jax.tree.map(jnp.add, sums, terms), made

    sums, made = jax.lax.scan(step, zero, jnp.arange(groups))
    return jax.tree.map(lambda a: jnp.moveaxis(a, 0, 1).reshape(n, *a.shape[2:]), made), sums


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
