"""Recurrent language models."""

import jax
import jax.numpy as jnp

from fdl.layers import GRU, RNN
from fdl.losses import softmax_cross_entropy
from fdl.models import char_rnn
from tests.networks.row import Published, Refused, Small, tokens

PUBLISHED = [
    # Zaremba et al. (2014) on Penn Treebank; Kim et al. (2016) count them as 20 and 66 million.
    Published("lstm-medium", char_rnn(10_000, 650, dropout=0.5), (tokens(35),), (2, 35, 10_000), 19_775_200),
    Published(
        "lstm-large", char_rnn(10_000, 1500, dropout=0.65), (tokens(35),), (2, 35, 10_000), 66_022_000, slow=True
    ),
]


def batch(key):
    ids = jax.random.randint(key, (2, 6), 0, 5)
    return (ids[:, :-1],), ids[:, 1:]


SMALL = [
    Small("char-lstm", char_rnn(5, 4, 1), batch, softmax_cross_entropy),
    Small("char-lstm-2", char_rnn(5, 4, 2, dropout=0.2), batch, softmax_cross_entropy, slow=True),
    Small("char-gru", char_rnn(5, 4, 1, cell=GRU, features=3), batch, softmax_cross_entropy, slow=True),
    Small("char-rnn", char_rnn(5, 4, 1, cell=RNN, features=3), batch, softmax_cross_entropy, slow=True),
]

REFUSED = [
    Refused(
        "char-rnn-depth",
        lambda: char_rnn(5, 4, 0),
        "a recurrent network needs depth as a whole number of at least 1, got 0",
    ),
    Refused("char-rnn-rate", lambda: char_rnn(5, 4, dropout=1.0), r"a rate in \[0, 1\)"),
    Refused("char-rnn-ids", lambda: char_rnn(5, 4).init(jax.random.key(0), jnp.ones((2, 3))), "integers"),
]
