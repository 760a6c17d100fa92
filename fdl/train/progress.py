"""What a training run shows: lines, one per record, and on a terminal a bar below them while it runs."""

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np

from fdl.errors import InputError

SECONDS_BETWEEN_UPDATES = 0.1  # of the bar: each one waits for the device, which then idles for a moment


class Silence:
    """Shows nothing; the other displays show something of what this one is told."""

    def step(
        self, epoch: int, step: int, done: int, total: int | None, examples: int, metrics: Mapping[str, Any]
    ) -> None:
        """Follows a call of the training step.

        Args:
            epoch: the epoch that it belongs to, from 0.
            step: how many steps the run has taken.
            done, total: how many steps of the epoch were taken, of how many, where that is known.
            examples: how many examples this call had.
            metrics: what it gave, still on the device.
        """

    def record(self, record: Mapping[str, float]) -> None:
        """Follows a record, as `fit` adds it to the history."""


class Lines(Silence):
    """Prints one line per record."""

    def __init__(self, epochs: int | None, steps: int | None):
        self._epochs, self._steps = epochs, steps

    def record(self, record: Mapping[str, float]) -> None:
        """Prints the line and flushes it: whoever follows a log sees each record as it comes."""
        print(f"{line(record, self._epochs, self._steps)}  {record['seconds']:.2f} s", flush=True)


class Bar(Silence):
    """Keeps a rich progress bar with loss, throughput and time left below the lines of the records."""

    def __init__(self, epochs: int | None, steps: int | None, bar: Any):
        self._epochs, self._steps = epochs, steps
        self._bar = bar
        self._task = bar.add_task("", total=None, loss="", throughput="", left="")
        self._steps_per_epoch: int | None = None
        self._epoch = self._done = self._examples = 0
        self._first_update = self._last_update = 0.0

    def step(
        self, epoch: int, step: int, done: int, total: int | None, examples: int, metrics: Mapping[str, Any]
    ) -> None:
        """Moves the bar, unless it has only just been moved."""
        if epoch != self._epoch:  # the one before was as long as it got
            self._steps_per_epoch = self._done
        self._epoch, self._done = epoch, done
        self._examples += examples
        if time.perf_counter() - self._last_update < SECONDS_BETWEEN_UPDATES:
            return
        loss = f"loss {number(float(np.mean(metrics['loss'])))}" if "loss" in metrics else ""  # waits for the device
        self._last_update = time.perf_counter()
        if not self._first_update:  # what came before was mostly compilation
            self._first_update, self._examples = self._last_update, 0
        seconds = self._last_update - self._first_update
        steps_per_epoch = total or self._steps_per_epoch
        ends = [self._steps, steps_per_epoch and self._epochs and steps_per_epoch * self._epochs]
        end = min((end for end in ends if end is not None), default=None)
        self._bar.update(
            self._task,
            description=_place(epoch + 1, step, self._epochs, self._steps),
            total=end,
            completed=step,
            loss=loss,
            throughput=f"{self._examples / seconds:,.0f} examples/s" if seconds else "",
            left="left" if end else "",
        )

    def record(self, record: Mapping[str, float]) -> None:
        """Prints the line above the bar."""
        self._bar.console.print(line(record, self._epochs, self._steps), highlight=False, markup=False)


@contextlib.contextmanager
def shown(how: Literal["auto", "lines"] | None, epochs: int | None, steps: int | None) -> Iterator[Silence]:
    """Gives the display for a run of so many epochs or steps; the bar goes away with the block.

    Args:
        how: "auto" for a bar on a terminal and lines elsewhere, "lines", or None for nothing.
        epochs, steps: how many there will be, where that is known.

    Raises:
        InputError: for any other word.
    """
    if how not in ("auto", "lines", None):
        raise InputError(f'progress is "auto", "lines" or None, got {how!r}')
    if how is None:
        yield Silence()
    elif how == "lines" or not sys.stdout.isatty():
        yield Lines(epochs, steps)
    elif (bar := _rich_bar()) is None:
        print('For a progress bar: pip install "fdl[train]"', flush=True)
        yield Lines(epochs, steps)
    else:
        with bar:
            yield Bar(epochs, steps, bar)


def _rich_bar() -> Any:
    """The empty bar, or None where rich is not installed."""
    try:
        from rich import progress
    except ImportError:
        return None
    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=None),
        progress.TextColumn("{task.fields[loss]}"),
        progress.TextColumn("{task.fields[throughput]}"),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[left]}"),
        transient=True,
        expand=True,
    )


def line(record: Mapping[str, float], epochs: int | None, steps: int | None = None) -> str:
    """A record in words.

    Example:
        >>> record = {"epoch": 3, "step": 30, "seconds": 0.1, "loss": 0.25, "validation_loss": 1.5, "validation_f1": 1}
        >>> line(record, epochs=10)
        'epoch  3/10  loss 0.250  validation loss 1.500  f1 1.000'
        >>> line(record, epochs=None, steps=1000)
        'step   30/1000  loss 0.250  validation loss 1.500  f1 1.000'
    """
    numbers = {name: value for name, value in record.items() if name not in ("epoch", "step", "seconds")}
    ours = [f"{name} {number(value)}" for name, value in numbers.items() if not name.startswith("validation_")]
    theirs = [
        f"{name.removeprefix('validation_')} {number(value)}"
        for name, value in numbers.items()
        if name.startswith("validation_")
    ]
    if theirs:
        theirs[0] = f"validation {theirs[0]}"
    return "  ".join([_place(int(record["epoch"]), int(record["step"]), epochs, steps), *ours, *theirs])


def _place(epoch: int, step: int, epochs: int | None, steps: int | None) -> str:
    """How far a run is, in what it is measured in."""
    name, number, end = ("step", step, steps) if epochs is None else ("epoch", epoch, epochs)
    return f"{name} {number:{len(str(end))}}/{end}"


def number(value: float) -> str:
    """Three decimals, or three digits where these would say little.

    Example:
        >>> number(0.5), number(0.00123), number(123456.0)
        ('0.500', '0.00123', '1.23e+05')
    """
    return f"{value:.3f}" if value == 0 or 0.01 <= abs(value) < 1000 else f"{value:.3g}"
