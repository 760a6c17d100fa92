"""LSTMs with additive attention."""

import jax
import jax.numpy as jnp

from fdl.losses import softmax_cross_entropy
from fdl.models import seq2seq
from tests.networks.row import Published, Refused, Small, tokens

PUBLISHED = [
    # The sizes of Bahdanau et al. (2015), appendix A, with LSTMs: tables 2 * 30000 * 620; encoder 2 * 1621 * 4000;
    # start 1001 * 1000; attention 3001 * 1000; decoder 3621 * 4000; maxout 3621 * 1000; scores 501 * 30000.
    Published("seq2seq", seq2seq(30_000, 30_000), (tokens(9), tokens(7)), (2, 7, 30_000), 87_305_000),
]


def batch(key):
    ids = jax.random.randint(key, (2, 4), 0, 5)
    return (jax.random.randint(key, (2, 3), 0, 6), ids[:, :-1], jnp.array([3, 1])), ids[:, 1:]


SMALL = [
    Small("seq2seq", seq2seq(6, 5, 4, features=3, readout=2), batch, softmax_cross_entropy),
    Small(
        "seq2seq-dropout", seq2seq(6, 5, 4, features=3, readout=2, dropout=0.2), batch, softmax_cross_entropy, slow=True
    ),
]

REFUSED = [
    Refused("seq2seq-units", lambda: seq2seq(6, 5, 0), "LSTM needs hidden as a whole number of at least 1, got 0")
]
