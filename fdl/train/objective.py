"""Objectives: the one number that training makes small, as a pure function.

    objective(params, state, batch, key, train=True) -> (value, (state, metrics))

``value`` is the scalar that gradients are taken of, ``state`` what the forward pass left behind (running
statistics), ``metrics`` a dict of scalars to watch. `supervised` makes the usual one,

    J(w) = 1/N sum_n loss(net(w, x_n), t_n) + penalty(w)

where, of sequences with padding, N counts the positions that are none (``where``), or padding would be a loss of zero;
and any function of this form can stand in its place: an autoencoder's, an adversary's, one with several
networks in ``params``.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from fdl.errors import InputError
from fdl.layer import Layer
from fdl.losses.arguments import check_where
from fdl.rule import wide

PerExample = Callable[[Any, Any], jax.Array]


class Objective(Protocol):
    """What a training step minimises; see the module's own text for what goes in and what comes out."""

    def __call__(
        self, params: Any, state: Any, batch: Any, key: Any, train: bool = True
    ) -> tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]:
        """Computes (value, (state, metrics))."""


def supervised(
    net: Layer,
    loss: PerExample,
    *,
    penalty: Callable[[Any], jax.Array] | None = None,
    metrics: Mapping[str, PerExample] = {},
    where: Callable[[Any], jax.Array] | None = None,
    augment: Callable[[jax.Array, Any], Any] | None = None,
) -> Objective:
    """The objective of learning from examples: the mean loss of a network's outputs, plus a penalty.

    Args:
        net: the network; a batch for it is a pair (inputs, targets). Inputs that are a tuple are several: `inputs_of`.
        loss: a function of (outputs, targets) that gives one value per example.
        penalty: a function of the parameters that gives a scalar, such as ``lambda params: 1e-4 * l2(params)``.
        metrics: functions of (outputs, targets) that give one value per example, by the names under which
            their means are reported.
        where: a function of the targets that gives booleans of the shape of the losses, such as
            ``lambda targets: targets >= 0`` where -1 is padding. Loss and metrics are then means over what counts, and
            0 where nothing does. The loss is not told: it gets its own ``where=`` if it cannot take such targets, as
            in the second example. Means over several batches weigh each by its examples: see ``weight`` of `evaluate`.
        augment: a function of (key, batch) that gives the batch to learn from, such as
            ``on_images(chain(random_flip, random_crop))`` of `fdl.augment`. It is part of the compiled step, gets
            a key of its own in every step, and is left out with ``train=False``. Loss and metrics see its targets.

    Returns:
        A pure function objective(params, state, batch, key, train=True) -> (value, (state, metrics)).

    Raises:
        InputError: for a metric called "loss", the name under which the objective itself is reported, and for what is
            no function; from the objective, whatever the network, the loss and the metrics find wrong with a batch,
            for a metric that gives neither one value per example nor one in all, for a ``where`` of another shape, and
            when there is no key to augment with.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Affine
        >>> from fdl.losses import softmax_cross_entropy
        >>> from fdl.train import accuracy
        >>> net, batch = Affine(10), (jnp.zeros((2, 64)), jnp.array([3, 7]))
        >>> objective = supervised(net, softmax_cross_entropy, metrics={"accuracy": accuracy})
        >>> value, (state, metrics) = objective(*net.init(jax.random.key(0), batch[0]), batch, jax.random.key(1))
        >>> round(float(value), 4), float(metrics["accuracy"])
        (2.3026, 0.0)
        >>> padded, counts = (jnp.zeros((1, 3, 64)), jnp.array([[3, 0, -1]])), lambda labels: labels >= 0
        >>> loss = lambda scores, labels: softmax_cross_entropy(scores, labels, where=counts(labels))
        >>> objective = supervised(net, loss, metrics={"accuracy": accuracy}, where=counts)
        >>> value, (state, metrics) = objective(*net.init(jax.random.key(0), padded[0]), padded, None, train=False)
        >>> round(float(value), 4), float(metrics["accuracy"])
        (2.3026, 0.5)
    """
    if not isinstance(metrics, Mapping):
        raise InputError(f'supervised takes metrics by name, such as {{"accuracy": accuracy}}, got {metrics!r}')
    if "loss" in metrics:
        raise InputError('a metric cannot be called "loss": that is what the value of the objective is called')
    functions = {"loss": loss, "penalty": penalty, "where": where, "augment": augment, **metrics}
    for name, function in functions.items():
        if function is not None and not callable(function):
            raise InputError(f"supervised takes functions, got {function!r} as {name}")

    def objective(params: Any, state: Any, batch: Any, key: Any, train: bool = True) -> Any:
        inputs, targets = _pair(batch)
        if augment is not None and train:
            if key is None:
                raise InputError("augment draws at random, and needs a key: objective(params, state, batch, key)")
            augment_key, key = jax.random.split(key)
            inputs, targets = _pair(augment(augment_key, (inputs, targets)))
        outputs, state = net.apply(params, state, *inputs_of(inputs), key=key, train=train)
        counts = None if where is None else where(targets)
        value = _mean("loss", loss(outputs, targets), counts)
        if penalty is not None:
            value = value + penalty(params)
        values = {name: metric(outputs, targets) for name, metric in metrics.items()}
        _check_metrics(values, (outputs, targets))
        return value, (state, {name: _mean(name, of_metric, counts) for name, of_metric in values.items()})

    return objective


