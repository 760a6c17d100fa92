"""GoogLeNet."""

import jax
import jax.numpy as jnp

from fdl.layers import GlobalAvgPool, Serial
from fdl.losses import softmax_cross_entropy
from fdl.models import googlenet, inception
from tests.networks.row import Published, Refused, Small, images

IMAGENET, THREE_HEADS = (images(224),), ((2, 1000),) * 3

# BVLC's counts, from the authors' own table. With batch norm it is torchvision's, whose 5x5 convolutions have 3x3 taps.
TAPS = 16 * sum(i * o for i, o in [(16, 32), (32, 96), (16, 48), (24, 64), (24, 64), (32, 64), (32, 128), (32, 128)])
TAPS += 16 * 48 * 128

PUBLISHED = [
    Published("googlenet", googlenet(), IMAGENET, THREE_HEADS, 13_378_280),
    Published("googlenet-norm", googlenet(batch_norm=True), IMAGENET, THREE_HEADS, 13_004_888 + TAPS, slow=True),
]


def image(size):
    return lambda key: ((jax.random.normal(key, (2, size, size, 3), jnp.float64),), jnp.arange(2))


def loss(outputs, labels):
    scores, *auxiliary = (softmax_cross_entropy(one, labels) for one in outputs)
    return scores + 0.3 * sum(auxiliary)


SMALL = [
    Small("inception", Serial(inception(1, (2, 3), (2, 1), 1), GlobalAvgPool()), image(5), softmax_cross_entropy),
    Small("googlenet", googlenet(5, width=1 / 16), image(65), loss, slow=True),
    Small("googlenet-norm", googlenet(5, batch_norm=True, width=1 / 16), image(65), loss, slow=True),
]

REFUSED = [
    Refused("googlenet-classes", lambda: googlenet(0), "Affine needs features as a whole number"),
    Refused("inception-channels", lambda: inception(0, (1, 1), (1, 1), 1), "needs channels as a whole number"),
]
