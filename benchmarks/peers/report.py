"""RESULTS.md and its plots, from what was measured; nothing in them is written by hand."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from peers.turns import Result
from peers.workloads import Workload

PEERS, TORCH = ("linen", "nnx", "equinox", "haiku"), ("torch", "torch_compiled")
TITLES = {"fdl": "fdl", "linen": "Flax Linen", "nnx": "Flax NNX", "equinox": "Equinox", "haiku": "Haiku"}
TITLES |= {"torch": "PyTorch", "torch_compiled": "PyTorch, compiled"}
COLOURS = {"fdl": "#d55e00", "linen": "#0072b2", "nnx": "#56b4e9", "equinox": "#009e73", "haiku": "#cc79a7"}
COLOURS |= {"torch": "#666666", "torch_compiled": "#aaaaaa"}
Groups = dict[Workload, list[Result]]
Curves = dict[str, list[Result]]  # by network and the size that varies, as in "gpt.depth"


def markdown(measured: dict[str, Any]) -> str:
    """The whole page."""
    groups, limits = grouped(measured["workloads"]), measured["limits"]
    counts = sorted({len(result.turns) for result in measured["workloads"]})
    turns = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else counts[0]
    parts = [
        "# Training steps of fdl and of its peers\n",
        "Made by `make peers`; `benchmarks/peers/workloads.py` says what the networks are. A step is forward, loss, "
        "backward and update, on one batch that stays the same. Each library runs in a process of its own, and all on "
        f"a network take as many turns, {turns}. Milliseconds are medians over turns, with the quartiles in brackets; "
        "compile seconds are for tracing, lowering and compiling; temporary memory is what XLA allocates beside "
        "arguments and results; peak memory is that of the whole process while it trains.\n",
        "\n".join(f"- {name}: {value}" for name, value in measured["machine"].items()) + "\n",
        "![Steps, temporary memory and compilation](results.png)\n",
        "## In short\n",
        "Against JAX's libraries: how many times faster fdl is than the fastest of them, its temporary memory as a "
        "part of the leanest one's, and its compile time as a part of the quickest one's. Against PyTorch: how many "
        "times faster fdl is than the faster one of eager and compiled.\n",
        summary(groups),
        "## Limits\n",
        "All matrix products and convolutions that autodiff makes of a step, each alone on arrays of the same shapes, "
        "as XLA runs them: no step that is made of these can take less. Where they take more than fdl's whole step, "
        "fdl computes the same gradients by others.\n",
        limits_table(groups, limits),
    ]
    for work, results in groups.items():
        parts += [f"## {work}, {work.optimizer}, {results[0].parameters:,} parameters\n", table(results)]
    if measured["scaling"]:
        counts = {len(result.turns) for results in measured["scaling"].values() for result in results}
        parts += [
            "## How cost grows\n",
            f"Turns of each library here: {' or '.join(map(str, sorted(counts)))}.\n",
            "![Cost against size](scaling.png)\n",
            scaling_table(measured["scaling"]),
        ]
    return "\n".join(parts)


def grouped(results: Iterable[Result]) -> Groups:
    """The results by workload, in their order."""
    groups: Groups = {}
    for result in results:
        groups.setdefault(result.work, []).append(result)
    return groups


def best(results: list[Result], of: Callable[[Result], Any], among: tuple[str, ...] = PEERS) -> Result | None:
    """The one of some libraries that has the least of something; None where none of them has run."""
    rivals = [r for r in results if r.library in among]
    return min(rivals, key=of, default=None)


def ratios(results: list[Result]) -> dict[str, float]:
    """fdl against the best of JAX's libraries, and its speed against PyTorch's best."""
    ours = next(r for r in results if r.library == "fdl")
    found = {}
    if fastest := best(results, seconds):
        leanest, quickest = best(results, temporary), best(results, compile_seconds)
        found["speed"] = fastest.seconds / ours.seconds
        found["memory"] = temporary(ours) / temporary(leanest)
        found["compile"] = compile_seconds(ours) / compile_seconds(quickest)
    if rival := best(results, seconds, TORCH):
        found["torch"] = rival.seconds / ours.seconds
    return found


def seconds(result: Result) -> float:
    return result.seconds


def temporary(result: Result) -> int:
    return max(result.temporary_bytes or 0, 4096)  # a page


def compile_seconds(result: Result) -> float:
    return float(np.median(result.compilations))


def summary(groups: Groups) -> str:
    """One row for each workload, and the geometric means."""
    names = {"speed": "x", "memory": "", "compile": "", "torch": "x"}
    rows, every = [], {name: [] for name in names}
    for work, results in groups.items():
        ours, found = next(r for r in results if r.library == "fdl"), ratios(results)
        fastest, rival = best(results, seconds), best(results, seconds, TORCH)
        for name, ratio in found.items():
            every[name].append(ratio)
        rows.append(
            [
                work.network,
                milliseconds(ours),
                f"{TITLES[fastest.library]} {milliseconds(fastest)}" if fastest else "",
                *(f"{found[name]:.2f}{unit}" if name in found else "" for name, unit in list(names.items())[:3]),
                f"{TITLES[rival.library]} {milliseconds(rival)}" if rival else "",
                f"{found['torch']:.2f}x" if rival else "",
            ]
        )
    mean = {name: f"{np.exp(np.mean(np.log(some))):.2f}{names[name]}" if some else "" for name, some in every.items()}
    last = ["geometric mean", "", "", mean["speed"], mean["memory"], mean["compile"], "", mean["torch"]]
    heads = ["", "fdl, ms", "fastest JAX library, ms", "speed", "memory", "compile", "PyTorch's best, ms", "speed"]
    return rows_as_table(heads, [*rows, last])


def milliseconds(result: Result) -> str:
    return digits(1e3 * result.seconds)


def with_spread(times: list[float]) -> str:
    """The median, and the quartiles, in milliseconds; of one turn, what it took."""
    if len(times) == 1:
        return digits(1e3 * times[0])
    low, middle, high = (digits(1e3 * time) for time in np.quantile(times, [0.25, 0.5, 0.75]))
    return f"{middle} ({low} to {high})"


def digits(number: float) -> str:
    """Three digits, or all of those before the point."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def table(results: list[Result]) -> str:
    """All libraries on one workload, the fastest first."""
    fastest = min(map(seconds, results))
    rows = []
    for r in sorted(results, key=seconds):
        memory = "" if r.temporary_bytes is None else f"{r.temporary_bytes / 1e6:.1f}"
        compiled = "" if r.library == "torch" else f"{compile_seconds(r):.1f}"
        if len(r.compilations) > 1 and compiled:
            compiled += f" ({min(r.compilations):.1f} to {max(r.compilations):.1f})"
        ratio = f"{r.seconds / fastest:.2f}"
        rows.append([TITLES[r.library], with_spread(r.turns), ratio, compiled, memory, f"{r.peak_bytes / 1e6:.0f}"])
    heads = ["", "ms per step", "of the fastest", "compile s", "temporary MB", "peak MB"]
    return rows_as_table(heads, rows)


