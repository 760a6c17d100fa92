r"""Translation by LSTMs with attention: the decoder looks up in the source what it needs for its next word.

    encoder   k_j = [forwards, backwards] at word j of the source                  [N, S, 2 H]
    decoder   s_0 = tanh(w k_1's backwards half), which has read all of the source
              p_tj = softmax over j of w . tanh(w_q s_{t-1} + w_k k_j)             where to look
              z_t = sum over j of p_tj k_j                                         what is there
              s_t = LSTM([table[y_{t-1}], z_t], s_{t-1})
              scores_t = maxout([s_t, table[y_{t-1}], z_t] w + b) w' + b'

    source -> embedding -> LSTM <-> -> k_1 ... k_S
                                        \ p_t |  /
                                          z_t          <- where the last state says
                                           |
    target -> embedding ----------------> LSTM -> LSTM -> ... -> scores

Without attention one vector, the last state of the encoder, has to hold a sentence of any length, and long sentences
are translated badly. The weights p say for each word which words of the source it came from: they can be had for a
picture by `fdl.layers.attention_maps`.

The state of the decoder goes into the next weights, so its steps are a loop, in training too; the keys are projected
once for all of them.

Source: Bahdanau, Cho and Bengio, "Neural machine translation by jointly learning to align and translate" (2015), with
LSTMs for its gated units.
"""

from typing import Any

import jax
import jax.numpy as jnp

from fdl.layer import Layer, Tree
from fdl.layers import (
    LSTM,
    AdditiveAttention,
    Affine,
    Bidirectional,
    Dropout,
    Embedding,
    Maxout,
    Serial,
    additive_attention,
    affine,
    lstm_step,
    tanh,
)
from fdl.models.encoder_decoder import EncoderDecoder
from fdl.wiring import Net


def seq2seq(
    source_vocabulary: int,
    target_vocabulary: int,
    hidden: int = 1000,
    *,
    features: int = 620,
    readout: int = 500,
    dropout: float = 0.0,
) -> EncoderDecoder:
    """An encoder-decoder of LSTMs with additive attention; the defaults are the sizes of the paper.

    Args:
        source_vocabulary, target_vocabulary: how many words each language has.
        hidden: how many units the decoder has, and the encoder in each direction, and the attention compares.
        features: of the vector for each word.
        readout: the width of the maxout layer between the decoder and the scores.
        dropout: the probability to drop, on the words' vectors and in front of the scores.

    Returns:
        A layer from (source [N, S], target [N, T], lengths of the sources [N] or None) to scores
        [N, T, target_vocabulary]: those at t are for the word after target t. `fdl.models.EncoderDecoder` says how
        it translates.

    Raises:
        InputError: for what the layers do not take.

    Source: Bahdanau, Cho and Bengio (2015).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, words = seq2seq(30_000, 30_000), jax.ShapeDtypeStruct((8, 30), jnp.int32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), words, words)
        >>> sum(w.size for w in jax.tree.leaves(params))
        87305000
    """
    return Seq2Seq(
        source_embedding=Embedding(source_vocabulary, features),
        target_embedding=Embedding(target_vocabulary, features),
        dropout=Dropout(dropout),
        encoder=Bidirectional(LSTM(hidden)),
        start=Affine(hidden),
        decoder=AttendingLSTM(hidden),
        readout=Serial(Affine(2 * readout), Maxout(2), Dropout(dropout)),
        scores=Affine(target_vocabulary),
    )


