"""How close an update comes to the speed of memory: time and memory of every optimizer, in one run.

    make bench WHAT=optimizers                    all optimizers, on 20 million float32 parameters
    make bench WHAT=optimizers ARGS="adam lion"   those whose name contains a word
    make bench WHAT=optimizers ARGS="--quick"     small and short, to see that it works

An update must read the gradient, and read and write the parameters and the optimizer's memory of them. The column
"of a copy" is its time over the time in which as many bytes are copied from array to array, in the same run: 1 is the
speed of memory. (In place it may be less: a copy also loads what it overwrites.) Parameters and state are donated, so
"temporary" is all that is needed besides. The last rows are updates of Adam on the same parameters in a thousand
arrays, and optax's, where optax is installed; "of one" is their time over that of Adam on one array. Handing over
4,000 buffers takes its time whatever is done with them, so there are rows with ten updates in one call as well. The
same program differs by where in memory its arrays lie: how much, "adam again" tells.
"""

import functools
import importlib.util
import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from comparison import chosen, options
from rich.console import Console
from rich.table import Table

from fdl import optim

# By name: the optimizer, and how many arrays of the size of the parameters it remembers.
OPTIMIZERS = {
    "adam": (optim.adam(), 2),
    "sgd": (optim.sgd(0.1), 0),
    "momentum": (optim.momentum(0.1), 1),
    "nesterov": (optim.nesterov(0.1), 1),
    "adagrad": (optim.adagrad(), 1),
    "adadelta": (optim.adadelta(), 2),
    "rmsprop": (optim.rmsprop(), 1),
    "adamw": (optim.adamw(), 2),
    "amsgrad": (optim.amsgrad(), 3),
    "nadam": (optim.nadam(), 2),
    "adamax": (optim.adamax(), 2),
    "lion": (optim.lion(), 1),
    "lars": (optim.lars(0.1), 1),
    "lamb": (optim.lamb(), 2),
}


class Measured(NamedTuple):
    """Seconds of one update, the bytes that it must move, and its temporary memory."""

    name: str
    seconds: float
    bytes: int
    temporary: int


def typical(times: list[float]) -> float:
    """The lower quartile: whatever else the machine does only adds to a time."""
    return float(np.quantile(times, 0.25))


