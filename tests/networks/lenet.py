"""LeNet-5."""

import jax
import jax.numpy as jnp

from fdl.losses import softmax_cross_entropy
from fdl.models import lenet5
from tests.networks.row import Published, Refused, Small, images

IMAGE = (images(32, 1),)
OUTPUT = 84 * 10 + 10  # the affine map in the place of the paper's comparison with drawings, which were not trained

PUBLISHED = [
    Published("lenet5", lenet5(), IMAGE, (2, 10), 60_000 + OUTPUT),
    Published("lenet5-simplified", lenet5(simplified=True), IMAGE, (2, 10), 61_706),
]


def batch(key):
    return (jax.random.normal(key, (2, 32, 32, 1), jnp.float64),), jnp.arange(2)


SMALL = [
    Small("lenet5", lenet5(), batch, softmax_cross_entropy),
    Small("lenet5-simplified", lenet5(simplified=True), batch, softmax_cross_entropy, slow=True),
]

REFUSED = [Refused("lenet5-classes", lambda: lenet5(0), "Affine needs features as a whole number")]
