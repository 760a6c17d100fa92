"""Can the network learn a few examples by heart? What cannot do that has a fault, and needs no more data to show it.

Nothing regularises here: there is no penalty, and dropout drops the same units in every step. The least that the loss
can be is not zero for smoothed labels, so it is looked for first, with outputs that are free of any network, and with
larger steps where small ones do not come near it, as for targets in the thousands.

Source: the sanity checks of Stanford's course CS231n, "Neural networks part 3".
"""

import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from fdl.errors import InputError
from fdl.layer import Layer
from fdl.optim import Optimizer, adam, cosine
from fdl.train.diagnosis.finding import OK, Finding
from fdl.train.diagnosis.short_run import short_run
from fdl.train.objective import PerExample, inputs_of, supervised

_ADAM = adam(3e-3)
_FREE_STEPS = 300
_FREE = [adam(cosine(rate, steps=_FREE_STEPS)) for rate in (0.3, 10.0, 3e2, 1e4, 3e5)]
_NEAR = 1e-3  # of the loss of outputs of zero: what is no larger needs no larger steps


@dataclasses.dataclass(frozen=True)
class Overfit(Finding):
    """What `overfit_one_batch` found.

    Attributes:
        losses: of each step that was taken.
        target: what the loss had to reach.
    """

    title: ClassVar[str] = "overfit one batch"
    losses: tuple[float, ...]
    target: float

    @property
    def measured(self) -> str:
        """From where to where the loss came, in how many steps."""
        return (
            f"loss from {self.losses[0]:.3g} to {min(self.losses):.3g} in {len(self.losses)} steps "
            f"(to reach: {self.target:.3g})"
        )


def overfit_one_batch(
    net: Layer,
    loss: PerExample,
    params: Any,
    state: Any,
    batch: Any,
    key: Any,
    *,
    optimizer: Optimizer = _ADAM,
    steps: int = 500,
    part: float = 0.05,
) -> Overfit:
    """Trains on one batch until its loss is nearly the least that it can be, or says why it is not.

    Args:
        net, loss: as for `supervised`.
        params, state: where to start; they are not changed.
        batch: a pair (inputs, targets) of a few examples.
        key: for what is drawn at random, the same in each step.
        optimizer: for this check; Adam with a learning rate of 0.003 by default.
        steps: how many to take at most.
        part: of the way from the loss of a network that says nothing to the least, how much may be left.

    Raises:
        InputError: for a part that is not between 0 and 1; what the network and the loss find wrong with the batch.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Affine
        >>> from fdl.losses import softmax_cross_entropy
        >>> net, batch = Affine(3), (jnp.eye(4), jnp.array([0, 1, 2, 0]))
        >>> params, state = net.init(jax.random.key(0), batch[0])
        >>> key = jax.random.key(1)
        >>> overfit_one_batch(net, softmax_cross_entropy, params, state, batch, key, optimizer=adam(0.1)).verdict
        'ok'
    """
    if not 0 < part < 1:
        raise InputError(f"overfit_one_batch needs part between 0 and 1, got {part}")
    nothing, least = _range_of(
        loss, jax.eval_shape(lambda: net.apply(params, state, *inputs_of(batch[0]), key=key, train=True)[0]), batch[1]
    )
    target = least + part * (nothing - least)
    objective = supervised(net, loss)
    run = short_run(objective, optimizer, params, state, [batch], key, steps=steps, until=target, same_key=True)
    losses = tuple(map(float, run.losses))
    return Overfit(_verdict(losses, target), losses, target)


def _range_of(loss: PerExample, outputs: Any, targets: Any) -> tuple[float, float]:
    """The loss of outputs of zero, and the least of outputs that are chosen freely."""

    def objective(params: Any, state: Any, batch: Any, key: Any, train: bool = True) -> Any:
        return jnp.mean(loss(params, batch)), (state, {})

    zeros = jax.tree.map(lambda y: jnp.zeros(y.shape, y.dtype), outputs)
    nothing = least = math.inf
    for optimizer in _FREE:
        losses = short_run(objective, optimizer, zeros, {}, [targets], None, steps=_FREE_STEPS).losses
        nothing, before, least = float(losses[0]), least, min(least, float(np.nanmin(losses)))
        if not (least > _NEAR * nothing and before - least > _NEAR * nothing):
            break
    return nothing, least


def _verdict(losses: tuple[float, ...], target: float) -> str:
    if not math.isfinite(losses[-1]):
        return f"the loss is not finite after {len(losses)} steps: try a smaller learning rate, and look for bad data"
    if losses[-1] <= target:
        return OK
    way = max(losses[0] - target, 0.0)
    recently = losses[-1 - len(losses) // 5] - losses[-1]
    if min(losses) > losses[0] - 0.05 * way:
        return (
            "the loss does not fall at all: look for weights that no gradient reaches, for a wrong gradient, and at "
            "how the loss gets the targets"
        )
    if 5 * recently > 0.1 * (losses[-1] - target):  # so much of what is left, in as many steps again
        return "the loss is still falling: give it more steps, a larger learning rate, or smaller targets"
    return (
        "the loss stays where it is: look for examples that are alike with different targets, for parts that do not "
        "learn, for too few units, and for a learning rate that is too large"
    )
