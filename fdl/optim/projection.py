"""Projections: parameters that left the set they shall stay in are put back to its nearest point.

A step of projected gradient descent is a step, and then the projection. The constraint of max-norm
regularisation is a ball for each unit: the weights that come into it have length at most c,

    |w_j| = sqrt(sum_i w_ij^2) <= c             w_j <- w_j min(1, c / |w_j|)

whose nearest point to a w_j outside is on the same ray. So weights cannot grow, however large the learning
rate, and unlike weight decay the constraint leaves small ones alone.

Source: Srebro and Shraibman, "Rank, trace-norm and max-norm" (2005); with dropout: Srivastava, Hinton,
Krizhevsky, Sutskever and Salakhutdinov (2014), section 5.1.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.concrete import is_concrete
from fdl.errors import InputError
from fdl.lengths import unit_of
from fdl.optim.optimizer import Optimizer
from fdl.optim.trees import check_params
from fdl.paths import Keep, is_weight, matcher, path_of
from fdl.rule import wide


class MaxNormState(NamedTuple):
    """Nothing; by the type, a `chain` knows that it belongs behind a descent."""


def project_max_norm(params: Any, limit: float, keep: Keep = is_weight) -> Any:
    """Shortens the incoming weights of each unit to length ``limit`` where they are longer.

    Call it after `apply_updates`.

    Args:
        params: a pytree of arrays.
        limit: c > 0, in the units of the weights; 3 to 4 are usual with dropout.
        keep: which arrays it is for, as in `fdl.paths.select`: the weights, unless told otherwise. They
            are [*kernel, in, out], and a unit's incoming weights are all that share an index of the last axis. A stack
            of layers, as a `Repeat` has it, would be taken for a kernel: map this over its first axis by `jax.vmap`.

    Returns:
        The parameters, in their dtypes, all others as they were. NaN stays NaN, and infinity becomes NaN.

    Raises:
        InputError: for a limit that is not positive and finite, for a selected array with fewer than two axes,
            and for a pattern that fits no path.

    Source:
        Srivastava et al. (2014).

    Example:
        >>> import jax.numpy as jnp
        >>> params = {"w": jnp.array([[3.0, 0.3], [4.0, 0.4]]), "b": jnp.array([9.0, 9.0])}
        >>> project_max_norm(params, 1.0)["w"].round(4).tolist()
        [[0.6, 0.3], [0.8, 0.4]]
    """
    _check_limit("project_max_norm", limit)
    keeps = matcher(params, keep)

    def project(keys: Any, w: Any) -> Any:
        path = path_of(keys)
        if not keeps(path):
            return w
        if jnp.ndim(w) < 2:
            raise InputError(
                f"project_max_norm expects weights of shape [*kernel, in, out], got {list(jnp.shape(w))} at {path}"
            )
        incoming, w_wide = tuple(range(w.ndim - 1)), w.astype(wide(w))
        unit = unit_of(jnp.max(jnp.abs(w_wide), incoming, initial=0, keepdims=True))
        length = jnp.sqrt(jnp.sum(jnp.square(w_wide / unit), incoming, keepdims=True))  # in that unit
        return jnp.where(length * unit <= limit, w_wide, w_wide / unit * (limit / length)).astype(w.dtype)

    return jax.tree.map_with_path(project, params)


def max_norm(limit: float, keep: Keep = is_weight) -> Optimizer:
    """`project_max_norm` as the last part of a `chain`: updates end where the projection would put the parameters.

    The projected weights are reached by an update, so they are as exact as one rounding leaves them.

    Args:
        limit: c > 0.
        keep: which arrays it is for: the weights, unless told otherwise.

    Raises:
        InputError: for a limit that is not positive and finite; and from an update, for what `project_max_norm`
            refuses, and when it gets no parameters.

    Example:
        >>> import jax.numpy as jnp
        >>> from fdl.optim import apply_updates, chain, sgd
        >>> opt, params = chain(sgd(1.0), max_norm(1.0)), {"w": jnp.array([[3.0], [4.0]])}
        >>> updates, _ = opt.update({"w": jnp.zeros((2, 1))}, opt.init(params), params)
        >>> apply_updates(params, updates)["w"].round(4).tolist()
        [[0.6], [0.8]]
    """
    _check_limit("max_norm", limit)

    def init(params: Any) -> MaxNormState:
        return MaxNormState()

    def update(grads: Any, opt_state: Any, params: Any = None, **_: Any) -> tuple[Any, Any]:
        check_params("max_norm", grads, params)
        moved = jax.tree.map(lambda w, u: jnp.asarray(w + u, wide(w)), params, grads)
        projected = project_max_norm(moved, limit, keep)
        keeps = matcher(params, keep)

        def to_projected(keys: Any, u: Any, w: Any, p: Any) -> Any:
            return p - w if keeps(path_of(keys)) else u

        return jax.tree.map_with_path(to_projected, grads, params, projected), opt_state

    return Optimizer(init, update)


def _check_limit(who: str, limit: Any) -> None:
    if is_concrete(limit) and not 0 < limit < math.inf:
        raise InputError(f"{who} needs a positive, finite limit, got {limit}")
