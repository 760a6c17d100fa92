"""Optimizers: pure state transitions from gradients to updates; and full-batch methods, which run to the end."""

from fdl.optim import schedules
from fdl.optim.accumulate import accumulate
from fdl.optim.adam import adam, adamax, adamw, amsgrad, nadam
from fdl.optim.adaptive import adadelta, adagrad, rmsprop
from fdl.optim.average import average, averaged, ema
from fdl.optim.clip import clip_by_global_norm, clip_by_value, global_norm
from fdl.optim.combine import chain, freeze, mask, partition
from fdl.optim.conjugate_gradient import conjugate_gradient
from fdl.optim.decay import add_decoupled_weight_decay, add_l2
from fdl.optim.descent import momentum, nesterov, sgd
from fdl.optim.full_batch import Solution, Stop
from fdl.optim.gauss_newton import gauss_newton
from fdl.optim.hyperparameters import Hyperparameter, Schedule, hyperparameters
from fdl.optim.layerwise import lamb, lars
from fdl.optim.levenberg_marquardt import levenberg, levenberg_marquardt
from fdl.optim.line_search import LineSearchResult, backtracking, fixed_step, line_search, strong_wolfe
from fdl.optim.lion import lion
from fdl.optim.minimize import least_squares, minimize
from fdl.optim.monitor import update_ratio
from fdl.optim.muon import muon
from fdl.optim.newton import newton, newton_cg
from fdl.optim.nonfinite import loss_scale, scale_loss, skip_nonfinite, skipped_in_a_row
from fdl.optim.optimizer import Optimizer, apply_updates, update_with
from fdl.optim.plateau import reduce_on_plateau
from fdl.optim.precision import bfloat16_memory, float32_masters, stochastic_rounding
from fdl.optim.projection import max_norm, project_max_norm
from fdl.optim.quasi_newton import bfgs, lbfgs
from fdl.optim.schedules import (
    by_epoch,
    constant,
    cosine,
    exponential,
    inverse_sqrt,
    inverse_time,
    noam,
    one_cycle,
    piecewise,
    step,
    warmup,
    warmup_cosine,
)

__all__ = [
    "Hyperparameter",
    "LineSearchResult",
    "Optimizer",
    "Schedule",
    "Solution",
    "Stop",
    "accumulate",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "add_decoupled_weight_decay",
    "add_l2",
    "amsgrad",
    "apply_updates",
    "average",
    "averaged",
    "backtracking",
    "bfgs",
    "bfloat16_memory",
    "by_epoch",
    "chain",
    "clip_by_global_norm",
    "clip_by_value",
    "conjugate_gradient",
    "constant",
    "cosine",
    "ema",
    "exponential",
    "fixed_step",
    "float32_masters",
    "freeze",
    "gauss_newton",
    "global_norm",
    "hyperparameters",
    "inverse_sqrt",
    "inverse_time",
    "lamb",
    "lars",
    "lbfgs",
    "least_squares",
    "levenberg",
    "levenberg_marquardt",
    "line_search",
    "lion",
    "loss_scale",
    "mask",
    "max_norm",
    "minimize",
    "momentum",
    "muon",
    "nadam",
    "nesterov",
    "newton",
    "newton_cg",
    "noam",
    "one_cycle",
    "partition",
    "piecewise",
    "project_max_norm",
    "reduce_on_plateau",
    "rmsprop",
    "scale_loss",
    "schedules",
    "sgd",
    "skip_nonfinite",
    "skipped_in_a_row",
    "step",
    "stochastic_rounding",
    "strong_wolfe",
    "update_ratio",
    "update_with",
    "warmup",
    "warmup_cosine",
]
