"""Sequence labelling."""

import jax
import jax.numpy as jnp

from fdl.losses import softmax_cross_entropy
from fdl.models import tagger
from tests.networks.row import Published, Refused, Small, tokens

PUBLISHED = [
    # The sizes of Huang et al. (2015), who give no number: 10000 * 50 + 2 * (350 + 1) * 1200 + 601 * 9.
    Published("tagger", tagger(10_000, 9), (tokens(40), jax.ShapeDtypeStruct((2,), jnp.int32)), (2, 40, 9), 1_347_809),
]


def batch(key):
    return (jax.random.randint(key, (2, 4), 0, 5), jnp.array([4, 2])), jnp.array([[0, 1, 1, 2], [2, 0, 0, 0]])


def loss(scores, labels):
    return softmax_cross_entropy(scores, labels, where=jnp.arange(4) < jnp.array([[4], [2]]))


SMALL = [Small("tagger", tagger(5, 3, 4, features=3, dropout=0.2), batch, loss)]

REFUSED = [
    Refused(
        "tagger-depth",
        lambda: tagger(5, 3, depth=0),
        "a recurrent network needs depth as a whole number of at least 1, got 0",
    )
]
