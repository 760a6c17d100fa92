r"""Sequence labelling: one label for each word, by what comes before it and what comes after it.

    x_t = table[id_t]        h_t = [forwards from x_1 to x_t, backwards from x_T to x_t]        scores_t = h_t w + b

    ids [N, T] -> embedding -> LSTM ->  \
                            -> LSTM <-  /  side by side -> scores [N, T, labels]

What kind of word "saw" is depends on its neighbours on both sides. One state that runs forwards knows the left ones
only; a second one that runs backwards knows the right ones, and at each word the two together have seen the whole
sentence. Sentences of different lengths are padded; the second state starts at the end of each sentence, not at that of
the padding, and the loss leaves out what is padding by ``where``.

Sources: Graves and Schmidhuber, "Framewise phoneme classification with bidirectional LSTM" (2005); Huang, Xu and Yu,
"Bidirectional LSTM-CRF models for sequence tagging" (2015), of which this is the one without the CRF.
"""

from collections.abc import Callable
from typing import Any

from fdl.layer import Layer
from fdl.layers import LSTM, Affine, Bidirectional, Embedding
from fdl.models.recurrent_stack import recurrent_stack
from fdl.wiring import Net, network


def tagger(
    vocabulary: int,
    labels: int,
    hidden: int = 300,
    depth: int = 1,
    *,
    cell: Callable[[int], Layer] = LSTM,
    features: int = 50,
    dropout: float = 0.0,
) -> Layer:
    """A bidirectional recurrent network that labels each word of a sequence.

    Args:
        vocabulary: how many words there are.
        labels: how many labels there are.
        hidden: how many units each layer has in each direction.
        depth: how many layers of two directions there are.
        cell: what makes a layer of a number of units: `RNN`, `LSTM` or `GRU`.
        features: of the vector for each word.
        dropout: the probability to drop, on what goes into each layer.

    Returns:
        A layer from (ids [N, T], lengths [N] or None) to scores [N, T, labels].

    Raises:
        InputError: for fewer than one layer, and for what the layers do not take.

    Source: Huang, Xu and Yu (2015).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, ids = tagger(10_000, 9), jax.ShapeDtypeStruct((8, 40), jnp.int32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), ids)
        >>> sum(w.size for w in jax.tree.leaves(params))
        1347809
    """
    return network(
        embedding=Embedding(vocabulary, features),
        recurrent=recurrent_stack(lambda hidden: Bidirectional(cell(hidden)), hidden, depth, dropout),
        scores=Affine(labels),
    )(_tag)


def _tag(net: Net, ids: Any, lengths: Any = None) -> Any:
    return net.scores(net.recurrent(net.embedding(ids), lengths))
