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

In blocks. s and p have Tq Tk elements for each example and head; q, k, v and y are only as long as the sequence. No
more of s and p than one block, of some examples, queries and keys, exists at a time, and that never leaves the cache.
Backward has each block of p = exp(s - peak) / total again from q, k and two remembered numbers for each query, its
largest score and the sum of its exponentials. (log sum exp s = peak + log total would be one, but at a peak of -1e9,
where a bias masks all keys of a query, log total is less than its rounding, and p would be 1 for each of them.) That is
two matrix products for each block forward and five backward, where plain differentiation has two and four.
`attention_blocks` says which blocks there are:

    all keys       The rows of p are whole: the softmax is as written above, and d = sum_k p_k dp_k. Blocks of a causal
                   matrix end with the last key that one of their queries attends to.
    some keys      for long sequences. A query needs three things of the keys that it has met: the largest score, the
                   sum of the exponentials, and the sum of the values that these weigh. A block of scores s_J makes

                       peak' = max(peak, max s_J)               e = exp(s_J - peak')
                       total' = total exp(peak - peak') + sum e
                       sum' = sum exp(peak - peak') + e v_J     and y = sum / total in the end

                   of them, y is remembered for d = dy . y, and the gradients are sums over blocks. Blocks in which
                   causality leaves nothing are not computed at all: nearly half of them.

Backward has its blocks turned, keys as rows: dv = p^T dy and dk = scale ds^T q are then products of matrices as they
lie, and only ds is turned once more, for dq. On a CPU, XLA's products of many small matrices take up to three times as
long where they turn the first factor.

The weights' dropout is drawn from the places of their elements, so that it is the same whatever the blocks are.

Peaks start at the lowest finite number, not at minus infinity: exp(s - peak) is then 0 for a score of minus infinity,
also while nothing else was met, and no difference of infinities arises.

