"""BERT: a stack of blocks in which every word sees all others, trained to fill in words that are hidden.

    x = dropout(norm(words[ids] + positions + segments))
    x = norm(x + dropout(attention(x)))        x = norm(x + dropout(mlp(x)))        n times both

    ids [N, T] -> embeddings -> [ attention, +, norm, mlp, +, norm ] x n -> hidden states [N, T, C]
                                                                               |-> masked words: scores [N, T, V]
                                                                               |-> the first place: classes [N, K]

A GPT reads from left to right, since a word must not see itself; here a word that is to be predicted is replaced in the
input (`mask_words`), and both its sides can be seen. What has learnt to fill gaps needs little more to tell what a text
says: another head, on what stands at the first place, a word that is the same in every text.

The encoder of the base model has 108,891,648 parameters; "110 million" are those with the pooler, 109,482,240, and with
the two heads that it is trained with.

Source: Devlin, Chang, Lee and Toutanova, "BERT: pre-training of deep bidirectional transformers for language
understanding" (2019).
"""

from typing import Any

import jax
import jax.numpy as jnp

from fdl.concrete import is_concrete
from fdl.errors import InputError
from fdl.ids import check_ids
from fdl.initializers import Initializer, truncated_normal
from fdl.keys import split_key
from fdl.layer import Layer, Tree
from fdl.layers import (
    Affine,
    Dropout,
    Embedding,
    EncoderBlock,
    Gelu,
    LayerNorm,
    LearnedPositions,
    MultiHeadAttention,
    Repeat,
    Serial,
    Tanh,
    affine,
    feed_forward,
)
from fdl.losses.arguments import check_where
from fdl.models.arguments import check_heads
from fdl.sampling.decoding import as_tokens
from fdl.wiring import Net, network

W_INIT: Initializer = truncated_normal(0.02)
NORM, GELU = LayerNorm(1e-12), Gelu()


def bert(
    vocabulary: int = 30_522,
    length: int = 512,
    features: int = 768,
    heads: int = 12,
    depth: int = 12,
    *,
    segments: int = 2,
    dropout: float = 0.1,
    activation: Layer = GELU,
) -> Layer:
    """The encoder; the defaults are the base model.

    Args:
        vocabulary: how many words there are, V.
        length: how many words a text can have, T at most.
        features: of the vector for each word, C.
        heads: how many attentions are side by side; a divisor of ``features``.
        depth: how many blocks there are, n.
        segments: how many kinds of parts a text has, such as question and answer.
        dropout: the probability to drop, on the embeddings, on attention weights, and on what each sublayer adds.
        activation: inside the mlp. The authors' program has the GELU by a tanh, as here; PyTorch's BERTs have the exact
            one, ``Gelu(approximate=False)``.

    Returns:
        A layer from (ids [N, T], segments [N, T] or None, lengths [N] or None) to hidden states [N, T, C]. Without
        segments all is the first one.

    Raises:
        InputError: for heads that do not divide the features, and for what the layers do not take, such as a text
            that is too long.

    Source: Devlin et al. (2019).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, ids = bert(), jax.ShapeDtypeStruct((8, 128), jnp.int32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), ids)
        >>> sum(w.size for w in jax.tree.leaves(params))
        108891648
    """
    check_heads("bert", features, heads)
    attention = MultiHeadAttention(heads, rate=dropout, w_init=W_INIT)
    mlp = feed_forward(features, 4 * features, activation, w_init=W_INIT)
    return network(
        embedding=Embedding(vocabulary, features, w_init=W_INIT),
        positions=LearnedPositions(length, w_init=W_INIT),
        segments=Embedding(segments, features, w_init=W_INIT),
        norm=NORM,
        dropout=Dropout(dropout),
        blocks=Repeat(EncoderBlock(attention, mlp, NORM, norm_first=False, rate=dropout), depth),
    )(_encode)


def _encode(net: Net, ids: Any, segments: Any = None, lengths: Any = None) -> Any:
    segments = jnp.zeros_like(ids) if segments is None else segments
    if jnp.shape(segments) != jnp.shape(ids):
        raise InputError(
            f"bert expects segments of the shape {list(jnp.shape(ids))} of ids, got {list(jnp.shape(segments))}: "
            "lengths come behind them, (ids, None, lengths)"
        )
    x = net.positions(net.embedding(ids)) + net.segments(segments)
    return net.blocks(net.dropout(net.norm(x)), lengths)