def _pair(batch: Any) -> tuple[Any, Any]:
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        what = f"{type(batch).__name__} of {len(batch)}" if isinstance(batch, tuple | list) else type(batch).__name__
        raise InputError(f"supervised learning takes batches that are pairs (inputs, targets), got a {what}")
    for what, part in zip(("inputs", "targets"), batch, strict=True):
        arrays = [leaf for leaf in jax.tree.leaves(part) if isinstance(leaf, np.ndarray)]  # JAX's are numbers
        if wrong := [array for array in arrays if array.dtype.kind in ("O", "S", "U")]:
            raise InputError(
                f"supervised learning takes numbers, got {what} of dtype {wrong[0].dtype}: x.astype(np.float32) makes "
                "floats of them, and np.unique(labels, return_inverse=True)[1] class ids of names"
            )
    return batch[0], batch[1]


def inputs_of(inputs: Any) -> tuple[Any, ...]:
    """What a network is given of the inputs of a batch: all of a tuple, one after the other, or the one that there is.

    So ``(images, ids)`` goes into a captioner, and ``(xs, lengths)`` into a recurrent layer.

    Example:
        >>> inputs_of(([1, 2], [3])), inputs_of([1, 2])
        (([1, 2], [3]), ([1, 2],))
    """
    return inputs if type(inputs) is tuple else (inputs,)  # a `Graph` is one input


def _mean(name: str, values: jax.Array, counts: jax.Array | None) -> jax.Array:
    """Over all values, or over those that count."""
    if counts is None:
        return jnp.mean(values, dtype=wide(values))
    check_where(f"the mean of {name!r}", counts, jnp.shape(values))
    return jnp.sum(jnp.where(counts, values, 0), dtype=wide(values)) / jnp.maximum(jnp.sum(counts), 1)


def _check_metrics(values: Mapping[str, Any], batch: Any) -> None:
    """Refuses values that are neither scalars nor have a row for each of the outputs or the targets."""
    rows = {jnp.shape(leaf)[0] for leaf in jax.tree.leaves(batch) if jnp.ndim(leaf)}
    for name, of_metric in values.items():
        shape = jnp.shape(of_metric)
        if shape and rows and shape[0] not in rows:
            raise InputError(
                f"a metric gives one value per example, {name!r} gave shape {list(shape)} for {max(rows)} of them, of "
                "which the mean says nothing: a confusion matrix is counted in what predict gives"
            )
