"""Optimizers: pure state transitions from gradients to updates."""

from fdl.optim.first_order import adam, momentum, sgd
from fdl.optim.optimizer import Optimizer, apply_updates

__all__ = ["Optimizer", "adam", "apply_updates", "momentum", "sgd"]
