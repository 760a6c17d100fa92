"""The picture of a diagnosis: how large signals are on their way, and how the loss answers to training."""

import math
import os
from typing import Any

from fdl.extras import imported
from fdl.train.diagnosis.layers import LayerStatistics
from fdl.train.diagnosis.overfit import Overfit
from fdl.train.diagnosis.range_test import RangeTest

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#777777"  # told apart by colour-blind eyes too


def save_figure(
    path: str | os.PathLike[str],
    layers: LayerStatistics,
    overfit: Overfit,
    rates: RangeTest,
    expected: float = math.nan,
) -> None:
    """Draws outputs and gradients of all layers, the range test and the overfitted batch.

    Args:
        path: where to save it; the ending (.png, .svg, .pdf) says how.
        layers, overfit, rates: what the checks found.
        expected: the loss of a network that knows nothing, as a line.

    Raises:
        ImportError: without matplotlib.
    """
    Figure = imported("matplotlib.figure", "the picture is drawn by matplotlib", "train").Figure
    figure = Figure(figsize=(12, 8), layout="constrained")
    axes = figure.subplots(2, 2)
    _draw_layers(axes[0, 0], "size of the outputs", layers, [row.size for row in layers.rows], layers.input_size)
    gradients = [row.gradient for row in layers.rows]
    _draw_layers(axes[0, 1], "length of the gradients", layers, gradients, layers.output_gradient)
    _draw_rates(axes[1, 0], rates)
    _draw_overfit(axes[1, 1], overfit, expected)
    figure.savefig(path, dpi=120)


def _draw_layers(ax: Any, what: str, layers: LayerStatistics, values: list[float], compared: float) -> None:
    places = range(len(values))
    ax.plot(places, [value or math.nan for value in values], "o-", color=BLUE)
    of = "inputs" if what.endswith("outputs") else "gradient of the output"
    ax.axhline(compared, color=GREY, linestyle=":", label=of)
    ax.set_yscale("log")
    ax.set_ylim(*_limits([*values, compared]))
    step = max(1, math.ceil(len(values) / 30))
    ax.set_xticks(places[::step], [row.path for row in layers.rows[::step]], rotation=60, ha="right", fontsize=8)
    ax.set_title(f"{what}, layer by layer")
    ax.legend(frameon=False)


def _limits(values: list[float]) -> tuple[float, float]:
    """Three powers of ten at least, so that a factor of two does not look like a fall."""
    logs = [math.log10(value) for value in values if value > 0 and math.isfinite(value)] or [0.0]
    room = max(0.2, (3 - (max(logs) - min(logs))) / 2)
    return 10 ** (min(logs) - room), 10 ** (max(logs) + room)


def _draw_rates(ax: Any, rates: RangeTest) -> None:
    ax.plot(rates.rates, rates.losses, ".", color=GREY, alpha=0.4, markersize=4)
    ax.plot(rates.rates, rates.smooth, color=BLUE, label="running mean")
    ax.set_xscale("log")
    finite = [loss for loss in rates.smooth if math.isfinite(loss)]
    if finite:
        low, high = min(finite), finite[0]
        ax.set_ylim(low - 0.1 * abs(high - low) - 1e-12, high + 0.7 * abs(high - low) + 1e-12)
    if not math.isnan(rates.suggestion):
        ax.axvline(rates.suggestion, color=ORANGE, linestyle="--", label=f"suggested: {rates.suggestion:.1g}")
    if not math.isnan(rates.chosen):
        ax.axvline(rates.chosen, color="black", linestyle=":", label=f"chosen: {rates.chosen:.1g}")
    ax.set_title("loss while the learning rate grows")
    ax.set_xlabel("learning rate")
    ax.legend(frameon=False)


def _draw_overfit(ax: Any, overfit: Overfit, expected: float) -> None:
    ax.plot(range(1, len(overfit.losses) + 1), overfit.losses, color=BLUE)
    ax.axhline(overfit.target, color=ORANGE, linestyle="--", label=f"to reach: {overfit.target:.2g}")
    if not math.isnan(expected):
        ax.axhline(expected, color=GREY, linestyle=":", label=f"knowing nothing: {expected:.3g}")
    if min(overfit.losses) > 0:
        ax.set_yscale("log")
    ax.set_title("loss on one batch that is learnt by heart")
    ax.set_xlabel("step")
    ax.legend(frameon=False)
