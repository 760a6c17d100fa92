"""Metrics: what people want to know of a model, as functions of (outputs, targets), one value per example."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.graphs import Graph
from fdl.losses.arguments import check_labels


def accuracy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Whether the largest logit is that of the label: 1 where it is, 0 elsewhere. Its mean is the accuracy.

    Args:
        logits: [..., C]; of equal largest ones the first counts, and where one is NaN, none is the largest.
        labels: class ids, integers of shape [...], or distributions, floats of shape [..., C], as `fdl.augment.mixup`
            makes them: the most likely class counts, and none where one is NaN.

    Returns:
        Zeros and ones of shape [...], in float32.

    Raises:
        InputError: for labels of another shape, and for a single logit, which has no other to be larger than: see
            `binary_accuracy`.

    Example:
        >>> import jax.numpy as jnp
        >>> accuracy(jnp.array([[0.1, 2.0], [3.0, 1.0]]), jnp.array([1, 1])).tolist()
        [1.0, 0.0]
    """
    labels = _class_ids("accuracy", logits, labels)
    return ((jnp.argmax(logits, axis=-1) == labels) & ~any_is_nan(logits)).astype(jnp.float32)


def binary_accuracy(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Whether a logit is on the side of its target, above zero for a target above a half: 1 where it is, 0 elsewhere.

    Args:
        logits: of any shape, one for each question with two answers, as for `fdl.losses.sigmoid_cross_entropy`.
        targets: of the same shape: 0 or 1, or a probability. NaN, there as here, is on neither side.

    Returns:
        Zeros and ones of the same shape, in float32.

    Raises:
        InputError: for targets of another shape.

    Example:
        >>> import jax.numpy as jnp
        >>> binary_accuracy(jnp.array([-0.3, 2.0, 0.1]), jnp.array([0.0, 1.0, 0.0])).tolist()
        [1.0, 1.0, 0.0]
    """
    if jnp.shape(logits) != jnp.shape(targets):
        raise InputError(
            f"binary_accuracy expects targets of the shape {list(jnp.shape(logits))} of the logits, "
            f"got {list(jnp.shape(targets))}"
        )
    both_above, both_below = (logits > 0) & (targets > 0.5), (logits <= 0) & (targets <= 0.5)
    return jnp.asarray(both_above | both_below, jnp.float32)


def top_k_accuracy(logits: jax.Array, labels: jax.Array, k: int = 5) -> jax.Array:
    """Whether fewer than k logits are larger than that of the label: 1 where it is so, 0 elsewhere.

    Args:
        logits: [..., C]; of equal ones the first count as larger, and where one is NaN, all do.
        labels: class ids or distributions, as for `accuracy`.
        k: from 1 to C.

    Raises:
        InputError: as `accuracy`, and for a k outside its range.

    Example:
        >>> import jax.numpy as jnp
        >>> top_k_accuracy(jnp.array([[0.1, 2.0, 1.0], [3.0, 1.0, 2.0]]), jnp.array([2, 1]), k=2).tolist()
        [1.0, 0.0]
    """
    labels = _class_ids("top_k_accuracy", logits, labels)
    check_count("top_k_accuracy", "k", k, most=jnp.shape(logits)[-1], of="the number of classes")
    best = jax.lax.top_k(logits, k)[1]
    return (jnp.any(best == jnp.expand_dims(labels, -1), axis=-1) & ~any_is_nan(logits)).astype(jnp.float32)


def perplexity(loss: float | jax.Array) -> jax.Array:
    """exp of a mean cross-entropy: among how many equally likely tokens a model is as unsure as that.

    Args:
        loss: the mean over all tokens. Of sequences with padding, that is what `fdl.train.evaluate` gives with its
            ``weight`` and with ``where`` in `fdl.train.supervised`; with padding as losses of zero it would be too low.

    Example:
        >>> import math
        >>> float(perplexity(math.log(50.0)))
        50.0
    """
    return jnp.exp(loss)


def examples_in(batch: Any) -> int:
    """How many examples a batch holds: the first axis of its first array, and of graphs with targets, of the targets.

    Example:
        >>> import numpy as np
        >>> examples_in((np.zeros((32, 8, 8)), np.zeros(32)))
        32
    """
    shape = jnp.shape((_with_rows(batch) or jax.tree.leaves(batch))[0])
    if not shape:
        raise InputError("a batch is made of arrays with one row per example, got one that starts with a scalar")
    return shape[0]


def check_rows(who: str, batch: Any) -> None:
    """Refuses a batch whose arrays do not agree in how many examples there are; nodes and edges of graphs are none.

    Example:
        >>> check_rows("evaluate", {"class_weights": np.ones(2), "x": np.ones((60, 8))})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: evaluate takes batches of arrays with one row per example, got [2] and [60, 8]: ...
    """
    shapes = [jnp.shape(leaf) for leaf in _with_rows(batch) if jnp.ndim(leaf)]
    if other := [shape for shape in shapes if shape[0] != shapes[0][0]]:
        raise InputError(
            f"{who} takes batches of arrays with one row per example, got {list(shapes[0])} and {list(other[0])}: "
            "weight=lambda batch: ... says how much such a batch counts"
        )


def _with_rows(batch: Any) -> list[Any]:
    """The arrays of a batch that are not those of a `Graph`, which has rows for its nodes and for its edges."""
    leaves = jax.tree.leaves(batch, is_leaf=lambda part: isinstance(part, Graph))
    return [leaf for leaf in leaves if not isinstance(leaf, Graph)]


def mean_over_examples(metrics: Sequence[Mapping[str, Any]], examples: Sequence[float]) -> dict[str, float]:
    """The means over all examples of what are means over batches. This is where the device is waited for.

    Args:
        metrics: for each batch, scalars by name; or, for several batches of one size, arrays of them.
        examples: for each batch, how many examples it had, or how much it counts.

    Example:
        >>> import jax.numpy as jnp
        >>> mean_over_examples([{"loss": jnp.array(1.0)}, {"loss": jnp.array(4.0)}], [20, 10])
        {'loss': 2.0}
    """
    values = read(metrics)
    names = sorted(values[0], key=lambda name: name != "loss")  # a pytree has its keys in the order of the alphabet
    return {name: average([_mean(one[name]) for one in values], examples) for name in names}


def average(values: Any, weights: Any) -> float:
    """The mean of what counts: a value of no weight may be NaN, as that of a batch without examples is.

    Example:
        >>> average([1.0, math.nan, 4.0], [2, 0, 1]), average([math.nan], [0])
        (2.0, nan)
    """
    values, weights = np.asarray(values), np.asarray(weights)
    counts = weights != 0
    return float(np.average(values[counts], weights=weights[counts])) if counts.any() else math.nan


def read(metrics: Sequence[Mapping[str, Any]]) -> list[dict[str, np.ndarray]]:
    """The metrics of several batches as NumPy arrays: what `jax.device_get` does, at half its cost for scalars.

    Example:
        >>> read([{"loss": jnp.array(1.0)}, {"loss": jnp.array(4.0)}])
        [{'loss': array(1., dtype=float32)}, {'loss': array(4., dtype=float32)}]
    """
    for one in metrics:
        for value in one.values():
            if isinstance(value, jax.Array):
                value.copy_to_host_async()  # all transfers are under way before the first is waited for
    return [{name: np.asarray(value) for name, value in one.items()} for one in metrics]


def _mean(values: np.ndarray) -> Any:
    return np.mean(values, dtype=np.float64) if values.ndim else values


def any_is_nan(logits: Any) -> jax.Array:
    """Whether the logits [..., C] of an example say nothing: argmax takes NaN for the largest, as if it were a class.

    Example:
        >>> any_is_nan(jnp.array([[0.0, jnp.nan], [0.0, 1.0]])).tolist()
        [True, False]
    """
    return jnp.any(jnp.isnan(logits), axis=-1)


def _class_ids(who: str, logits: Any, labels: Any) -> jax.Array:
    """The labels as class ids, which they are, or the most likely class of each distribution."""
    shape = jnp.shape(logits)
    if shape[-1:] != (1,) and getattr(labels, "shape", None) == shape and jnp.issubdtype(labels.dtype, jnp.floating):
        return jnp.where(any_is_nan(labels), -1, jnp.argmax(labels, axis=-1))
    check_class_ids(who, logits, labels)
    return labels


def check_class_ids(who: str, logits: Any, labels: Any) -> None:
    """Refuses labels that are not a class id for each row of the logits, and rows of one logit."""
    if isinstance(labels, list | tuple):
        raise InputError(f"{who} expects labels as an array, got a {type(labels).__name__}: jnp.array(...) makes one")
    shape = jnp.shape(logits)
    if shape[-1:] == (1,):
        raise InputError(
            f"{who} compares classes, of which logits {list(shape)} have one: where one logit decides between two, "
            "binary_accuracy compares it with zero"
        )
    check_labels(who, labels, shape[:-1], f"logits {list(shape)}")