class Seq2Seq(EncoderDecoder, init=False):
    """What `seq2seq` makes."""

    def encoding(self, net: Net, source: Any, lengths: Any = None) -> Any:
        return net.encoder(net.dropout(net.source_embedding(source)), lengths)

    def decoding(self, net: Net, target: Any, context: Any, lengths: Any = None) -> Any:
        ys = net.dropout(net.target_embedding(target))
        backwards = context[:, 0, context.shape[-1] // 2 :]  # at the first word, where it ends
        states, looked_up = net.decoder(ys, context, tanh(net.start(backwards)), lengths)
        return net.readout(jnp.concatenate([states, ys, looked_up], axis=-1))

    def scoring(self, net: Net, hidden: Any) -> Any:
        return net.scores(hidden)


class AttendingLSTM(Layer):
    """An LSTM that looks up in keys, by additive attention of its last state, what goes into each step.

    Inputs are ``(ys, keys, start, lengths=None)``: ys [N, T, D], keys [N, S, K], start [N, H] for h, where c starts at
    zero, and lengths [N] of the keys. The output is (hs [N, T, H], what was looked up [N, T, K]). Parameters are
    ``attention`` and ``lstm``, those of the layers. After `begin_stream` it goes on from piece to piece.

    Args:
        hidden: H, how many units there are, and how many features are compared.

    Raises:
        InputError: as `AdditiveAttention` and `LSTM`.

    Example:
        >>> layer, ys, keys, start = AttendingLSTM(8), jnp.ones((2, 5, 3)), jnp.ones((2, 7, 4)), jnp.zeros((2, 8))
        >>> params, state = jax.eval_shape(layer.init, jax.random.key(0), ys, keys, start)
        >>> (hs, looked_up), _ = jax.eval_shape(layer.apply, params, state, ys, keys, start)
        >>> hs.shape, looked_up.shape
        ((2, 5, 8), (2, 5, 4))
    """

    hidden: int

    def __post_init__(self) -> None:
        LSTM(self.hidden)  # says what is wrong with a number of units

    def init(self, key: jax.Array, ys: Any, keys: Any, start: Any, lengths: Any = None) -> tuple[Tree, Tree]:
        attention_key, lstm_key = jax.random.split(key)
        inputs = jax.ShapeDtypeStruct((*ys.shape[:2], ys.shape[-1] + keys.shape[-1]), ys.dtype)
        attention, _ = AdditiveAttention(self.hidden).init(attention_key, start, keys)
        lstm, _ = LSTM(self.hidden).init(lstm_key, inputs)
        return {"attention": attention, "lstm": lstm}, {}

    def apply(
        self,
        params: Tree,
        state: Tree,
        ys: Any,
        keys: Any,
        start: Any,
        lengths: Any = None,
        *,
        key: Any = None,
        train: bool = False,
    ) -> tuple[Any, Tree]:
        attention, lstm = params["attention"], params["lstm"]
        projected = affine(keys, attention["w_k"])

        def step(states: Any, y: Any) -> Any:
            query = affine(states[0], attention["w_q"])[:, None]
            looked_up = additive_attention(query, projected, keys, attention["w"], lengths=lengths)[:, 0]
            states = lstm_step(jnp.concatenate([y, looked_up], axis=-1), *states, **lstm)
            return states, (states[0], looked_up)

        states = (start, jnp.zeros_like(start))
        if state:
            states = jax.tree.map(lambda a, b: jnp.where(state["position"] > 0, a, b), (state["h"], state["c"]), states)
        states, outputs = jax.lax.scan(step, states, ys.swapaxes(0, 1))
        if state:
            state = {"position": state["position"] + ys.shape[1], "h": states[0], "c": states[1]}
        return jax.tree.map(lambda a: a.swapaxes(0, 1), outputs), state

    def begin_stream(self, params: Tree, state: Tree, batch: int, length: int) -> Tree:
        return LSTM(self.hidden).begin_stream(params["lstm"], state, batch, length)

    def weights(self, params: Tree, ys: Any, keys: Any, start: Any, lengths: Any = None) -> jax.Array:
        """Which keys each step looks at, to plot: [N, T, S].

        Each row sums to one, or is zero where there is no key.

        Args:
            params, ys, keys, start, lengths: as for `apply`.
        """
        (hs, _), _ = self.apply(params, {}, ys, keys, start, lengths)
        before = jnp.concatenate([start[:, None], hs[:, :-1]], axis=1)
        return AdditiveAttention(self.hidden).weights(params["attention"], before, keys, lengths)
