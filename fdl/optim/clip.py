"""Clipping: gradients that are too large are made smaller, so that one bad batch does not undo many steps."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.hyperparameters import POSITIVE, Hyperparameter, Hyperparameters, recorded
from fdl.optim.optimizer import Optimizer
from fdl.optim.recurrence import per_parameter
from fdl.optim.trees import check_gradients, length
from fdl.rule import wide


class ClipState(NamedTuple):
    """``step`` counts updates, ``hyperparameters`` has the limit of the last one."""

    step: jax.Array
    hyperparameters: dict[str, jax.Array]


def clip_by_value(limit: Hyperparameter) -> Optimizer:
    """Clips every component of the gradient to [-limit, limit]. NaN stays NaN.

    Stands in front of an optimizer in a `chain`.

    Args:
        limit: positive.

    Raises:
        InputError: for a limit that is not positive and finite.

    Example:
        >>> import jax.numpy as jnp
        >>> opt, g = clip_by_value(1.0), jnp.array([-3.0, 0.5])
        >>> opt.update(g, opt.init(g))[0].tolist()
        [-1.0, 0.5]
    """
    values = Hyperparameters("clip_by_value", limit=(limit, POSITIVE))

    def recurrence(h: Any, g: Any, w: Any) -> tuple[Any]:
        return (jnp.clip(g, -h.limit, h.limit),)

    return per_parameter(recurrence, values)


def clip_by_global_norm(limit: Hyperparameter) -> Optimizer:
    """Shortens the gradient of all parameters together to length ``limit``, if it is longer: g min(1, limit / |g|).

    Stands in front of an optimizer in a `chain`. It keeps the direction, which `clip_by_value` does not. A gradient
    with an infinite or NaN component becomes NaN as a whole: see `skip_nonfinite`.

    Args:
        limit: positive.

    Raises:
        InputError: for a limit that is not positive and finite.

    Source:
        Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks" (2013), algorithm 1.

    Example:
        >>> import jax.numpy as jnp
        >>> opt, g = clip_by_global_norm(1.0), {"w": jnp.array([3.0]), "b": jnp.array(4.0)}
        >>> updates, _ = opt.update(g, opt.init(g))
        >>> round(float(updates["w"][0]), 4), round(float(updates["b"]), 4)
        (0.6, 0.8)
    """
    values = Hyperparameters("clip_by_global_norm", limit=(limit, POSITIVE))

    def init(params: Any) -> ClipState:
        return ClipState(jnp.zeros((), jnp.int32), values.at_start())

    def update(grads: Any, opt_state: ClipState, params: Any = None, **_: Any) -> tuple[Any, ClipState]:
        check_gradients("clip_by_global_norm", grads, params)
        h = values.at(opt_state.step)
        norm = global_norm(grads)
        limit = jnp.asarray(h["limit"], norm.dtype)
        first = jnp.where(norm > 2.0**64, 2.0**-64, 1)  # limit / norm alone may be too small to be written
        share = jnp.where(jnp.isfinite(norm), limit / (jnp.maximum(norm, limit) * first), jnp.nan)
        clipped = jax.tree.map(lambda g: _times(g, first, share), grads)
        return clipped, ClipState(opt_state.step + 1, recorded(h, opt_state.hyperparameters))

    return Optimizer(init, update)


def _times(g: Any, *factors: jax.Array) -> jax.Array:
    """g times one factor after the other, in float32 or wider."""
    return math.prod((factor.astype(wide(g)) for factor in factors), start=jnp.asarray(g, wide(g)))


def global_norm(tree: Any) -> jax.Array:
    """The Euclidean length of all arrays of a tree together, in float32 or wider.

    It is infinite only if a component is, or if the length itself cannot be written.

    Example:
        >>> import jax.numpy as jnp
        >>> float(global_norm({"w": jnp.array([3.0]), "b": jnp.array(4.0)}))
        5.0
    """
    lengths = [length(jnp.asarray(leaf, wide(leaf))) for leaf in jax.tree.leaves(tree)]
    return length(jnp.stack(lengths)) if lengths else jnp.zeros((), jnp.result_type(float))
