"""Hand-written gradients against automatic differentiation: time and memory of every rule, in one run.

    make bench                        all rules
    make bench ARGS="batch_norm"      those whose name contains a word
    make bench ARGS="--quick"         small and short, to see that it works

For each row the value and all gradients are computed by one compiled function, once with fdl's rules
and once under ``differentiation("autodiff")``. The two take turns, so that a noisy machine hurts both
alike; times are medians, and the bytes are the temporary memory that XLA reports for the executable. In the
mean of the memory ratios, less than a page of 4 KiB counts as a page: none against none is 1.
"""

import argparse
import json
import math
import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from rows import Row, compiled, every_row

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


def measure(row: Row, seconds: float) -> Measured:
    """Value and gradients of one row, both ways in turn, for about so many seconds."""
    both, inputs = compiled(row)
    times: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 5:
        order = (0, 1) if len(times[0]) % 2 else (1, 0)
        for which in order:
            start = time.perf_counter()
            jax.block_until_ready(both[which](*inputs))
            times[which].append(time.perf_counter() - start)
    memory = [executable.memory_analysis().temp_size_in_bytes for executable in both]
    medians = [float(np.median(t[1:])) for t in times]
    return Measured(str(row), (medians[0], medians[1]), (memory[0], memory[1]))


def table(results: list[Measured]) -> str:
    """The results as text, with geometric means in the last line."""
    lines = [f"{'rule':45} {'fdl ms':>9} {'jax ms':>9} {'speed':>7} {'fdl MB':>9} {'jax MB':>9} {'memory':>7}"]
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

    figure, axes = plt.subplots(1, 2, sharey=True, figsize=(11, 1 + 0.35 * len(results)), layout="constrained")
    names = [r.name for r in results][::-1]
    for ax, values, title in [
        (axes[0], [r.speed for r in results][::-1], "times faster than autodiff"),
        (axes[1], [r.memory for r in results][::-1], "temporary memory, as a part of autodiff's"),
    ]:
        ax.barh(names, values, color="#0072b2")
        ax.axvline(1, color="black", linewidth=1)
        ax.set_title(title)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measures, prints, and writes the table and its plot."""
    parser = argparse.ArgumentParser(description="Time and memory of fdl's gradients against autodiff.")
    parser.add_argument("words", nargs="*", help="only rules whose name contains one of these words")
    parser.add_argument("--quick", action="store_true", help="small sizes and few repetitions")
    parser.add_argument("--output", type=Path, default=Path("build/benchmarks"), help="a directory for table and plot")
    options = parser.parse_args()
    chosen = [
        row
        for row in every_row(scale=16 if options.quick else 1)
        if not options.words or any(word in row.rule.__name__ for word in options.words)
    ]
    results = []
    for row in chosen:
        results.append(measure(row, seconds=0.2 if options.quick else 5.0))
        print(table(results[-1:]).splitlines()[1], flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    text = f"jax {jax.__version__} on {jax.devices()[0].device_kind}, {jax.default_backend()}\n\n{table(results)}\n"
    (options.output / "rules.txt").write_text(text)
    (options.output / "rules.json").write_text(json.dumps([r._asdict() for r in results], indent=1))
    plot(results, options.output / "rules.png")
    print(f"\n{text}\nwritten to {options.output}")


if __name__ == "__main__":
    main()
