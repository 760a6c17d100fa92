"""Captioning: what is in an image, said in words; one vector goes in, and a sequence comes out.

    h_0 = features w + b        x_t = table[id_t]        h_t = cell(x_t, h_{t-1})        scores_t = h_t w' + b'

    image -> any network without its scores -> features [N, F]
                                                  |
                                                 h_0 -> cell -> cell -> cell -> ...     (c_0 = 0)
                                                         ^       ^       ^
                                     words, from         <start> "a"     "cat"
                                     the one before      |       |       |
                                     to the next:        "a"     "cat"   "sits"

It is a language model that has been told what to speak of: the image sets the state that it begins with. The features
are usually those in front of the scores of a network that was trained to classify, and stay as they are.

Sources: Karpathy and Fei-Fei, "Deep visual-semantic alignments for generating image descriptions" (2015); Vinyals,
Toshev, Bengio and Erhan, "Show and tell: a neural image caption generator" (2015), where the image is the first input.
"""

from collections.abc import Callable
from typing import Any

from fdl.initializers import glorot_uniform
from fdl.layers import LSTM, Affine, Embedding
from fdl.layers.recurrent import Recurrent
from fdl.models.encoder_decoder import EncoderDecoder
from fdl.wiring import Net


def captioner(
    vocabulary: int, hidden: int = 512, *, cell: Callable[[int], Recurrent] = LSTM, features: int = 256
) -> EncoderDecoder:
    """A recurrent network that writes about a vector.

    Args:
        vocabulary: how many words there are.
        hidden: how many units the recurrent layer has.
        cell: what makes it of a number of units: `RNN`, `LSTM` or `GRU`.
        features: of the vector for each word.

    Returns:
        A layer from (image features [N, F], words [N, T]) to scores [N, T, vocabulary]: those at t are for the word
        after t. `fdl.models.EncoderDecoder` says how it writes by itself.

    Raises:
        InputError: for what the layers do not take.

    Source: Karpathy and Fei-Fei (2015).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net = captioner(1004)
        >>> image, words = jax.ShapeDtypeStruct((8, 512), jnp.float32), jax.ShapeDtypeStruct((8, 16), jnp.int32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), image, words)
        >>> sum(w.size for w in jax.tree.leaves(params))
        2609644
    """
    return Captioner(
        start=Affine(hidden, w_init=glorot_uniform()),
        embedding=Embedding(vocabulary, features),
        recurrent=cell(hidden),
        scores=Affine(vocabulary, w_init=glorot_uniform()),
    )


class Captioner(EncoderDecoder, init=False):
    """What `captioner` makes."""

    def encoding(self, net: Net, source: Any, lengths: Any = None) -> Any:
        return net.start(source)

    def decoding(self, net: Net, target: Any, context: Any, lengths: Any = None) -> Any:
        xs = net.embedding(target)
        recurrent: Any = self.children["recurrent"]
        zeros = recurrent.start(xs)
        start = (context, *zeros[1:]) if isinstance(zeros, tuple) else context
        return net.recurrent(xs, None, start)[0]

    def scoring(self, net: Net, hidden: Any) -> Any:
        return net.scores(hidden)
