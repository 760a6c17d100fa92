"""What the comparisons with automatic differentiation have in common: taking turns, a table, a plot, and two files."""

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

PAGE = 4096


class Measured(NamedTuple):
    """Median seconds, and bytes of temporary memory, with rules and under autodiff."""

    name: str
    seconds: tuple[float, float]
    bytes: tuple[int, int]

    @property
    def speed(self) -> float:
        """How many times faster the rules are."""
        return self.seconds[1] / self.seconds[0]

    @property
    def memory(self) -> float:
        """The temporary memory of the rules, as a part of autodiff's."""
        return self.bytes[0] / self.bytes[1] if self.bytes[1] else (1.0 if self.bytes[0] == 0 else math.inf)


def measure(
    name: str, both: tuple[jax.stages.Compiled, jax.stages.Compiled], run: Callable[[int], Any], seconds: float
) -> Measured:
    """Runs both in turn, by ``run(0)`` and ``run(1)``, for about so many seconds; the first runs are for warming up."""
    times: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 5:
        for which in (0, 1) if len(times[0]) % 2 else (1, 0):
            start = time.perf_counter()
            jax.block_until_ready(run(which))
            times[which].append(time.perf_counter() - start)
    ours, theirs = (float(np.median(t[1:])) for t in times)
    memory = [executable.memory_analysis().temp_size_in_bytes for executable in both]
    return Measured(name, (ours, theirs), (memory[0], memory[1]))


def options(description: str, what: str) -> argparse.Namespace:
    """The command line of a comparison."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("words", nargs="*", help=f"only {what} whose name contains one of these words")
    parser.add_argument("--quick", action="store_true", help="small sizes and few repetitions")
    parser.add_argument("--output", type=Path, default=Path("build/benchmarks"), help="a directory for table and plot")
    return parser.parse_args()


def chosen(name: str, words: list[str]) -> bool:
    """Whether the name contains one of the words, or there are none."""
    return not words or any(word in name for word in words)


def show(result: Measured) -> None:
    """Prints its line of the table, as soon as it is there."""
    print(table([result]).splitlines()[1], flush=True)


def report(name: str, results: list[Measured], output: Path) -> None:
    """Prints the table, and writes it, its numbers and its plot to files of this name."""
    output.mkdir(parents=True, exist_ok=True)
    text = f"jax {jax.__version__} on {jax.devices()[0].device_kind}, {jax.default_backend()}\n\n{table(results)}\n"
    (output / f"{name}.txt").write_text(text)
    (output / f"{name}.json").write_text(json.dumps([r._asdict() for r in results], indent=1))
    plot(results, output / f"{name}.png")
    print(f"\n{text}\nwritten to {output}")


def table(results: list[Measured]) -> str:
    """The results as text, with geometric means in the last line."""
    lines = [f"{'':45} {'fdl ms':>9} {'jax ms':>9} {'speed':>7} {'fdl MB':>9} {'jax MB':>9} {'memory':>7}"]
    for r in results:
        ms, mb = [1e3 * s for s in r.seconds], [b / 1e6 for b in r.bytes]
        lines.append(
            f"{r.name:45} {ms[0]:9.3f} {ms[1]:9.3f} {r.speed:6.2f}x {mb[0]:9.2f} {mb[1]:9.2f} {r.memory:6.2f}x"
        )
    speed = np.exp(np.mean([math.log(r.speed) for r in results]))
    memory = np.exp(np.mean([math.log(max(r.bytes[0], PAGE) / max(r.bytes[1], PAGE)) for r in results]))
    lines.append(f"{'geometric mean':45} {'':9} {'':9} {speed:6.2f}x {'':9} {'':9} {memory:6.2f}x")
    return "\n".join(lines)


def plot(results: list[Measured], path: Path) -> None:
    """Draws speed and memory as bars around 1, where fdl and autodiff are equal."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (speed, memory) = plt.subplots(
        1, 2, sharey=True, figsize=(11, 1 + 0.3 * len(results)), layout="constrained"
    )
    names = [r.name for r in results]
    speed.barh(names, [r.speed - 1 for r in results], left=1, color="#0072b2")
    speed.set_xscale("log", base=2)
    speed.xaxis.set_major_formatter("{x:g}")
    low, high = speed.get_xlim()
    speed.set_xlim(min(low, 0.5), max(high, 2))  # a difference of nothing should look like that
    speed.set_title("times faster than autodiff")
    memory.barh(names, [r.memory for r in results], color="#0072b2")
    memory.set_title("temporary memory, as a part of autodiff's")
    for ax in (speed, memory):
        ax.axvline(1, color="black", linewidth=1)
        ax.tick_params(top=True, labeltop=True)
        ax.grid(axis="x", linewidth=0.3)
        ax.margins(y=0.5 / len(results))
    speed.invert_yaxis()
    figure.savefig(path, dpi=120)
