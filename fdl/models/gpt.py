"""A GPT: a stack of blocks with causal attention, which predicts the next word at every place of a text at once.

    x = table[ids] + positions
    x = x + attention(norm(x))        each place sees itself and those before it
    x = x + mlp(norm(x))              n times both
    scores = norm(x) table^T          the table that reads words also scores them

    ids [N, T] -> embedding + positions -> [ norm, attention, +, norm, mlp, + ] x n -> norm -> scores [N, T, V]

Every place is an example of its own: from words 1 to t, what is word t + 1? Since places look back only, one pass
computes all T of them, and the labels are the text itself.

Decoding: after ``net.begin_stream(params, state, batch, length)`` each block keeps the keys and values of what it has
seen, and `apply` takes what follows, one word or many. `fdl.sampling` has the rest.

The scores of GPT-2 are 50,257 numbers for each place, more than all else that is computed for it. A loss without them
takes what is in front of them, with the same parameters:

    hidden, state = net.hidden.apply(params, state, ids, key=key, train=True)
    losses = linear_softmax_cross_entropy(hidden, params["embedding"]["table"].T, None, targets)

Weights start as in GPT-2: normal with 0.02, and, where 2 n sublayers add to the same sum, 0.02 / sqrt(2 n) for the last
map of each, so that the sum starts out no larger for many blocks than for one.

Source: Radford et al., "Improving language understanding by generative pre-training" (2018), and "Language models are
unsupervised multitask learners" (2019): GPT-2, of 124, 355, 774 and 1,558 million parameters.
"""

import math
from typing import Any

from fdl.initializers import normal
from fdl.layers import (
    Dropout,
    Embedding,
    EncoderBlock,
    LayerNorm,
    LearnedPositions,
    MultiHeadAttention,
    Repeat,
    Serial,
    affine,
    feed_forward,
)
from fdl.models.arguments import check_heads
from fdl.wiring import Net


def gpt(
    vocabulary: int = 50_257,
    length: int = 1024,
    features: int = 768,
    heads: int = 12,
    depth: int = 12,
    *,
    dropout: float = 0.1,
) -> "GPT":
    """A language model like GPT-2; the defaults are its smallest size.

    Args:
        vocabulary: how many words there are, V.
        length: how many words it can see, T at most.
        features: of the vector for each word.
        heads: how many attentions are side by side; a divisor of ``features``.
        depth: how many blocks there are, n.
        dropout: the probability to drop, on the embeddings, on attention weights, and on what each sublayer adds.

    Returns:
        A layer from ids [N, T] to scores [N, T, V]: those at t are for the word after t.

    Raises:
        InputError: for heads that do not divide the features, and for what the layers do not take, such as a text
            that is too long.

    Source: Radford et al. (2019).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, ids = gpt(), jax.ShapeDtypeStruct((8, 1024), jnp.int32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), ids)
        >>> sum(w.size for w in jax.tree.leaves(params))
        124439808
    """
    check_heads("gpt", features, heads)
    first, last = normal(0.02), normal(0.02 / math.sqrt(2 * max(depth, 1)))
    attention = MultiHeadAttention(heads, causal=True, rate=dropout, w_init=first, out_init=last)
    mlp = feed_forward(features, 4 * features, w_init=first, out_init=last)
    return GPT(
        embedding=Embedding(vocabulary, features, w_init=first),
        positions=LearnedPositions(length, w_init=first),
        dropout=Dropout(dropout),
        blocks=Repeat(EncoderBlock(attention, mlp, rate=dropout), depth),
        norm=LayerNorm(),
    )


class GPT(Serial, init=False):
    """What `gpt` makes: layers in a chain, with scores by the table of the first one behind the last."""

    @property
    def hidden(self) -> Serial:
        """The chain without the scores: from ids [N, T] to hidden states [N, T, C], with the same parameters."""
        return Serial(**self.children)

    def wire(self, net: Net, *inputs: Any) -> Any:
        return affine(super().wire(net, *inputs), net.embedding.params["table"].T)
