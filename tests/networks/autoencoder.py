"""Autoencoders. The counts are those of the layers in the paper's figure 1, and of ours, added up."""

import jax
import jax.numpy as jnp

from fdl.layers import Sigmoid
from fdl.losses import squared_error
from fdl.models import autoencoder, conv_autoencoder
from tests.networks.row import Published, Refused, Small, images

PAPER = autoencoder((28, 28, 1), activation=Sigmoid())

PUBLISHED = [
    Published("autoencoder", PAPER, (images(28, 1),), (2, 28, 28, 1), 2_837_314),
    Published("conv-autoencoder", conv_autoencoder(3, (8, 16)), (images(33),), (2, 33, 33, 3), 1_392 + 2_056 + 387),
]


def batch(key):
    x = jax.random.normal(key, (3, 5, 6, 2), jnp.float64)
    return (x,), x


SMALL = [
    Small("autoencoder", autoencoder((5, 6, 2), (7,), 3), batch, squared_error),
    Small("conv-autoencoder", conv_autoencoder(2, (3, 4)), batch, squared_error),
]

REFUSED = [
    Refused("autoencoder-shape", lambda: autoencoder(()), r"such as \(28, 28, 1\), got \(\)"),
    Refused("autoencoder-number", lambda: autoencoder((8, 8), 50), r"autoencoder takes .* for one, \(50,\)"),
    Refused("conv-autoencoder-number", lambda: conv_autoencoder(1, 16), r"conv_autoencoder takes .* for one, \(16,\)"),
    Refused("conv-autoencoder-widths", lambda: conv_autoencoder(1, ()), "at least one layer"),
]
