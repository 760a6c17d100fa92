"""What the loop costs: `fdl.train.fit` against the bare compiled step, in one run, and whether its memory grows.

    make bench WHAT=training                    a step of about 2 ms
    make bench WHAT=training ARGS="--quick"     short, to see that it works

Every row trains the same network on the same batches, some hundred steps at a time, and all rows take turns, so that a
noisy machine hurts all alike. "of bare" is the median, over the turns, of a row's time over that of the bare loop in
the same turn. The first epoch of a run, with all that is done once (a look at the first batch, compilation), does not
count. Then 10 epochs with all that keeps something of the run, and what memory the process and JAX's arrays take at the
end of each.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from fdl.data import Batches
from fdl.layers import Affine, Relu, Serial
from fdl.losses import softmax_cross_entropy
from fdl.optim import adam
from fdl.train import (
    Checkpoints,
    KeepBest,
    RunLog,
    accuracy,
    early_stopping,
    fit,
    init_train_state,
    make_train_step,
    scan_steps,
    supervised,
)

BATCH_SIZE, CLASSES = 128, 10
WIDTHS = (32, 64, 96, 128, 192, 256, 320, 384, 448, 512, 640, 768, 1024, 2048, 4096)


class Workload(NamedTuple):
    """A network of two hidden layers, its data, and its step."""

    net: Serial
    batches: Batches
    step: Callable[[Any, Any], Any]

    def start(self) -> Any:
        """A train state that the next run may take over."""
        return init_train_state(self.net, adam(1e-3), jax.random.key(0), self.batches(0)[0][0])


def workload(width: int, steps_per_epoch: int) -> Workload:
    """The one with hidden layers of this width."""
    net = Serial(Affine(width), Relu(), Affine(width), Relu(), scores=Affine(CLASSES))
    rng, examples = np.random.default_rng(0), steps_per_epoch * BATCH_SIZE
    data = rng.normal(size=(examples, 64)).astype(np.float32), rng.integers(CLASSES, size=examples, dtype=np.int32)
    objective = supervised(net, softmax_cross_entropy, metrics={"accuracy": accuracy})
    return Workload(net, Batches(data, BATCH_SIZE, seed=0), make_train_step(objective, adam(1e-3)))


def seconds_per_step(work: Workload, steps: int) -> float:
    """Of the step alone, on one batch again and again."""
    train_state, batch = work.start(), jax.device_put(work.batches(0)[0])
    train_state, _ = work.step(train_state, batch)
    jax.block_until_ready(train_state)
    start = time.perf_counter()
    for _ in range(steps):
        train_state, _ = work.step(train_state, batch)
    jax.block_until_ready(train_state)
    return (time.perf_counter() - start) / steps


def wide_enough(seconds: float, steps_per_epoch: int) -> Workload:
    """The network whose step comes nearest to so many seconds on this machine."""
    best, off = None, np.inf
    for width in WIDTHS:
        work = workload(width, steps_per_epoch)
        took = min(seconds_per_step(work, 20) for _ in range(5))
        if abs(np.log(took / seconds)) < off:
            best, off = work, abs(np.log(took / seconds))
        if took > 1.5 * seconds:
            break
    assert best is not None
    return best


def bare(work: Workload, epochs: int) -> float:
    """The loop that one would write without `fit`, and nothing read from it."""
    train_state, start = work.start(), 0.0
    for epoch in range(epochs):
        if epoch == 1:
            jax.block_until_ready(train_state)
            start = time.perf_counter()
        for batch in work.batches(epoch):
            train_state, _ = work.step(train_state, batch)
    jax.block_until_ready(train_state)
    return time.perf_counter() - start


def bare_by_ten(several: Callable[[Any, Any], Any]) -> Callable[[Workload, int], float]:
    """The same with ten steps in a call."""

    def loop(work: Workload, epochs: int) -> float:
        train_state, start = work.start(), 0.0
        for epoch in range(epochs):
            if epoch == 1:
                jax.block_until_ready(train_state)
                start = time.perf_counter()
            batches = work.batches(epoch)
            for first in range(0, len(batches), 10):
                stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *batches[first : first + 10])
                train_state, _ = several(train_state, stacked)
        jax.block_until_ready(train_state)
        return time.perf_counter() - start

    return loop


def fitted(**settings: Any) -> Callable[[Workload, int], float]:
    """`fit` without a display. At the end of an epoch it has read the metrics of all steps, so the device is done."""

    def loop(work: Workload, epochs: int) -> float:
        started = []

        def batches(epoch: int) -> Any:
            started.append(time.perf_counter())
            return work.batches(epoch)

        run = fit(work.step, work.start(), batches, epochs=epochs, progress=None, **settings)
        jax.block_until_ready(run.train_state)
        return time.perf_counter() - started[1]

    return loop


def watched(work: Workload, epochs: int) -> float:
    """`fit` with callbacks: a log in JSON lines, the best parameters, early stopping, a record every 50 steps."""
    with tempfile.TemporaryDirectory() as folder:
        callbacks = [RunLog(folder), KeepBest("loss"), early_stopping("loss", patience=10**6)]
        return fitted(record_every=50, callbacks=callbacks)(work, epochs)


def saved(work: Workload, epochs: int) -> float:
    """`fit` with a checkpoint at the end of each epoch."""
    with tempfile.TemporaryDirectory() as folder, Checkpoints(folder) as checkpoints:
        return fitted(callbacks=[checkpoints])(work, epochs)


class Measured(NamedTuple):
    """Median seconds of a step, and the median of its time over that of the first row in the same turn."""

    name: str
    seconds: float
    ratio: float


def measure(
    work: Workload, loops: dict[str, Callable[[Workload, int], float]], epochs: int, turns: int
) -> list[Measured]:
    """All loops in turn, each time in another order; the first turn, in which they compile, does not count."""
    steps = (epochs - 1) * work.batches.per_epoch
    times: dict[str, list[float]] = {name: [] for name in loops}
    names = list(loops)
    for turn in range(turns + 1):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            times[name].append(loops[name](work, epochs) / steps)
    first = np.array(times[names[0]][1:])
    return [
        Measured(name, float(np.median(t[1:])), float(np.median(np.array(t[1:]) / first))) for name, t in times.items()
    ]


def table(results: list[Measured], title: str) -> Table:
    """The times of a step."""
    text = Table(title=title, title_justify="left")
    text.add_column("loop", no_wrap=True)
    for name in ("ms a step", "of bare"):
        text.add_column(name, justify="right")
    for r in results:
        text.add_row(r.name, f"{1e3 * r.seconds:.3f}", f"{r.ratio:.3f}x")
    return text


class Memory(NamedTuple):
    """What is held at the end of an epoch: by the process, in MB, and by JAX, in arrays and MB."""

    epoch: int
    process: float
    arrays: int
    in_arrays: float


def memory(work: Workload, epochs: int) -> list[Memory]:
    """At the end of each epoch of a run with a log, the best parameters and checkpoints."""
    seen: list[Memory] = []

    def look(run: Any) -> None:
        arrays = jax.live_arrays()
        in_arrays = sum(array.nbytes for array in arrays) / 1e6
        seen.append(Memory(run.position.epoch, resident() / 1e6, len(arrays), in_arrays))

    with tempfile.TemporaryDirectory() as folder, Checkpoints(Path(folder, "checkpoints")) as checkpoints:
        callbacks = [RunLog(Path(folder, "log")), KeepBest("loss"), checkpoints, look]
        fitted(callbacks=callbacks)(work, epochs)
    return seen


def resident() -> int:
    """The bytes of the process in memory; where the system does not tell, the most that they ever were."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most


