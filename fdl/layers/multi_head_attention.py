"""Multi-head attention: several attentions side by side, each in a space of its own.

With h heads of dim features each, for inputs x [N, Tq, C] and a context [N, Tk, D] (x itself in self-attention),

    q = x w_q + b_q                [N, Tq, h, dim]
    k = context w_k + b_k          [N, Tk, h, dim]         (fewer heads where several queries share one)
    v = context w_v + b_v          [N, Tk, h, dim]
    y = attention(q, k, v) w_o + b_o                       the heads side by side as one axis

`fdl.layers.attention` and `affine` bring the gradients. In self-attention as well, q, k and v are three products: one
with the three matrices side by side is no faster, since these and the gradients have to be put there.

When decoding token by token, the keys and values of earlier tokens do not change: `begin_stream` makes a state that
keeps them, and a step then costs one row of the whole.

Source: Vaswani et al., "Attention is all you need" (2017); Ainslie et al., "GQA: training generalized multi-query
transformer models from multi-head checkpoints" (2023), for heads that share keys; Su et al., "RoFormer" (2021), for
rotary positions.
"""

from typing import Any

import jax
import jax.numpy as jnp

from fdl.concrete import is_concrete
from fdl.counts import check_count
from fdl.errors import InputError
from fdl.initializers import Initializer, glorot_uniform, zeros
from fdl.keys import split_key
from fdl.layer import Layer, Tree, inside
from fdl.layers.affine import affine
from fdl.layers.attention import attention
from fdl.layers.checks import check_base, check_initializers, check_rate, weights_of
from fdl.layers.rotary import rotary
from fdl.slices import put_at


