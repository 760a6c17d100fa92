"""How far does each layer move in a step? About a thousandth of its size: `fdl.optim.update_ratio`, judged.

A layer that starts at zero moves by all of its size at first, and is not judged for that.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from fdl.columns import aligned
from fdl.optim import Optimizer, update_ratio
from fdl.train.diagnosis.finding import Finding, verdict_of
from fdl.train.diagnosis.short_run import short_run
from fdl.train.objective import Objective

LOW, HIGH = 1e-5, 1e-1  # a hundredth and a hundred times of what is healthy
STEPS = 10


@dataclasses.dataclass(frozen=True)
class UpdateRatios(Finding):
    """What `update_ratios` found.

    Attributes:
        ratios: for each layer, by path, the median of |update| / |parameters| over the steps.
    """

    title: ClassVar[str] = "updates over weights"
    ratios: tuple[tuple[str, float], ...]

    @property
    def measured(self) -> str:
        """From where to where they go."""
        values = [ratio for _, ratio in self.ratios]
        return f"{min(values):.1e} to {max(values):.1e} (healthy: about 1e-3)"

    @property
    def details(self) -> str:
        """One line for each layer, when there is something to look for in them."""
        if self.ok:
            return ""
        return "\n".join(aligned([("layer", "ratio"), *((path, f"{r:.1e}") for path, r in self.ratios)], left=1))


def update_ratios(
    objective: Objective,
    optimizer: Optimizer,
    params: Any,
    state: Any,
    batches: Sequence[Any],
    key: Any,
    *,
    steps: int = STEPS,
) -> UpdateRatios:
    """Takes some training steps and compares each layer's updates with its parameters.

    Args:
        objective, optimizer: what is to be trained, and how.
        params, state: where to start; they are not changed.
        batches: some batches of one size, gone through in turn.
        key: for what is drawn at random.
        steps: how many. Later on, weights have grown with a learning rate that is too large, and hide it.

    Raises:
        InputError: what the objective finds wrong with the batches.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Affine
        >>> from fdl.losses import softmax_cross_entropy
        >>> from fdl.optim import sgd
        >>> from fdl.train import supervised
        >>> net, batch = Affine(3), (jnp.eye(4), jnp.array([0, 1, 2, 0]))
        >>> params, state = net.init(jax.random.key(0), batch[0])
        >>> objective = supervised(net, softmax_cross_entropy)
        >>> update_ratios(objective, sgd(1e-6), params, state, [batch], jax.random.key(1)).verdict
        'net hardly moves (1.9e-07 of its size in a step): use a larger learning rate, or look for what is frozen'
    """
    run = short_run(objective, optimizer, params, state, batches, key, steps=steps, watch=update_ratio)
    return judged_ratios(run.watched)


def judged_ratios(ratios: Mapping[str, np.ndarray]) -> UpdateRatios:
    """The verdict on the ratios of each step of a run."""
    medians = {path or "net": float(np.median(of_path)) for path, of_path in ratios.items()}
    problems = []
    if slow := {path: ratio for path, ratio in medians.items() if ratio < LOW}:
        problems.append(
            f"{_some(slow)} hardly moves ({min(slow.values()):.1e} of its size in a step): use a larger learning rate, "
            "or look for what is frozen"
        )
    from_zero = {path or "net" for path, of_path in ratios.items() if np.isinf(of_path[0])}
    if fast := {path: ratio for path, ratio in medians.items() if not ratio <= HIGH and path not in from_zero}:
        problems.append(
            f"{_some(fast)} moves too far ({max(fast.values()):.1e} of its size): use a smaller learning rate"
        )
    return UpdateRatios(verdict_of(problems), tuple(medians.items()))


def _some(paths: Iterable[str]) -> str:
    first, *others = paths
    return f"{first}, like {len(others)} more layers," if others else first