def memory_table(seen: list[Memory]) -> Table:
    """The memory at the end of each epoch."""
    text = Table(
        title="Memory at the end of each epoch, with log, best parameters and checkpoints", title_justify="left"
    )
    for name in ("epoch", "process MB", "arrays", "in arrays MB"):
        text.add_column(name, justify="right")
    for m in seen:
        text.add_row(str(m.epoch), f"{m.process:.1f}", str(m.arrays), f"{m.in_arrays:.2f}")
    return text


def main() -> None:
    """Measures, prints, and writes the tables."""
    parser = argparse.ArgumentParser(description="What fdl.train.fit costs over the bare step, in time and memory.")
    parser.add_argument("--quick", action="store_true", help="short steps and few of them")
    parser.add_argument("--ms", type=float, default=2.0, help="how long a step is to be, in milliseconds")
    parser.add_argument("--output", type=Path, default=Path("build/benchmarks"), help="a directory for the tables")
    options = parser.parse_args()
    steps_per_epoch, epochs, turns = (20, 2, 2) if options.quick else (200, 4, 15)
    work = workload(32, steps_per_epoch) if options.quick else wide_enough(options.ms / 1e3, steps_per_epoch)
    loops = {
        "bare loop": bare,
        "fit": fitted(),
        "fit, a record every 50 steps, log, best": watched,
        f"fit, a checkpoint every {steps_per_epoch} steps": saved,
        "bare loop, 10 steps a call": bare_by_ten(scan_steps(work.step)),
        "fit, 10 steps a call": fitted(steps_per_call=10),
    }
    results = measure(work, loops, epochs, turns)
    seen = memory(work, 10)

    console = Console(record=True, width=110)
    console.print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}, {jax.default_backend()}")
    alone = 1e3 * seconds_per_step(work, 50)
    units = work.net.children["affine1"].features
    title = f"{units} units a layer, batches of {BATCH_SIZE}; the step alone: {alone:.2f} ms"
    console.print(table(results, title))
    console.print(memory_table(seen))
    grown = seen[-1].process - seen[1].process
    console.print(f"from epoch 2 to {seen[-1].epoch}: {grown:+.1f} MB, {seen[-1].arrays - seen[1].arrays:+d} arrays")
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "training.txt").write_text(console.export_text())
    everything = {"loops": [r._asdict() for r in results], "memory": [m._asdict() for m in seen]}
    (options.output / "training.json").write_text(json.dumps(everything, indent=1))
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
