"""Inference: what a trained network says of many examples, batch by batch.

The last batch is filled up to the size of the others, so that a network is compiled once, however many examples come;
what the filling gives is cut off. While the device works on one batch, the next is read, from disk if need be.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.counts import check_count
from fdl.data.arrays import count, rows
from fdl.errors import InputError
from fdl.layer import Layer
from fdl.layers.monte_carlo import monte_carlo
from fdl.paths import path_of
from fdl.rule import wide
from fdl.train.check_train_state import check_train_state
from fdl.train.objective import inputs_of


def predict(net: Layer, params: Any, state: Any, inputs: Any, *, batch_size: int = 256) -> Any:
    """The outputs of a network for all examples, with ``train=False``.

    Args:
        net, params, state: a trained network; the state is read and not changed.
        inputs: what goes into it, arrays with one row per example; a tuple if there are several. Memory maps are read
            batch by batch.
        batch_size: how many examples to compute at once. It changes nothing in the result but its last digits.

    Returns:
        NumPy arrays with one row per example, in the form that the network gives (any pytree).

    Raises:
        InputError: for inputs of different lengths, for a batch size that is not positive, for outputs without one
            row per example, for parameters that a training step has taken over; and what the network finds wrong with
            the inputs.

    Example:
        >>> from fdl.layers import Affine
        >>> net, x = Affine(3), np.ones((10, 5), np.float32)
        >>> params, state = net.init(jax.random.key(0), x)
        >>> predict(net, params, state, x, batch_size=4).shape
        (10, 3)
    """
    check_train_state("predict", (params, state))
    return in_batches(lambda x, _: _apply(net, params, state, x), inputs, batch_size=batch_size)


def predict_monte_carlo(
    net: Layer, params: Any, state: Any, inputs: Any, *, key: jax.Array, samples: int, batch_size: int = 256
) -> tuple[Any, Any]:
    """The mean and the spread of the outputs over passes with dropout: `fdl.layers.monte_carlo`, batch by batch.

    Args:
        net: a network with dropout in it.
        params, state, inputs, batch_size: as for `predict`; the memory is that of ``samples`` times the batch.
        key: a JAX random key. Each batch drops other units.
        samples: how many passes.

    Returns:
        (mean, spread), each like the outputs of `predict`.

    Raises:
        InputError: as `predict` and `fdl.layers.monte_carlo`.

    Source: Gal and Ghahramani (2016).

    Example:
        >>> from fdl.layers import Affine, Dropout, Serial
        >>> net, x = Serial(Dropout(0.5), Affine(2)), np.ones((10, 100), np.float32)
        >>> params, state = net.init(jax.random.key(0), x)
        >>> key = jax.random.key(1)
        >>> mean, spread = predict_monte_carlo(net, params, state, x, key=key, samples=20, batch_size=4)
        >>> mean.shape, bool((spread > 0).all())
        ((10, 2), True)
    """
    check_train_state("predict_monte_carlo", (params, state))

    def of_batch(x: Any, batch: int) -> Any:
        return _monte_carlo(net, params, state, x, jax.random.fold_in(key, batch), samples)

    return in_batches(of_batch, inputs, batch_size=batch_size)


def predict_views(
    net: Layer,
    params: Any,
    state: Any,
    inputs: Any,
    views: Callable[[Any], Any],
    *,
    then: Callable[[Any], Any] | None = None,
    batch_size: int = 256,
) -> Any:
    """The outputs of a network, averaged over several views of each example: test-time augmentation.

    Args:
        net, params, state, inputs: as for `predict`.
        views: from a batch [N, ...] to its views [N, V, ...], such as ``lambda x: ten_crops(x, 24)`` of `fdl.augment`,
            or ``lambda x: jnp.stack([x, x[:, :, ::-1]], axis=1)`` for images and their mirror images. It is compiled;
            pass the same function each time, and not a new one, so that this happens once.
        then: what is averaged: a function of the outputs, such as `fdl.layers.softmax` for probabilities. The outputs
            as they are if None.
        batch_size: how many examples to compute at once; the memory is that of V times as many.

    Returns:
        NumPy arrays like the outputs of `predict`.

    Raises:
        InputError: as `predict`, and for views that are not [N, V, ...].

    Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks" (2012).

    Example:
        >>> from fdl.layers import Affine, Flatten, Serial, softmax
        >>> net, x = Serial(Flatten(), Affine(2)), np.random.default_rng(0).normal(size=(10, 4, 4)).astype(np.float32)
        >>> params, state = net.init(jax.random.key(0), x)
        >>> def and_mirrored(images):
        ...     return jnp.stack([images, images[:, :, ::-1]], axis=1)
        >>> probabilities = predict_views(net, params, state, x, and_mirrored, then=softmax, batch_size=4)
        >>> probabilities.shape, bool(np.allclose(probabilities.sum(-1), 1))
        ((10, 2), True)
    """
    check_train_state("predict_views", (params, state))

    def of_batch(x: Any, batch: int) -> Any:
        return _views(net, params, state, x, views, then)

    return in_batches(of_batch, inputs, batch_size=batch_size)


def in_batches(f: Callable[[Any, int], Any], inputs: Any, *, batch_size: int) -> Any:
    """What a function of a batch gives for all examples: the loop that the functions above have in common.

    Args:
        f: a function of a batch of exactly ``batch_size`` examples and of its number, from 0. It gives arrays with one
            row per example, each of which depends on that example alone: the last batch repeats its last example.
        inputs: arrays with one row per example.
        batch_size: at least 1.

    Returns:
        NumPy arrays.

    Raises:
        InputError: as `predict`.

    Example:
        >>> in_batches(lambda x, _: {"squares": x**2}, np.arange(5), batch_size=2)
        {'squares': array([ 0,  1,  4,  9, 16])}
    """
    check_count("predicting", "batch_size", batch_size)
    examples = count(inputs)
    if not examples:
        return _none(f, inputs, batch_size)
    done: list[Any] = []
    waiting: Any = None
    for number, start in enumerate(range(0, examples, batch_size)):
        index = np.minimum(np.arange(start, start + batch_size), examples - 1)
        try:
            outputs = f(rows(inputs, index), number)
        except InputError as error:
            error.add_note(f"the inputs were taken for {examples} examples, one per row: a single example x is x[None]")
            raise
        _check_rows(outputs, batch_size)
        if waiting is not None:
            done.append(jax.device_get(waiting))
        waiting = outputs
    last = jax.tree.map(lambda y: np.asarray(y)[: examples - start], jax.device_get(waiting))
    return jax.tree.map(lambda *parts: np.concatenate(parts), *done, last)


def _none(f: Callable[[Any, int], Any], inputs: Any, batch_size: int) -> Any:
    """The outputs for no examples: what the function would give, without its rows."""
    like = jax.tree.map(lambda a: jax.ShapeDtypeStruct((batch_size, *a.shape[1:]), a.dtype), inputs)
    outputs = jax.eval_shape(lambda x: f(x, 0), like)
    _check_rows(outputs, batch_size)
    return jax.tree.map(lambda y: np.zeros((0, *y.shape[1:]), y.dtype), outputs)


def _check_rows(outputs: Any, batch_size: int) -> None:
    for keys, leaf in jax.tree.leaves_with_path(outputs):
        if jnp.shape(leaf)[:1] != (batch_size,):
            name = path_of(keys) or "the output"
            raise InputError(
                f"predictions need one row per example: for a batch of {batch_size}, {name} has shape "
                f"{list(jnp.shape(leaf))}"
            )


# Layers are hashable, so that these are compiled once for each network, and not once for each call.


@functools.partial(jax.jit, static_argnums=0)
def _apply(net: Layer, params: Any, state: Any, x: Any) -> Any:
    return net.apply(params, state, *inputs_of(x), key=None, train=False)[0]


@functools.partial(jax.jit, static_argnums=(0, 5))
def _monte_carlo(net: Layer, params: Any, state: Any, x: Any, key: jax.Array, samples: int) -> Any:
    return monte_carlo(net, params, state, *inputs_of(x), key=key, samples=samples)


@functools.partial(jax.jit, static_argnums=(0, 4, 5))
def _views(net: Layer, params: Any, state: Any, x: Any, views: Any, then: Any) -> Any:
    seen = views(x)
    examples = count(x)
    shapes = [leaf.shape for leaf in jax.tree.leaves(seen)]
    if len({shape[:2] for shape in shapes}) != 1 or len(shapes[0]) < 2 or shapes[0][0] != examples:
        raise InputError(
            f"views gives [N, V, ...] for a batch [N, ...]: for {examples} examples it gave "
            f"{', '.join(str(list(shape)) for shape in shapes)}"
        )
    outputs = _apply(net, params, state, jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), seen))
    said = outputs if then is None else then(outputs)
    v = shapes[0][1]
    return jax.tree.map(
        lambda y: jnp.mean(y.reshape(examples, v, *y.shape[1:]), axis=1, dtype=wide(y)).astype(y.dtype), said
    )
