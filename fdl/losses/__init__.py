"""Losses, one value per example, and penalties on parameters."""

from fdl.losses.cross_entropy import softmax_cross_entropy
from fdl.losses.penalty import l2

__all__ = ["l2", "softmax_cross_entropy"]
