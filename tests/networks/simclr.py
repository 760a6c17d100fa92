"""SimCLR."""

import jax
import jax.numpy as jnp

from fdl.layers import AffineRelu, Serial
from fdl.losses import nt_xent
from fdl.models import resnet, simclr
from tests.networks.row import Published, Refused, Small, images

RESNET50 = resnet(50)
ENCODER = Serial(**{name: layer for name, layer in RESNET50.children.items() if name != "scores"})

PUBLISHED = [
    Published(
        "simclr",
        simclr(ENCODER),
        (images(224), images(224)),
        ((2, 128), (2, 128)),
        # ResNet-50 has 23,508,032 without its last layer; then 2048 x 2048, a norm, and 2048 x 128 with biases
        23_508_032 + 2048 * 2048 + 2 * 2048 + 2048 * 128 + 128,
    ),
]


def views(key):
    x = jax.random.normal(key, (4, 6), jnp.float64)
    noise = 0.1 * jax.random.normal(jax.random.fold_in(key, 1), (2, 4, 6), jnp.float64)
    return (x + noise[0], x + noise[1]), None


def contrast(projections, _):
    return nt_xent(*projections)


def unequal_views():
    net = simclr(AffineRelu(4), 4, 2)
    net.init(jax.random.key(0), jnp.ones((2, 3)), jnp.ones((3, 3)))


SMALL = [Small("simclr", simclr(AffineRelu(8), 8, 4), views, contrast)]

REFUSED = [Refused("simclr-views", unequal_views, r"two views have the same shape, got \[2, 3\] and \[3, 3\]")]
