"""Diagnosis: what can be wrong with a network, its loss or its data, looked for before hours of training.

Each check is a function that returns a small finding: numbers, and a verdict that is "ok" or says what is wrong and
what to try. `diagnose` makes them all.
"""

from fdl.train.diagnosis.data import DataCheck, data_check
from fdl.train.diagnosis.diagnose import Diagnosis, diagnose
from fdl.train.diagnosis.finding import Finding
from fdl.train.diagnosis.gradient import GradientCheck, gradient_check
from fdl.train.diagnosis.initial_loss import InitialLoss, initial_loss
from fdl.train.diagnosis.layers import LayerRow, LayerStatistics, layer_statistics
from fdl.train.diagnosis.modes import ModeGap, mode_gap
from fdl.train.diagnosis.overfit import Overfit, overfit_one_batch
from fdl.train.diagnosis.range_test import RangeTest, range_test
from fdl.train.diagnosis.ratios import UpdateRatios, update_ratios

__all__ = [
    "DataCheck",
    "Diagnosis",
    "Finding",
    "GradientCheck",
    "InitialLoss",
    "LayerRow",
    "LayerStatistics",
    "ModeGap",
    "Overfit",
    "RangeTest",
    "UpdateRatios",
    "data_check",
    "diagnose",
    "gradient_check",
    "initial_loss",
    "layer_statistics",
    "mode_gap",
    "overfit_one_batch",
    "range_test",
    "update_ratios",
]
