"""Captioning."""

import jax
import jax.numpy as jnp

from fdl.layers import RNN
from fdl.losses import softmax_cross_entropy
from fdl.models import captioner
from tests.networks.row import Published, Refused, Small, tokens

PUBLISHED = [
    # The sizes of the classic assignment, on COCO: 513 * 512 + 1004 * 256 + (256 + 512 + 1) * 2048 + 513 * 1004.
    Published(
        "captioner",
        captioner(1004),
        (jax.ShapeDtypeStruct((2, 512), jnp.float32), tokens(16)),
        (2, 16, 1004),
        2_609_644,
    ),
]


def batch(key):
    ids = jax.random.randint(key, (2, 5), 0, 5)
    return (jax.random.normal(key, (2, 3), jnp.float64), ids[:, :-1]), ids[:, 1:]


SMALL = [
    Small("captioner", captioner(5, 4, features=3), batch, softmax_cross_entropy),
    Small("captioner-rnn", captioner(5, 4, features=3, cell=RNN), batch, softmax_cross_entropy, slow=True),
]

REFUSED = [
    Refused("captioner-units", lambda: captioner(5, 0), "Affine needs features as a whole number of at least 1, got 0")
]
