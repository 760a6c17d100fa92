"""Variational autoencoders. The count is that of the layers in appendix C of the paper, added up."""

import jax
import jax.numpy as jnp
import numpy as np

from fdl.models import negative_elbo, vae
from tests.networks.row import Published, Refused, Small, images

PUBLISHED = [
    Published("vae", vae((28, 28, 1)), (images(28, 1),), ((2, 28, 28, 1), (2, 20), (2, 20)), 815_824),
]


def batch(key):
    x = jax.random.uniform(key, (3, 4, 4, 1), jnp.float64)
    return (x,), x


SMALL = [Small("vae", vae((4, 4, 1), (7,), 2), batch, negative_elbo)]

REFUSED = [
    Refused("vae-shape", lambda: vae((28, 0)), r"got \(28, 0\)"),
    Refused("vae-number", lambda: vae(784), r"got 784: for one axis, \(784,\)"),
    Refused("vae-hidden", lambda: vae((28, 28), 500), r"vae takes the sizes of all hidden layers: for one, \(500,\)"),
    Refused("vae-numpy", lambda: vae(np.prod((28, 28)), np.int64(500)), r"got 784: for one axis, \(784,\)"),
]
