"""Evaluation: the objective and its metrics on data that is not trained on."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from fdl.data.arrays import loaded
from fdl.errors import InputError
from fdl.train.check_train_state import check_single, check_train_state
from fdl.train.metrics import check_rows, examples_in, mean_over_examples
from fdl.train.objective import Objective
from fdl.train.step import TrainState, step_key


def make_eval_step(objective: Objective) -> Callable[[TrainState, Any], dict[str, jax.Array]]:
    """Makes a pure, jitted function eval_step(train_state, batch) -> metrics, with ``train=False``.

    Args:
        objective: what is trained. It is given a key here as well, in case that it samples even then.

    Returns:
        The function; its metrics are the objective's and its value as "loss", scalars on the device.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Affine
        >>> from fdl.losses import softmax_cross_entropy
        >>> from fdl.optim import sgd
        >>> from fdl.train import init_train_state, supervised
        >>> net, x = Affine(10), jnp.zeros((2, 64))
        >>> train_state = init_train_state(net, sgd(0.1), jax.random.key(0), x)
        >>> eval_step = make_eval_step(supervised(net, softmax_cross_entropy))
        >>> round(float(eval_step(train_state, (x, jnp.array([3, 7])))["loss"]), 4)  # log 10
        2.3026
    """

    def eval_step(train_state: TrainState, batch: Any) -> dict[str, jax.Array]:
        check_single("eval_step", train_state, "jax.vmap(eval_step, in_axes=(0, None)) gives what each says")
        params, state = train_state.params, train_state.state
        value, (_, metrics) = objective(params, state, batch, step_key(train_state), train=False)
        return {"loss": value, **metrics}

    return jax.jit(eval_step)


def evaluate(
    eval_step: Callable[[Any, Any], dict[str, jax.Array]],
    train_state: Any,
    batches: Iterable[Any],
    *,
    weight: Callable[[Any], Any] | None = None,
) -> dict[str, float]:
    """The means of the metrics over all examples of all batches, whatever the size of each batch.

    Args:
        eval_step: from `make_eval_step`.
        train_state: what to evaluate; it stays as it is.
        batches: any iterable of batches; ``[(inputs, targets)]`` when all fits into one. What is not in memory, such
            as a part of a memory map, is read batch by batch.
        weight: a function of a batch that says how much it counts, where that is not the number of its examples: of
            sequences with padding, ``lambda batch: (batch[1] >= 0).sum()``, next to ``where`` of
            `fdl.train.supervised`.

    Raises:
        InputError: when there are no batches, or none that counts, for what is one batch, or a function of the epoch,
            for batches whose arrays do not agree in the number of examples, unless there is a weight, for a weight that
            is not one number, and for a training step.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Affine
        >>> from fdl.losses import softmax_cross_entropy
        >>> from fdl.optim import sgd
        >>> from fdl.train import init_train_state, supervised
        >>> net, x, labels = Affine(3), jnp.zeros((5, 4)), jnp.array([0, 1, 2, 0, 1])
        >>> train_state = init_train_state(net, sgd(0.1), jax.random.key(0), x)
        >>> eval_step = make_eval_step(supervised(net, softmax_cross_entropy))
        >>> means = evaluate(eval_step, train_state, [(x[:3], labels[:3]), (x[3:], labels[3:])])
        >>> round(means["loss"], 4)  # log 3
        1.0986
    """
    _check_batches(batches)
    check_train_state("evaluate", train_state)
    metrics: list[dict[str, Any]] = []
    weights: list[Any] = []
    for batch in batches:
        if weight is None:
            check_rows("evaluate", batch)
        inputs = train_state, loaded(batch)
        if not metrics and isinstance(eval_step, jax.stages.Wrapped):
            _check_result(jax.eval_shape(eval_step, *inputs))  # before a training step takes over the train state
        metrics.append(_check_result(eval_step(*inputs)))
        weights.append((weight or examples_in)(batch))
    if not metrics:
        raise InputError("there is nothing to evaluate: batches gave no batch")
    weights = [_number(one) for one in weights]
    if min(weights) < 0 or not sum(weights) > 0:
        raise InputError(f"evaluate needs batches that count for something, got weights of {weights}")
    return mean_over_examples(metrics, weights)


def _number(weight: Any) -> float:
    if weight is None or jnp.shape(weight):
        what = "none" if weight is None else f"shape {list(jnp.shape(weight))}"
        raise InputError(
            f"evaluate takes a weight that gives one number for each batch, got {what}: of what counts, the .sum()"
        )
    return float(weight)


def _check_result(metrics: Any) -> dict[str, Any]:
    if not isinstance(metrics, dict):
        raise InputError(
            f"evaluate takes a step that gives a dict of metrics, got one that gives a {type(metrics).__name__}, as "
            "training steps do: make_eval_step(objective) makes one"
        )
    return metrics


def _check_batches(batches: Any) -> None:
    if callable(batches):
        raise InputError(
            f"evaluate takes the batches themselves, got a {type(batches).__name__}, which is a function of the epoch: "
            "write ordered_batches(arrays, batch_size), of fdl.data, which leaves no example out"
        )
    if isinstance(batches, tuple | list) and any(hasattr(part, "dtype") for part in batches):
        raise InputError("evaluate takes an iterable of batches, got arrays: write [(inputs, targets)] for one batch")
