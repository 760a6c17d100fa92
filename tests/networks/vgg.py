"""VGG, whose counts are the paper's; those with batch norm are torchvision's, less the biases in front of the norms."""

import jax
import jax.numpy as jnp

from fdl.losses import softmax_cross_entropy
from fdl.models import vgg
from tests.networks.row import Published, Refused, Small, images

IMAGENET = (images(224),)

PUBLISHED = [
    Published("vgg-11", vgg(11), IMAGENET, (2, 1000), 132_863_336),
    Published("vgg-13", vgg(13), IMAGENET, (2, 1000), 133_047_848, slow=True),
    Published("vgg-16", vgg(16), IMAGENET, (2, 1000), 138_357_544),
    Published("vgg-19", vgg(19), IMAGENET, (2, 1000), 143_667_240, slow=True),
    Published("vgg-11-norm", vgg(11, batch_norm=True), IMAGENET, (2, 1000), 132_868_840 - 2_752, slow=True),
    Published("vgg-13-norm", vgg(13, batch_norm=True), IMAGENET, (2, 1000), 133_053_736 - 2_944, slow=True),
    Published("vgg-16-norm", vgg(16, batch_norm=True), IMAGENET, (2, 1000), 138_365_992 - 4_224),
    Published("vgg-19-norm", vgg(19, batch_norm=True), IMAGENET, (2, 1000), 143_678_248 - 5_504, slow=True),
]


def batch(key):
    return (jax.random.normal(key, (2, 32, 32, 3), jnp.float64),), jnp.arange(2)


SMALL = [
    Small("vgg", vgg(11, 5, width=2, hidden=8), batch, softmax_cross_entropy),
    Small("vgg-norm", vgg(11, 5, width=2, hidden=8, batch_norm=True), batch, softmax_cross_entropy, slow=True),
]

REFUSED = [
    Refused("vgg-depth", lambda: vgg(12), "11, 13, 16, 19"),
    Refused("vgg-width", lambda: vgg(11, width=0), "vgg needs width as a whole number"),
    Refused(
        "vgg-half-a-width", lambda: vgg(11, width=32.0), "vgg needs width as a whole number of at least 1, got 32.0"
    ),
]
