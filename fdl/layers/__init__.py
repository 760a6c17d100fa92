"""Layers and the rules they are made of: lower case is mathematics, CapWords is a layer."""

from fdl.layer import network
from fdl.layers.activation import Relu, relu
from fdl.layers.affine import Affine, affine
from fdl.layers.batch_norm import BatchNorm, batch_norm, batch_norm_inference
from fdl.layers.combinators import Concat, Residual, Serial
from fdl.layers.dropout import Dropout, dropout
from fdl.layers.shape import Flatten

__all__ = [
    "Affine",
    "BatchNorm",
    "Concat",
    "Dropout",
    "Flatten",
    "Relu",
    "Residual",
    "Serial",
    "affine",
    "batch_norm",
    "batch_norm_inference",
    "dropout",
    "network",
    "relu",
]
