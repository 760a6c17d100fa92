"""Residual networks."""

import jax
import jax.numpy as jnp

from fdl.losses import softmax_cross_entropy
from fdl.models import resnet, resnet_cifar
from tests.networks.row import Published, Refused, Small, images

IMAGENET, CIFAR = (images(224),), (images(32),)

PUBLISHED = [
    Published("resnet-18", resnet(18), IMAGENET, (2, 1000), 11_689_512),
    Published("resnet-34", resnet(34), IMAGENET, (2, 1000), 21_797_672, slow=True),
    Published("resnet-50", resnet(50), IMAGENET, (2, 1000), 25_557_032, slow=True),
    Published("resnet-101", resnet(101), IMAGENET, (2, 1000), 44_549_160, slow=True),
    Published("resnet-152", resnet(152), IMAGENET, (2, 1000), 60_192_808, slow=True),
    Published("resnet-18-small", resnet(18, 10, small_images=True), CIFAR, (2, 10), 11_173_962),
    Published("resnet-18-preactivation", resnet(18, preactivation=True), IMAGENET, (2, 1000), 11_687_720),
    Published("resnet-cifar-20", resnet_cifar(20), CIFAR, (2, 10), 269_722),
    Published("resnet-cifar-110", resnet_cifar(110), CIFAR, (2, 10), 1_727_962, slow=True),
]


def batch(key):
    return (jax.random.normal(key, (4, 8, 8, 3), jnp.float64),), jnp.arange(4)


SMALL = [
    Small("resnet-cifar", resnet_cifar(8), batch, softmax_cross_entropy),
    Small("resnet-cifar-preactivation", resnet_cifar(8, preactivation=True), batch, softmax_cross_entropy, slow=True),
]

REFUSED = [
    Refused("resnet-depth", lambda: resnet(20), "18, 34"),
    Refused("resnet-cifar-depth", lambda: resnet_cifar(18), "6 n"),
]
