"""Fully connected networks."""

import jax
import jax.numpy as jnp

from fdl.losses import softmax_cross_entropy
from fdl.models import fully_connected_net, two_layer_net
from tests.networks.row import Published, Refused, Small, images

PUBLISHED = [
    Published("two-layer-net", two_layer_net(50), (images(32),), (2, 10), 3072 * 50 + 50 + 50 * 10 + 10),
    Published("fully-connected-net", fully_connected_net((100, 100)), (images(32),), (2, 10), 318_410),
]


def batch(key):
    return (jax.random.normal(key, (4, 3, 2), jnp.float64),), jnp.arange(4)


def small(normalization):
    return fully_connected_net((5, 6), 4, normalization=normalization, dropout=0.2)


SMALL = [
    Small("two-layer-net", two_layer_net(5, 4), batch, softmax_cross_entropy),
    Small("fully-connected-net-batch", small("batch"), batch, softmax_cross_entropy),
    Small("fully-connected-net-layer", small("layer"), batch, softmax_cross_entropy),
]

REFUSED = [
    Refused("fully-connected-net-sizes", lambda: fully_connected_net(100), r"for one, \(100,\)"),
    Refused("fully-connected-net-norm", lambda: fully_connected_net((100,), normalization="batchnorm"), "'layer'"),
    Refused("fully-connected-net-dropout", lambda: fully_connected_net((100,), dropout=1.0), "rate"),
]
