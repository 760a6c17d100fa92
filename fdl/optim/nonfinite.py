"""Gradients that are not finite: never applied silently, and where they are expected (float16), the way to avoid them.

In float16 a gradient below 6e-8 is zero, and one above 65504 infinite. Loss scaling moves gradients to where there
is room: the loss is multiplied by a scale before it is differentiated, and the gradients are divided by it in
float32. The scale doubles after a while without overflow, and is halved, the step being left out, when there is one.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.optim.accumulate import AccumulateState
from fdl.optim.hyperparameters import POSITIVE, check_number, recorded
from fdl.optim.optimizer import Optimizer, check_optimizer, update_with
from fdl.optim.trees import all_finite, check_gradients, either, zeros_of
from fdl.rule import wide


class SkipState(NamedTuple):
    """``skipped`` gradients in all, ``in_a_row`` of them just now; ``inner`` is the optimizer's state."""

    skipped: jax.Array
    in_a_row: jax.Array
    inner: Any


class LossScaleState(NamedTuple):
    """``hyperparameters`` has the scale; ``good`` steps were finite since it changed, ``skipped`` in all were not.

    ``in_a_row`` of these came just now; ``inner`` is the optimizer's state.
    """

    hyperparameters: dict[str, jax.Array]
    good: jax.Array
    skipped: jax.Array
    in_a_row: jax.Array
    inner: Any


def skip_nonfinite(optimizer: Optimizer) -> Optimizer:
    """Leaves steps out in which any component of the gradient is infinite or NaN, and counts them.

    In such a step the update is zero and the optimizer's state stays as it is. ``opt_state.skipped`` and
    ``opt_state.in_a_row`` say how often that has happened: a run that skips many in a row is broken, and
    `fdl.train.fit` stops it.

    Args:
        optimizer: what sees the other gradients.

    Raises:
        InputError: for what is no optimizer.

    Example:
        >>> from fdl.optim import sgd
        >>> opt, w = skip_nonfinite(sgd(1.0)), jnp.array([1.0, 2.0])
        >>> updates, opt_state = opt.update(jnp.array([1.0, jnp.nan]), opt.init(w), w)
        >>> updates.tolist(), int(opt_state.skipped)
        ([0.0, 0.0], 1)
    """
    check_optimizer("skip_nonfinite", optimizer)

    def init(params: Any) -> SkipState:
        return SkipState(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32), optimizer.init(params))

    def update(grads: Any, opt_state: SkipState, params: Any = None, **extra: Any) -> tuple[Any, SkipState]:
        check_gradients("skip_nonfinite", grads, params)
        finite = all_finite(grads)
        updates, inner = _unless(finite, optimizer, grads, opt_state.inner, params, extra)
        skipped = opt_state.skipped + jnp.where(finite, 0, 1)
        return updates, SkipState(skipped, jnp.where(finite, 0, opt_state.in_a_row + 1), inner)

    return Optimizer(init, update)


def scale_loss(
    optimizer: Optimizer, initial: float = 2.0**15, *, interval: int = 2000, factor: float = 2.0
) -> Optimizer:
    """Dynamic loss scaling, for networks whose gradients are computed in float16.

    The loss is multiplied by `loss_scale` where it is differentiated; update takes the scaled gradients as they come:

        value, grads = jax.value_and_grad(lambda params: loss(params) * loss_scale(opt_state))(params)
        updates, opt_state = opt.update(grads, opt_state, params)

    Steps with an infinite or NaN gradient are left out: the update is zero, the optimizer's state stays as it is,
    and the scale is divided by ``factor``, to no less than 1. After ``interval`` steps without one it is multiplied.

    All that looks at gradients belongs inside, clipping and decay as well: in front of it they would see gradients of
    the scaled loss.

        scale_loss(chain(clip_by_global_norm(1.0), adam(1e-3)))

    Args:
        optimizer: sees gradients in float32, of the loss as it is.
        initial: the first scale; at least 1. Powers of two change no digit.
        interval: how many finite steps in a row let the scale grow.
        factor: above 1.

    Raises:
        InputError: for what is no optimizer, and for an argument outside its range.

    Source:
        Micikevicius et al., "Mixed precision training" (2018), section 3.2.

    Example:
        >>> from fdl.optim import sgd
        >>> opt, w = scale_loss(sgd(1.0), initial=1024.0), jnp.array(1.0, jnp.float16)
        >>> updates, opt_state = opt.update(jnp.array(2.0, jnp.float16), opt.init(w), w)
        >>> float(updates), float(loss_scale(opt_state))
        (-0.001953125, 1024.0)
        >>> updates, opt_state = opt.update(jnp.array(jnp.inf, jnp.float16), opt_state, w)
        >>> float(updates), float(loss_scale(opt_state))
        (0.0, 512.0)
    """
    check_optimizer("scale_loss", optimizer)
    check_number("scale_loss", "initial", initial, POSITIVE)
    check_number("scale_loss", "factor", factor, POSITIVE)
    check_count("scale_loss", "interval", interval)
    if initial < 1 or factor <= 1:
        raise InputError(f"scale_loss needs initial of at least 1 and factor above 1, got {initial} and {factor}")

    def init(params: Any) -> LossScaleState:
        counts = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)
        return LossScaleState(recorded({"loss_scale": initial}), *counts, optimizer.init(params))

    def update(grads: Any, opt_state: LossScaleState, params: Any = None, **extra: Any) -> tuple[Any, LossScaleState]:
        check_gradients("scale_loss", grads, params)
        scale = opt_state.hyperparameters["loss_scale"]
        unscaled = jax.tree.map(lambda g: jnp.asarray(g, wide(g)) / scale.astype(wide(g)), grads)
        finite = all_finite(unscaled)
        updates, inner = _unless(finite, optimizer, unscaled, opt_state.inner, params, extra)
        good = jnp.where(finite, opt_state.good + 1, 0)
        grown = jnp.where(good == interval, scale * factor, scale)
        scale = jnp.where(finite, jnp.where(jnp.isfinite(grown), grown, scale), jnp.maximum(scale / factor, 1))
        skipped = opt_state.skipped + jnp.where(finite, 0, 1)
        in_a_row = jnp.where(finite, 0, opt_state.in_a_row + 1)
        return updates, LossScaleState(recorded({"loss_scale": scale}), good % interval, skipped, in_a_row, inner)

    return Optimizer(init, update)


