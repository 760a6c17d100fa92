"""Optimizers: pure state transitions from gradients to updates."""

from fdl.optim.first_order import adam, momentum, sgd
from fdl.optim.optimizer import Optimizer, apply_updates
from fdl.optim.projection import project_max_norm

__all__ = ["Optimizer", "adam", "apply_updates", "momentum", "project_max_norm", "sgd"]
