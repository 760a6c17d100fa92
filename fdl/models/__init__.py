"""Architectures: each a function that gives a `Layer`, built from what `fdl.layers` has."""

from fdl.models.resnet import resnet, resnet_cifar

__all__ = ["resnet", "resnet_cifar"]
