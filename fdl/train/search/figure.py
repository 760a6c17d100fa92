"""Parallel coordinates: an axis for each hyperparameter and one for the metric, and a line for each trial."""

import math
import os
from collections.abc import Sequence
from typing import Any

from fdl.extras import imported
from fdl.train.callbacks import Mode, sign_of
from fdl.train.progress import number
from fdl.train.search.space import Choice, Config, LogUniform, Range, Space

_BAD = -0.08  # where lines end that have no finite metric, below the axis


def save_figure(
    path: str | os.PathLike[str], space: Space, ranked: Sequence[tuple[Config, float]], metric: str, mode: Mode
) -> None:
    """Draws the picture; good is always up.

    Args:
        path: where to save it.
        space: ranges and choices by name.
        ranked: (configuration, metric) of all trials, the best first.
        metric, mode: what the metric is called, and whether less or more of it is better.

    Raises:
        ImportError: without matplotlib.
    """
    why = "the picture is drawn by matplotlib"
    matplotlib, figures = (imported(name, why, "train") for name in ("matplotlib", "matplotlib.figure"))
    axis = _MetricAxis([value for _, value in ranked], mode)
    colors = matplotlib.colormaps["viridis"]
    figure = figures.Figure(figsize=(2 + 1.7 * (len(space) + 1), 5), layout="constrained")
    ax = figure.subplots()
    places = range(len(space) + 1)
    for i, (config, value) in reversed(list(enumerate(ranked))):
        ys = [values.place(config[name]) for name, values in space.items()]
        if math.isfinite(value):
            height = axis.place(value)
            style: dict[str, Any] = {
                "color": colors(0.9 * height),
                "linewidth": 3.5 if i == 0 else 1.2,
                "alpha": 1 if i == 0 else 0.7,
            }
        else:
            height, style = _BAD, {"color": "#777777", "linestyle": ":", "linewidth": 1.0}
        ax.plot(places, [*ys, height], **style, zorder=2, marker="o" if i == 0 else None)
    for place, ticks in enumerate([*(_ticks(values) for values in space.values()), axis.ticks()]):
        _draw_axis(ax, place, ticks)
    ax.set_xticks(places, [*space, f"{metric}\n(the best, {number(ranked[0][1])}, is bold)"])
    ax.set_yticks([])
    ax.set_xlim(-0.3, len(space) + 0.5)
    ax.set_ylim(-0.12 if axis.has_bad else -0.04, 1.06)
    ax.tick_params(axis="x", length=0)
    ax.spines[:].set_visible(False)
    figure.savefig(path, dpi=120)


class _MetricAxis:
    """The scale of the metric: 1 is the best and 0 the worst; logarithmic where it spans more than a factor of 30."""

    def __init__(self, values: Sequence[float], mode: Mode):
        finite = [value for value in values if math.isfinite(value)]
        low, high = min(finite), max(finite)
        self._is_log = low > 0 and high > 30 * low
        self._is_reversed = sign_of(mode) > 0
        self._low, self._high = self._scaled(low), self._scaled(high)
        self.has_bad = len(finite) < len(values)

    def place(self, value: float) -> float:
        if self._low == self._high:
            return 1.0
        share = (self._scaled(value) - self._low) / (self._high - self._low)
        return 1 - share if self._is_reversed else share

    def ticks(self) -> list[tuple[float, str]]:
        scaled = [self._low + (self._high - self._low) * i / 4 for i in range(5)]
        values = [math.exp(value) if self._is_log else value for value in scaled]
        bad = [(_BAD, "not finite")] if self.has_bad else []
        return [*{self.place(value): number(value) for value in values}.items(), *bad]

    def _scaled(self, value: float) -> float:
        return math.log(value) if self._is_log else value


def _ticks(values: Range | Choice) -> list[tuple[float, str]]:
    """Where an axis has which labels: at the options, at the powers of ten between the ends, or at quarters."""
    if isinstance(values, Choice):
        return [(values.place(option), str(option)) for option in values.options]
    marks: list[Any] = values.points(5)
    if isinstance(values, LogUniform):
        tens = [10.0**i for i in range(math.ceil(math.log10(values.low)), math.floor(math.log10(values.high)) + 1)]
        inside = [ten for ten in tens if 0.05 < values.place(ten) < 0.95]
        marks = [values.low, *inside[:: 1 + len(inside) // 8], values.high]
    return [(values.place(mark), f"{mark:.3g}") for mark in marks]


def _draw_axis(ax: Any, place: int, ticks: list[tuple[float, str]]) -> None:
    ax.plot([place, place], [0, 1], color="black", linewidth=0.8, zorder=3)
    for height, label in ticks:
        ax.plot([place, place + 0.03], [height, height], color="black", linewidth=0.8, zorder=3)
        background = {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5}
        ax.text(place + 0.05, height, label, va="center", fontsize=8, zorder=4, bbox=background)
