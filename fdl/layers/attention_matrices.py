"""Queries, keys and values of some examples as one matrix for each head of keys, and the parts that a block needs.

Examples and heads are one axis, since they are alike to every operation: m = n kv_heads. Queries of heads that share
keys are further rows of the same matrix.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.layers.attention_blocks import Place, Sizes, block_starts, few_blocks
from fdl.layers.in_groups import in_groups
from fdl.slices import put_at, slice_at


def without_padding(a: jax.Array, lengths: jax.Array | None) -> jax.Array:
    """Keys or values [N, T, ...] with zeros beyond the lengths [N]: a NaN there would survive a weight of zero.

    Example:
        >>> import jax.numpy as jnp
        >>> without_padding(jnp.full((1, 3, 1), jnp.nan), jnp.array([0])).ravel().tolist()
        [0.0, 0.0, 0.0]
    """
    if lengths is None:
        return a
    known = jnp.arange(a.shape[1]) < lengths[:, None]
    return jnp.where(known.reshape(known.shape + (1,) * (a.ndim - 2)), a, 0)


class Group(NamedTuple):
    """What attention is given for n examples, and in the backward pass what was remembered of them.

    What has one example in the place of n is the same for all of them.
    """

    q: jax.Array  # [n, Tq, heads, dim]
    k: jax.Array  # [n, Tk, kv_heads, dim]
    v: jax.Array  # [n, Tk, kv_heads, dim_v]
    mask: jax.Array | None  # with bias: [n, kv_heads, heads / kv_heads, Tq, Tk], each axis of full size or of one
    bias: jax.Array | None
    lengths: jax.Array | None  # [n]
    number: jax.Array  # [n], of each example in the whole batch
    band: jax.Array | None = None  # `causal_band`, or None where queries attend to later keys too
    peak: jax.Array | None = None  # with total: [n, heads, Tq]
    total: jax.Array | None = None
    y: jax.Array | None = None  # with dy: [n, Tq, heads, dim_v]
    dy: jax.Array | None = None


class Matrices(NamedTuple):
    """One for each of the m = n kv_heads heads of keys: q [m, groups, Tq, dim], k [m, Tk, dim] and v [m, Tk, dim_v]."""

    q: jax.Array
    k: jax.Array
    v: jax.Array


class Block(NamedTuple):
    """What belongs to a block of scores: for these rows of q and columns of k^T, with the groups as further rows."""

    q: jax.Array
    k: jax.Array
    v: jax.Array
    bias: jax.Array | None
    attended: jax.Array | None  # None: all
    rows: jax.Array
    columns: jax.Array


def as_examples(q: jax.Array, k: jax.Array, v: jax.Array, mask: Any, bias: Any, lengths: Any, **further: Any) -> Group:
    """The arguments of `attention`, all examples of them, and further fields of `Group`."""
    mask, bias = (None if a is None else _by_kv_head(a, q, k) for a in (mask, bias))
    return Group(q, k, v, mask, bias, lengths, jnp.arange(q.shape[0]), **further)


def by_groups(function: Callable[[Group], Any], sizes: Sizes, examples: Group, zero: Any = ()) -> Any:
    """What `in_groups` makes of the examples."""
    n = examples.q.shape[0]
    own = {name: a for name, a in examples._asdict().items() if a is not None and a.shape[0] == n}
    return in_groups(
        lambda group: function(examples._replace(**group)), sizes.examples_on_cpu, sizes.examples_elsewhere, own, zero
    )


def _by_kv_head(a: jax.Array, q: jax.Array, k: jax.Array) -> jax.Array:
    """What broadcasts to [N, heads, Tq, Tk] as what broadcasts to [N, kv_heads, groups, Tq, Tk]."""
    n, heads, queries, keys = (1,) * (4 - a.ndim) + a.shape
    groups = q.shape[2] // k.shape[2]
    return a.reshape(n, *((1, 1) if heads == 1 else (heads // groups, groups)), queries, keys)


def as_matrices(group: Group) -> Matrices:
    """Its q, k and v."""
    k, v = (without_padding(a, group.lengths) for a in (group.k, group.v))
    k, v = (jnp.moveaxis(a, 1, 2).reshape(a.shape[0] * a.shape[2], a.shape[1], a.shape[3]) for a in (k, v))
    return Matrices(grouped(group.q, group), k, v)


def grouped(a: jax.Array, group: Group) -> jax.Array:
    """[n, T, heads, dim] as [m, groups, T, dim]."""
    n, length, heads, dim = a.shape
    kv_heads = group.k.shape[2]
    a = a.reshape(n, length, kv_heads, heads // kv_heads, dim)
    return jnp.moveaxis(a, 1, 3).reshape(n * kv_heads, heads // kv_heads, length, dim)


def by_example(a: jax.Array, group: Group) -> jax.Array:
    """[m, ...] as [n, kv_heads, ...]."""
    return a.reshape(group.q.shape[0], group.k.shape[2], *a.shape[1:])


def by_position(a: jax.Array, group: Group) -> jax.Array:
    """[m, groups, T, dim] as [n, T, heads, dim]."""
    return jnp.moveaxis(by_example(a, group), 3, 1).reshape(*group.q.shape[:3], a.shape[-1])


def over_blocks(step: Callable[[Any, Place], Any], carry: Any, group: Group, sizes: Sizes, causal: bool) -> Any:
    """carry = step(carry, place), in a loop over all blocks."""
    starts = block_starts(group.q.shape[1], group.k.shape[1], sizes, causal)
    each = jnp.asarray(starts, int).reshape(len(starts), 2)

    def at(carry: Any, start: jax.Array) -> tuple[Any, None]:
        return step(carry, Place(start[0], start[1], sizes.queries, sizes.keys)), None

    return jax.lax.scan(at, carry, each)[0]


def causal_band(sizes: Sizes) -> jax.Array:
    """The causal masks of all blocks of these sizes: each is a window, as wide as its keys, of these rows.

    Query i of a block attends to key j where j - i is at most a number that says where the block lies. Rows that go on
    before and after the keys have every such mask in them, from some column on: [1, queries, queries + 2 keys - 1].
    Two columns of the band below from column 1 on, [1 0] and [1 1], are the mask of a block on the diagonal; from
    column 0 on, [1 1] and [1 1], of one before it; from column 2 on it would be [0 0] and [1 0].
    They are computed once and lie in memory, where a loop over groups or blocks needs them: a kernel of XLA's CPU
    compiler that counts rows and columns itself, to compare them, takes twice as long for a block's exponentials.

    Example:
        >>> causal_band(Sizes(1, 1, 2, 2)).astype(int).tolist()
        [[[1, 1, 0, 0, 0], [1, 1, 1, 0, 0]]]
    """
    last, columns = _band_axes(sizes)
    return (columns <= last[:, None])[None]


def turned_causal_band(sizes: Sizes) -> jax.Array:
    """`causal_band` with its columns as rows, [1, queries + 2 keys - 1, queries], as the backward pass has its blocks.

    Made so, not turned afterwards, since turning it would take two kernels in every layer of a stack.

    Example:
        >>> turned_causal_band(Sizes(1, 1, 2, 2)).astype(int).tolist()
        [[[1, 1], [1, 1], [0, 1], [0, 0], [0, 0]]]
    """
    last, columns = _band_axes(sizes)
    return (columns[:, None] <= last)[None]


def _band_axes(sizes: Sizes) -> tuple[jax.Array, jax.Array]:
    """The last column of each row that is attended to, and the columns."""
    return jnp.arange(sizes.queries) + (sizes.keys - 1), jnp.arange(sizes.queries + 2 * sizes.keys - 1)


def _causal(band: jax.Array, place: Place, queries: int, keys: int) -> jax.Array:
    """Which keys of a block each of its queries attends to, when the last query of all attends to the last key."""
    rows, most = band.shape[1], (band.shape[2] - band.shape[1] + 1) // 2  # queries and keys of a block
    query, key = jnp.minimum(place.query, queries - place.queries), jnp.minimum(place.key, keys - place.keys)
    ahead = query + (keys - queries) - key  # the last key that the first query attends to, counted in the block
    window = slice_at(band[0], jnp.maximum(0, most - 1 - ahead), place.keys, axis=1)
    return window if place.queries == rows else window[: place.queries]


def block_at(matrices: Matrices, group: Group, place: Place) -> Block:
    """The block at a place, and which of its keys its queries attend to."""
    (_, groups, queries, _), keys = matrices.q.shape, matrices.k.shape[1]
    rows = slice_at(jnp.arange(queries), place.query, place.queries)
    columns = slice_at(jnp.arange(keys), place.key, place.keys)
    rows, columns = (with_each(a, matrices.q) for a in (rows, columns))
    band, mask, bias = with_each((group.band, group.mask, group.bias), matrices.q)
    conditions = []
    if isinstance(place.query, jax.Array):  # in a loop, where the last block overlaps the one before
        if place.queries and queries % place.queries:
            conditions.append((rows >= place.query)[:, None])
        if place.keys and keys % place.keys:
            conditions.append(columns >= place.key)
    if band is not None:
        conditions.append(_causal(band, place, queries, keys))
    if group.lengths is not None:
        conditions.append(columns < group.lengths[:, None, None, None, None])
    if mask is not None:
        conditions.append(_part(mask, place))
    attended = functools.reduce(jnp.logical_and, conditions) if conditions else None
    shape = (group.q.shape[0], group.k.shape[2], groups, place.queries, place.keys)
    return Block(
        q=queries_at(matrices.q, place),
        k=slice_at(matrices.k, place.key, place.keys, axis=1),
        v=slice_at(matrices.v, place.key, place.keys, axis=1),
        bias=None if bias is None else _as_rows(_part(bias, place), shape),
        attended=None if attended is None else _as_rows(attended, shape),
        rows=rows,
        columns=columns,
    )


def with_each(constants: Any, varying: jax.Array) -> Any:
    """The constants, as if they depended on what varies.

    JAX computes what is the same in every round of a loop before it. In a stack of layers (`Repeat`) that would be the
    masks of all blocks, and masks and biases that all layers share, spread over examples and heads: as many elements as
    there are scores, which are never all there at once.
    """
    return jax.lax.optimization_barrier((constants, varying))[0]


def _part(a: jax.Array, place: Place) -> jax.Array:
    """The block of [.., Tq or 1, Tk or 1]; where there is one row or column, it is the same for every block."""
    for axis, start, size in ((-2, place.query, place.queries), (-1, place.key, place.keys)):
        a = slice_at(a, start, min(size, a.shape[axis]), axis)
    return a


def _as_rows(a: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """What broadcasts to [n, kv_heads, groups, rows, columns] as [m, groups rows, columns]."""
    return jnp.broadcast_to(a, shape).reshape(shape[0] * shape[1], shape[2] * shape[3], shape[4])


def queries_at(a: jax.Array, place: Place) -> jax.Array:
    """The block of [m, groups, Tq, ...] as [m, groups rows, ...]."""
    a = slice_at(a, place.query, place.queries, axis=2)
    return a.reshape(a.shape[0], a.shape[1] * a.shape[2], *a.shape[3:])


def put_queries(a: jax.Array, block: jax.Array, place: Place) -> jax.Array:
    """Back where `queries_at` has it from."""
    block = block.reshape(*a.shape[:2], place.queries, *a.shape[3:])
    return put_at(a, block, place.query, axis=2)


def join_queries(blocks: list[tuple[jax.Array, ...]], group: Group) -> list[jax.Array]:
    """What was made of a few blocks of queries, each [m, groups rows, ...], as [m, groups, Tq, ...]."""
    groups = group.q.shape[2] // group.k.shape[2]

    def apart(a: jax.Array) -> jax.Array:
        return a.reshape(a.shape[0], groups, a.shape[1] // groups, *a.shape[2:])

    return [jnp.concatenate([apart(a) for a in parts], axis=2) for parts in zip(*blocks, strict=True)]


def summed_gradients(
    gradients_at: Callable[[Place], tuple[jax.Array, ...]],
    matrices: Matrices,
    group: Group,
    sizes: Sizes,
    causal: bool,
    dtype: Any,
) -> list[jax.Array]:
    """The gradients of `Matrices`, and of the bias if there is one.

    Args:
        gradients_at: from the place of a block, its dq [m, groups rows, dim], dk [m, columns, dim], dv and ds.
        matrices, group, sizes, causal: what there is, and in which blocks.
        dtype: in which the sums are taken.
    """
    queries, keys = group.q.shape[1], group.k.shape[1]
    places = few_blocks(queries, keys, sizes, causal)
    of_bias = [] if group.bias is None else [jnp.zeros_like(group.bias, dtype)]

    def add_bias(dbias: Any, ds: jax.Array, place: Place) -> Any:
        ds = by_example(ds.reshape(*matrices.q.shape[:2], place.queries, place.keys), group)
        terms = [ds.sum([axis for axis in range(5) if a.shape[axis] == 1], keepdims=True) for a in dbias]
        return [_add_at(a, term, (0, 0, 0, place.query, place.key)) for a, term in zip(dbias, terms, strict=True)]

    if places is not None:
        dqs, dks, dvs, dss = zip(*map(gradients_at, places), strict=True)
        for ds, place in zip(dss, places, strict=True):
            of_bias = add_bias(of_bias, ds, place)
        (dq,) = join_queries([(dq,) for dq in dqs], group)
        return [dq, functools.reduce(_add_to_more, dks), functools.reduce(_add_to_more, dvs), *of_bias]

    def add(gradients: Any, place: Place) -> Any:
        (dq, dk, dv, *dbias), (q, k, v, ds) = gradients, gradients_at(place)
        q = q.reshape(*dq.shape[:2], place.queries, dq.shape[-1])
        dq = _add_at(dq, q, (0, 0, place.query, 0))
        dk, dv = (_add_at(a, b, (0, place.key, 0)) for a, b in ((dk, k), (dv, v)))
        return [dq, dk, dv, *add_bias(dbias, ds, place)]

    return over_blocks(add, [*(jnp.zeros_like(a, dtype) for a in matrices), *of_bias], group, sizes, causal)


def _add_at(a: jax.Array, term: jax.Array, corner: tuple[Any, ...]) -> jax.Array:
    """a, with the term added from this corner on."""
    return jax.lax.dynamic_update_slice(a, jax.lax.dynamic_slice(a, corner, term.shape) + term, corner)


def _add_to_more(some: jax.Array, more: jax.Array) -> jax.Array:
    """[m, fewer, ...] added to the first of [m, keys, ...]."""
    return _add_at(more, some, (0,) * more.ndim)
