"""Which learning rate? One short run in which the rate grows from step to step, and the loss says where it helps.

    rate_t = low (high / low)^(t / (T - 1))

At small rates the loss stays where it is, then it falls, and where the rate is too large it rises again. The rate at
which half of the fall is done learns fast and is safe: where the loss is lowest, the rate is too large already.

Source: Smith, "Cyclical learning rates for training neural networks" (2017).
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from fdl.errors import InputError
from fdl.optim import Optimizer, Schedule
from fdl.train.diagnosis.finding import OK, Finding
from fdl.train.diagnosis.short_run import short_run
from fdl.train.objective import Objective

_MEMORY = 0.8  # of the running mean of the losses
_FALL = 0.1  # of the first loss: what the lowest has to be below it
_TOO_SMALL = 1e-3  # of the suggestion


@dataclasses.dataclass(frozen=True)
class RangeTest(Finding):
    """What `range_test` found.

    Attributes:
        rates, losses: of each step that was taken.
        smooth: the mean loss at the start, and from there the running mean of how far each batch is from its own.
        suggestion: the rate at which half of the fall of that is done; NaN when it did not fall by a tenth of the loss.
        limit: the rate at which it had come to its lowest.
        chosen: the rate that was to be judged; NaN if none was given.
    """

    title: ClassVar[str] = "learning rate"
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smooth: tuple[float, ...]
    suggestion: float
    limit: float
    chosen: float

    @property
    def measured(self) -> str:
        """The suggestion, and the rate that was chosen."""
        chosen = "" if math.isnan(self.chosen) else f"{self.chosen:.2g} chosen, "
        if math.isnan(self.suggestion):
            return f"{chosen}the loss fell by a tenth at none of {self.rates[0]:.0e} to {self.rates[-1]:.0e}"
        return f"{chosen}{self.suggestion:.1g} suggested, the loss falls up to {self.limit:.1g}"


def range_test(
    objective: Objective,
    make_optimizer: Callable[[Schedule], Optimizer],
    params: Any,
    state: Any,
    batches: Sequence[Any],
    key: Any,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    chosen: float | None = None,
) -> RangeTest:
    """Trains for a moment with a learning rate that grows, and suggests one.

    Args:
        objective: what is to be trained.
        make_optimizer: from a schedule to the optimizer, such as `fdl.optim.adam`, or
            ``lambda rate: chain(clip_by_global_norm(1.0), momentum(rate))``.
        params, state: where to start; they are not changed.
        batches: some batches of one size, gone through in turn: enough of them that they are not learnt by heart.
        key: for what is drawn at random.
        low, high: from where to where the rate goes.
        steps: how many.
        chosen: a rate to judge.

    Raises:
        InputError: for a range or a number of steps that is none, and for an optimizer in the place of what makes it;
            what the objective finds wrong with the batches.

    Source: Smith (2017).

    Example:
        >>> import jax
        >>> from fdl.layers import Affine
        >>> from fdl.losses import squared_error
        >>> from fdl.optim import adam
        >>> from fdl.train import supervised
        >>> net, x = Affine(1), jax.random.normal(jax.random.key(0), (64, 3))
        >>> objective = supervised(net, lambda y, t: squared_error(y, t).sum(-1))
        >>> params, state = net.init(jax.random.key(1), x)
        >>> batches = [(x, x @ jnp.array([[1.0], [2.0], [3.0]]))]
        >>> found = range_test(objective, adam, params, state, batches, jax.random.key(2), chosen=100.0)
        >>> found.verdict
        'with the learning rate 1e+02 the loss does not fall any more: try 0.1'
    """
    if not 0 < low < high or steps < 2:
        raise InputError(f"range_test needs 0 < low < high and two steps, got {low}, {high} and {steps}")
    check_makes_optimizer("range_test", make_optimizer)
    growth = math.log(high / low) / (steps - 1)

    def schedule(step: Any) -> Any:
        return low * jnp.exp(growth * jnp.asarray(step, jnp.result_type(float)))

    run = short_run(objective, make_optimizer(schedule), params, state, batches, key, steps=steps)
    rates = low * np.exp(growth * np.arange(len(run.losses)))
    first = _losses_of(objective, params, state, batches[:steps], key)
    start = np.mean(first)
    smooth = start + _smoothed(run.losses - np.resize(first, len(run.losses)))  # the batches come in turn
    fall = (start - smooth) / abs(start) if np.isfinite(start) and start else np.zeros(1)
    done = fall / np.nanmax(fall) if np.nanmax(fall) > _FALL else np.zeros(1)
    suggestion, limit = (float(rates[np.argmax(done >= part)]) if done.any() else math.nan for part in (0.5, 0.98))
    rate = math.nan if chosen is None else float(chosen)
    curves = {"rates": rates, "losses": run.losses, "smooth": smooth}
    of_steps = {name: tuple(values.tolist()) for name, values in curves.items()}
    return RangeTest(_verdict(rate, suggestion, limit), **of_steps, suggestion=suggestion, limit=limit, chosen=rate)


def check_makes_optimizer(who: str, make_optimizer: Any) -> None:
    """Refuses an optimizer that has its learning rate already.

    Example:
        >>> from fdl.optim import adam
        >>> check_makes_optimizer("range_test", adam(1e-3))
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: range_test takes a function from a learning rate to an optimizer, such as adam or \
lambda rate: momentum(rate, 0.9), got an object of type Optimizer
    """
    if not callable(make_optimizer):
        raise InputError(
            f"{who} takes a function from a learning rate to an optimizer, such as adam or "
            f"lambda rate: momentum(rate, 0.9), got an object of type {type(make_optimizer).__name__}"
        )


def _losses_of(objective: Objective, params: Any, state: Any, batches: Sequence[Any], key: Any) -> np.ndarray:
    """What each batch costs now, with the same draws as in the step of a `short_run` that first sees it."""

    @jax.jit
    def loss_of(params: Any, state: Any, batch: Any, i: Any) -> jax.Array:
        return objective(params, state, batch, None if key is None else jax.random.fold_in(key, i))[0]

    return np.array([float(loss_of(params, state, batch, i)) for i, batch in enumerate(batches)])


def _smoothed(values: np.ndarray) -> np.ndarray:
    """The running mean, without the weight of the zeros that it would start from."""
    means, mean = [], 0.0
    for count, value in enumerate(values, start=1):
        mean = _MEMORY * mean + (1 - _MEMORY) * value
        means.append(mean / (1 - _MEMORY**count))
    return np.array(means)


def _verdict(rate: float, suggestion: float, limit: float) -> str:
    if math.isnan(suggestion):
        return (
            "the loss falls at no rate by a tenth of what it starts from: does it fall on one batch? If so, the data "
            "may have little to learn, or the targets do not belong to their inputs, or most of the loss is a constant"
        )
    if rate > limit:
        return f"with the learning rate {rate:.2g} the loss does not fall any more: try {suggestion:.1g}"
    if rate < _TOO_SMALL * suggestion:
        return f"with the learning rate {rate:.2g} the loss hardly moves: try {suggestion:.1g}"
    return OK
