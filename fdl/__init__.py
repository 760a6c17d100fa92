"""fdl: functional deep learning on JAX, with gradients derived by hand.

Layers are pairs of pure functions over parameter pytrees (`fdl.layer`), gradients stand next to the
forward pass they belong to (`fdl.rule`), optimizers are pure state transitions (`fdl.optim`).
"""

from fdl import check, graphs, initializers, layers, losses, optim, paths, sampling, windows
from fdl.errors import InputError
from fdl.fold import fold_batch_norm
from fdl.layer import Layer
from fdl.rule import Rule, differentiation, rule
from fdl.summary import summary
from fdl.wiring import network

__all__ = [
    "InputError",
    "Layer",
    "Rule",
    "check",
    "differentiation",
    "fold_batch_norm",
    "graphs",
    "initializers",
    "layers",
    "losses",
    "network",
    "optim",
    "paths",
    "rule",
    "sampling",
    "summary",
    "windows",
]
