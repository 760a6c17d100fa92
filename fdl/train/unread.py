"""What training steps say of themselves, until it is made into a record.

A step that the optimizer left out, since its gradients were not finite, changed nothing, so that a loss of NaN there
is no sign of a run that broke down. Means leave out what is not finite of such steps, and "skipped" is their share.
Many of them in a row are such a sign.
"""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from fdl.train.metrics import average, mean_over_examples, read

Record = dict[str, float]

READ_EVERY = 50  # calls: each reading of metrics waits for the device
SKIPPED = "skipped_in_a_row"  # the metric that says how many steps were just left out
MANY = 50  # in a row; `scale_loss` needs 15 to come down to a scale of 1


class Unread:
    """The metrics of the steps since the last record: on the device, until many are read at once."""

    def __init__(self, diverged: float | None, history: Sequence[Record]):
        self._diverged = diverged
        losses = [record["loss"] for record in history if math.isfinite(record.get("loss", math.nan))]
        self._first_loss = losses[0] if losses else None
        self._is_of_record = bool(losses)
        self._clear()

    def _clear(self) -> None:
        self._start = time.perf_counter()
        self._metrics: list[Any] = []  # on the device
        self._values: list[dict[str, Any]] = []  # read
        self._examples: list[int] = []
        self._trouble: str | None = None

    def __bool__(self) -> bool:
        return bool(self._examples)

    def add(self, metrics: dict[str, jax.Array], examples: int) -> None:
        self._metrics.append(metrics)
        self._examples.append(examples)

    def look(self) -> bool:
        """Reads what has gathered, now and then, and says whether there is trouble in it.

        The newest stays, so that the device has something to do meanwhile.
        """
        if len(self._metrics) >= READ_EVERY:
            self._read(len(self._metrics) - 1)
        return self._trouble is not None

    def means(self) -> tuple[Record, str | None]:
        """The seconds and the means over examples since the last call, and what is wrong with the loss, if anything."""
        self._read(len(self._metrics))
        means = _means(self._values, self._examples)
        loss, first, trouble = means.get("loss", math.nan), self._first_loss, self._trouble
        has_grown = self._diverged is not None and first is not None and loss > self._diverged * first > 0
        if trouble is None and has_grown:
            trouble = f"the loss is {loss:.3g}, more than {self._diverged:g} times the {first:.3g} that it started from"
        if math.isfinite(loss) and not self._is_of_record:  # as if the run went on from here
            self._first_loss, self._is_of_record = loss, True
        record = {"seconds": time.perf_counter() - self._start, **means}
        self._clear()
        return record, trouble

    def _read(self, number: int) -> None:
        values = read(self._metrics[:number])
        del self._metrics[:number]
        in_a_row = max((int(np.max(one[SKIPPED])) for one in values if SKIPPED in one), default=0)
        values = [_counted(one) if SKIPPED in one else one for one in values]
        self._values += values
        losses = [float(loss) for one in values if "loss" in one for loss in _unmasked(one["loss"])]
        if self._first_loss is None and losses:
            self._first_loss = losses[0]
        if self._diverged is None or self._trouble is not None:
            return
        if not all(map(math.isfinite, losses)):
            self._trouble = (
                "the loss is not finite any more: try a smaller learning rate, and look for bad data, "
                "such as class ids that do not exist"
            )
        elif in_a_row >= MANY:
            self._trouble = (
                f"the optimizer has left out {in_a_row} steps in a row, whose gradients were not finite: look for bad "
                "data, and for numbers that are too large for the network's dtype"
            )


def _counted(metrics: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The metrics, masked where they are not finite and the step was left out, and which steps those are."""
    is_out = metrics[SKIPPED] > 0
    values = {name: value for name, value in metrics.items() if name != SKIPPED}
    if is_out.any():
        values = {name: _masked(value, is_out) for name, value in values.items()}
    return {**values, "skipped": is_out}


def _masked(value: np.ndarray, is_out: np.ndarray) -> np.ndarray:
    is_out = is_out.reshape(is_out.shape + (1,) * (value.ndim - is_out.ndim))
    return np.ma.masked_where(np.broadcast_to(is_out, value.shape) & ~np.isfinite(value), value)


def _unmasked(value: np.ndarray) -> np.ndarray:
    return value.compressed() if isinstance(value, np.ma.MaskedArray) else np.ravel(value)


def _means(values: Sequence[Mapping[str, np.ndarray]], examples: Sequence[int]) -> Record:
    """The means over all examples of what is not masked, NaN where all is."""
    if not any(isinstance(value, np.ma.MaskedArray) for one in values for value in one.values()):
        return mean_over_examples(values, examples)

    def mean(name: str) -> float:
        numbers = [_unmasked(one[name]) for one in values]
        weights = [
            np.full(len(some), n / np.size(one[name])) for some, n, one in zip(numbers, examples, values, strict=True)
        ]
        counted = np.concatenate(numbers).astype(np.float64)
        return average(counted, np.concatenate(weights))

    return {name: mean(name) for name in sorted(values[0], key=lambda name: name != "loss")}
