"""Is the loss of an untrained network what it has to be?

A network that has learnt nothing should say nothing. What saying nothing costs, the loss itself can tell: outputs of
zero are no opinion in all usual losses, and give

    softmax cross-entropy    log C        hinge    (C - 1) margin
    sigmoid cross-entropy    log 2        squared error    the mean of t^2

A random network says a little more than nothing, and pays for it: up to the loss of random outputs with standard
deviation 4, its start is sound. What is far above starts with opinions that have to be unlearnt first; what is below
knows something about the labels that it should not know.

A penalty on the size of the weights is added to that, so it has to be positive, and larger for larger weights.

Source: the sanity checks of Stanford's course CS231n, "Neural networks part 3".
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from fdl.layer import Layer
from fdl.train.diagnosis.finding import Finding, verdict_of
from fdl.train.objective import PerExample, inputs_of

SPREAD = 4.0  # of outputs, as a standard deviation: twice to three times that of He's initial weights


@dataclasses.dataclass(frozen=True)
class InitialLoss(Finding):
    """What `initial_loss` found.

    Attributes:
        loss: the mean loss of the batch, without the penalty.
        expected: what it is for a network that says nothing; NaN when that could not be told.
        highest: the most that it may be; NaN when that could not be told.
        penalty: what is added to it.
        penalty_of_larger: the same when all parameters are larger by a tenth.
    """

    title: ClassVar[str] = "initial loss"
    loss: float
    expected: float
    highest: float
    penalty: float
    penalty_of_larger: float

    @property
    def measured(self) -> str:
        """The loss, what was expected, and the penalty."""
        expected = f"expected {self.expected:.3g} to {self.highest:.3g}"
        if math.isnan(self.expected):
            expected = "nothing to compare it with: give expected="
        if not self.penalty:
            return f"{self.loss:.3g}, {expected}"
        grown = f"{self.penalty_of_larger:.3g} with weights larger by a tenth"
        return f"{self.loss:.3g}, {expected}; the penalty adds {self.penalty:.3g}, {grown}"


def initial_loss(
    net: Layer,
    loss: PerExample,
    params: Any,
    state: Any,
    batch: Any,
    key: Any,
    *,
    expected: float | None = None,
    penalty: Callable[[Any], jax.Array] | None = None,
) -> InitialLoss:
    """Compares the loss at the start with that of a network that says nothing, and looks at what a penalty adds.

    Args:
        net, loss, penalty: as for `supervised`.
        params, state: as ``net.init`` made them.
        batch: a pair (inputs, targets), the larger the better.
        key: for what is drawn at random.
        expected: what the loss of a network that knows nothing is; that of outputs of zero by default.

    Raises:
        InputError: what the network and the loss find wrong with the batch.

    Example:
        >>> from fdl.layers import Affine
        >>> from fdl.losses import softmax_cross_entropy
        >>> net, x = Affine(10), 0.1 * jax.random.normal(jax.random.key(0), (100, 64))
        >>> params, state = net.init(jax.random.key(1), x)
        >>> batch = x, jnp.arange(100) % 10
        >>> start = initial_loss(net, softmax_cross_entropy, params, state, batch, jax.random.key(2))
        >>> start.verdict, round(start.expected, 4)  # log 10
        ('ok', 2.3026)
    """

    @jax.jit
    def measure(params: Any, state: Any, batch: Any, key: Any) -> Any:
        def mean_loss(outputs: Any) -> jax.Array:
            return jnp.mean(loss(outputs, batch[1]))

        outputs, _ = net.apply(params, state, *inputs_of(batch[0]), key=key, train=True)
        leaves, tree = jax.tree.flatten(outputs)
        keys = jax.tree.unflatten(tree, list(jax.random.split(key, len(leaves))))
        nothing = jax.tree.map(lambda y: jnp.zeros(y.shape, y.dtype), outputs)
        noise = jax.tree.map(lambda y, key: (SPREAD * jax.random.normal(key, y.shape)).astype(y.dtype), outputs, keys)
        of_penalty = penalty or (lambda params: jnp.zeros(()))
        penalties = of_penalty(params), of_penalty(jax.tree.map(lambda w: w + w / 10, params))
        value, moved = mean_loss(outputs), mean_loss(jax.tree.map(lambda y: y + 1, outputs))
        is_squashed = _are_distributions(outputs) & jnp.isclose(moved, value, rtol=1e-3)
        return value, mean_loss(nothing), mean_loss(noise), *penalties, is_squashed

    value, of_nothing, of_noise, added, added_to_larger, is_squashed = map(float, measure(params, state, batch, key))
    middle = of_nothing if expected is None else float(expected)
    room = of_noise - of_nothing
    if not (math.isfinite(room) and room > 0):
        room = abs(middle) / 2
    if not math.isfinite(middle):
        middle = room = math.nan
    problems = [*_about_loss(value, middle, room), *([] if penalty is None else _about_penalty(added, added_to_larger))]
    if is_squashed:
        problems.append(
            "the outputs are probabilities, and the loss takes scores, as it does not change when all of them grow by "
            "one: leave the softmax of the network out"
        )
    return InitialLoss(verdict_of(problems), value, middle, middle + room, added, added_to_larger)


def _are_distributions(outputs: Any) -> jax.Array:
    """Whether there is one array of outputs, and its rows are positive and add up to one, for several classes."""
    y, *others = jax.tree.leaves(outputs)
    if others or y.ndim < 2 or y.shape[-1] < 2:
        return jnp.array(False)
    return jnp.all(y >= 0) & jnp.all(jnp.abs(y.sum(-1) - 1) < 1e-3)


def _about_loss(value: float, expected: float, room: float) -> list[str]:
    if not math.isfinite(value):
        return [f"the loss is {value} before the first step: look for NaN in the data and for a log or a root of zero"]
    if value > expected + room:
        return [
            "the untrained network is sure of what it cannot know: start with smaller weights, in the last layer "
            "first, and look at the scale of inputs and targets"
        ]
    if value < expected - room / 2:
        return [
            "the untrained network is better than one that knows nothing: do the inputs hold the labels, is the loss "
            "of the right sign, and is it a mean over the right axis?"
        ]
    return []


def _about_penalty(added: float, added_to_larger: float) -> list[str]:
    if not (added > 0 and math.isfinite(added)):
        return [f"the penalty adds {added:.3g}, where it should add a positive number: which arrays does it see?"]
    if not added_to_larger > added:
        return ["the penalty does not grow with the weights, so it will not keep them small: look for its sign"]
    return []