def bert_masked(encoder: Layer, vocabulary: int = 30_522, features: int = 768, *, activation: Layer = GELU) -> Layer:
    """The encoder with the head that it is trained with: scores for the word at every place.

    A dense layer with a norm, and then the encoder's own table of words, with a bias for each.

    Args:
        encoder: from `bert`.
        vocabulary, features: of the encoder, V and C.
        activation: behind the dense layer, the same as in the encoder.

    Returns:
        A layer from what the encoder takes to scores [N, T, V]. The parameters of the encoder are under ``encoder``,
        as in `bert_classifier`, so that one's can be loaded into the other by their paths.

    Source: Devlin et al. (2019).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, ids = bert_masked(bert()), jax.ShapeDtypeStruct((8, 128), jnp.int32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), ids)
        >>> sum(w.size for w in jax.tree.leaves(params))
        109514298
    """
    transform = Serial(Affine(features, w_init=W_INIT), activation, NORM)
    return network(encoder=encoder, transform=transform, scores=_TiedScores(vocabulary))(_fill_in)


def _fill_in(net: Net, *inputs: Any) -> Any:
    x = net.transform(net.encoder(*inputs))
    return net.scores(x, net.encoder.params["embedding"]["table"])


class _TiedScores(Layer):
    """Scores by a table that another layer has, and a bias: y = x table^T + b."""

    vocabulary: int

    def init(self, key: jax.Array, x: Any, table: Any) -> tuple[Tree, Tree]:
        return {"b": jnp.zeros(self.vocabulary, jnp.float32)}, {}

    def apply(
        self, params: Tree, state: Tree, x: Any, table: Any, *, key: Any = None, train: bool = False
    ) -> tuple[Any, Tree]:
        return affine(x, table.T, params["b"]), state


def bert_classifier(encoder: Layer, classes: int, features: int = 768, *, dropout: float = 0.1) -> Layer:
    """The encoder with a head that tells classes of texts by what stands at the first place.

    Args:
        encoder: from `bert`, usually trained as part of `bert_masked`.
        classes: how many there are, K.
        features: of the encoder, C.
        dropout: the probability to drop, in front of the scores.

    Returns:
        A layer from what the encoder takes to scores [N, K].

    Source: Devlin et al. (2019).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, ids = bert_classifier(bert(), 2), jax.ShapeDtypeStruct((8, 128), jnp.int32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), ids)
        >>> sum(w.size for w in jax.tree.leaves(params))
        109483778
    """
    return network(
        encoder=encoder,
        pooler=Serial(Affine(features, w_init=W_INIT), Tanh()),
        dropout=Dropout(dropout),
        scores=Affine(classes, w_init=W_INIT),
    )(_classify)


def _classify(net: Net, *inputs: Any) -> Any:
    return net.scores(net.dropout(net.pooler(net.encoder(*inputs)[:, 0])))


def mask_words(
    key: jax.Array, ids: jax.Array, vocabulary: int, mask: int, *, rate: float = 0.15, where: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Hides words of a text, for a network to fill in: a new draw for every step is free.

    Of the words that are picked 80 % become the word for a gap, 10 % any word, and 10 % stay, so that the network has
    to know what belongs in a place also where it sees no gap.

    Args:
        key: a JAX random key.
        ids: [...], integers in [0, vocabulary).
        vocabulary: how many words there are.
        mask: the id of the word that stands for a gap.
        rate: the probability to pick a word, from 0 to 1.
        where: booleans like ids, which words may be picked: no padding, nor the words that begin and end each text. All
            may if None, and padding that was picked counts in the loss.

    Returns:
        (ids with gaps, where they are): the first in int32 at least, and the second, booleans like ids, is the loss's
        ``where``; its labels are the ids that were given.

    Raises:
        InputError: for a mask or ids outside [0, vocabulary), the latter where they can be seen; for a rate outside
            [0, 1], and for a ``where`` of another shape.

    Source: Devlin et al. (2019), section 3.1.

    Example:
        >>> ids, picked = mask_words(jax.random.key(0), jnp.full(10_000, 7), vocabulary=100, mask=99)
        >>> picked.mean().round(2).item(), (ids == 99).mean().round(2).item(), (ids == 7).mean().round(2).item()
        (0.15, 0.12, 0.86)
    """
    if not 0 <= mask < vocabulary:
        raise InputError(f"mask_words needs the id of a word as mask, in [0, {vocabulary}), got {mask}")
    check_where("mask_words", where, jnp.shape(ids))
    check_ids("mask_words", ids, vocabulary, where)
    if is_concrete(rate) and not 0 <= rate <= 1:
        raise InputError(f"mask_words needs a rate from 0 to 1, the probability to pick a word, got {rate}")
    ids = as_tokens(ids)  # a byte has no room for a mask behind its 256 values
    pick_key, kind_key, word_key = split_key("mask_words", key, 3)
    picked = jax.random.uniform(pick_key, ids.shape) < rate
    picked = picked if where is None else picked & where
    kind = jax.random.uniform(kind_key, ids.shape)
    other = jax.random.randint(word_key, ids.shape, 0, vocabulary, ids.dtype)
    hidden = jnp.where(kind < 0.8, mask, jnp.where(kind < 0.9, other, ids))
    return jnp.where(picked, hidden, ids), picked
