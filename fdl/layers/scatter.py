"""Gather and scatter: between the rows of one array and groups ("segments") of rows of another.

An index says for each of E entries to which of `size` segments it belongs: for each edge of a graph the node that it
arrives at, for each node of a batch of graphs the graph that it is in. With the matrix of one-hot rows, H_es = 1 where
index_e = s, reading and collecting are the two products that H allows,

    gather_nodes    y = H nodes       y_e = nodes[index_e]                             [N, ...] -> [E, ...]
    scatter_sum     y = H^T values    y_s = sum of values_e over the entries e of s    [E, ...] -> [size, ...]

so that each is the other's gradient: dnodes = H^T dy, dvalues = H dy. A node that many edges read collects what comes
back from all of them, and an entry of a sum gets what comes back to the sum. H is never built.

The other ways to collect follow. With n_s the number of entries of s,

    scatter_mean    y_s = 1/n_s sum values_e            dvalues_e = dy_s / n_s
    scatter_max     y_s = values_e at its winner e      dvalues_e = dy_s where e is the winner of s, else 0

each with s = index_e. The mean remembers the counts. The maximum remembers the number of the winner, for every feature
by itself, instead of all values: ties go to the first entry, and a NaN wins. A segment without entries gives 0.

None of them depends on the order of the entries (but for ties), so what a network makes of a graph with them does
not depend on how its nodes and edges are numbered.

``where`` says which entries there are: the others take no part, whatever their values and indices are, and get the
gradient 0. That is how padding is expressed. An index outside [0, size) is a mistake instead, and is refused. Inside
jit it cannot be seen; it then makes every segment NaN, since the entry could have belonged to any of them.

Sources: Gilmer, Schoenholz, Riley, Vinyals and Dahl, "Neural message passing for quantum chemistry" (2017); Blelloch,
"Vector models for data-parallel computing" (1990), segments.
"""

import jax
import jax.numpy as jnp

from fdl.errors import InputError
from fdl.ids import check_ids, slots
from fdl.layers.checks import check_floats
from fdl.layers.segments import along_rows, check_segments, nothing, picked, places
from fdl.rule import rule, wide


@rule
def gather_nodes(nodes: jax.Array, index: jax.Array) -> jax.Array:
    """The rows of nodes at the given places: y_e = nodes[index_e].

    Args:
        nodes: [N, ...], floats.
        index: [E], integers in [0, N).

    Returns:
        y: [E, ...], in the dtype of the nodes.

    Raises:
        InputError: for nodes without a first axis or of integers, for an index that is not a vector of integers,
            and for integers outside [0, N) where they can be seen. Inside jit they cannot, and give rows of NaN.

    Remembers:
        the index, which exists anyway.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> nodes, senders = jnp.array([[1.0], [2.0], [3.0]]), jnp.array([2, 0, 2, 2])
        >>> gather_nodes(nodes, senders).ravel().tolist()
        [3.0, 1.0, 3.0, 3.0]
        >>> jax.grad(lambda nodes: gather_nodes(nodes, senders).sum())(nodes).ravel().tolist()
        [1.0, 0.0, 3.0]
    """
    return jnp.take(nodes, slots(index, nodes.shape[0]), axis=0, mode="fill", fill_value=jnp.nan)


@gather_nodes.validate
def _(nodes, index):
    check_floats("gather_nodes", nodes)
    if not jnp.shape(nodes) or jnp.ndim(index) != 1:
        raise InputError(
            f"gather_nodes expects nodes [N, ...] and an index [E], got {list(jnp.shape(nodes))} "
            f"and {list(jnp.shape(index))}"
        )
    check_ids("gather_nodes", index, jnp.shape(nodes)[0])


@gather_nodes.forward
def _(nodes, index):
    count = jnp.zeros((nodes.shape[0], 0), nodes.dtype)  # how many nodes there are, in no bytes
    return gather_nodes.reference(nodes, index), (index, count)


@gather_nodes.backward
def _(residuals, dy):
    index, count = residuals
    # y = H nodes
    dnodes = jnp.zeros((count.shape[0], *dy.shape[1:]), wide(dy))
    return dnodes.at[slots(index, count.shape[0])].add(dy, mode="drop"), None


@rule(static=["size"])
def scatter_sum(values: jax.Array, index: jax.Array, size: int, *, where: jax.Array | None = None) -> jax.Array:
    """The sum of each segment: y_s = sum of values_e over all e with index_e = s.

    Args:
        values: [E, ...], floats.
        index: [E], integers in [0, size).
        size: how many segments there are.
        where: [E], booleans, which entries take part; None for all.

    Returns:
        y: [size, ...], in the dtype of the values, summed in float32 or wider; 0 where there is nothing to sum.

    Raises:
        InputError: for values of integers, shapes that do not fit together, a size that is no count, and an index
            outside [0, size) where it can be seen. Inside jit it cannot, and makes all of y NaN.

    Remembers:
        the index and ``where``, which exist anyway.

    Source:
        Gilmer et al. (2017).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> values, index = jnp.array([1.0, 2.0, 4.0]), jnp.array([2, 0, 2])
        >>> scatter_sum(values, index, 3).tolist()
        [2.0, 0.0, 5.0]
        >>> jax.grad(lambda values: scatter_sum(values, index, 3) @ jnp.array([1.0, 2.0, 3.0]))(values).tolist()
        [3.0, 1.0, 3.0]
    """
    return _total(values, index, size, where).astype(values.dtype)