def loss_scale(opt_state: Any) -> jax.Array:
    """Reads from the state what the next loss is to be multiplied by; 1 where no loss is scaled.

    Raises:
        InputError: for a `scale_loss` behind other parts of a chain, for some of several groups of parameters, or
            inside `skip_nonfinite`, which would keep it from becoming smaller.

    Example:
        >>> from fdl.optim import sgd
        >>> float(loss_scale(scale_loss(sgd(1.0)).init(jnp.array(1.0))))
        32768.0
    """
    found = _scale_of(opt_state)
    return jnp.ones((), jnp.result_type(float)) if found is None else found.hyperparameters["loss_scale"]


def skipped_in_a_row(opt_state: Any) -> jax.Array | None:
    """Reads from the state how many updates were left out just now, one after another: 0 if the last one was not.

    Where `accumulate` stands around what leaves updates out, a part of a batch counts as left out as soon as the update
    that it is for is bound to be: the sum of the gradients is not finite any more.

    Args:
        opt_state: the state of any optimizer, alone or inside of others.

    Returns:
        An integer, the largest where there are several; None if the optimizer never leaves an update out.

    Example:
        >>> from fdl.optim import sgd
        >>> opt, w = skip_nonfinite(sgd(1.0)), jnp.array(1.0)
        >>> _, opt_state = opt.update(jnp.array(jnp.nan), opt.init(w), w)
        >>> int(skipped_in_a_row(opt_state)), skipped_in_a_row(sgd(1.0).init(w))
        (1, None)
    """
    who = (SkipState, LossScaleState, AccumulateState)
    parts = jax.tree.leaves(opt_state, is_leaf=lambda part: isinstance(part, who))
    counts = [_in_a_row(part) for part in parts if isinstance(part, who)]
    return functools.reduce(_larger, counts, None)


def _in_a_row(state: SkipState | LossScaleState | AccumulateState) -> jax.Array | None:
    if not isinstance(state, AccumulateState):
        return state.in_a_row
    inner = skipped_in_a_row(state.inner)
    if inner is None:
        return None
    return jnp.where(state.parts == 0, inner, jnp.where(all_finite(state.total), 0, inner + 1))


def _larger(one: jax.Array | None, other: jax.Array | None) -> jax.Array | None:
    return other if one is None else one if other is None else jnp.maximum(one, other)


def _scale_of(state: Any) -> LossScaleState | None:
    """The state of `scale_loss` in that of an optimizer, if it is where all gradients come first."""
    if not isinstance(state, tuple | dict):
        return None
    parts = list(state.values() if isinstance(state, dict) else state)
    scales = [_scale_of(part) for part in parts]
    found = [scale for scale in scales if scale is not None]
    is_behind = type(state) is tuple and scales[:1] == [None]
    is_for_some = isinstance(state, dict) and sum(bool(jax.tree.leaves(part)) for part in parts) > 1
    if found and (len(found) > 1 or is_behind or is_for_some or isinstance(state, SkipState | LossScaleState)):
        raise InputError(
            "scale_loss belongs around all that looks at gradients, scale_loss(chain(...)): elsewhere the rest would "
            "see gradients of the scaled loss"
        )
    return state if isinstance(state, LossScaleState) else next(iter(found), None)


def _unless(finite: Any, optimizer: Optimizer, grads: Any, inner: Any, params: Any, extra: Any) -> tuple[Any, Any]:
    def step(grads: Any, inner: Any) -> tuple[Any, Any]:
        return update_with(optimizer, grads, inner, params, **extra)

    def skip(grads: Any, inner: Any) -> tuple[Any, Any]:
        return zeros_of(jax.eval_shape(step, grads, inner)[0]), inner

    return either(finite, step, skip, grads, inner)