def limits_table(groups: Groups, limits: dict[str, Any]) -> str:
    """What bare products and convolutions of each workload take, beside fdl's whole step."""
    rows = []
    for work, results in groups.items():
        if not (limit := limits.get(work.network)):
            continue
        ours, bare = next(r for r in results if r.library == "fdl"), limit["products"] + limit["convolutions"]
        rows.append(
            [
                work.network,
                f"{limit['flops'] / 1e9:.1f}",
                f"{1e3 * limit['products']:.1f}",
                f"{1e3 * limit['convolutions']:.1f}",
                f"{1e3 * ours.seconds:.1f}",
                f"{bare / ours.seconds:.2f}",
                f"{limit['flops'] / ours.seconds / 1e9:.0f}",
                f"{limit['large_product_flops_per_second'] / 1e9:.0f}",
                f"{limit['copy_bytes_per_second'] / 1e9:.1f}",
            ]
        )
    heads = ["", "GFLOP a step", "products, ms", "convolutions, ms", "fdl's step, ms", "all of them, as a part of it"]
    return rows_as_table([*heads, "fdl, GFLOP/s", "a large product, GFLOP/s", "a copy, GB/s"], rows)


def scaling_table(curves: Curves) -> str:
    """One row for each size and library."""
    rows = []
    for r in (result for results in curves.values() for result in results):
        memory = "" if r.temporary_bytes is None else f"{r.temporary_bytes / 1e6:.1f}"
        rows.append([str(r.work), TITLES[r.library], with_spread(r.turns), memory, f"{r.peak_bytes / 1e6:.0f}"])
    return rows_as_table(["", "", "ms per step", "temporary MB", "peak MB"], rows)


