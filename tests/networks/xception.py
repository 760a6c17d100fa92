"""Xception."""

import jax
import jax.numpy as jnp

from fdl.losses import softmax_cross_entropy
from fdl.models import xception
from tests.networks.row import Published, Refused, Small, images

PUBLISHED = [
    Published("xception", xception(), (images(299),), (2, 1000), 22_855_952, slow=True)
]  # Keras', the author's


def batch(key):
    return (jax.random.normal(key, (2, 15, 15, 3), jnp.float64),), jnp.arange(2)


def small(middle):
    return xception(5, stem=(2, 4), entry=(6,), middle=middle, exit=(6, 8, 8))


SMALL = [
    Small("xception-ends", small(0), batch, softmax_cross_entropy),
    Small("xception", small(2), batch, softmax_cross_entropy, slow=True),
]

REFUSED = [
    Refused("xception-entry", lambda: xception(entry=()), "at least one block"),
    Refused("xception-middle", lambda: xception(middle=-1), "middle as a whole number of at least 0, got -1"),
    Refused("xception-channels", lambda: xception(stem=(0, 64)), "needs channels as a whole number"),
]
