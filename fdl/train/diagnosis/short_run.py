"""A short run in one compiled loop, for checks that have to see a network learn."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.optim import Optimizer, apply_updates, update_with
from fdl.train.objective import Objective


class Run(NamedTuple):
    """What a short run gives: the network at its end, and losses and what was watched in each step."""

    params: Any
    state: Any
    losses: np.ndarray
    watched: dict[str, np.ndarray]


def short_run(
    objective: Objective,
    optimizer: Optimizer,
    params: Any,
    state: Any,
    batches: Sequence[Any],
    key: Any,
    *,
    steps: int,
    until: float = -math.inf,
    same_key: bool = False,
    watch: Callable[[Any, Any], dict[str, jax.Array]] = lambda updates, params: {},
) -> Run:
    """Takes training steps on a few batches over and over.

    Args:
        objective, optimizer: as for `make_train_step`.
        params, state: where to start; they are not changed.
        batches: of one form and size, gone through in turn.
        key: for what is drawn at random; None if nothing is.
        steps: how many to take at most.
        until: stops at a loss that is not above this; it stops too at one that is not finite.
        same_key: draws the same numbers in each step.
        watch: from updates and parameters to numbers to be told, such as `fdl.optim.update_ratio`.

    Raises:
        InputError: for batches of several forms, and for no steps.
    """
    check_count("a run", "steps", steps)
    forms = {str(jax.tree.map(jnp.shape, batch)) for batch in batches}
    if len(forms) != 1:
        raise InputError(f"the batches of a short run need to be of one form, and at least one; got {sorted(forms)}")
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *batches)

    def step(now: Any, stacked: Any, i: Any) -> Any:
        params, state, opt_state = now
        batch = jax.tree.map(lambda leaf: leaf[i % len(batches)], stacked)
        here = key if same_key or key is None else jax.random.fold_in(key, i)
        (value, (state, _)), grads = jax.value_and_grad(objective, has_aux=True)(params, state, batch, here)
        updates, opt_state = update_with(optimizer, grads, opt_state, params, value=value)
        return (apply_updates(params, updates), state, opt_state), (value, watch(updates, params))

    @jax.jit
    def run(start: Any, stacked: Any) -> Any:
        def goes_on(now: Any) -> Any:
            i, _, (losses, _) = now
            last = losses[i - 1]
            return (i == 0) | ((i < steps) & jnp.isfinite(last) & (last > until))

        def one_more(now: Any) -> Any:
            i, carry, told = now
            carry, one = step(carry, stacked, i)
            return i + 1, carry, jax.tree.map(lambda all_of_it, value: all_of_it.at[i].set(value), told, one)

        _, told = jax.eval_shape(step, start, stacked, 0)
        empty = jax.tree.map(lambda one: jnp.zeros((steps, *one.shape), one.dtype), told)
        return jax.lax.while_loop(goes_on, one_more, (0, start, empty))

    taken, (params, state, _), told = run((params, state, optimizer.init(params)), stacked)
    losses, watched = jax.tree.map(lambda values: np.asarray(values[: int(taken)], np.float64), told)
    return Run(params, state, losses, watched)
