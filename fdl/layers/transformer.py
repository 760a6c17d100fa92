"""Transformer blocks: attention and a small network for each position, each around a shortcut.

With f one of the sublayers (self-attention, attention to a context, feed-forward network) and d its dropout,

    before (pre-norm)     x = x + d(f(norm(x)))        as in GPT-2 and ViT: the shortcut goes straight through
    after  (post-norm)    x = norm(x + d(f(x)))        as in the paper of 2017 and BERT: needs a warm-up of the rate

A stack of pre-norm blocks ends with one more norm, which is the model's to add.

Source: Vaswani et al., "Attention is all you need" (2017); Xiong et al., "On layer normalization in the transformer
architecture" (2020), for the place of the norm; Shazeer, "GLU variants improve transformer" (2020), for gated ones.
"""

from typing import Any

from fdl.errors import InputError
from fdl.initializers import Initializer, he_normal
from fdl.layer import Layer
from fdl.layers.affine import Affine
from fdl.layers.combinators import Serial
from fdl.layers.dropout import Dropout
from fdl.layers.gated import Geglu, Glu, Swiglu
from fdl.layers.layer_norm import LayerNorm
from fdl.layers.self_gated import Gelu
from fdl.wiring import Combinator, Net


def feed_forward(
    features: int,
    hidden: int,
    activation: Layer | None = None,
    rate: float = 0.0,
    *,
    w_init: Initializer | None = None,
    out_init: Initializer | None = None,
) -> Serial:
    """Two affine maps with an activation between them, for each position by itself.

    Args:
        features: of the output.
        hidden: the width between the maps, after the activation: a gated one (Glu, Geglu, Swiglu) is given twice as
            many, and halves them.
        activation: any layer; `Gelu` if None.
        rate: of dropout behind the activation.
        w_init: how the weights start; by `he_normal` if None.
        out_init: how those of the second map start; as the first if None.

    Example:
        >>> feed_forward(512, 2048)
        Serial(Affine(2048), Gelu(), Affine(512))
        >>> feed_forward(512, 1365, activation=Swiglu())
        Serial(Affine(2730), Swiglu(), Affine(512))
    """
    activation = Gelu() if activation is None else activation
    width = 2 * hidden if isinstance(activation, Glu | Geglu | Swiglu) else hidden
    w_init = w_init or he_normal()
    out = Affine(features, w_init=out_init or w_init)
    return Serial(Affine(width, w_init=w_init), activation, *_dropout(rate), out)


def _dropout(rate: float) -> tuple[Layer, ...]:
    return (Dropout(rate),) if rate else ()


class EncoderBlock(Combinator):
    """Self-attention and a feed-forward network: what encoders, and GPT-like decoders (``causal``), are stacked of.

    Inputs are, by position, ``x, lengths=None, mask=None``, as for `MultiHeadAttention`.

    Args:
        attention: usually a `MultiHeadAttention`, causal or not.
        feed_forward: usually made by `feed_forward`; its output has the features of x.
        norm: what normalises, `LayerNorm` or `RMSNorm`.
        norm_first: whether it stands before each sublayer, or after the addition.
        rate: of dropout on what a sublayer adds.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import MultiHeadAttention
        >>> block = EncoderBlock(MultiHeadAttention(heads=4), feed_forward(16, 64))
        >>> x = jnp.ones((2, 5, 16))
        >>> params, state = block.init(jax.random.key(0), x)
        >>> jax.jit(block.apply)(params, state, x, jnp.array([5, 3]))[0].shape
        (2, 5, 16)
    """

    attention: Layer
    feed_forward: Layer
    norm: Layer = LayerNorm()
    norm_first: bool = True
    rate: float = 0.0

    @property
    def children(self) -> dict[str, Layer]:
        sublayers = {"attention": self.attention, "feed_forward": self.feed_forward}
        return _with_norms(sublayers, self.norm, self.rate)

    def wire(self, net: Net, x: Any, lengths: Any = None, mask: Any = None) -> Any:
        x = _around(self, net, "attention", x, None, lengths, mask)
        return _around(self, net, "feed_forward", x)


class DecoderBlock(Combinator):
    """Causal self-attention, attention to an encoder's output, and a feed-forward network.

    Inputs are, by position, ``x, context, lengths=None``; lengths [N] are those of the context.

    Args:
        attention: of x to itself, usually ``MultiHeadAttention(heads, causal=True)``. One that is not causal sees what
            comes after, and in `fdl.sampling.generate`, where tokens come one by one, none but the last.
        cross_attention: of x to the context, usually ``MultiHeadAttention(heads)``.
        feed_forward, norm, norm_first, rate: as for `EncoderBlock`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import MultiHeadAttention
        >>> heads = MultiHeadAttention(heads=4, causal=True), MultiHeadAttention(heads=4)
        >>> block, x, context = DecoderBlock(*heads, feed_forward(16, 64)), jnp.ones((2, 5, 16)), jnp.ones((2, 7, 16))
        >>> params, state = block.init(jax.random.key(0), x, context)
        >>> jax.jit(block.apply)(params, state, x, context)[0].shape
        (2, 5, 16)
    """

    attention: Layer
    cross_attention: Layer
    feed_forward: Layer
    norm: Layer = LayerNorm()
    norm_first: bool = True
    rate: float = 0.0

    @property
    def children(self) -> dict[str, Layer]:
        attentions = {"attention": self.attention, "cross_attention": self.cross_attention}
        return _with_norms(attentions | {"feed_forward": self.feed_forward}, self.norm, self.rate)

    def wire(self, net: Net, x: Any, context: Any, lengths: Any = None) -> Any:
        x = _around(self, net, "attention", x)
        x = _around(self, net, "cross_attention", x, context, lengths)
        return _around(self, net, "feed_forward", x)


def _with_norms(sublayers: dict[str, Layer], norm: Layer, rate: float) -> dict[str, Layer]:
    """Sublayers by name, and what stands around each."""
    children: dict[str, Layer] = {}
    for name, layer in sublayers.items():
        children |= {name: layer, f"{name}_norm": norm}
        if rate:
            children[f"{name}_dropout"] = Dropout(rate)
    return children


def _around(block: EncoderBlock | DecoderBlock, net: Net, name: str, x: Any, *others: Any) -> Any:
    """A sublayer with its norm, dropout and shortcut."""
    sublayer, norm = getattr(net, name), getattr(net, f"{name}_norm")
    y = sublayer(norm(x) if block.norm_first else x, *others)
    if block.rate:
        y = getattr(net, f"{name}_dropout")(y)
    if x.shape != y.shape:
        raise InputError(f"{name} must give the shape of x, {list(x.shape)}, to be added to it, got {list(y.shape)}")
    return x + y if block.norm_first else norm(x + y)
