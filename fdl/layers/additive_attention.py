"""Additive attention: a small network with one hidden layer says how well a query and a key match.

    s_tj = w . tanh(q_t + k_j)       q: [Tq, hidden]   k: [Tk, hidden]   w: [hidden], for each example
    p = softmax(s)                   over the keys that there are; 0 for a query that has none
    y = p v                          v: [Tk, dim]   y: [Tq, dim]

q and k are projected to the hidden layer before, each once, and not once for each pair. The softmax and the mean are
those of attention.py:

    dp = dy v^T        dv = p^T dy        ds = p (dp - d),  d = sum p dp

and with a_tj = tanh(q_t + k_j), whose derivative is 1 - a_tj^2 in each feature,

    dw = sum over t, j of ds_tj a_tj
    dq_t = w sum over j of ds_tj (1 - a_tj^2)          dk_j = w sum over t of ds_tj (1 - a_tj^2)

The a of all pairs are [Tq, Tk, hidden], mostly more than all the rest. They are not remembered: only p is, and backward
computes a again, for a few queries at a time, so that it is still in the cache when the three sums are taken.

Source: Bahdanau, Cho and Bengio, "Neural machine translation by jointly learning to align and translate" (2015).
"""

from typing import Any

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.ids import check_lengths
from fdl.initializers import Initializer, glorot_normal
from fdl.keys import split_key
from fdl.layer import Layer, Tree
from fdl.layers.affine import affine
from fdl.layers.attention_blocks import query_block
from fdl.layers.attention_checks import check_mask, check_sequences
from fdl.layers.attention_matrices import without_padding
from fdl.layers.checks import check_initializers
from fdl.rule import rule, wide
from fdl.slices import put_at, slice_at


@rule(static=["block"])
def additive_attention(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    w: jax.Array,
    *,
    mask: jax.Array | None = None,
    lengths: jax.Array | None = None,
    block: int | None = None,
) -> jax.Array:
    """Attention with the scores w . tanh(q_t + k_j): y = softmax(w . tanh(q + k)) v.

    Args:
        q: [N, Tq, hidden], projected queries.
        k: [N, Tk, hidden], projected keys.
        v: [N, Tk, dim].
        w: [hidden].
        mask: booleans that broadcast to [N, Tq, Tk]; True attends.
        lengths: integers in [0, Tk] of shape [N]: how many keys of each example are no padding. Padding has no
            influence, even where it is NaN.
        block: of how many queries backward has the hidden layer at once; None chooses it by the size.

    Returns:
        y: [N, Tq, dim], in the common dtype of the arguments, computed in float32 or wider; 0 for a query that
        attends to no key.

    Raises:
        InputError: for shapes that do not fit together, a mask that is not boolean, and lengths outside [0, Tk]
            where they can be seen.

    Remembers:
        its arguments, which exist anyway, and the weights [N, Tq, Tk].

    Source:
        Bahdanau, Cho and Bengio (2015).

    Example:
        >>> import jax.numpy as jnp
        >>> q, k, v = jnp.zeros((1, 1, 3)), jnp.zeros((1, 4, 3)), jnp.arange(4.0).reshape(1, 4, 1)
        >>> additive_attention(q, k, v, jnp.ones(3)).item(), additive_attention(q, k, v, jnp.ones(3),
        ...     lengths=jnp.array([2])).item()
        (1.5, 0.5)
    """
    p = _weights(q, k, w, mask, lengths)
    return _mean(p, without_padding(v, lengths)).astype(jnp.result_type(q, k, v, w))


@additive_attention.validate
def _(q, k, v, w, *, mask, lengths, block):
    _check_scores(q, k, w, mask, lengths)
    check_sequences("additive_attention", "[N, T, dim]", v=v)
    if jnp.shape(v)[:2] != jnp.shape(k)[:2]:
        raise InputError(
            f"additive_attention expects v of shape [{jnp.shape(k)[0]}, {jnp.shape(k)[1]}, dim] for k of shape "
            f"{list(jnp.shape(k))}, got {list(jnp.shape(v))}: every key has a value"
        )
    if block is not None:
        check_count("additive_attention", "block", block)


def _check_scores(q, k, w, mask, lengths):
    check_sequences("additive_attention", "[N, T, hidden]", q=q, k=k)
    check_sequences("additive_attention", "[hidden]", w=w)
    (n, queries, hidden), keys = jnp.shape(q), jnp.shape(k)[1]
    if jnp.shape(k) != (n, keys, hidden) or jnp.shape(w) != (hidden,):
        raise InputError(
            f"additive_attention expects k of shape [{n}, Tk, {hidden}] and w of shape [{hidden}] for q of shape "
            f"{list(jnp.shape(q))}, got {list(jnp.shape(k))} and {list(jnp.shape(w))}: project queries and keys to "
            "as many features as w has"
        )
    check_mask("additive_attention", mask, "[N, Tq, Tk]", (n, queries, keys))
    check_lengths("additive_attention", lengths, n, keys, "keys")


@additive_attention.forward
def _(q, k, v, w, *, mask, lengths, block):
    p = _weights(q, k, w, mask, lengths)
    y = _mean(p, without_padding(v, lengths)).astype(jnp.result_type(q, k, v, w))
    return y, (q, k, v, w, mask, lengths, p)


