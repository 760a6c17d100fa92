"""The examples whose attention is computed at once: on a CPU so few that their scores stay in its cache.

Examples are independent of each other, so a loop over them costs little, and what is turned round, exponentiated and
multiplied for a few of them is still at hand for the next operation. A GPU or TPU needs more of them to be busy.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Group(NamedTuple):
    """What attention is given for n examples, and in the backward pass what was remembered of them."""

    q: jax.Array  # [n, Tq, heads, dim]
    k: jax.Array  # [n, Tk, kv_heads, dim]
    v: jax.Array  # [n, Tk, kv_heads, dim_v]
    mask: jax.Array | None  # with bias: [n, kv_heads, heads / kv_heads, Tq, Tk], each axis of full size or of one
    bias: jax.Array | None
    lengths: jax.Array | None  # [n]
    number: jax.Array  # [n], of each example in the whole batch
    peak: jax.Array | None = None  # with total: [n, kv_heads, heads / kv_heads, Tq]
    total: jax.Array | None = None
    y: jax.Array | None = None  # with dy: [n, Tq, heads, dim_v]
    dy: jax.Array | None = None


def in_groups(
    function: Callable[[Group], tuple[Any, Any]], on_cpu: int, elsewhere: int, examples: Group, zero: Any = ()
) -> tuple[Any, Any]:
    """What a function makes of all examples, computed for some of them at a time, one group after the other.

    Args:
        function: from a group to (arrays with the examples along their first axis, a tree to be summed over groups).
        on_cpu, elsewhere: how many examples a group has, a divisor of their number.
        examples: arrays with a first axis of one are the same for all of them.
        zero: where the sum starts.

    Example:
        >>> q = jnp.arange(6.0).reshape(6, 1, 1, 1)
        >>> examples = Group(q, q, q, None, None, None, jnp.arange(6))
        >>> made, total = in_groups(lambda group: (2 * group.q, group.q.sum()), 2, 6, examples, 0.0)
        >>> made.ravel().tolist(), float(total)
        ([0.0, 2.0, 4.0, 6.0, 8.0, 10.0], 15.0)
    """
    if on_cpu == elsewhere:
        return _one_after_the_other(function, on_cpu, examples, zero)
    return jax.lax.platform_dependent(
        examples,
        cpu=lambda examples: _one_after_the_other(function, on_cpu, examples, zero),
        default=lambda examples: _one_after_the_other(function, elsewhere, examples, zero),
    )


def _one_after_the_other(function: Any, size: int, examples: Group, zero: Any) -> tuple[Any, Any]:
    n = len(examples.number)
    if size == n:
        return function(examples)
    own = {name: a for name, a in examples._asdict().items() if a is not None and len(a) == n}

    def step(sums: Any, start: jax.Array) -> tuple[Any, Any]:
        group = {name: jax.lax.dynamic_slice_in_dim(a, start, size) for name, a in own.items()}
        made, terms = function(examples._replace(**group))
        return jax.tree.map(jnp.add, sums, terms), made

    sums, made = jax.lax.scan(step, zero, jnp.arange(0, n, size))
    return jax.tree.map(lambda a: a.reshape(n, *a.shape[2:]), made), sums
