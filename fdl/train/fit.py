"""The driver: epochs of training steps, their means, and something to watch meanwhile."""

import inspect
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import jax

from fdl.errors import InputError
from fdl.train.metrics import examples_in, mean_over_examples
from fdl.train.progress import shown

Record = dict[str, float]


def fit(
    train_step: Callable[[Any, Any], tuple[Any, dict[str, jax.Array]]],
    train_state: Any,
    batches: Callable[[int], Iterable[Any]],
    *,
    epochs: int,
    validate: Callable[[Any], Mapping[str, float]] | None = None,
    progress: Literal["auto", "lines"] | None = "auto",
) -> tuple[Any, list[Record]]:
    """Trains for a number of epochs.

    The first batch is looked at with `check_batch`. The metrics of the steps stay on the device until
    the end of the epoch, but for the few that a progress bar shows, so that steps follow each other
    without a pause.

    Args:
        train_step: (train_state, batch) -> (train_state, metrics), as `make_train_step` makes it.
        train_state: where to start. Its buffers are taken over by the first step, as by all of them.
        batches: gives the batches of epoch 0, 1, ..., such as
            ``lambda epoch: shuffled_batches(data, 32, seed=0, epoch=epoch)``.
        epochs: how often to go through the data.
        validate: called with the train state after each epoch, it gives more numbers to record, such as
            ``lambda train_state: evaluate(eval_step, train_state, validation_batches)``.
        progress: "auto" shows a progress bar on a terminal and prints a line per epoch elsewhere, "lines"
            prints lines anyway, None shows nothing.

    Returns:
        (train_state, history). The history has one dict per epoch: "epoch" (from 1) and "step" (both
        counted in this call), "seconds", the means of the metrics over the examples of the epoch under
        their names, and what `validate` gave under "validation_" and its names.

    Raises:
        InputError: for batches that do not fit, and for epochs without any.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Affine
        >>> from fdl.losses import softmax_cross_entropy
        >>> from fdl.optim import sgd
        >>> from fdl.train import init_train_state, make_train_step, supervised
        >>> net, optimizer, x = Affine(3), sgd(0.1), jnp.eye(4)
        >>> train_step = make_train_step(supervised(net, softmax_cross_entropy), optimizer)
        >>> train_state = init_train_state(net, optimizer, jax.random.key(0), x)
        >>> every_epoch_the_same = lambda epoch: [(x, jnp.array([0, 1, 2, 0]))]
        >>> train_state, history = fit(train_step, train_state, every_epoch_the_same, epochs=20, progress=None)
        >>> len(history), history[-1]["step"], history[-1]["loss"] < history[0]["loss"]
        (20, 20, True)
    """
    if not callable(batches):
        raise InputError(
            f"fit takes batches as a function of the epoch, got a {type(batches).__name__}: "
            "for a list that every epoch goes through, write batches=lambda epoch: the_list"
        )
    if epochs < 0:
        raise InputError(f"fit needs a number of epochs that is not negative, got {epochs}")
    history: list[Record] = []
    step = 0
    with shown(progress, epochs) as display:
        for epoch in range(epochs):
            start = time.perf_counter()
            batches_of_epoch = batches(epoch)
            metrics, examples = [], []
            for batch in batches_of_epoch:
                if step == 0:
                    check_batch(train_step, train_state, batch)
                train_state, metrics_of_step = train_step(train_state, batch)
                step += 1
                metrics.append(metrics_of_step)
                examples.append(examples_in(batch))
                display.step(epoch, len(metrics), _length(batches_of_epoch), examples[-1], metrics_of_step)
            if not metrics:
                raise InputError(
                    f"batches({epoch}) gave no batch: it must give a new iterable for every epoch, not one "
                    "generator that the first epoch uses up"
                )
            means = mean_over_examples(metrics, examples)
            if validate is not None:
                means |= {f"validation_{name}": value for name, value in validate(train_state).items()}
            record = {"epoch": epoch + 1, "step": step, "seconds": time.perf_counter() - start, **means}
            history.append(record)
            display.epoch(record)
    return train_state, history


def check_batch(step: Callable[[Any, Any], Any], train_state: Any, batch: Any) -> None:
    """Looks at a batch before anything is compiled: a step on shapes alone, but with the batch's values in sight.

    In a jitted function arrays have shapes and no values, so a loss cannot see there that a class id
    does not exist. Here the batch stays concrete, and the loss says so.

    Args:
        step: a jitted function of (train_state, batch), from `make_train_step` or `make_eval_step`. One
            that is not jitted sees its batches anyway, and is left alone.
        train_state: what the step would be given; only shapes and dtypes are read.
        batch: the batch to look at.

    Raises:
        InputError: what the network, the loss or a metric finds wrong.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Affine
        >>> from fdl.losses import softmax_cross_entropy
        >>> from fdl.optim import sgd
        >>> from fdl.train import init_train_state, make_train_step, supervised
        >>> net, optimizer, x = Affine(3), sgd(0.1), jnp.ones((2, 4))
        >>> train_step = make_train_step(supervised(net, softmax_cross_entropy), optimizer)
        >>> train_state = init_train_state(net, optimizer, jax.random.key(0), x)
        >>> check_batch(train_step, train_state, (x, jnp.array([1, 3])))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: softmax_cross_entropy expects class ids in [0, 3), the number of classes, got 3: ...
    """
    if isinstance(step, jax.stages.Wrapped):
        python_step = inspect.unwrap(step)
        jax.eval_shape(lambda train_state: python_step(train_state, batch), train_state)


def _length(batches: Any) -> int | None:
    return len(batches) if hasattr(batches, "__len__") else None
