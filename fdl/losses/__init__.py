"""Losses, one value per example, and penalties on parameters."""

from fdl.losses.classification import hinge, sigmoid_cross_entropy
from fdl.losses.contrastive import nt_xent
from fdl.losses.cross_entropy import softmax_cross_entropy
from fdl.losses.divergence import gaussian_kl, kl_divergence
from fdl.losses.linear_cross_entropy import linear_softmax_cross_entropy
from fdl.losses.overlap import dice
from fdl.losses.penalty import l1, l2
from fdl.losses.regression import absolute_error, huber, squared_error

__all__ = [
    "absolute_error",
    "dice",
    "gaussian_kl",
    "hinge",
    "huber",
    "kl_divergence",
    "l1",
    "l2",
    "linear_softmax_cross_entropy",
    "nt_xent",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
    "squared_error",
]
