"""Schedules: functions from the step count t, which starts at 0, to a value.

Any hyperparameter of an optimizer may be one, and so may any function of your own:

    adam(cosine(1e-3, steps=10_000))              momentum(0.1, decay=lambda t: jnp.minimum(0.99, 0.5 + t / 1000))

A step is an update. Where a lecture counts epochs, `by_epoch` says how many updates make one:

    by_epoch(inverse_time(0.1, decay=0.5), steps_per_epoch=390)             lr = 0.1 / (1 + 0.5 epoch)

Values are computed in the default float dtype (float32, or float64 where that is enabled). The step may be an
integer or an array, of any shape: a whole curve comes from one call.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.optim.hyperparameters import NOT_NEGATIVE, POSITIVE, SHARE, Range, Schedule, check_number

FINITE = Range("a finite {}", math.isfinite)


def constant(value: float) -> Schedule:
    """The same value in every step.

    Example:
        >>> float(constant(0.5)(1000))
        0.5
    """
    check_number("constant", "value", value, FINITE)
    return lambda step: jnp.full_like(_float(step), value)


def inverse_time(initial: float, decay: float) -> Schedule:
    """initial / (1 + decay t): the classic decay, with which the sum of all steps still diverges.

    Example:
        >>> inverse_time(1.0, decay=0.5)(jnp.arange(4)).round(4).tolist()
        [1.0, 0.6667, 0.5, 0.4]
    """
    check_number("inverse_time", "initial", initial, FINITE)
    check_number("inverse_time", "decay", decay, NOT_NEGATIVE)
    return lambda step: initial / (1 + decay * _float(step))


def step(initial: float, factor: float, every: int) -> Schedule:
    """initial factor^floor(t / every): a cut every so many steps.

    Example:
        >>> step(1.0, factor=0.5, every=2)(jnp.arange(5)).tolist()
        [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    check_number("step", "initial", initial, FINITE)
    check_number("step", "factor", factor, POSITIVE)
    check_count("step", "every", every)
    return lambda step: initial * factor ** _float(jnp.asarray(step) // every)


def exponential(initial: float, decay: float) -> Schedule:
    """initial exp(-decay t). For a factor per step instead, decay = -log(factor).

    Example:
        >>> exponential(1.0, decay=math.log(2))(jnp.arange(4)).round(4).tolist()
        [1.0, 0.5, 0.25, 0.125]
    """
    check_number("exponential", "initial", initial, FINITE)
    check_number("exponential", "decay", decay, NOT_NEGATIVE)
    return lambda step: initial * jnp.exp(-decay * _float(step))


def inverse_sqrt(initial: float) -> Schedule:
    """initial / sqrt(t + 1), which is k / sqrt(epoch) for epochs that are counted from 1.

    Example:
        >>> inverse_sqrt(1.0)(jnp.array([0, 3, 99])).round(4).tolist()
        [1.0, 0.5, 0.1]
    """
    check_number("inverse_sqrt", "initial", initial, FINITE)
    return lambda step: initial / jnp.sqrt(_float(step) + 1)


def piecewise(values: Sequence[float], boundaries: Sequence[int]) -> Schedule:
    """Values by hand: values[0] before step boundaries[0], then values[1] before boundaries[1], and so on.

    Args:
        values: one more than boundaries.
        boundaries: steps, whole numbers, increasing; each is the first one with the next value.

    Raises:
        InputError: for boundaries that do not increase, whose number does not fit, or that are no steps but shares
            of the training.

    Example:
        >>> piecewise([1.0, 0.1, 0.01], [2, 3])(jnp.arange(5)).round(4).tolist()
        [1.0, 1.0, 0.1, 0.01, 0.01]
    """
    if len(values) != len(boundaries) + 1:
        raise InputError(
            f"piecewise needs one value more than boundaries, got {len(values)} values and {len(boundaries)} boundaries"
        )
    for boundary in boundaries:
        check_count("piecewise", "boundaries", boundary, least=0)
    if any(late <= early for early, late in itertools.pairwise(boundaries)):
        raise InputError(f"piecewise needs boundaries that increase, got {list(boundaries)}")
    for value in values:
        check_number("piecewise", "values", value, FINITE)

    def schedule(step: Any) -> jax.Array:
        piece = jnp.searchsorted(jnp.asarray(boundaries, jnp.int32), jnp.asarray(step), side="right")
        return jnp.asarray(values, jnp.result_type(float))[piece]

    return schedule


def cosine(initial: float, steps: int, final: float = 0.0) -> Schedule:
    """Half a cosine from ``initial`` at step 0 to ``final`` at step ``steps``, and constant from there on.

    Source:
        Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017), without restarts.

    Example:
        >>> cosine(1.0, steps=4)(jnp.arange(6)).round(4).tolist()
        [1.0, 0.8536, 0.5, 0.1464, 0.0, 0.0]
    """
    check_number("cosine", "initial", initial, FINITE)
    check_number("cosine", "final", final, FINITE)
    check_count("cosine", "steps", steps)
    return lambda step: _cosine(initial, final, _float(step) / steps)


def warmup(schedule: Schedule, steps: int) -> Schedule:
    """Any schedule with a linear start: schedule(t) min(1, (t + 1) / steps).

    Source:
        Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour" (2017).

    Example:
        >>> warmup(constant(1.0), steps=4)(jnp.arange(6)).tolist()
        [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """
    _check_schedule("warmup", schedule)
    check_count("warmup", "steps", steps)
    return lambda step: jnp.minimum(1, (_float(step) + 1) / steps) * schedule(step)


def warmup_cosine(peak: float, warmup: int, steps: int, initial: float = 0.0, final: float = 0.0) -> Schedule:
    """A line from ``initial`` to ``peak`` in ``warmup`` steps, then half a cosine to ``final`` at step ``steps``.

    At step 0 the value is ``initial``: with the default of zero, the first update changes nothing.

    Raises:
        InputError: for a warm-up that is not shorter than the whole.

    Example:
        >>> warmup_cosine(1.0, warmup=2, steps=6)(jnp.arange(8)).round(4).tolist()
        [0.0, 0.5, 1.0, 0.8536, 0.5, 0.1464, 0.0, 0.0]
    """
    for name, value in (("peak", peak), ("initial", initial), ("final", final)):
        check_number("warmup_cosine", name, value, FINITE)
    check_count("warmup_cosine", "warmup", warmup, least=0)
    check_count("warmup_cosine", "steps", steps, least=warmup + 1)

    def schedule(step: Any) -> jax.Array:
        t = _float(step)
        rising = initial + (peak - initial) * t / max(warmup, 1)
        return jnp.where(t < warmup, rising, _cosine(peak, final, (t - warmup) / (steps - warmup)))

    return schedule


def one_cycle(
    peak: float, steps: int, *, rise: float = 0.3, start_factor: float = 25.0, final_factor: float = 1e4
) -> Schedule:
    """Up from peak / start_factor and down to almost nothing, both by half a cosine.

    Args:
        peak: the largest value, reached after a share ``rise`` of all steps.
        steps: the last value is reached at this step, and kept.
        rise: between 0 and 1.
        start_factor: the first value is peak / start_factor.
        final_factor: the last one is peak / start_factor / final_factor, as in PyTorch.

    Raises:
        InputError: for an argument outside its range.

    Source:
        Smith, "A disciplined approach to neural network hyper-parameters" (2018), which has lines for the cosines; the
        momentum that it lets fall and rise meanwhile is a schedule of its own: ``momentum(one_cycle(...), decay=...)``.

    Example:
        >>> one_cycle(1.0, steps=10, rise=0.5)(jnp.array([0, 5, 10])).round(4).tolist()
        [0.04, 1.0, 0.0]
    """
    check_number("one_cycle", "peak", peak, FINITE)
    check_count("one_cycle", "steps", steps)
    check_number("one_cycle", "rise", rise, SHARE)
    check_number("one_cycle", "start_factor", start_factor, POSITIVE)
    check_number("one_cycle", "final_factor", final_factor, POSITIVE)
    start, top = peak / start_factor, rise * steps
    final = start / final_factor

    def schedule(step: Any) -> jax.Array:
        t = _float(step)
        return jnp.where(t < top, _cosine(start, peak, t / top), _cosine(peak, final, (t - top) / (steps - top)))

    return schedule


def noam(dim: int, warmup: int, scale: float = 1.0) -> Schedule:
    """The transformer's: scale dim^(-1/2) min(s^(-1/2), s warmup^(-3/2)) with s = t + 1, the paper's step number.

    It rises for ``warmup`` steps and then falls with the root of the step.

    Source:
        Vaswani et al., "Attention is all you need" (2017), equation 3.

    Example:
        >>> noam(dim=4, warmup=4)(jnp.array([0, 3, 15])).tolist()
        [0.0625, 0.25, 0.125]
    """
    check_count("noam", "dim", dim)
    check_count("noam", "warmup", warmup)
    check_number("noam", "scale", scale, FINITE)

    def schedule(step: Any) -> jax.Array:
        s = _float(step) + 1
        return scale * dim**-0.5 * jnp.minimum(1 / jnp.sqrt(s), s * warmup**-1.5)

    return schedule


def by_epoch(schedule: Schedule, steps_per_epoch: int) -> Schedule:
    """A schedule that counts epochs in the place of steps: schedule(floor(t / steps_per_epoch)).

    Example:
        >>> by_epoch(inverse_time(1.0, decay=1.0), steps_per_epoch=3)(jnp.arange(7)).round(4).tolist()
        [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.3333]
    """
    _check_schedule("by_epoch", schedule)
    check_count("by_epoch", "steps_per_epoch", steps_per_epoch)
    return lambda step: schedule(jnp.asarray(step) // steps_per_epoch)


def _float(step: Any) -> jax.Array:
    return jnp.asarray(step, jnp.result_type(float))


def _cosine(start: float, end: float, share: Any) -> jax.Array:
    return end + (start - end) * (1 + jnp.cos(math.pi * jnp.clip(share, 0, 1))) / 2


def _check_schedule(who: str, schedule: Any) -> None:
    if not callable(schedule):
        raise InputError(f"{who} expects a schedule, a function of the step, got {schedule!r}")
