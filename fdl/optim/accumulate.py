"""Gradient accumulation: the update of a large batch from gradients of its parts."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.optim.optimizer import Optimizer, check_optimizer, update_with
from fdl.optim.trees import check_floats, check_gradients, either, wide_zeros, zeros_of


class AccumulateState(NamedTuple):
    """``parts`` of the batch are in ``total``, their sum; ``inner`` is the optimizer's state."""

    parts: jax.Array
    total: Any
    inner: Any


def accumulate(optimizer: Optimizer, steps: int) -> Optimizer:
    """Updates once in ``steps`` calls, with the mean of the gradients of these; in between, updates are zero.

    For a loss that is a mean over examples and parts of equal size, this is exactly the update of the batch that
    the parts make together: the mean of the parts' gradients is its gradient. Gradients are summed in float32
    or wider, and divided at the end. Layers that look at the whole batch (batch norm) see its parts.

    Args:
        optimizer: what gets the mean; its schedules count its own updates. Extra arguments are those of the last part.
        steps: how many parts.

    Raises:
        InputError: for what is no optimizer, and for a number of parts that is not at least 1.

    Example:
        >>> from fdl.optim import sgd
        >>> opt, w = accumulate(sgd(1.0), steps=2), jnp.array(0.0)
        >>> first, opt_state = opt.update(jnp.array(1.0), opt.init(w), w)
        >>> second, opt_state = opt.update(jnp.array(5.0), opt_state, w)
        >>> float(first), float(second)
        (0.0, -3.0)
    """
    check_optimizer("accumulate", optimizer)
    check_count("accumulate", "steps", steps)

    def init(params: Any) -> AccumulateState:
        check_floats("accumulate", params)
        return AccumulateState(jnp.zeros((), jnp.int32), wide_zeros(params), optimizer.init(params))

    def update(grads: Any, opt_state: AccumulateState, params: Any = None, **extra: Any) -> tuple[Any, AccumulateState]:
        check_gradients("accumulate", grads, opt_state.total if params is None else params)
        parts = opt_state.parts + 1
        total = jax.tree.map(lambda a, g: a + jnp.asarray(g, a.dtype), opt_state.total, grads)

        def step(total: Any, inner: Any) -> tuple[Any, AccumulateState]:
            mean = jax.tree.map(lambda a: a / steps, total)
            updates, inner = update_with(optimizer, mean, inner, params, **extra)
            return updates, AccumulateState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, total), inner)

        def wait(total: Any, inner: Any) -> tuple[Any, AccumulateState]:
            return zeros_of(jax.eval_shape(step, total, inner)[0]), AccumulateState(parts, total, inner)

        return either(parts == steps, step, wait, total, opt_state.inner)

    return Optimizer(init, update)
