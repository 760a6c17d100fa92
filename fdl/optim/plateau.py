"""Smaller steps where the loss stays on a plateau: a schedule that depends on what it has led to."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.optim.hyperparameters import NOT_NEGATIVE, SHARE, check_number, recorded
from fdl.optim.optimizer import Optimizer
from fdl.optim.trees import check_gradients, either


class PlateauState(NamedTuple):
    """``hyperparameters`` has the scale; the others are what it depends on.

    ``best`` is the smallest mean loss so far, ``waited`` for how many means it has not become smaller, ``resting`` for
    how many that is not counted yet, ``total`` and ``losses`` the sum and the number of losses since the last mean.
    """

    hyperparameters: dict[str, jax.Array]
    best: jax.Array
    waited: jax.Array
    resting: jax.Array
    total: jax.Array
    losses: jax.Array


def reduce_on_plateau(
    factor: float = 0.1,
    patience: int = 10,
    *,
    every: int = 1,
    tolerance: float = 1e-4,
    cooldown: int = 0,
    smallest: float = 0.0,
) -> Optimizer:
    """Multiplies updates by a scale, which is multiplied by ``factor`` when the loss has stopped falling.

    Stands after an optimizer in a `chain`, and is told the loss in every update:

        opt = chain(adam(1e-3), reduce_on_plateau(patience=5, every=390))
        updates, opt_state = opt.update(grads, opt_state, params, value=loss)

    Losses are averaged over ``every`` updates, an epoch for example. A mean that is not below
    (1 - tolerance) times the best one so far (for losses below zero, 1 + tolerance) counts as no better, and NaN does;
    after more than ``patience`` of these in a row the scale shrinks. `skip_nonfinite` and `scale_loss` therefore stand
    around the whole chain, which does not see the steps that they leave out: behind ``skip_nonfinite(adam(1e-3))``, one
    loss of NaN in each epoch would make every mean NaN, and the scale shrink for good. It starts from 1 and is found in
    `hyperparameters` as "scale". What is shrunk is the update, that is, the learning rate of an optimizer that
    stands in front; unlike a learning rate, it leaves that one's velocity as it was.

    Args:
        factor: between 0 and 1.
        patience: how many means may be no better before the scale shrinks.
        every: how many updates a mean is taken over.
        tolerance: not negative.
        cooldown: for how many means after a reduction nothing is counted.
        smallest: the scale does not go below.

    Raises:
        InputError: for an argument outside its range, and for an update without a value.

    Example:
        >>> from fdl.optim import chain, sgd
        >>> opt, g = chain(sgd(1.0), reduce_on_plateau(0.5, patience=1)), jnp.array(1.0)
        >>> opt_state = opt.init(g)
        >>> for loss in (3.0, 2.0, 2.0, 2.0, 2.0):
        ...     updates, opt_state = opt.update(g, opt_state, g, value=loss)
        ...     print(loss, float(updates))
        3.0 -1.0
        2.0 -1.0
        2.0 -1.0
        2.0 -0.5
        2.0 -0.5
    """
    check_number("reduce_on_plateau", "factor", factor, SHARE)
    check_number("reduce_on_plateau", "tolerance", tolerance, NOT_NEGATIVE)
    check_number("reduce_on_plateau", "smallest", smallest, NOT_NEGATIVE)
    check_count("reduce_on_plateau", "patience", patience, least=0)
    check_count("reduce_on_plateau", "every", every)
    check_count("reduce_on_plateau", "cooldown", cooldown, least=0)

    def init(params: Any) -> PlateauState:
        dtype = jnp.result_type(float)

        def zero() -> jax.Array:  # each one its own buffer, so that the state can be donated
            return jnp.zeros((), jnp.int32)

        best = jnp.full((), math.inf, dtype)
        return PlateauState(recorded({"scale": 1.0}), best, zero(), zero(), jnp.zeros((), dtype), zero())

    def update(grads: Any, opt_state: PlateauState, params: Any = None, **extra: Any) -> tuple[Any, PlateauState]:
        value = extra.get("value")
        if value is None or jnp.ndim(value) > 0:
            raise InputError(
                "reduce_on_plateau needs the loss, a scalar: update(grads, opt_state, params, value=loss), "
                f"got {'none' if value is None else f'shape {list(jnp.shape(value))}'}"
            )
        check_gradients("reduce_on_plateau", grads, params)
        gathered = opt_state._replace(
            total=opt_state.total + jnp.asarray(value, opt_state.total.dtype), losses=opt_state.losses + 1
        )
        opt_state = either(gathered.losses == every, judge, lambda state: state, gathered)
        scale = opt_state.hyperparameters["scale"]
        return jax.tree.map(lambda u: u * scale.astype(u.dtype), grads), opt_state

    def judge(state: PlateauState) -> PlateauState:
        mean = state.total / every
        margin = jnp.where(jnp.isfinite(state.best), tolerance * jnp.abs(state.best), 0)
        better = mean < state.best - margin
        resting = state.resting > 0
        waited = jnp.where(better | resting, 0, state.waited + 1)
        stuck = waited > patience
        scale = state.hyperparameters["scale"]
        return PlateauState(
            {"scale": jnp.where(stuck, jnp.maximum(scale * factor, min(smallest, 1.0)), scale)},
            jnp.where(better, mean, state.best),
            jnp.where(stuck, 0, waited).astype(jnp.int32),
            jnp.where(stuck, cooldown, jnp.maximum(state.resting - 1, 0)).astype(jnp.int32),
            jnp.zeros_like(state.total),
            jnp.zeros_like(state.losses),
        )

    return Optimizer(init, update)
