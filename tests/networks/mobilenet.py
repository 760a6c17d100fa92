"""MobileNets, of both versions."""

import jax
import jax.numpy as jnp

from fdl.losses import softmax_cross_entropy
from fdl.models import mobilenet, mobilenet_v2
from tests.networks.row import Published, Refused, Small, images

IMAGENET = (images(224),)

PUBLISHED = [  # as in Keras, without the running statistics that it counts, and in torchvision
    Published("mobilenet", mobilenet(), IMAGENET, (2, 1000), 4_253_864 - 21_888),
    Published("mobilenet-quarter", mobilenet(width=0.25), IMAGENET, (2, 1000), 475_544 - 5_472, slow=True),
    Published("mobilenet-v2", mobilenet_v2(), IMAGENET, (2, 1000), 3_504_872, slow=True),
    Published("mobilenet-v2-half", mobilenet_v2(width=0.5), IMAGENET, (2, 1000), 1_968_680, slow=True),
]


def batch(key):
    return (jax.random.normal(key, (2, 8, 8, 3), jnp.float64),), jnp.arange(2)


small = mobilenet(5, stem=(4, 1), blocks=((8, 2), (8, 1)))
small_v2 = mobilenet_v2(5, stem=(8, 1), stages=((2, 8, 2, 1),), features=8)

SMALL = [
    Small("mobilenet", small, batch, softmax_cross_entropy),
    Small("mobilenet-v2", small_v2, batch, softmax_cross_entropy, slow=True),
]

REFUSED = [
    Refused("mobilenet-channels", lambda: mobilenet(width=0.01), "needs channels as a whole number"),
    Refused("mobilenet-v2-width", lambda: mobilenet_v2(width=-0.1), "above 0, got -3.2"),
    Refused("mobilenet-v2-stage", lambda: mobilenet_v2(stages=((1, 0, 1, 1),)), "above 0, got 0"),
    Refused(
        "mobilenet-v2-features", lambda: mobilenet_v2(features=0), "features as a whole number of at least 1, got 0"
    ),
    Refused("mobilenet-v2-dropout", lambda: mobilenet_v2(dropout=-0.1), "rate"),
]
