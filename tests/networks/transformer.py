"""The Transformer."""

import jax
import jax.numpy as jnp

from fdl.losses import softmax_cross_entropy
from fdl.models import transformer
from tests.networks.row import Published, Refused, Small, tokens

PUBLISHED = [
    # fdl/models/transformer.py says how these come about, and why the paper's own 65 and 213 million are rounded.
    Published("transformer-base", transformer(), (tokens(9), tokens(7)), (2, 7, 37_000), 63_082_496),
    Published(
        "transformer-big",
        transformer(37_000, 1024, 16, 4096),
        (tokens(9), tokens(7)),
        (2, 7, 37_000),
        214_245_376,
        slow=True,
    ),
]


def batch(key):
    ids = jax.random.randint(key, (2, 4), 0, 5)
    return (jax.random.randint(key, (2, 3), 0, 5), ids[:, :-1], jnp.array([3, 1])), ids[:, 1:]


SMALL = [
    Small("transformer", transformer(5, 4, 2, 6, 1, dropout=0.0), batch, softmax_cross_entropy),
    Small("transformer-dropout", transformer(5, 4, 2, 6, 2), batch, softmax_cross_entropy, slow=True),
]

REFUSED = [Refused("transformer-heads", lambda: transformer(5, 6, 4), "got 6 features and 4 heads")]
