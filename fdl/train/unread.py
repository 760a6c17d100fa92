"""What training steps say of themselves, until it is made into a record."""

import math
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from fdl.train.metrics import mean_over_examples, read

Record = dict[str, float]

READ_EVERY = 50  # calls: each reading of metrics waits for the device


class Unread:
    """The metrics of the steps since the last record: on the device, until many are read at once."""

    def __init__(self, diverged: float, history: Sequence[Record]):
        self._diverged = diverged
        losses = [record["loss"] for record in history if "loss" in record]
        self._first_loss = losses[0] if losses else None
        self._is_of_record = bool(losses)
        self._clear()

    def _clear(self) -> None:
        self._start = time.perf_counter()
        self._metrics: list[Any] = []  # on the device
        self._values: list[dict[str, Any]] = []  # read
        self._examples: list[int] = []
        self._is_finite = True

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
        return not self._is_finite

    def means(self) -> tuple[Record, str | None]:
        """The seconds and the means over examples since the last call, and what is wrong with the loss, if anything."""
        self._read(len(self._metrics))
        means = mean_over_examples(self._values, self._examples)
        loss, first, trouble = means.get("loss"), self._first_loss, None
        if not self._is_finite:
            trouble = (
                "the loss is not finite any more: try a smaller learning rate, and look for bad data, "
                "such as class ids that do not exist"
            )
        elif loss is not None and first is not None and loss > self._diverged * first > 0:
            trouble = f"the loss is {loss:.3g}, more than {self._diverged:g} times the {first:.3g} that it started from"
        if loss is not None and not self._is_of_record:  # as if the run went on from here
            self._first_loss, self._is_of_record = loss, True
        record = {"seconds": time.perf_counter() - self._start, **means}
        self._clear()
        return record, trouble

    def _read(self, number: int) -> None:
        values = read(self._metrics[:number])
        self._values += values
        del self._metrics[:number]
        losses = [float(loss) for one in values if "loss" in one for loss in np.ravel(one["loss"])]
        if self._first_loss is None and losses:
            self._first_loss = losses[0]
        self._is_finite &= all(map(math.isfinite, losses))