def rows_as_table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def draw(measured: dict[str, Any], directory: Path) -> None:
    """Draws bars of all workloads, and lines of all sizes."""
    bars(grouped(measured["workloads"]), directory / "results.png")
    if measured["scaling"]:
        lines(measured["scaling"], directory / "scaling.png")


def bars(groups: Groups, path: Path) -> None:
    """Time, temporary memory and compile time, each as a multiple of fdl's: bars upwards are more than it needs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 11), layout="constrained")
    ran = {r.library for results in groups.values() for r in results}
    libraries = [name for name in TITLES if name in ran and name != "fdl"]
    for axes, (title, of, known) in zip(
        figure.subplots(3, 1),
        [
            ("time of a step, as a multiple of fdl's", seconds, libraries),
            ("temporary memory, as a multiple of fdl's", temporary, [name for name in libraries if name not in TORCH]),
            ("compile time, as a multiple of fdl's", compile_seconds, [name for name in libraries if name != "torch"]),
        ],
        strict=True,
    ):
        for index, library in enumerate(known):
            at, heights = [], []
            for place, results in enumerate(groups.values()):
                by_name = {r.library: r for r in results}
                if library in by_name:
                    at.append(place + 0.8 * (index - (len(known) - 1) / 2) / len(known))
                    heights.append(of(by_name[library]) / of(by_name["fdl"]) - 1)
            axes.bar(at, heights, 0.8 / len(known), bottom=1, label=TITLES[library], color=COLOURS[library])
        axes.set_xticks(range(len(groups)), [work.network for work in groups])
        axes.axhline(1, color=COLOURS["fdl"], linewidth=2, label=TITLES["fdl"])
        axes.set_yscale("log")
        plain_numbers(axes.yaxis)
        axes.set_title(title)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(ran))
    figure.savefig(path, dpi=110)


def lines(curves: Curves, path: Path) -> None:
    """Time and temporary memory against each size."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    figure = Figure(figsize=(3 * len(curves), 6), layout="constrained")
    grid = figure.subplots(2, len(curves), squeeze=False)
    for column, (name, results) in enumerate(curves.items()):
        network, size = name.split(".")
        for library in dict.fromkeys(r.library for r in results):
            own = sorted((r for r in results if r.library == library), key=lambda r: getattr(r.work, size))
            sizes = [getattr(r.work, size) for r in own]
            style = {"label": TITLES[library], "color": COLOURS[library], "marker": "o", "markersize": 3}
            grid[0, column].plot(sizes, [1e3 * r.seconds for r in own], **style)
            if library not in TORCH:
                grid[1, column].plot(sizes, [temporary(r) / 1e6 for r in own], **style)
        for axes, what in zip(grid[:, column], ("ms per step", "temporary MB"), strict=True):
            axes.set(xscale="log", yscale="log", xlabel=size, title=f"{network}\n{what}")
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xticks(sizes, map(str, sizes))
            plain_numbers(axes.yaxis)
            axes.grid(alpha=0.3)
    grid[0, 0].legend(fontsize=8)
    figure.savefig(path, dpi=90)


def plain_numbers(axis: Any) -> None:
    """Ticks of a logarithmic axis at 1, 2, 5, 10, ..., written as such."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
