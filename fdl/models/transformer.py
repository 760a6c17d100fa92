"""The Transformer: an encoder and a decoder that see a sequence all at once, by attention alone.

    source -> embedding + positions -> [ self-attention -> feed-forward ] x 6 -> context
                                                                                   |
    target -> embedding + positions -> [ causal self-attention -> attention to the context -> feed-forward ] x 6
                                                                                   -> h -> scores = h table^T

Around each sublayer f is a shortcut, with the norm after it: x = norm(x + dropout(f(x))). One table has the vectors of
both languages' words, which share their pieces, and is also the matrix of the scores; as inputs they are multiplied by
sqrt(C), so that they are as large as the positions, sines and cosines.

From a word to any other it is one step, not as many as there are words between them, and no step waits for the one
before, so that all words of a sentence are computed at the same time.

The rate that the paper trains it with rises for 4,000 steps and falls with the root of the step: `fdl.optim.noam`.
Norms behind the shortcuts need that. Labels are smoothed by 0.1.

With the paper's 37,000 pieces the base model has 63,082,496 parameters:

    table                                                        37,000 x 512 = 18,944,000
    encoder     6 x (4 x 512 x 513 + 513 x 2048 + 2049 x 512 + 2 x 2 x 512)   = 18,914,304
    decoder     6 x (8 x 512 x 513 + 513 x 2048 + 2049 x 512 + 3 x 2 x 512)   = 25,224,192

The 65 million of its table 3, and the numbers for other widths and depths there, are those of about 41,000 rows.

Source: Vaswani et al., "Attention is all you need" (2017).
"""

import math
from typing import Any

from fdl.initializers import glorot_uniform, normal
from fdl.layers import (
    DecoderBlock,
    Dropout,
    Embedding,
    EncoderBlock,
    LayerNorm,
    MultiHeadAttention,
    PositionalEncoding,
    Relu,
    Repeat,
    affine,
    feed_forward,
)
from fdl.models.arguments import check_heads
from fdl.models.encoder_decoder import EncoderDecoder
from fdl.wiring import Net


def transformer(
    vocabulary: int = 37_000,
    features: int = 512,
    heads: int = 8,
    hidden: int = 2048,
    depth: int = 6,
    *,
    dropout: float = 0.1,
) -> EncoderDecoder:
    """The encoder-decoder of 2017; the defaults are its base model.

    Args:
        vocabulary: how many words there are, of both languages together.
        features: of the vector for each word, C.
        heads: how many attentions are side by side; a divisor of ``features``.
        hidden: the width of the feed-forward networks.
        depth: how many blocks the encoder has, and the decoder.
        dropout: the probability to drop, on what each sublayer adds, and on embeddings with their positions.

    Returns:
        A layer from (source [N, S], target [N, T], lengths of the sources [N] or None) to scores [N, T, vocabulary]:
        those at t are for the word after target t. `fdl.models.EncoderDecoder` says how it translates.

    Raises:
        InputError: for heads that do not divide the features, and for what the layers do not take.

    Source: Vaswani et al. (2017).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, words = transformer(), jax.ShapeDtypeStruct((8, 30), jnp.int32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), words, words)
        >>> sum(w.size for w in jax.tree.leaves(params))
        63082496
    """
    check_heads("transformer", features, heads)
    attention, causal = MultiHeadAttention(heads), MultiHeadAttention(heads, causal=True)
    mlp = feed_forward(features, hidden, Relu(), w_init=glorot_uniform())
    around: dict[str, Any] = {"norm": LayerNorm(1e-6), "norm_first": False, "rate": dropout}
    return Transformer(
        embedding=Embedding(vocabulary, features, w_init=normal(features**-0.5)),
        positions=PositionalEncoding(),
        dropout=Dropout(dropout),
        encoder=Repeat(EncoderBlock(attention, mlp, **around), depth),
        decoder=Repeat(DecoderBlock(causal, attention, mlp, **around), depth),
    )


class Transformer(EncoderDecoder, init=False):
    """What `transformer` makes."""

    def encoding(self, net: Net, source: Any, lengths: Any = None) -> Any:
        return net.encoder(_embedded(net, source), lengths)

    def decoding(self, net: Net, target: Any, context: Any, lengths: Any = None) -> Any:
        return net.decoder(_embedded(net, target), context, lengths)

    def scoring(self, net: Net, hidden: Any) -> Any:
        return affine(hidden, net.embedding.params["table"].T)


def _embedded(net: Net, ids: Any) -> Any:
    x = net.embedding(ids)
    return net.dropout(net.positions(math.sqrt(x.shape[-1]) * x))
