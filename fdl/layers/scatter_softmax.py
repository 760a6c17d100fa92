"""Softmax by segments: the scores of the entries that belong together become probabilities.

With S the segment of entry e, and all sums over the entries j of S,

    y_e = exp(x_e) / sum_j exp(x_j)
    dx_e = y_e (dy_e - sum_j y_j dy_j)

which is `fdl.layers.softmax` with rows of different lengths, stored one after the other in any order: the weights that
a node of a graph gives to the edges that arrive at it. Both sums are collected and handed back to the entries as in
`fdl.layers.scatter`. y is all there is to remember.

The largest score of each segment is taken off first, which changes nothing and keeps exp from overflowing.

Source: Velickovic, Cucurull, Casanova, Romero, Lio and Bengio, "Graph attention networks" (2018).
"""

import jax
import jax.numpy as jnp

from fdl.layers.segments import along_rows, check_segments, nothing, picked, places
from fdl.rule import rule, wide


@rule(static=["size"])
def scatter_softmax(scores: jax.Array, index: jax.Array, size: int, *, where: jax.Array | None = None) -> jax.Array:
    """The softmax over each segment: y_e = exp(x_e) / sum of exp(x_j) over all j with index_j = index_e.

    Args:
        scores: x [E, ...], floats of any size; -inf stands for what is impossible.
        index: [E], integers in [0, size).
        size: how many segments there are.
        where: [E], booleans, which entries take part; None for all. The others get 0.

    Returns:
        y: [E, ...], in the dtype of the scores, computed in float32 or wider.

    Raises:
        InputError: as `fdl.layers.scatter_sum`.

    Remembers:
        y; the index and ``where`` exist anyway.

    Source:
        Velickovic et al. (2018).

    Example:
        >>> import jax.numpy as jnp
        >>> scatter_softmax(jnp.array([0.0, 7.0, 0.0]), jnp.array([2, 0, 2]), 3).tolist()
        [0.5, 1.0, 0.5]
    """
    place = places(index, size, where)
    start = nothing(-jnp.inf, index, size, where)
    x = jnp.where(along_rows(place == size, scores), start, scores.astype(wide(scores)))
    still = jax.lax.stop_gradient(x)  # y does not depend on the largest
    peak = jnp.full((size, *x.shape[1:]), start, x.dtype).at[place].max(still, mode="drop")
    weights = jnp.exp(x - picked(peak, place))
    total = jnp.zeros_like(peak).at[place].add(weights, mode="drop")
    return (weights / picked(total, place, otherwise=1)).astype(scores.dtype)


@scatter_softmax.validate
def _(scores, index, size, where):
    check_segments("scatter_softmax", scores, index, size, where)


@scatter_softmax.forward
def _(scores, index, size, where):
    y = scatter_softmax.reference(scores, index, size, where=where)
    return y, (index, where, y)


@scatter_softmax.backward
def _(residuals, dy, *, size):
    index, where, y = residuals
    place = places(index, size, where)
    # y = exp(x) / sum exp(x)
    dexp = y * dy.astype(wide(dy))
    dtotal = jnp.zeros((size, *dexp.shape[1:]), dexp.dtype).at[place].add(dexp, mode="drop")
    dx = dexp - y * picked(dtotal, place)
    return jnp.where(along_rows(place == size, dx), 0, dx), None, None
