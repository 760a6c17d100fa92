"""The sections of a report that are drawn."""

from collections.abc import Sequence
from typing import Any

from fdl.train.json_lines import number_of
from fdl.train.monitor import ALL_LAYERS
from fdl.train.read_log import Log
from fdl.train.reporting.charts import LOGARITHMIC, Scale, Series, curves, ridges, words
from fdl.train.reporting.page import COLORS, Markup, element, grid, section

HEALTHY_RATIO = 1e-3  # of updates to parameters


def metrics(logs: list[Log]) -> Markup | None:
    """Loss, metrics and hyperparameters over the steps."""
    charts = []
    for metric in dict.fromkeys(metric for log in logs for metric in log.metrics):
        series = []
        for i, log in enumerate(logs):
            for part, prefix in (("training", ""), ("validation", "validation_")):
                if points := log.points(prefix + metric):
                    name = part if len(logs) == 1 else f"{log.name}, {part}"
                    look = {"color": int(part == "validation")} if len(logs) == 1 else {"color": i}
                    series.append(_series(name, points, **look, dash=int(part == "training")))
        charts.append(curves(metric.replace("_", " "), series))
    charts += _hyperparameters(logs)
    about = "Over the steps of training. Dashed: means over the training examples since the record before."
    return section("Curves", grid(charts), about=about) if charts else None


def _series(name: str, points: Sequence[tuple[float, float]], **look: int) -> Series:
    return Series(name, [x for x, _ in points], [y for _, y in points], **look)


def _hyperparameters(logs: list[Log]) -> list[Markup]:
    """The learning rate, and others that are not the same all the time in all runs."""
    measured = [log.measured("hyperparameters") for log in logs]
    charts = []
    for name in dict.fromkeys(name for one in measured for name in one):
        series = [
            series
            for i, (log, one) in enumerate(zip(logs, measured, strict=True))
            if name in one
            for series in _of_members("" if len(logs) == 1 else log.name, one[name], color=i)
        ]
        if "learning_rate" in name or len({y for one in series for y in one.ys}) > 1:
            # Most schedules end near zero, and on a logarithmic scale one would see little else.
            peaks = [max(one.ys) for one in series]
            scale: Scale = "log" if max(peaks) > LOGARITHMIC * min(peaks) > 0 else "linear"
            charts.append(curves(name.replace("_", " "), series, scale))
    return charts


def _of_members(name: str, points: Sequence[tuple[float, Any]], color: int) -> list[Series]:
    """A curve, or one for each member of an ensemble whose members do not have the same."""
    lists = [(step, list(map(number_of, ys)) if isinstance(ys, list) else [ys]) for step, ys in points]
    if all(len(set(ys)) == 1 for _, ys in lists):
        return [_series(name, [(step, ys[0]) for step, ys in lists], color=color)]
    return [
        _series(f"{name} member {i + 1}".lstrip(), [(step, ys[i]) for step, ys in lists], color=color + i, dash=color)
        for i in range(len(lists[0][1]))
    ]


def layers(logs: list[Log]) -> Markup | None:
    """Charts in which each layer is a curve, side by side for each run."""
    charts = []
    for log in logs:
        for kind, title, guide in (
            ("update_ratio", "update ratios", HEALTHY_RATIO),
            ("gradient_norm", "gradients", None),
        ):
            by_layer = log.measured(kind)
            of_all = by_layer.pop(ALL_LAYERS, None)
            series = [
                _series(name, points, color=i % COLORS, dash=i // COLORS)
                for i, (name, points) in enumerate(by_layer.items())
            ]
            if of_all is not None:
                series.append(_series("all layers", of_all, color=COLORS - 1, dash=1))
            if series:
                charts.append(curves(title if len(logs) == 1 else f"{log.name}, {title}", series, "log", guide))
    about = (
        "Update ratios: the length of each layer's update over that of its parameters. About 0.001, the dotted line, "
        "is healthy; much less is a layer that hardly learns, much more one whose learning rate is too high. "
        "Gradients: the length of each layer's gradient. First layers far below the last ones hardly learn; lengths "
        "that grow from step to step announce a loss that explodes."
    )
    return section("Updates and gradients", grid(charts), about=about) if charts else None


def activations(logs: list[Log]) -> Markup | None:
    """Histograms of what each layer gives, small ones side by side."""
    children: list[Markup] = []
    for log in logs:
        charts = [_histograms(layer, points) for layer, points in log.measured("activations").items()]
        if charts:
            children += [element("h3", log.name)] if len(logs) > 1 else []
            children.append(grid(charts, "grid small"))
    about = (
        "What each layer gives on one batch, from the first record at the top to the last at the bottom, with the step "
        "at the right. Heights are square roots of the counts. A unit is dead when it gives 0 for the whole batch."
    )
    return section("Activations", *children, about=about) if children else None


def _histograms(layer: str, points: list[tuple[int, dict[str, Any]]]) -> Markup:
    finite = [(step, y) for step, y in points if None not in (y["low"], y["high"], y["mean"], y["std"])]
    if not finite:
        return element("figure", element("h3", layer), element("p", "No activation was finite.", class_="soft"))
    _, last = finite[-1]
    note = f"mean {words(last['mean'])}, standard deviation {words(last['std'])}, {last['dead']:.0%} dead"
    return ridges(layer, [(step, y["low"], y["high"], y["counts"]) for step, y in finite], note)
