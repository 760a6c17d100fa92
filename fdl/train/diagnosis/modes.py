"""Does the network compute in evaluation what it learnt in training? The same batch in both modes.

Dropout makes training a noisy version of evaluation, and batch norm a version with other statistics. Where evaluation
is much worse on the very same examples, the two have come apart: running statistics that have not caught up, dropout
that is not scaled, a layer that does something else.
"""

import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from fdl.layer import Layer
from fdl.optim import global_norm
from fdl.train.diagnosis.finding import OK, Finding
from fdl.train.objective import PerExample, inputs_of

WORSE = 1.0  # times the size of the loss of training, by so much: twice a loss below zero would be a better one
APART = 0.1  # of the size of the outputs


@dataclasses.dataclass(frozen=True)
class ModeGap(Finding):
    """What `mode_gap` found.

    Attributes:
        training_loss: with ``train=True``, averaged over some draws.
        evaluation_loss: with ``train=False``.
        apart: the distance between the outputs of both modes, as a part of their size.
    """

    title: ClassVar[str] = "training and evaluation mode"
    training_loss: float
    evaluation_loss: float
    apart: float

    @property
    def measured(self) -> str:
        """Both losses, and how far the outputs are apart."""
        return (
            f"loss {self.training_loss:.3g} in training and {self.evaluation_loss:.3g} in evaluation on one batch, "
            f"outputs apart by {self.apart:.0%} of their size"
        )


def mode_gap(
    net: Layer, loss: PerExample, params: Any, state: Any, batch: Any, key: Any, *, samples: int = 8
) -> ModeGap:
    """Compares the outputs and the loss of a batch with ``train=True`` and ``train=False``.

    Args:
        net, loss: as for `supervised`.
        params, state: after some steps of training: before, running statistics know nothing of the data.
        batch: a pair (inputs, targets) that was trained on.
        key: for what is drawn at random in training.
        samples: how many draws to average over.

    Raises:
        InputError: what the network and the loss find wrong with the batch.

    Example:
        >>> from fdl.layers import Affine, BatchNorm, Serial
        >>> from fdl.losses import softmax_cross_entropy
        >>> net, x = Serial(BatchNorm(), Affine(3)), 100 + jax.random.normal(jax.random.key(0), (64, 5))
        >>> params, state = net.init(jax.random.key(1), x)
        >>> batch = x, jnp.arange(64) % 3
        >>> gap = mode_gap(net, softmax_cross_entropy, params, state, batch, jax.random.key(2))
        >>> gap.ok, gap.evaluation_loss > 10 * gap.training_loss  # not one step was taken
        (False, True)
    """

    @jax.jit
    def measure(params: Any, state: Any, batch: Any, key: Any) -> Any:
        def training(key: Any) -> Any:
            return net.apply(params, state, *inputs_of(batch[0]), key=key, train=True)[0]

        def mean_loss(outputs: Any) -> Any:
            return jnp.mean(loss(outputs, batch[1]))

        in_training = jax.lax.map(training, jax.random.split(key, samples))
        in_evaluation, _ = net.apply(params, state, *inputs_of(batch[0]), key=None, train=False)
        losses = jnp.mean(jax.lax.map(mean_loss, in_training)), mean_loss(in_evaluation)
        return *losses, _apart(jax.tree.map(lambda y: jnp.mean(y, axis=0), in_training), in_evaluation)

    training_loss, evaluation_loss, apart = map(float, measure(params, state, batch, key))
    return ModeGap(_verdict(training_loss, evaluation_loss, apart), training_loss, evaluation_loss, apart)


def _apart(a: Any, b: Any) -> jax.Array:
    """The length of the difference over the length of b."""
    return jnp.nan_to_num(global_norm(jax.tree.map(jnp.subtract, a, b)) / global_norm(b), nan=0.0)


def _verdict(training_loss: float, evaluation_loss: float, apart: float) -> str:
    if not math.isfinite(evaluation_loss):
        return f"the loss is {evaluation_loss} in evaluation: look at running statistics and at log or root of zero"
    if evaluation_loss - training_loss > WORSE * abs(training_loss) and apart > APART:
        return (
            "evaluation is much worse than training on the very same examples: look for running statistics that have "
            "not caught up (a momentum too near to one, too few steps), for dropout of too much, and for a layer that "
            "treats train=True and train=False differently"
        )
    return OK