class Contestant:
    """A compiled update, parameters and state included, that is run again and again in place."""

    def __init__(self, name: str, optimizer: Any, remembered: int, size: int, arrays: int, updates: int = 1):
        grads = {f"w{i}": jnp.full(size // arrays, 0.01 * i + 0.1) for i in range(arrays)}
        params = jax.tree.map(jnp.ones_like, grads)

        def update(carry: Any, grads: Any) -> Any:
            params, opt_state = carry
            updates, opt_state = optimizer.update(grads, opt_state, params)
            return optim.apply_updates(params, updates), opt_state

        def step(params: Any, opt_state: Any, grads: Any) -> Any:
            carry = params, opt_state
            return update(carry, grads) if updates == 1 else jax.lax.fori_loop(0, updates, body(grads), carry)

        def body(grads: Any) -> Callable[[Any, Any], Any]:
            return lambda _, carry: update(carry, grads)

        self.name, self.bytes, self._updates = name, 4 * size * (3 + 2 * remembered), updates
        self._grads, self._carry = grads, (params, optimizer.init(params))
        self._step = jax.jit(step, donate_argnums=(0, 1)).lower(*self._carry, grads).compile()
        self.temporary = self._step.memory_analysis().temp_size_in_bytes
        self._times: list[float] = []

    def run(self) -> None:
        """One call that counts, after one in which the machine gets used to these arrays."""
        for _ in range(2):
            start = time.perf_counter()
            self._carry = jax.block_until_ready(self._step(*self._carry, self._grads))
        self._times.append(time.perf_counter() - start)

    def measured(self) -> Measured:
        """The result of all runs, per update."""
        return Measured(self.name, typical(self._times) / self._updates, self.bytes, self.temporary)


class Copy:
    """Copying one array of that size onto another, by JAX and by NumPy; the faster one counts."""

    def __init__(self, size: int):
        self._size = size
        self._arrays, self._host = [jnp.ones(size), jnp.ones(size)], [np.ones(size, np.float32) for _ in range(2)]
        copy = functools.partial(jax.jit, donate_argnums=1, keep_unused=True)(lambda source, target: -source)
        self._copy = copy.lower(*self._arrays).compile()
        self._times: tuple[list[float], list[float]] = ([], [])

    def run(self) -> None:
        """One copy each way."""
        start = time.perf_counter()
        self._arrays[1] = jax.block_until_ready(self._copy(*self._arrays))
        middle = time.perf_counter()
        np.copyto(self._host[1], self._host[0])
        for times, seconds in zip(self._times, (middle - start, time.perf_counter() - middle), strict=True):
            times.append(seconds)

    def bandwidth(self) -> float:
        """Bytes per second, read and written."""
        return 8 * self._size / min(typical(times[1:]) for times in self._times)


def measure(contestants: list[Contestant], copy: Copy, seconds: float) -> tuple[list[Measured], float]:
    """All in turn, for about so many seconds, so that a noisy machine hurts all alike."""
    end = time.perf_counter() + seconds
    rounds = 0
    while time.perf_counter() < end or rounds < 5:
        for contestant in [copy, *contestants][:: 1 if rounds % 2 else -1]:  # who follows whom matters
            contestant.run()
        rounds += 1
    return [contestant.measured() for contestant in contestants], copy.bandwidth()


def table(results: list[Measured], bandwidth: float, title: str, one: float | None = None) -> Table:
    """The results; with a last column when they are to be compared with the seconds of one."""
    text = Table(title=title, title_justify="left")
    text.add_column("optimizer", no_wrap=True)
    for name in ("ms", "must move MB", "GB/s", "of a copy", "temporary MB", *(["of one"] if one else [])):
        text.add_column(name, justify="right")
    for r in results:
        cells = [f"{1e3 * r.seconds:.2f}", f"{r.bytes / 1e6:.0f}", f"{r.bytes / r.seconds / 1e9:.1f}"]
        cells += [f"{r.seconds * bandwidth / r.bytes:.2f}x", f"{r.temporary / 1e6:.3f}"]
        text.add_row(r.name, *cells, *([f"{r.seconds / one:.2f}x"] if one else []))
    return text


def optax_adam() -> dict[str, Any]:
    """optax's Adam, where optax is installed."""
    if importlib.util.find_spec("optax") is None:
        return {}
    return {"optax adam": importlib.import_module("optax").adam(1e-3)}


def main() -> None:
    """Measures, prints, and writes the tables."""
    asked = options("Time and memory of fdl's optimizers against the speed of memory.", "optimizers")
    size, seconds = (200_000, 0.2) if asked.quick else (20_000_000, 10.0)

    copy = Copy(size)
    selected = {name: row for name, row in OPTIMIZERS.items() if chosen(name, asked.words)}
    results = []
    bandwidths = []
    for name, (optimizer, remembered) in selected.items():
        measured, bandwidth = measure([Contestant(name, optimizer, remembered, size, 1)], copy, seconds / 5)
        results += measured
        bandwidths.append(bandwidth)
    console = Console(record=True, width=110)
    console.print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}, {jax.default_backend()}")
    if results:
        title = f"{size:,} float32 parameters; a copy moves {np.median(bandwidths) / 1e9:.1f} GB/s"
        console.print(table(results, float(np.median(bandwidths)), title))

    rivals = {"adam": optim.adam(), **optax_adam(), "adam again": optim.adam()}
    for updates, per_call in ((1, ""), (10, ", 10 updates per call")):
        contestants = [
            Contestant(f"{name}, {arrays:,} array{'s' * (arrays > 1)}", optimizer, 2, size, arrays, updates)
            for name, optimizer in rivals.items()
            for arrays in (1, 1000)
        ]
        compared, bandwidth = measure(contestants, copy, seconds)
        console.print(table(compared, bandwidth, f"Adam, all in turn{per_call}", one=compared[0].seconds))
        results += [r._replace(name=r.name + per_call) for r in compared]

    asked.output.mkdir(parents=True, exist_ok=True)
    (asked.output / "optimizers.txt").write_text(console.export_text())
    (asked.output / "optimizers.json").write_text(json.dumps([r._asdict() for r in results], indent=1))
    print(f"written to {asked.output}")


if __name__ == "__main__":
    main()