@scatter_sum.validate
def _(values, index, size, where):
    check_segments("scatter_sum", values, index, size, where)


@scatter_sum.forward
def _(values, index, size, where):
    return scatter_sum.reference(values, index, size, where=where), (index, where)


@scatter_sum.backward
def _(residuals, dy, *, size):
    index, where = residuals
    # y = H^T values
    return picked(dy, places(index, size, where)), None, None


@rule(static=["size"])
def scatter_mean(values: jax.Array, index: jax.Array, size: int, *, where: jax.Array | None = None) -> jax.Array:
    """The mean of each segment: y_s = 1/n_s sum of values_e over all n_s entries e with index_e = s.

    Args:
        values, index, size, where: as for `scatter_sum`.

    Returns:
        y: [size, ...], in the dtype of the values, computed in float32 or wider; 0 where there are no entries.

    Raises:
        InputError: as `scatter_sum`.

    Remembers:
        one number per segment; the index and ``where`` exist anyway.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> values, index = jnp.array([1.0, 2.0, 4.0]), jnp.array([2, 0, 2])
        >>> scatter_mean(values, index, 3).tolist()
        [2.0, 0.0, 2.5]
        >>> jax.grad(lambda values: scatter_mean(values, index, 3).sum())(values).tolist()
        [0.5, 1.0, 0.5]
    """
    return _mean(values, index, size, where)[0]


@scatter_mean.validate
def _(values, index, size, where):
    check_segments("scatter_mean", values, index, size, where)


@scatter_mean.forward
def _(values, index, size, where):
    y, count = _mean(values, index, size, where)
    return y, (index, where, count)


@scatter_mean.backward
def _(residuals, dy, *, size):
    index, where, count = residuals
    # y = H^T values / count
    dtotal = dy / along_rows(count, dy)
    return picked(dtotal, places(index, size, where)), None, None


@rule(static=["size"])
def scatter_max(values: jax.Array, index: jax.Array, size: int, *, where: jax.Array | None = None) -> jax.Array:
    """The largest of each segment, in each feature: y_s = max of values_e over all e with index_e = s.

    Args:
        values, index, size, where: as for `scatter_sum`.

    Returns:
        y: [size, ...], in the dtype of the values; 0 where there are no entries, NaN where one of them is.

    Raises:
        InputError: as `scatter_sum`.

    Remembers:
        the number of the entry that won, for every element of y; the index and ``where`` exist anyway.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> values, index = jnp.array([1.0, 2.0, 4.0, 4.0]), jnp.array([2, 0, 2, 2])
        >>> scatter_max(values, index, 3).tolist()
        [2.0, 0.0, 4.0]
        >>> jax.grad(lambda values: scatter_max(values, index, 3).sum())(values).tolist()
        [0.0, 1.0, 1.0, 0.0]
    """
    _, winner = _largest(jax.lax.stop_gradient(values), index, size, where)
    y = jnp.take_along_axis(values, winner, 0, mode="fill", fill_value=0)
    return jnp.where(winner == values.shape[0], nothing(0, index, size, where), y).astype(values.dtype)


@scatter_max.validate
def _(values, index, size, where):
    check_segments("scatter_max", values, index, size, where)


@scatter_max.forward
def _(values, index, size, where):
    peak, winner = _largest(values, index, size, where)
    is_empty = along_rows(_tally(index, size, where, jnp.float32), values) == 0
    y = jnp.where(is_empty, nothing(0, index, size, where), peak)
    return y.astype(values.dtype), (index, where, winner)


@scatter_max.backward
def _(residuals, dy, *, size):
    index, where, winner = residuals
    place = places(index, size, where)
    # y = values[winner]
    winner, dwinner = picked(winner, place), picked(dy, place)
    return jnp.where(winner == _numbers(winner), dwinner, 0), None, None


def _total(values, index, size, where):
    start = jnp.full((size, *values.shape[1:]), nothing(0, index, size, where), wide(values))
    return start.at[places(index, size, where)].add(values, mode="drop")


def _mean(values, index, size, where):
    """The mean of each segment, and the number of its entries, or 1 for none."""
    count = jnp.maximum(_tally(index, size, where, wide(values)), 1)
    y = _total(values, index, size, where) / along_rows(count, values)
    return y.astype(values.dtype), count


def _tally(index, size, where, dtype):
    """How many entries each segment has."""
    return jnp.zeros(size, dtype).at[places(index, size, where)].add(1, mode="drop")


def _largest(values, index, size, where):
    """The largest value of each segment, and the number of the first entry that has it; E where there is none."""
    shape, place, nobody = (size, *values.shape[1:]), places(index, size, where), values.shape[0]
    peak = jnp.full(shape, nothing(-jnp.inf, index, size, where), values.dtype).at[place].max(values, mode="drop")
    is_peak = (values == picked(peak, place)) | jnp.isnan(values)
    candidates = jnp.where(is_peak, _numbers(values), nobody)
    return peak, jnp.full(shape, nobody, jnp.int32).at[place].min(candidates, mode="drop")


def _numbers(rows):
    """0, 1, 2, ... along the first axis."""
    return jax.lax.broadcasted_iota(jnp.int32, rows.shape, 0)