@additive_attention.backward
def _(residuals, dy, *, block):
    q, k, v, w, mask, lengths, p = residuals
    k, v = (without_padding(a, lengths) for a in (k, v))
    # y = p v          p = softmax(s)
    dp = jnp.einsum("ntd,njd->ntj", dy, v, preferred_element_type=p.dtype)
    dv = jnp.einsum("ntj,ntd->njd", p, dy.astype(p.dtype))
    ds = _masked(p * (dp - (p * dp).sum(-1, keepdims=True)), mask, lengths, 0)

    def step(carry, start, size):
        dq, dk, dw = carry
        # s = w . a          a = tanh(q + k)
        here, a = _part(ds, start, size), _hidden(_part(q, start, size), k)
        slope = here[..., None] * (1 - a * a)
        dq = put_at(dq, slope.sum(2), start, 1)
        return dq, dk + slope.sum(1), dw + jnp.einsum("ntj,ntjh->h", here, a)

    dq, dk, dw = _over_queries(step, [jnp.zeros_like(array, p.dtype) for array in (q, k, w)], k, block)
    return dq * w, dk * w, dv, dw, None, None


def additive_attention_weights(
    q: jax.Array, k: jax.Array, w: jax.Array, *, mask: jax.Array | None = None, lengths: jax.Array | None = None
) -> jax.Array:
    """The weights of `additive_attention`, softmax(w . tanh(q_t + k_j)): which keys a query looks at, to plot.

    Args:
        q, k, w, mask, lengths: as there.

    Returns:
        p: [N, Tq, Tk], in float32 or wider; each row sums to one, or is zero where there is no key.

    Raises:
        InputError: as there.

    Example:
        >>> import jax.numpy as jnp
        >>> q, k = jnp.zeros((1, 1, 3)), jnp.zeros((1, 4, 3))
        >>> additive_attention_weights(q, k, jnp.ones(3), lengths=jnp.array([2])).tolist()
        [[[0.5, 0.5, 0.0, 0.0]]]
    """
    _check_scores(q, k, w, mask, lengths)
    return _weights(q, k, w, mask, lengths)


def _weights(q, k, w, mask, lengths):
    s = _masked((_hidden(q, without_padding(k, lengths)) * w).sum(-1), mask, lengths, -jnp.inf)
    e = jnp.exp(s - jax.lax.stop_gradient(s.max(-1, keepdims=True, initial=jnp.finfo(s.dtype).min)))
    total = e.sum(-1, keepdims=True)
    return e / jnp.where(total == 0, 1, total)


def _masked(s, mask, lengths, fill):
    if mask is not None:
        s = jnp.where(mask, s, fill)
    if lengths is not None:
        s = jnp.where(jnp.arange(s.shape[-1]) < lengths[:, None, None], s, fill)
    return s


def _hidden(q, k):
    """tanh(q_t + k_j) for all pairs: [N, Tq, Tk, hidden]."""
    return jnp.tanh(q[:, :, None].astype(wide(q, k)) + k[:, None])


def _mean(p, v):
    return jnp.einsum("ntj,njd->ntd", p, v.astype(p.dtype))


def _part(a, start, size):
    return slice_at(a, start, size, 1)


def _over_queries(step, carry, k, block):
    """carry = step(carry, first query, number of queries) over all blocks, of which the last may be shorter."""
    block = query_block(carry[0].shape[1], k.size, block)
    whole, rest = divmod(carry[0].shape[1], block)
    if whole:
        scanned = jnp.arange(whole) * block
        carry = jax.lax.scan(lambda carry, start: (step(carry, start, block), None), tuple(carry), scanned)[0]
    return step(carry, whole * block, rest) if rest else carry


class AdditiveAttention(Layer):
    """The layer of `additive_attention`: keys are their own values, and queries and keys are projected first.

    Its parameters are ``w_q`` [features of a query, hidden], ``w_k`` [features of a key, hidden] and ``w`` [hidden].
    It is called with queries [N, Tq, ...], keys [N, Tk, dim] and, if there is padding, their lengths [N], and returns
    the contexts [N, Tq, dim], a weighted mean of the keys for each query.

    Args:
        hidden: how many features are compared.
        w_init: how the matrices start; ``w`` starts as the single column of one.

    Raises:
        InputError: for less than one feature, and as `additive_attention` does.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, queries, keys = AdditiveAttention(16), jnp.ones((2, 3, 8)), jnp.ones((2, 5, 10))
        >>> params, state = layer.init(jax.random.key(0), queries, keys)
        >>> contexts, state = layer.apply(params, state, queries, keys, jnp.array([5, 2]))
        >>> contexts.shape, layer.weights(params, queries, keys).shape
        ((2, 3, 10), (2, 3, 5))
    """

    hidden: int
    w_init: Initializer = glorot_normal()

    def __post_init__(self) -> None:
        check_count("AdditiveAttention", "hidden", self.hidden)
        check_initializers(self)

    def init(self, key: jax.Array, queries: Any, keys: Any, lengths: Any = None) -> tuple[Tree, Tree]:
        q_key, k_key, key = split_key("AdditiveAttention", key, 3)
        w_q = self.w_init(q_key, (queries.shape[-1], self.hidden))
        w_k = self.w_init(k_key, (keys.shape[-1], self.hidden))
        return {"w_q": w_q, "w_k": w_k, "w": self.w_init(key, (self.hidden, 1))[:, 0]}, {}

    def apply(
        self,
        params: Tree,
        state: Tree,
        queries: Any,
        keys: Any,
        lengths: Any = None,
        *,
        key: Any = None,
        train: bool = False,
    ) -> tuple[Any, Tree]:
        q, k = affine(queries, params["w_q"]), affine(keys, params["w_k"])
        return additive_attention(q, k, keys, params["w"], lengths=lengths), state

    def weights(self, params: Tree, queries: Any, keys: Any, lengths: Any = None) -> jax.Array:
        """Which keys each query looks at, [N, Tq, Tk]: `additive_attention_weights` of the projections."""
        q, k = affine(queries, params["w_q"]), affine(keys, params["w_k"])
        return additive_attention_weights(q, k, params["w"], lengths=lengths)
