"""Language models by recurrence: a state that has read all characters so far says which one comes next.

    x_t = table[id_t]        h_t = cell(x_t, h_{t-1})        scores_t = h_t w + b

    ids [N, T] -> embedding -> cell 1 -> ... -> cell n -> scores [N, T, vocabulary]
                               h, c ->  from step to step

What is to be predicted is the input one place later, `fdl.data.next_character_windows`: a text has its own labels.

The state is what the network knows of the text. A text that is read in pieces goes on where the last piece ended
after ``net.begin_stream(params, state, batch, length)``, whose state `apply` hands from call to call:

- to write, character by character: ``generate(stream_step(net, params), stream, ...)`` of `fdl.sampling`;
- to train by truncated backpropagation: batches are windows of N long texts that follow each other, and the state
  in the train state remembers what was before them, while gradients end at the beginning of a window.

Sources: Elman, "Finding structure in time" (1990); Sutskever, Martens and Hinton, "Generating text with recurrent
neural networks" (2011); Karpathy, "The unreasonable effectiveness of recurrent neural networks" (2015); Zaremba,
Sutskever and Vinyals, "Recurrent neural network regularization" (2014), for dropout between layers, not in time.
"""

from collections.abc import Callable

from fdl.layer import Layer
from fdl.layers import LSTM, Affine, Dropout, Embedding, Serial
from fdl.models.recurrent_stack import recurrent_stack


def char_rnn(
    vocabulary: int,
    hidden: int = 512,
    depth: int = 2,
    *,
    cell: Callable[[int], Layer] = LSTM,
    features: int | None = None,
    dropout: float = 0.0,
) -> Layer:
    """A recurrent language model, of characters or of words.

    Args:
        vocabulary: how many characters there are.
        hidden: how many units each layer has.
        depth: how many recurrent layers there are.
        cell: what makes a layer of a number of units: `RNN`, `LSTM` or `GRU`.
        features: of the vector for each character; as many as units if None.
        dropout: the probability to drop, on what goes into each layer, and into the scores.

    Returns:
        A layer from ids [N, T] to scores [N, T, vocabulary].

    Raises:
        InputError: for fewer than one layer, and for what the layers do not take.

    Source: Zaremba, Sutskever and Vinyals (2014).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import GRU
        >>> net, ids = char_rnn(65, 256, depth=1, cell=GRU), jax.ShapeDtypeStruct((8, 100), jnp.int32)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), ids)
        >>> sum(w.size for w in jax.tree.leaves(params))
        427585
    """
    width = hidden if features is None else features
    last = {"dropout": Dropout(dropout)} if dropout else {}
    return Serial(
        embedding=Embedding(vocabulary, width),
        recurrent=recurrent_stack(cell, hidden, depth, dropout),
        **last,
        scores=Affine(vocabulary),
    )
