"""Gradient checks, for one function or for a whole network's loss."""

from fdl.check.gradients import check_gradients, gradient_report
from fdl.check.report import GradientError, GradientReport, GradientRow

__all__ = ["GradientError", "GradientReport", "GradientRow", "check_gradients", "gradient_report"]