class MultiHeadAttention(Layer):
    """Attention of x to itself, or to a context, by several heads; the output has the features of x.

    Inputs are ``x, context=None, lengths=None, mask=None``: x [N, Tq, C]; context [N, Tk, D], which is
    attended to instead of x; lengths [N], how many positions of what is attended to are real; mask, True where a
    query attends to a key, broadcast to [N, heads, Tq, Tk]. Positions that are not real are finite numbers, since the
    gradients of ``w`` have zero times each of them.

    Parameters are ``q``, ``k``, ``v`` and ``out``, each with ``w`` and, unless ``bias=False``, ``b``. There is no
    state, but after `begin_stream` a causal layer keeps ``keys`` and ``values`` and a ``position``: x is
    then what follows.

    Args:
        heads: how many, h.
        dim: the features of each head; C / heads if None.
        kv_heads: how many heads keys and values have, a divisor of ``heads``; as many if None.
        causal: whether a position attends only to itself and those before it; x then attends to itself alone.
        rotary_base: rotates queries and keys by their positions (`fdl.layers.rotary`) with this base; None does not.
        rate: the probability to drop an attention weight in training.
        bias: whether the four maps have a bias.
        w_init: how the weights start.
        out_init: how those of ``out`` start; as the others if None.

    Raises:
        InputError: when heads do not divide C, or kv_heads the heads; for a rotary_base that is not above one; without
            a key in training with a rate; for a context where ``causal``; and, while streaming, for lengths or a mask,
            and for more positions than there is room for (inside jit, where they are not known, the output is then
            NaN).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = MultiHeadAttention(heads=4, causal=True), jax.random.normal(jax.random.key(0), (2, 5, 8))
        >>> params, state = layer.init(jax.random.key(1), x)
        >>> apply = jax.jit(layer.apply)
        >>> y, _ = apply(params, state, x)
        >>> stream = layer.begin_stream(params, state, batch=2, length=5)
        >>> first, stream = apply(params, stream, x[:, :4])
        >>> last, stream = apply(params, stream, x[:, 4:])
        >>> y.shape, bool(jnp.allclose(y, jnp.concatenate([first, last], axis=1), atol=1e-5))
        ((2, 5, 8), True)
    """

    heads: int
    dim: int | None = None
    kv_heads: int | None = None
    causal: bool = False
    rotary_base: float | None = None
    rate: float = 0.0
    bias: bool = True
    w_init: Initializer = glorot_uniform()
    out_init: Initializer | None = None

    def __post_init__(self) -> None:
        for name, number in (("heads", self.heads), ("dim", self.dim), ("kv_heads", self.kv_heads)):
            if number is not None or name == "heads":
                check_count("MultiHeadAttention", name, number)
        if self.rotary_base is not None:
            check_base("MultiHeadAttention", "rotary_base", self.rotary_base)
        if self.heads % (self.kv_heads or 1):
            raise InputError(f"MultiHeadAttention needs kv_heads that divide {self.heads} heads, got {self.kv_heads}")
        check_rate("MultiHeadAttention", self.rate)
        check_initializers(self)

    def init(
        self, key: jax.Array, x: Any, context: Any = None, lengths: Any = None, mask: Any = None
    ) -> tuple[Tree, Tree]:
        self._check(x, context)
        features = x.shape[-1]
        if self.dim is None and features % self.heads:
            raise InputError(f"MultiHeadAttention divides {features} features among {self.heads} heads: give a dim")
        dim = self.dim or features // self.heads
        source = features if context is None else context.shape[-1]
        queries, keys = self.heads * dim, (self.kv_heads or self.heads) * dim
        shapes = {"q": (features, queries), "k": (source, keys), "v": (source, keys), "out": (queries, features)}
        params: Tree = {}
        for (name, shape), w_key in zip(shapes.items(), split_key("MultiHeadAttention", key, 4), strict=True):
            w_init = (self.out_init or self.w_init) if name == "out" else self.w_init
            params[name] = {"w": w_init(w_key, shape)} | ({"b": zeros()(w_key, shape[1:])} if self.bias else {})
        return params, {}

    def apply(
        self,
        params: Tree,
        state: Tree,
        x: Any,
        context: Any = None,
        lengths: Any = None,
        mask: Any = None,
        *,
        key: Any = None,
        train: bool = False,
    ) -> tuple[Any, Tree]:
        self._check(x, context)
        rate = self.rate if train else 0.0
        if rate and key is None:
            raise InputError("MultiHeadAttention draws random numbers in training: call apply with key=...")
        q, k, v = self._projected(params, x, context)
        if not state:
            q, k = self._rotated(q, k)
            y = attention(q, k, v, mask=mask, lengths=lengths, key=key, causal=self.causal, rate=rate)
        else:
            if any(given is not None for given in (lengths, mask)):
                raise InputError("MultiHeadAttention takes x alone while it is streaming")
            y, state = self._continued(state, q, k, v, key, rate)
        y = y.reshape(*y.shape[:2], y.shape[2] * y.shape[3])
        return self._mapped(params, "out", y), state

    def weights(self, params: Tree, x: Any, context: Any = None, lengths: Any = None, mask: Any = None) -> jax.Array:
        """Which positions each query looks at, to plot: the weights [N, heads, Tq, Tk].

        Each row sums to one, or is zero where there is no key.

        Args:
            params, x, context, lengths, mask: as for `apply`.
        """
        self._check(x, context)
        q, k, _ = self._projected(params, x, context)
        q, k = self._rotated(q, k)
        keys = k.shape[1]
        # y = p v is p where v is the identity
        v = jnp.broadcast_to(jnp.eye(keys, dtype=k.dtype)[:, None], (*k.shape[:3], keys))
        return jnp.moveaxis(attention(q, k, v, mask=mask, lengths=lengths, causal=self.causal), 2, 1)

    def begin_stream(self, params: Tree, state: Tree, batch: int, length: int) -> Tree:
        if not self.causal:
            return state
        kv_heads, w = self.kv_heads or self.heads, params["k"]["w"]
        room = (batch, length, kv_heads, w.shape[1] // kv_heads)
        return {
            "keys": jnp.zeros(room, w.dtype),
            "values": jnp.zeros(room, w.dtype),
            "position": jnp.zeros((), jnp.int32),
        }

    def _check(self, x: Any, context: Any) -> None:
        shapes = [list(jnp.shape(a)) for a in (x, context) if a is not None]
        if any(len(shape) != 3 for shape in shapes):
            raise InputError(f"MultiHeadAttention expects inputs of shape [N, T, C], got {shapes}")
        if self.causal and context is not None:
            raise InputError(
                "MultiHeadAttention with causal=True looks back in x alone, and is given a context: leave it out, also "
                "where it is x itself; for an order between two sequences, give a mask to a layer that is not causal"
            )

    def _projected(self, params: Tree, x: Any, context: Any) -> tuple[Any, Any, Any]:
        """Queries, keys and values, with the features of each head on an axis of their own."""
        context = x if context is None else context
        inputs = {"q": x, "k": context, "v": context}
        q, k, v = (self._mapped(params, name, a) for name, a in inputs.items())
        dim = q.shape[2] // self.heads
        q, k, v = (a.reshape(*a.shape[:2], a.shape[2] // dim, dim) for a in (q, k, v))
        return q, k, v

    def _mapped(self, params: Tree, name: str, x: Any) -> jax.Array:
        with inside(name):
            return affine(x, *weights_of(self, params[name]))

    def _rotated(self, q: Any, k: Any) -> tuple[Any, Any]:
        """Queries and keys at their positions, from the first one on."""
        if self.rotary_base is None:
            return q, k
        q, k = (rotary(a, jnp.arange(a.shape[1]), base=self.rotary_base) for a in (q, k))
        return q, k

    def _continued(self, state: Tree, q: Any, k: Any, v: Any, key: Any, rate: float) -> tuple[Any, Tree]:
        """Attention of what follows to itself and to all that was kept, and the state that keeps it as well."""
        room, start, new = state["keys"].shape[1], state["position"], q.shape[1]
        if q.shape[0] != state["keys"].shape[0]:
            raise InputError(
                f"MultiHeadAttention began a stream of {state['keys'].shape[0]} sequences and is given {q.shape[0]}"
            )
        end = start + new
        known = int(end) if is_concrete(end) else new
        if known > room:
            raise InputError(f"MultiHeadAttention began a stream of {room} positions and is given {known}")
        rows = start + jnp.arange(new)
        if self.rotary_base is not None:
            q, k = (rotary(a, rows, base=self.rotary_base) for a in (q, k))
        keys, values = (
            put_at(state[name], a.astype(state[name].dtype), start, axis=1) for name, a in (("keys", k), ("values", v))
        )
        mask = jnp.arange(room)[None] <= rows[:, None]
        y = attention(q, keys, values, mask=mask, key=key, rate=rate)
        return jnp.where(end <= room, y, jnp.nan), {"keys": keys, "values": values, "position": end}
