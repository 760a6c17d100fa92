"""Vision transformers."""

import jax
import jax.numpy as jnp

from fdl.losses import softmax_cross_entropy
from fdl.models import vit
from tests.networks.row import Published, Refused, Small, images

PUBLISHED = [
    # As of torchvision's vit_b_16 and its like.
    Published("vit-b-16", vit(), (images(224),), (2, 1000), 86_567_656),
    Published("vit-b-32", vit(patch=32), (images(224),), (2, 1000), 88_224_232, slow=True),
    Published("vit-l-16", vit(features=1024, heads=16, depth=24), (images(224),), (2, 1000), 304_326_632, slow=True),
]


def batch(key):
    return (jax.random.normal(key, (2, 4, 4, 1), jnp.float64),), jnp.arange(2)


SMALL = [
    Small("vit", vit(3, 4, 2, 4, 2, 1), batch, softmax_cross_entropy),
    Small("vit-dropout", vit(3, 4, 2, 4, 2, 2, dropout=0.1), batch, softmax_cross_entropy, slow=True),
]

REFUSED = [
    Refused("vit-patches", lambda: vit(size=225), "images of 225 and patches of 16"),
    Refused("vit-heads", lambda: vit(features=100), "got 100 features and 12 heads"),
    Refused("vit-no-heads", lambda: vit(heads=0), "heads as a whole number of at least 1, got 0"),
    Refused("vit-no-features", lambda: vit(features=0), "features as a whole number of at least 1, got 0"),
    Refused("vit-no-patch", lambda: vit(patch=0), "patch as a whole number of at least 1, got 0"),
    Refused("vit-no-image", lambda: vit(size=0), "size as a whole number of at least 1, got 0"),
    Refused("vit-size", lambda: vit(3, 4, 2, 4, 2, 1).init(jax.random.key(0), images(6)), "resize them"),
]
