"""What can watch a run: functions of the run so far that keep something of it, or say why it shall stop.

`fit` calls each with a `Fitted` after every record, and stops when one returns a reason.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.train.fit import Ending, Fitted, Record

Mode = Literal["min", "max"]

MORE_IS_BETTER = ("accuracy", "precision", "recall", "iou")  # how names of metrics end that say so themselves


def early_stopping(
    metric: str = "validation_loss", patience: int = 5, mode: Mode = "min", min_delta: float = 0.0
) -> Ending:
    """Stops a run when a metric has not become better for so many records.

    It decides by the history alone, so a run that goes on from a checkpoint stops where it would have stopped, and one
    that was over is over still: `fit` asks before the first step.

    Args:
        metric: a name in the records.
        patience: how many records may pass without a better one, at least 1.
        mode: whether less ("min") or more ("max") is better.
        min_delta: how much better a record has to be than the best to count, >= 0.

    Raises:
        InputError: for settings outside their range, and for the lowest of what is called an accuracy; while running,
            for a metric that the records do not have.

    Source: Prechelt, "Early stopping - but when?" (1998).

    Example:
        >>> stop = early_stopping(patience=2)
        >>> losses = [1.0, 0.5, 0.6, 0.7]
        >>> stop(Fitted(None, tuple({"epoch": i + 1, "validation_loss": x} for i, x in enumerate(losses))))
        'validation_loss has not been better than 0.5 for 2 records'
    """
    check_count("early_stopping", "patience", patience)
    if not min_delta >= 0:
        raise InputError(f"early_stopping needs a min_delta that is not negative, got {min_delta}")
    return _EarlyStopping(metric, patience, sign_of(mode, metric), min_delta)


@dataclass(frozen=True)
class _EarlyStopping:
    metric: str
    patience: int
    sign: float
    min_delta: float

    def __call__(self, run: Fitted) -> str | None:
        # What has stopped already may have broken down, and was not validated then.
        return None if run.stopped is not None else self.over(run.history)

    def over(self, history: Sequence[Record]) -> str | None:
        best, since = math.inf, 0
        for record in history:
            value = self.sign * value_of(record, self.metric)
            is_better = value < best - self.min_delta or best == math.inf > value
            best, since = (value, 0) if is_better else (best, since + 1)
        if since < self.patience:
            return None
        return f"{self.metric} has not been better than {self.sign * best:.3g} for {since} records"


class KeepBest:
    """Keeps a copy of the parameters and the state of the record with the best metric.

    In a run that goes on from a checkpoint, the best record may be one that was before: its parameters are not at hand
    then, unless this very object has kept them. ``Checkpoints(directory, best=metric)`` has them on disk:
    ``checkpoints.restore(train_state, checkpoints.best)``.

    Attributes:
        record: the best of the run's history so far, the first of equal ones; None before there is one.
        params, state: the network's, at that record; None where they are not at hand.

    Args:
        metric: a name in the records.
        mode: whether less ("min") or more ("max") is better.

    Example:
        >>> import jax.numpy as jnp
        >>> from fdl.train import TrainState
        >>> best, history = KeepBest("validation_accuracy", "max"), ()
        >>> for w, accuracy in (1.0, 0.7), (2.0, 0.9), (3.0, 0.8):
        ...     train_state = TrainState({"w": jnp.array(w)}, {}, (), None, jnp.array(0))
        ...     history = (*history, {"validation_accuracy": accuracy})
        ...     best(Fitted(train_state, history))
        >>> float(best.params["w"]), best.record
        (2.0, {'validation_accuracy': 0.9})
    """

    def __init__(self, metric: str = "validation_loss", mode: Mode = "min"):
        self._metric, self._sign = metric, sign_of(mode, metric)
        self.params: Any = None
        self.state: Any = None
        self.record: Record | None = None

    def __call__(self, run: Fitted) -> None:
        """Looks at the last record."""
        newest = run.history[-1]
        if run.stopped is not None and self._metric not in newest:
            return  # a run that broke down was not validated
        value_of(newest, self._metric)  # looks for the metric
        records = [record for record in run.history if not math.isnan(record.get(self._metric, math.nan))]
        best = min(records, key=lambda record: self._sign * record[self._metric], default=None)
        if best is newest:
            train_state = run.train_state
            self.params, self.state = jax.tree.map(jnp.copy, (train_state.params, train_state.state))
        elif best != self.record:
            self.params = self.state = None
        self.record = best


def sign_of(mode: str, metric: str = "") -> float:
    """What to multiply a metric by so that less is better.

    Raises:
        InputError: for a mode that is neither "min" nor "max", and for the lowest of what is called an accuracy, which
            is what one gets by leaving the mode out.

    Example:
        >>> sign_of("max", "validation_accuracy")
        -1.0
    """
    if mode not in ("min", "max"):
        raise InputError(f'mode is "min" or "max", got {mode!r}')
    if mode == "min" and metric.endswith(MORE_IS_BETTER):
        raise InputError(f'of {metric}, more is better: mode="max", got "min"')
    return 1.0 if mode == "min" else -1.0


def value_of(record: Record, metric: str) -> float:
    """The metric in a record.

    Raises:
        InputError: when it is not there, with what is.

    Example:
        >>> value_of({"step": 10, "loss": 0.5}, "loss")
        0.5
    """
    if metric not in record:
        raise InputError(f"the records have {sorted(record)}, and no {metric!r}: validate= adds what starts so")
    return record[metric]
