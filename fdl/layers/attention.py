"""Attention: every query takes the mean of the values, weighted by how well their keys match it.

    s = scale q k^T + bias           q: [Tq, dim]   k: [Tk, dim]   s: [Tq, Tk], for each example and head
    p = softmax(s)                   over the keys that the query attends to; 0 for the others
    y = p v                          v: [Tk, dim_v]   y: [Tq, dim_v]

With n weights of mean zero, the sum of n products grows like sqrt(n), hence scale = 1 / sqrt(dim). A query that has
no key at all takes an empty sum, y = 0. Dropout on the weights replaces p by p m / (1 - rate), m as in dropout.py.

Gradients. y is linear in p and in v; for the softmax, dp_j / ds_k = p_j ([j = k] - p_k), in each row:

    dp = dy v^T          dv = p^T dy
    ds = p (dp - d)      d = sum_k p_k dp_k = sum_k p_k (dy . v_k) = dy . y
    dbias = ds           dq = scale ds k           dk = scale ds^T q

With dropout dp and the p of dv are multiplied by m / (1 - rate), and d = dy . y holds as before, since y has m in
it as well. A bias that was broadcast sums ds over what it was broadcast to, and heads of queries that share a head
of keys and values sum dk and dv over them. What is masked has p = 0, and so ds = 0.

In blocks. s and p have Tq Tk elements; q, k, v and y are only as long as the sequence. No more of s and p than one
block, of some queries and some keys, exists at a time. A query needs three things of the keys that it has met: the
largest score, the sum of the exponentials, and the sum of the values that these weigh. A block of scores s_J turns
them into

    peak' = max(peak, max s_J)               e = exp(s_J - peak')
    total' = total exp(peak - peak') + sum e
    sum' = sum exp(peak - peak') + e v_J     and y = sum / total in the end

Backward has each block of p = exp(s - peak) / total again from q, k and these two numbers, which are remembered, and
the gradients above are sums over blocks. A block with all keys takes d as the sum of p dp; where keys are in several
blocks, y is remembered for d = dy . y. That is two matrix products for each block forward and five backward, where
plain differentiation has two and four; but the block never leaves the cache. Blocks in which causality leaves nothing
are not computed at all: nearly half of them. A problem of one block is computed without a loop. The weights'
dropout is drawn for each block from the places of its elements, so that it is the same whatever the blocks are.

Peaks start at the lowest finite number, not at minus infinity: exp(s - peak) is then 0 for a score of minus infinity,
also while nothing else was met, and no difference of infinities arises.

Sources: Vaswani et al., "Attention is all you need" (2017); Milakov and Gimelshein, "Online normalizer calculation
for softmax" (2018); Dao, Fu, Ermon, Rudra and Ré, "FlashAttention" (2022); shared heads: Ainslie et al., "GQA:
training generalized multi-query transformer models from multi-head checkpoints" (2023).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fdl.errors import InputError
from fdl.ids import check_lengths
from fdl.layers.attention_blocks import block_sizes, block_starts
from fdl.layers.attention_checks import check_broadcasts, check_mask, check_sequences
from fdl.layers.checks import check_floats
from fdl.layers.random_bits import threefry
from fdl.rule import rule, wide


@rule(static=["causal", "scale", "rate", "block"])
def attention(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    *,
    mask: jax.Array | None = None,
    bias: jax.Array | None = None,
    lengths: jax.Array | None = None,
    key: jax.Array | None = None,
    causal: bool = False,
    scale: float | None = None,
    rate: float = 0.0,
    block: int | None = None,
) -> jax.Array:
    """Scaled dot-product attention, y = softmax(scale q k^T + bias) v, in memory that is linear in the sequence.

    Args:
        q: [N, Tq, heads, dim], floats.
        k: [N, Tk, kv_heads, dim], where kv_heads divides heads: neighbouring heads of queries share one.
        v: [N, Tk, kv_heads, dim_v].
        mask: booleans that broadcast to [N, heads, Tq, Tk]; True attends.
        bias: floats that broadcast to [N, heads, Tq, Tk], added to the scores; minus infinity masks.
        lengths: integers in [0, Tk] of shape [N]: how many keys of each example are no padding. Padding has no
            influence, even where it is NaN.
        key: a JAX random key, for dropout.
        causal: whether query t attends to the keys up to t + Tk - Tq only: the last query sees the last key. Where
            there are more queries than keys, the first Tq - Tk have none.
        scale: what multiplies q k^T, or None for 1 / sqrt(dim).
        rate: the probability in [0, 1) with which a weight is dropped, for N heads Tq and Tk below 2^32.
        block: at most how many queries and keys have their scores at once; None chooses it by the size.

    Returns:
        y: [N, Tq, heads, dim_v], in the common dtype of q, k and v, computed in float32 or wider; 0 for a query
        that attends to no key.

    Raises:
        InputError: for shapes that do not fit together, a mask that is not boolean, lengths outside [0, Tk] where
            they can be seen, a rate outside [0, 1), and a rate without a key.

    Remembers:
        its arguments and, where the keys are in several blocks, y, which exist anyway, and two numbers for each
        query and head.

    Source:
        Vaswani et al. (2017), in the form of Dao et al. (2022).

    Example:
        >>> import jax.numpy as jnp
        >>> q, k, v = jnp.zeros((1, 3, 1, 2)), jnp.ones((1, 3, 1, 2)), jnp.arange(3.0).reshape(1, 3, 1, 1)
        >>> attention(q, k, v).ravel().tolist(), attention(q, k, v, causal=True).ravel().tolist()
        ([1.0, 1.0, 1.0], [0.0, 0.5, 1.0])
    """
    groups = q.shape[2] // k.shape[2]
    k, v = (jnp.repeat(without_padding(a, lengths), groups, axis=2) for a in (k, v))
    s = jnp.einsum("nqhd,nkhd->nhqk", q, k, preferred_element_type=wide(q, k, v)) * _scale(q, scale)
    if bias is not None:
        s = s + bias
    rows, columns = jnp.arange(q.shape[1]), jnp.arange(k.shape[1])
    if causal:
        s = jnp.where(columns <= rows[:, None] + (columns.size - rows.size), s, -jnp.inf)
    if lengths is not None:
        s = jnp.where(columns < lengths[:, None, None, None], s, -jnp.inf)
    if mask is not None:
        s = jnp.where(mask, s, -jnp.inf)
    e = jnp.exp(s - jax.lax.stop_gradient(s.max(-1, keepdims=True, initial=jnp.finfo(s.dtype).min)))
    p = _drop(e / _or_one(e.sum(-1, keepdims=True)), _dropped(key, q, rows, columns, rate), rate)
    y = jnp.einsum("nhqk,nkhd->nqhd", p.astype(v.dtype), v, preferred_element_type=s.dtype)
    return y.astype(jnp.result_type(q, k, v))


@attention.validate
def _(q, k, v, *, mask, bias, lengths, key, causal, scale, rate, block):
    check_sequences("attention", "[N, T, heads, dim]", q=q, k=k, v=v)
    (n, queries, heads, dim), (_, keys, kv_heads, _) = jnp.shape(q), jnp.shape(k)
    if jnp.shape(k) != (n, keys, kv_heads, dim):
        raise InputError(
            f"attention expects k of shape [{n}, Tk, kv_heads, {dim}] for q of shape {list(jnp.shape(q))}, "
            f"got {list(jnp.shape(k))}: queries are compared with the keys of their example, feature by feature"
        )
    if jnp.shape(v)[:3] != (n, keys, kv_heads):
        raise InputError(
            f"attention expects v of shape [{n}, {keys}, {kv_heads}, dim_v] for k of shape {list(jnp.shape(k))}, "
            f"got {list(jnp.shape(v))}: every key has a value"
        )
    if not kv_heads or heads % kv_heads:
        raise InputError(
            f"attention expects k and v with a number of heads that divides the {heads} of q, got {kv_heads}"
        )
    check_mask("attention", mask, "[N, heads, Tq, Tk]", (n, heads, queries, keys))
    if bias is not None:
        check_floats("attention", bias)
        check_broadcasts("attention", "[N, heads, Tq, Tk]", (n, heads, queries, keys), bias=bias)
    check_lengths("attention", lengths, n, keys, "keys")
    if not 0 <= rate < 1:
        raise InputError(f"attention needs a rate in [0, 1), the probability to drop, got {rate}")
    if rate and key is None:
        raise InputError(f"attention with rate={rate} draws random numbers: call it with key=jax.random.key(...)")
    if block is not None and block < 1:
        raise InputError(f"attention needs a block of at least one query and key, got {block}")


@attention.forward
def _(q, k, v, *, mask, bias, lengths, key, causal, scale, rate, block):
    heads, sizes, dtype = _by_head(q, k, v, lengths), block_sizes(q.shape, k.shape, block), wide(q, k, v)

    def step(carry, start):
        here = _block(heads, mask, bias, lengths, causal, start, sizes)
        before, total, sums = (_queries(a, start, sizes) for a in carry)
        s = _scores(here, scale, dtype)
        peak = jnp.maximum(before, jax.lax.stop_gradient(s.max(-1, initial=jnp.finfo(dtype).min)))
        e, fade = jnp.exp(s - peak[..., None]), jnp.exp(before - peak)
        total = total * fade + e.sum(-1)
        e = _drop(e, _dropped(key, q, here.rows, here.columns, rate), rate).astype(v.dtype)
        sums = sums * fade[..., None] + jnp.einsum("nhqk,nhkd->nhqd", e, here.v, preferred_element_type=dtype)
        return [_put_queries(a, b, start) for a, b in zip(carry, (peak, total, sums), strict=True)]

    lowest = jnp.full_like(heads.q[..., 0], jnp.finfo(dtype).min, dtype)
    none = [lowest, jnp.zeros_like(lowest), jnp.zeros_like(lowest, shape=(*lowest.shape, v.shape[-1]))]
    peak, total, sums = _over_blocks(step, none, q, k, sizes, causal)
    y = _by_position(sums / _or_one(total)[..., None]).astype(jnp.result_type(q, k, v))
    has_whole_rows = sizes[1] == k.shape[1]
    return y, (q, k, v, mask, bias, lengths, key, None if has_whole_rows else y, peak, total)


@attention.backward
def _(residuals, dy, *, causal, scale, rate, block):
    q, k, v, mask, bias, lengths, key, y, peak, total = residuals
    heads, sizes, dtype = _by_head(q, k, v, lengths), block_sizes(q.shape, k.shape, block), wide(q, k, v)
    groups, share = q.shape[2] // k.shape[2], 1 / _or_one(total)
    dy_heads = _grouped(dy, groups)
    d_of_y = None if y is None else _grouped((dy.astype(dtype) * y).sum(-1, keepdims=True), groups)[..., 0]

    def step(gradients, start):
        here = _block(heads, mask, bias, lengths, causal, start, sizes)
        peak_here, share_here, dy_here = (_queries(a, start, sizes) for a in (peak, share, dy_heads))
        p = jnp.exp(_scores(here, scale, dtype) - peak_here[..., None]) * share_here[..., None]
        dropped = _dropped(key, q, here.rows, here.columns, rate)
        # y = (p m / (1 - rate)) v
        dp = _drop(jnp.einsum("nhqd,nhkd->nhqk", dy_here, here.v, preferred_element_type=dtype), dropped, rate)
        weights = _drop(p, dropped, rate).astype(v.dtype)
        dv = jnp.einsum("nhqd,nhqk->nhkd", dy_here, weights, preferred_element_type=dtype)
        # p = softmax(s)
        d = (p * dp).sum(-1) if y is None else _queries(d_of_y, start, sizes)
        ds = _masked(p * (dp - d[..., None]), here.attended, 0)
        # s = scale q k^T + bias
        dqk = ds.astype(q.dtype)
        dq = jnp.einsum("nhqk,nhkd->nhqd", dqk, here.k, preferred_element_type=dtype)
        dk = jnp.einsum("nhqd,nhqk->nhkd", here.q, dqk, preferred_element_type=dtype)
        return _add_to(gradients, dq, dk, dv, ds, start)

    none = [jnp.zeros_like(a, dtype) for a in (*heads, *([] if bias is None else [_matrices(bias, groups)]))]
    dq, dk, dv, *dbias = _over_blocks(step, none, q, k, sizes, causal)
    dq, dk = _scale(q, scale) * _by_position(dq), _scale(q, scale) * jnp.moveaxis(dk, 2, 1)
    return dq, dk, jnp.moveaxis(dv, 2, 1), None, dbias[0].reshape(bias.shape) if dbias else None, None, None


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


class _Heads(NamedTuple):
    """By head: q [N, kv_heads, groups, Tq, dim], k [N, kv_heads, Tk, dim] and v [N, kv_heads, Tk, dim_v]."""

    q: jax.Array
    k: jax.Array
    v: jax.Array


class _Block(NamedTuple):
    """What belongs to a block of scores: for these rows of q and columns of k^T, with the groups as further rows."""

    q: jax.Array
    k: jax.Array
    v: jax.Array
    bias: jax.Array | None
    attended: jax.Array | None  # None: all
    rows: jax.Array
    columns: jax.Array


def _by_head(q, k, v, lengths):
    k, v = (jnp.moveaxis(without_padding(a, lengths), 1, 2) for a in (k, v))
    return _Heads(_grouped(q, q.shape[2] // k.shape[1]), k, v)


def _grouped(a, groups):
    """[N, T, heads, dim] as [N, kv_heads, groups, T, dim]."""
    n, length, heads, dim = a.shape
    return jnp.moveaxis(a.reshape(n, length, heads // groups, groups, dim), 1, 3)


def _by_position(a):
    """[N, kv_heads, groups, T, dim] as [N, T, heads, dim]."""
    n, heads, groups, length, dim = a.shape
    return jnp.moveaxis(a, 3, 1).reshape(n, length, heads * groups, dim)


def _matrices(a, groups):
    """What broadcasts to [N, heads, Tq, Tk] as what broadcasts to [N, kv_heads, groups, Tq, Tk]."""
    n, heads, queries, keys = (1,) * (4 - a.ndim) + a.shape
    return a.reshape(n, *((1, 1) if heads == 1 else (heads // groups, groups)), queries, keys)


def _over_blocks(step, carry, q, k, sizes, causal):
    """carry = step(carry, (first query, first key)) over all blocks."""
    starts = block_starts(q.shape[1], k.shape[1], sizes, causal)
    if len(starts) == 1:
        return step(carry, starts[0])
    each = jnp.asarray(starts, int).reshape(len(starts), 2)
    return jax.lax.scan(lambda carry, start: (step(carry, start), None), carry, each)[0]


def _block(heads, mask, bias, lengths, causal, start, sizes):
    (groups, queries), keys = heads.q.shape[2:4], heads.k.shape[2]
    rows = jax.lax.dynamic_slice_in_dim(jnp.arange(queries), start[0], sizes[0])
    columns = jax.lax.dynamic_slice_in_dim(jnp.arange(keys), start[1], sizes[1])
    conditions = []
    if sizes[0] and queries % sizes[0]:  # the last block overlaps the one before
        conditions.append((rows >= start[0])[:, None])
    if sizes[1] and keys % sizes[1]:
        conditions.append(columns >= start[1])
    if causal:
        conditions.append(columns <= rows[:, None] + (keys - queries))
    if lengths is not None:
        conditions.append(columns < lengths[:, None, None, None, None])
    if mask is not None:
        conditions.append(_part(_matrices(mask, groups), start, sizes))
    attended = functools.reduce(jnp.logical_and, conditions) if conditions else None
    return _Block(
        q=_queries(heads.q, start, sizes),
        k=jax.lax.dynamic_slice_in_dim(heads.k, start[1], sizes[1], axis=2),
        v=jax.lax.dynamic_slice_in_dim(heads.v, start[1], sizes[1], axis=2),
        bias=None if bias is None else _as_rows(_part(_matrices(bias, groups), start, sizes), groups, sizes),
        attended=None if attended is None else _as_rows(attended, groups, sizes),
        rows=rows,
        columns=columns,
    )


def _part(a, start, sizes):
    """The block of [.., Tq or 1, Tk or 1]; where there is one row or column, it is the same for every block."""
    for axis in (0, 1):
        a = jax.lax.dynamic_slice_in_dim(a, start[axis], min(sizes[axis], a.shape[axis - 2]), axis - 2)
    return a


def _as_rows(a, groups, sizes):
    """What broadcasts to [N, kv_heads, groups, rows, columns] as what does to [N, kv_heads, groups rows, columns]."""
    *outer, _, _, columns = (1,) * (5 - a.ndim) + a.shape
    return jnp.broadcast_to(a, (*outer, groups, sizes[0], columns)).reshape(*outer, groups * sizes[0], columns)


def _queries(a, start, sizes):
    """The block of [N, kv_heads, groups, Tq, ...] as [N, kv_heads, groups rows, ...]."""
    a = jax.lax.dynamic_slice_in_dim(a, start[0], sizes[0], axis=3)
    return a.reshape(*a.shape[:2], a.shape[2] * a.shape[3], *a.shape[4:])


def _put_queries(a, block, start):
    """Back where `_queries` has it from."""
    block = block.reshape(*a.shape[:3], block.shape[2] // a.shape[2], *a.shape[4:])
    return jax.lax.dynamic_update_slice_in_dim(a, block, start[0], axis=3)


def _add_to(gradients, dq, dk, dv, ds, start):
    shape = gradients[0].shape
    (row, column), rows = start, dq.shape[2] // shape[2]
    places = [(0, 0, 0, row, 0), (0, 0, column, 0), (0, 0, column, 0), (0, 0, 0, row, column)]
    ds = ds.reshape(*shape[:3], rows, ds.shape[-1])
    terms = [dq.reshape(*shape[:3], rows, shape[-1]), dk, dv, *(_sum_to(ds, a.shape) for a in gradients[3:])]
    return [
        jax.lax.dynamic_update_slice(a, jax.lax.dynamic_slice(a, place, term.shape) + term, place)
        for a, term, place in zip(gradients, terms, places, strict=False)
    ]


def _sum_to(ds, shape):
    return ds.sum([axis for axis in range(5) if shape[axis] == 1], keepdims=True)


def _scores(here, scale, dtype):
    s = jnp.einsum("nhqd,nhkd->nhqk", here.q, here.k, preferred_element_type=dtype) * _scale(here.q, scale)
    if here.bias is not None:
        s = s + here.bias
    return _masked(s, here.attended, -jnp.inf)


def _masked(a, attended, fill):
    return a if attended is None else jnp.where(attended, a, fill)


def _scale(q, scale):
    return q.shape[-1] ** -0.5 if scale is None else scale


def _or_one(total):
    """The sum of a query's weights, or one where there is nothing to divide."""
    return jnp.where(total == 0, 1, total)


def _dropped(key, q, rows, columns, rate):
    """Which weights are dropped, in the block of these rows and columns of every matrix; None for no dropout."""
    if not rate:
        return None
    n, queries, heads, _ = q.shape
    matrix = jnp.arange(n * heads, dtype=jnp.uint32).reshape(n, heads, 1, 1)
    which = matrix * np.uint32(queries) + rows[:, None].astype(jnp.uint32)
    a, b = threefry(jax.random.bits(key, (2,), jnp.uint32), *jnp.broadcast_arrays(which, columns.astype(jnp.uint32)))
    return (a ^ b) < np.uint32(rate * 2**32)


def _drop(weights, dropped, rate):
    """0 where dropped, weights / (1 - rate) elsewhere."""
    return weights if dropped is None else jnp.where(dropped.reshape(weights.shape), 0, weights / (1 - rate))