Sources: Vaswani et al., "Attention is all you need" (2017); Milakov and Gimelshein, "Online normalizer calculation
for softmax" (2018); Dao, Fu, Ermon, Rudra and Ré, "FlashAttention" (2022); shared heads: Ainslie et al., "GQA: training
generalized multi-query transformer models from multi-head checkpoints" (2023).
"""

import jax
import jax.numpy as jnp
import numpy as np

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.ids import check_lengths
from fdl.keys import check_key
from fdl.layers.attention_blocks import block_sizes, few_blocks
from fdl.layers.attention_checks import check_broadcasts, check_mask, check_sequences
from fdl.layers.attention_matrices import (
    as_examples,
    as_matrices,
    block_at,
    by_example,
    by_groups,
    by_position,
    causal_band,
    grouped,
    join_queries,
    over_blocks,
    put_queries,
    queries_at,
    summed_gradients,
    turned_causal_band,
    with_each,
    without_padding,
)
from fdl.layers.checks import check_floats, check_rate
from fdl.layers.random_bits import hash_key, threefry
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
        block: at most how many examples, queries and keys have their scores at once; None chooses it by the size.

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
    dropped = _dropped_at(key, q.shape, jnp.arange(q.shape[0]), rows, columns, rate)
    p = _drop(e / _or_one(e.sum(-1, keepdims=True)), dropped, rate)
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
    check_rate("attention", rate)
    if rate and key is None:
        raise InputError(f"attention with rate={rate} draws random numbers: call it with key=jax.random.key(...)")
    if key is not None:
        check_key("attention", key)
    if block is not None:
        check_count("attention", "block", block)


@attention.forward
def _(q, k, v, *, mask, bias, lengths, key, causal, scale, rate, block):
    sizes, dtype = block_sizes(q.shape, k.shape, block, causal), wide(q, k, v)
    lowest, places = jnp.finfo(dtype).min, few_blocks(q.shape[1], k.shape[1], sizes, causal)
    examples = as_examples(q, k, v, mask, bias, lengths, band=causal_band(sizes) if causal else None)

    def of_group(group):
        matrices = as_matrices(group)

        def sums_at(place, before):
            here = block_at(matrices, group, place)
            s = jnp.einsum("mqd,mkd->mqk", here.q, here.k, preferred_element_type=dtype) * _scale(q, scale)
            s = _scores(s, here)
            peak = jax.lax.stop_gradient(s.max(-1, initial=lowest))
            peak = peak if before is None else jnp.maximum(before, peak)
            e = jnp.exp(s - peak[..., None])
            total = e.sum(-1)
            e = _drop(e, _dropped(key, group, here, rate), rate).astype(v.dtype)
            return peak, total, jnp.einsum("mqk,mkd->mqd", e, here.v, preferred_element_type=dtype)

        def step(met, place):
            before, total, sums = (queries_at(a, place) for a in met)
            peak, more_total, more_sums = sums_at(place, before)
            fade = jnp.exp(before - peak)
            now = peak, total * fade + more_total, sums * fade[..., None] + more_sums
            return [put_queries(a, b, place) for a, b in zip(met, now, strict=True)]

        if places is not None:
            y, *of_queries = join_queries([_finished(*sums_at(place, None)) for place in places], group)
        else:
            zero = jnp.zeros_like(matrices.q, dtype, shape=matrices.q.shape[:-1])
            none = [jnp.full_like(zero, lowest), zero, jnp.zeros_like(zero, shape=(*zero.shape, v.shape[-1]))]
            y, *of_queries = _finished(*over_blocks(step, none, group, sizes, causal))
        of_queries = [a.reshape(group.q.shape[0], q.shape[2], q.shape[1]) for a in of_queries]
        return [by_position(y, group).astype(jnp.result_type(q, k, v)), *of_queries], ()

    (y, peak, total), _ = by_groups(of_group, sizes, examples)
    return y, (q, k, v, mask, bias, lengths, key, None if sizes.keys == k.shape[1] else y, peak, total)


@attention.backward
def _(residuals, dy, *, causal, scale, rate, block):
    q, k, v, mask, bias, lengths, key, y, peak, total = residuals
    sizes, dtype = block_sizes(q.shape, k.shape, block, causal), wide(q, k, v)
    band = turned_causal_band(sizes) if causal else None
    examples = as_examples(q, k, v, mask, bias, lengths, band=band, peak=peak, total=total, y=y, dy=dy)
    is_one_bias = examples.bias is not None and examples.bias.shape[0] == 1  # for all examples

    def of_group(group):
        matrices, dys = as_matrices(group), grouped(group.dy, group)
        peaks, totals = (a.reshape(dys.shape[:3]) for a in (group.peak, group.total))
        ds_of_y = None if group.y is None else (dys.astype(dtype) * grouped(group.y, group)).sum(-1)

        def gradients_at(place):
            # The band is turned for block_at, and back in what that makes: it is read as it lies in memory.
            here = block_at(matrices, group._replace(band=_turned(group.band)), place)
            here = here._replace(bias=_turned(here.bias), attended=_turned(here.attended))
            peak, total, dy = (queries_at(a, place) for a in (peaks, totals, dys))
            s = jnp.einsum("mqd,mkd->mkq", here.q, here.k, preferred_element_type=dtype) * _scale(q, scale)
            p = jnp.exp(_scores(s, here) - peak[:, None]) * (1 / total)[:, None]
            dropped = _turned(_dropped(key, group, here, rate))
            # y = (p m / (1 - rate)) v
            dp = _drop(jnp.einsum("mqd,mkd->mkq", dy, here.v, preferred_element_type=dtype), dropped, rate)
            weights = _drop(p, dropped, rate).astype(v.dtype)
            dv = jnp.einsum("mkq,mqd->mkd", weights, dy, preferred_element_type=dtype)
            # p = softmax(s)
            pdp = p * dp
            d = pdp.sum(1) if ds_of_y is None else queries_at(ds_of_y, place)
            ds = _masked(pdp - p * d[:, None], 0, here)  # for p (dp - d) of one matrix, XLA's CPU kernels sum d anew
            # s = scale q k^T + bias
            dqk = ds.astype(q.dtype)
            dk = jnp.einsum("mkq,mqd->mkd", dqk, here.q, preferred_element_type=dtype)
            dqk = jax.lax.optimization_barrier(_turned(dqk))
            dq = jnp.einsum("mqk,mkd->mqd", dqk, here.k, preferred_element_type=dtype)
            return dq, dk, dv, _turned(ds)

        dq, dk, dv, *dbias = summed_gradients(gradients_at, matrices, group, sizes, causal, dtype)
        dk, dv = (jnp.moveaxis(by_example(a, group), 1, 2) for a in (_scale(q, scale) * dk, dv))
        gradients = [by_position(_scale(q, scale) * dq, group), dk, dv]
        # The gradient of one bias is a sum over groups, that of a bias for each example is their own.
        return (gradients, dbias) if is_one_bias else (gradients + dbias, [])

    zero = jax.tree.map(lambda a: jnp.zeros_like(a, dtype), [examples.bias] if is_one_bias else [])
    (dq, dk, dv, *dbias), summed = by_groups(of_group, sizes, examples, zero)
    dbias = [a.reshape(bias.shape) for a in (*dbias, *summed)]
    return dq, dk, dv, None, dbias[0] if dbias else None, None, None


def _finished(peak, total, sums):
    """y of queries that have met all their keys, the largest score and the sum of exponentials, or 1 without a key."""
    some = _or_one(total)
    return sums / some[..., None], peak, some


def _scores(s, here):
    return _masked(s if here.bias is None else s + here.bias, -jnp.inf, here)


def _masked(a, fill, here):
    if here.attended is None:
        return a
    return jnp.where(here.attended, a, with_each(jnp.asarray(fill, a.dtype), here.attended))


def _turned(a):
    """Columns as rows, of each matrix of scores or of what goes with it."""
    return None if a is None else a.swapaxes(1, 2)


def _scale(q, scale):
    return max(1, q.shape[-1]) ** -0.5 if scale is None else scale


def _or_one(total):
    """The sum of a query's weights, or one where there is nothing to divide."""
    return jnp.where(total == 0, 1, total)


def _dropped(key, group, here, rate):
    """Which weights of a block are dropped, [m, groups rows, columns]; None for no dropout."""
    if not rate:
        return None
    dropped = _dropped_at(key, group.q.shape, group.number, here.rows, here.columns, rate)
    return dropped.reshape(*here.q.shape[:2], here.columns.size)


def _dropped_at(key, shape, number, rows, columns, rate):
    """Which weights are dropped in these rows and columns of every matrix of the examples with these numbers."""
    if not rate:
        return None
    n, queries, heads, _ = shape
    matrix = number[:, None].astype(jnp.uint32) * np.uint32(heads) + jnp.arange(heads, dtype=jnp.uint32)
    which = matrix.reshape(n, heads, 1, 1) * np.uint32(queries) + rows[:, None].astype(jnp.uint32)
    a, b = threefry(hash_key(key), *jnp.broadcast_arrays(which, columns.astype(jnp.uint32)))
    return (a ^ b) < np.uint32(rate * 2**32)


def _drop(weights, dropped, rate):
    """0 where dropped, weights / (1 - rate) elsewhere."""
    return weights if dropped is None else jnp.where(dropped, 0, weights / (1 - rate))
