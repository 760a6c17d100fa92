"""Initializers: how weights start.

An initializer is a value that is called with a key and a shape,

    w = he_normal()(key, shape=(in, out), dtype=jnp.float32)

and every layer with weights takes them as ``w_init`` and the like. `data_dependent` is a function of a whole
network instead.
"""

from fdl.initializers.bilinear import bilinear
from fdl.initializers.data_dependent import data_dependent
from fdl.initializers.distributions import constant, normal, ones, truncated_normal, uniform, zeros
from fdl.initializers.initializer import Initializer, initializer
from fdl.initializers.orthogonal import identity, orthogonal
from fdl.initializers.variance_scaling import (
    fans,
    glorot_normal,
    glorot_truncated_normal,
    glorot_uniform,
    he_normal,
    he_truncated_normal,
    he_uniform,
    kaiming_normal,
    kaiming_truncated_normal,
    kaiming_uniform,
    lecun_normal,
    lecun_truncated_normal,
    lecun_uniform,
    xavier_normal,
    xavier_truncated_normal,
    xavier_uniform,
)

__all__ = [
    "Initializer",
    "bilinear",
    "constant",
    "data_dependent",
    "fans",
    "glorot_normal",
    "glorot_truncated_normal",
    "glorot_uniform",
    "he_normal",
    "he_truncated_normal",
    "he_uniform",
    "identity",
    "initializer",
    "kaiming_normal",
    "kaiming_truncated_normal",
    "kaiming_uniform",
    "lecun_normal",
    "lecun_truncated_normal",
    "lecun_uniform",
    "normal",
    "ones",
    "orthogonal",
    "truncated_normal",
    "uniform",
    "xavier_normal",
    "xavier_truncated_normal",
    "xavier_uniform",
    "zeros",
]
