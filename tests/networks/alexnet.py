"""AlexNet."""

import jax
import jax.numpy as jnp

from fdl.losses import softmax_cross_entropy
from fdl.models import alexnet
from tests.networks.row import Published, Refused, Small, images

IMAGENET = (images(224),)

PUBLISHED = [
    Published("alexnet", alexnet(), IMAGENET, (2, 1000), 61_100_840),  # torchvision's
    Published("alexnet-two-columns", alexnet(columns=2), IMAGENET, (2, 1000), 60_965_224),  # the paper's
]


def batch(key):
    return (jax.random.normal(key, (2, 63, 63, 3), jnp.float64),), jnp.arange(2)


SMALL = [
    Small("alexnet", alexnet(5, width=1 / 64), batch, softmax_cross_entropy),
    Small("alexnet-two-columns", alexnet(5, columns=2, width=1 / 64), batch, softmax_cross_entropy, slow=True),
]

REFUSED = [
    Refused("alexnet-columns", lambda: alexnet(columns=3), "1 column or 2"),
    Refused("alexnet-dropout", lambda: alexnet(dropout=1.0), "rate"),
]
