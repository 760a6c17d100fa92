"""Averages of the weights along the way: often better than the last ones, which are where noise has left them.

Both stand last in a `chain` (or around all of it), where the update is the one that will be applied. They pass it on
as it is, and keep the average of the parameters that it leads to, in float32 or wider. `averaged` reads it:

    opt = chain(adam(1e-3), ema(0.999))
    ...
    net.apply(averaged(opt_state), state, x)
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.optim.hyperparameters import DECAY, Hyperparameter, Hyperparameters, recorded
from fdl.optim.optimizer import Optimizer
from fdl.optim.trees import check_floats, check_params
from fdl.rule import wide


class AverageState(NamedTuple):
    """``step`` counts updates, ``average`` is a tree like the parameters."""

    step: jax.Array
    hyperparameters: dict[str, jax.Array]
    average: Any


def ema(decay: Hyperparameter = 0.999) -> Optimizer:
    """The exponential average of the weights: a = decay a + (1 - decay) w', from a = w at the start.

    Args:
        decay: in [0, 1). About the last 1 / (1 - decay) steps count.

    Raises:
        InputError: for a decay outside its range, and for an update without parameters.

    Source:
        Polyak and Juditsky, "Acceleration of stochastic approximation by averaging" (1992); exponential, as in
        Tarvainen and Valpola, "Mean teachers are better role models" (2017).

    Example:
        >>> from fdl.optim import chain, sgd
        >>> opt, w = chain(sgd(1.0), ema(0.75)), jnp.array(0.0)
        >>> _, opt_state = opt.update(jnp.array(-4.0), opt.init(w), w)  # w becomes 4
        >>> float(averaged(opt_state))
        1.0
    """
    values = Hyperparameters("ema", decay=(decay, DECAY))

    def init(params: Any) -> AverageState:
        return AverageState(jnp.zeros((), jnp.int32), values.at_start(), _copied("ema", params))

    def update(grads: Any, opt_state: AverageState, params: Any = None, **_: Any) -> tuple[Any, AverageState]:
        moved = _moved("ema", grads, params)
        h = values.at(opt_state.step)

        def mix(a: jax.Array, w: jax.Array) -> jax.Array:
            share = h["decay"] if isinstance(h["decay"], float) else h["decay"].astype(a.dtype)
            return share * a + (1 - share) * w

        average = jax.tree.map(mix, opt_state.average, moved)
        return grads, AverageState(opt_state.step + 1, recorded(h, opt_state.hyperparameters), average)

    return Optimizer(init, update)


def average(start: int = 0, every: int = 1) -> Optimizer:
    """Stochastic weight averaging: the plain mean of the weights after updates start, start + every, ...

    Until there is one, it is the weights themselves. The statistics of batch norm are not those of the mean: run the
    network on some batches with ``train=True`` before it is used.

    Args:
        start: the first update that counts; updates are counted from 0.
        every: how far apart those that count are: an epoch, or a cycle of the learning rate.

    Raises:
        InputError: for a start below 0 or an ``every`` below 1, and for an update without parameters.

    Source:
        Izmailov et al., "Averaging weights leads to wider optima and better generalization" (2018), algorithm 1.

    Example:
        >>> from fdl.optim import apply_updates, chain, sgd
        >>> opt, w = chain(sgd(1.0), average(start=1)), jnp.array(0.0)
        >>> opt_state = opt.init(w)
        >>> for _ in range(3):  # w becomes 1, 2, 3
        ...     updates, opt_state = opt.update(jnp.array(-1.0), opt_state, w)
        ...     w = apply_updates(w, updates)
        >>> float(averaged(opt_state))
        2.5
    """
    check_count("average", "start", start, least=0)
    check_count("average", "every", every)

    def init(params: Any) -> AverageState:
        return AverageState(jnp.zeros((), jnp.int32), {}, _copied("average", params))

    def update(grads: Any, opt_state: AverageState, params: Any = None, **_: Any) -> tuple[Any, AverageState]:
        moved = _moved("average", grads, params)
        since = opt_state.step - start
        counts = (since < 0) | (since % every == 0)
        among = jnp.maximum(since // every + 1, 1)  # how many count, the one of this step included

        def mix(a: jax.Array, w: jax.Array) -> jax.Array:
            return jnp.where(counts, a + (w - a) / among.astype(a.dtype), a)

        mean = jax.tree.map(mix, opt_state.average, moved)
        return grads, AverageState(opt_state.step + 1, {}, mean)

    return Optimizer(init, update)


def averaged(opt_state: Any) -> Any:
    """Reads the average weights from the state of `ema` or `average`, or of optimizers that have one inside.

    Returns:
        A tree like the parameters, in float32 or wider. For an average inside `freeze` or `partition`, which is of some
        of the parameters, the others are None: ``chain(freeze(...), ema())`` averages all.

    Raises:
        InputError: when there is no average in the state, or more than one.

    Example:
        >>> averaged(ema().init({"w": jnp.ones(2)}))["w"].tolist()
        [1.0, 1.0]
    """
    leaves = jax.tree.leaves(opt_state, is_leaf=lambda part: isinstance(part, AverageState))
    found = [part.average for part in leaves if isinstance(part, AverageState)]
    if len(found) != 1:
        raise InputError(f"expected an optimizer's state with one average in it (ema or average), found {len(found)}")
    return found[0]


def _copied(who: str, params: Any) -> Any:
    check_floats(who, params)
    return jax.tree.map(lambda w: jnp.array(w, wide(w), copy=True), params)


def _moved(who: str, updates: Any, params: Any) -> Any:
    check_params(who, updates, params)
    return jax.tree.map(lambda w, u: jnp.asarray(jnp.asarray(w + u, jnp.result_type(w)), wide(w)), params, updates)
