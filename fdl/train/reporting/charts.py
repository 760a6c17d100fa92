"""Charts as SVG in a page: curves over the steps of a run, and how a histogram changes in its course."""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from fdl.train.reporting.page import COLORS, Markup, element, join, table

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 8, 26  # room for the numbers on the axes
MOST_POINTS = 800  # of a curve: a screen shows no more
MARKED = 30  # curves of fewer points have marks at them
ROWS = 25  # of the table below a chart
RIDGES = 6  # histograms of one layer
LOGARITHMIC = 50.0  # the largest value over the smallest from which on an axis is logarithmic


Scale = Literal["auto", "linear", "log"]


class Series(NamedTuple):
    """A curve: its name, its points in the order of x, and how it is drawn, as a color and a dash pattern."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    color: int = 0
    dash: int = 0


def curves(title: str, series: Sequence[Series], scale: Scale = "auto", guide: float | None = None) -> Markup:
    """A chart of curves over steps, with a legend and with the numbers as a table to unfold.

    Points that are not finite are gaps, and so are those on a logarithmic axis that are not positive.

    Args:
        title: what is drawn.
        series: the curves; one of them is enough.
        scale: of the vertical axis; "auto" makes it logarithmic where positive values are far apart.
        guide: a height that is marked across the chart.
    """
    points = [(x, y) for one in series for x, y in zip(one.xs, one.ys, strict=True) if math.isfinite(y)]
    lowest, highest = (min(y for _, y in points), max(y for _, y in points)) if points else (0.0, 0.0)
    log = scale == "log" or (scale == "auto" and lowest > 0 and highest > LOGARITHMIC * lowest)
    points = [(x, y) for x, y in points if y > 0 or not log]
    if not points:
        return element("figure", element("h3", title), element("p", "There is nothing to draw.", class_="soft"))
    heights = [y for _, y in points] + ([] if guide is None else [guide])
    x_axis = _Axis([x for x, _ in points], LEFT, WIDTH - RIGHT, log=False, whole=True)
    y_axis = _Axis(heights, HEIGHT - BOTTOM, TOP, log=log)
    drawing = element(
        "svg",
        *_axes(x_axis, y_axis),
        None if guide is None else _line(LEFT, y_axis.at(guide), WIDTH - RIGHT, y_axis.at(guide), "guide"),
        *(_curve(one, x_axis, y_axis) for one in series),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=_in_words(title, series),
    )
    return element(
        "figure",
        element("h3", f"{title} (logarithmic)" if log else title),
        drawing,
        _legend(series),
        _numbers(title, series),
    )


def ridges(title: str, histograms: Sequence[tuple[int, float, float, Sequence[float]]], note: str) -> Markup:
    """Histograms of the same thing at several steps, the first at the top and the last at the bottom.

    Args:
        title: what they are of.
        histograms: (step, low, high, counts) in the order of the steps; some are drawn if there are many.
        note: what is said below.
    """
    width, row, room = 230, 26, 20
    shown = thinned(histograms, RIDGES)
    base = [2 * row + i * row for i in range(len(shown))]
    axis = _Axis([edge for _, low, high, _ in shown for edge in (low, high)], 8, width - 44, tight=True)
    hills: list[Markup] = []
    for i, (step, low, high, counts) in enumerate(shown):
        heights = [math.sqrt(count / (max(counts) or 1)) * 1.6 * row for count in counts]
        edges = [axis.at(low + j / len(counts) * (high - low)) for j in range(len(counts) + 1)]
        steps = " ".join(
            f"L{edges[j]:.1f} {base[i] - h:.1f}L{edges[j + 1]:.1f} {base[i] - h:.1f}" for j, h in enumerate(heights)
        )
        path = f"M{edges[0]:.1f} {base[i]}{steps}L{edges[-1]:.1f} {base[i]}Z"
        hills += [
            element("path", d=path, class_="hill s0 f0"),
            element("text", f"{step:g}", x=width - 38, y=base[i]),
        ]
    height = base[-1] + room
    drawing = element(
        "svg",
        *hills,
        *(_text(f"{tick:.6g}", axis.at(tick), height - 4, "middle") for tick in axis.ticks(5)),
        *(_line(axis.at(tick), base[-1], axis.at(tick), base[-1] + 4, "axis") for tick in axis.ticks(5)),
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=f"{title}: histograms at steps {', '.join(f'{step:g}' for step, *_ in shown)}; in the end {note}",
    )
    return element("figure", element("h3", title), drawing, element("figcaption", note))


def thinned(values: Sequence[Any], most: int) -> list[Any]:
    """No more than so many of the values, evenly spread, with the first and the last.

    Example:
        >>> thinned(range(10), 4)
        [0, 3, 6, 9]
    """
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


def words(value: float) -> str:
    """A number as it stands in tables.

    Example:
        >>> words(0.123456), words(1234567), words(math.nan), words(0.00001)
        ('0.1235', '1234567', 'not finite', '1e-05')
    """
    if not math.isfinite(value):
        return "not finite"
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e12 else f"{value:.4g}"


class _Axis:
    """Where numbers are along an axis, from the pixel of the smallest to that of the largest."""

    def __init__(
        self,
        values: Sequence[float],
        start: float,
        end: float,
        log: bool = False,
        whole: bool = False,
        tight: bool = False,
    ):
        self._log, self._whole, self.start, self.end = log, whole, start, end
        low, high = min(values), max(values)
        if log:
            low, high = math.log10(low), math.log10(high)
        margin = (high - low) * (0 if whole or tight else 0.05) or (0.0 if high > low else 0.5 * abs(low) or 0.5)
        self.low, self.high = low - margin, high + margin

    def at(self, value: float) -> float:
        place = math.log10(value) if self._log else value
        return self.start + (place - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, most: int) -> list[float]:
        """Round numbers, about so many at most."""
        if not self._log:
            return _round_numbers(self.low, self.high, most, whole=self._whole)
        powers = _round_numbers(self.low, self.high, most, whole=True)
        if len(powers) > 1:
            return [10.0**power for power in powers]
        return _round_numbers(10**self.low, 10**self.high, most)


def _round_numbers(low: float, high: float, most: int, whole: bool = False) -> list[float]:
    spacing = (high - low) / most
    power = 10.0 ** math.floor(math.log10(spacing))
    size = next(s * power for s in (1, 2, 5, 10) if s * power >= spacing * (1 - 1e-9))
    size = max(size, 1.0) if whole else size
    first, last = math.ceil(low / size - 1e-9), math.floor(high / size + 1e-9)
    return [i * size for i in range(first, last + 1)]


def _axes(x_axis: _Axis, y_axis: _Axis) -> list[Markup]:
    marks: list[Markup] = []
    for tick in y_axis.ticks(6):
        y = y_axis.at(tick)
        marks += [_line(LEFT, y, WIDTH - RIGHT, y, "axis"), _text(f"{tick:.6g}", LEFT - 6, y + 4, "end")]
    for tick in x_axis.ticks(5):
        marks.append(_text(f"{tick:.6g}", x_axis.at(tick), HEIGHT - 8, "middle"))
    return marks


def _curve(series: Series, x_axis: _Axis, y_axis: _Axis) -> Markup:
    stretches: list[list[tuple[float, float]]] = [[]]
    for x, y in thinned(list(zip(series.xs, series.ys, strict=True)), MOST_POINTS):
        if math.isfinite(y) and not (y_axis._log and y <= 0):
            stretches[-1].append((x_axis.at(x), y_axis.at(y)))
        elif stretches[-1]:
            stretches.append([])
    path = "".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) for points in stretches if points)
    few = len(series.xs) <= MARKED
    marked = [point for points in stretches for point in points if few or len(points) == 1]
    color = series.color % COLORS
    return join(
        element("path", d=path, class_=f"curve s{color} d{series.dash % 4}"),
        *(element("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=2.5, class_=f"f{color}") for x, y in marked),
    )


def _legend(series: Sequence[Series]) -> Markup | None:
    if len(series) < 2 and not series[0].name:
        return None
    return element(
        "ul",
        *(
            element(
                "li",
                element(
                    "svg",
                    element("path", d="M2 6H28", class_=f"curve s{one.color % COLORS} d{one.dash % 4}"),
                    viewBox="0 0 30 12",
                    aria_hidden="true",
                ),
                element("span", one.name),
            )
            for one in series
        ),
        class_="legend",
    )


def _numbers(title: str, series: Sequence[Series]) -> Markup:
    values = [dict(zip(one.xs, one.ys, strict=True)) for one in series]
    steps = thinned(sorted({x for one in series for x in one.xs}), ROWS)
    rows = [[words(x), *(words(one[x]) if x in one else "" for one in values)] for x in steps]
    return element("details", element("summary", "Numbers"), table(["step", *(s.name or title for s in series)], rows))


def _in_words(title: str, series: Sequence[Series]) -> str:
    """What a chart shows, for those who do not see it."""
    parts = []
    for one in series:
        finite = [(x, y) for x, y in zip(one.xs, one.ys, strict=True) if math.isfinite(y)]
        if finite:
            (first, start), (last, end) = finite[0], finite[-1]
            name = f"{one.name} " if one.name else ""
            parts.append(f"{name}from {words(start)} at step {words(first)} to {words(end)} at step {words(last)}")
    return f"{title}: {'; '.join(parts)}"


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return element("line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}", class_=kind)


def _text(text: str, x: float, y: float, anchor: str) -> Markup:
    return element("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor)
