"""Preprocessing: the mean of the training data, its spread, and what is left when they are taken out.

Fitting is done once, on the training data alone, in NumPy: data is read some million numbers at a time and summed up in
float64 around a first mean, so that it may be larger than memory, of bytes, or far from zero. What is fitted is a small
tuple of arrays. Applying it is pure JAX: it belongs into the compiled step, where it costs next to nothing. The same
numbers are used for validation, for the test and for whatever comes later, so the safest place is the network itself:

    @network(body=Serial(...))
    def model(net, images):
        return net.body(standardise(images, moments))
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fdl.data.arrays import blocks, count
from fdl.errors import InputError
from fdl.rule import wide


class Moments(NamedTuple):
    """Mean and standard deviation, of each feature or of each channel; arrays that broadcast against the data."""

    mean: jax.Array
    std: jax.Array


def mean_image(images: Any) -> jax.Array:
    """Averages all examples, position by position; subtracting it centres them.

    Args:
        images: [N, ...], numbers of any kind, in memory or on disk (see `fdl.data.arrays`).

    Returns:
        An array [...] in float32, or in float64 where JAX has that switched on.

    Raises:
        InputError: for data without any example, and for what is no array of numbers.

    Example:
        >>> import numpy as np
        >>> images = np.array([[0, 255], [255, 255]], np.uint8)
        >>> mean_image(images).tolist(), (images - mean_image(images)).tolist()
        ([127.5, 255.0], [[-127.5, 0.0], [127.5, 0.0]])
    """
    return _moments("mean_image", images, each=1).mean


def feature_moments(x: Any) -> Moments:
    """Mean and standard deviation of each feature, over the examples.

    Args:
        x: [N, ...], numbers of any kind, in memory or on disk.

    Returns:
        `Moments` of shape [...]; the deviation is that of the data itself, with 1/N.

    Raises:
        InputError: for data without any example, and for what is no array of numbers.

    Example:
        >>> import numpy as np
        >>> mean, std = feature_moments(np.array([[1.0, 5.0], [3.0, 5.0]]))
        >>> mean.tolist(), std.tolist()
        ([2.0, 5.0], [1.0, 0.0])
    """
    return _moments("feature_moments", x, each=1)


def channel_moments(images: Any) -> Moments:
    """Mean and standard deviation of each channel, over examples and positions.

    Args:
        images: [N, ..., C], numbers of any kind, in memory or on disk.

    Returns:
        `Moments` of shape [C]; the deviation is that of the data itself, with 1/N.

    Raises:
        InputError: for data without any example, and for what is no array of numbers.

    Example:
        >>> import numpy as np
        >>> images = np.array([[[0, 10], [4, 10]]], np.uint8)  # one image of two pixels with two channels
        >>> mean, std = channel_moments(images)
        >>> mean.tolist(), std.tolist()
        ([2.0, 10.0], [2.0, 0.0])
    """
    if getattr(images, "ndim", 0) < 2:
        raise InputError(f"channel_moments expects images [N, ..., C], got {list(np.shape(images))}")
    return _moments("channel_moments", images, each=images.ndim - 1)


def standardise(x: jax.Array, moments: Moments) -> jax.Array:
    """y = (x - mean) / std, so that the training data has mean 0 and variance 1; what never varies becomes 0.

    Args:
        x: [N, ...], numbers of any kind.
        moments: from `feature_moments` or `channel_moments` of the training data.

    Returns:
        An array like x, in its dtype if that is floating and in float32 otherwise.

    Raises:
        InputError: for moments of other data.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> train = jnp.array([[1.0, 5.0], [3.0, 5.0]])
        >>> jax.jit(standardise)(train, feature_moments(train)).tolist()
        [[-1.0, 0.0], [1.0, 0.0]]
    """
    mean, std = _like_examples("standardise", x, moments)
    y = (jnp.asarray(x).astype(wide(x)) - mean) / jnp.where(std == 0, 1, std)
    return y.astype(floating(x))


def unstandardise(y: jax.Array, moments: Moments) -> jax.Array:
    """The way back from `standardise`: x = y std + mean, to look at what a network sees or makes.

    Args:
        y: [N, ...], floats.
        moments: those that `standardise` was given.

    Returns:
        An array like y, in its dtype.

    Raises:
        InputError: for moments of other data.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> moments = Moments(jnp.array([2.0, 5.0]), jnp.array([1.0, 0.0]))
        >>> jax.jit(unstandardise)(jnp.array([[-1.0, 0.0]]), moments).tolist()
        [[1.0, 5.0]]
    """
    mean, std = _like_examples("unstandardise", y, moments)
    return (jnp.asarray(y).astype(wide(y)) * std + mean).astype(floating(y))


def floating(x: Any) -> Any:
    """The dtype of the result: that of x if it is floating, float32 otherwise.

    Example:
        >>> floating(jnp.zeros(1, jnp.uint8)).__name__, floating(jnp.zeros(1, jnp.bfloat16)).name
        ('float32', 'bfloat16')
    """
    dtype = jnp.result_type(x)
    return dtype if jnp.issubdtype(dtype, jnp.floating) else jnp.float32


def check_numbers(who: str, x: Any) -> None:
    """Refuses data that has no examples, or that is no array of numbers.

    Example:
        >>> check_numbers("mean_image", np.zeros((0, 8, 8)))
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: mean_image needs at least one example, got data of shape [0, 8, 8]
    """
    if not hasattr(x, "dtype") or not (jnp.issubdtype(x.dtype, jnp.number) or x.dtype == np.bool_):
        raise InputError(f"{who} expects one array of numbers [N, ...], got {getattr(x, 'dtype', type(x).__name__)}")
    if not count(x):
        raise InputError(f"{who} needs at least one example, got data of shape {list(x.shape)}")


def centred_blocks(data: Any, each: int) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """A first mean, and the data around it in blocks of float64: sums of its squares cancel next to nothing.

    Args:
        data: [N, ...].
        each: the first of the axes that are features; those before are examples.

    Returns:
        (centre, blocks): [D], and an iterator of arrays [n, D].

    Example:
        >>> centre, centred = centred_blocks(np.array([[1, 2], [3, 6]], np.uint8), each=1)
        >>> centre, next(centred)
        (array([2., 4.]), array([[-1., -2.],
               [ 1.,  2.]]))
    """
    features = math.prod(data.shape[each:])
    flat = (block.astype(np.float64).reshape(-1, features) for block in blocks(data))
    first = next(flat)
    centre = first.mean(0)
    return centre, (block - centre for block in itertools.chain([first], flat))


def _moments(who: str, x: Any, each: int) -> Moments:
    """Moments over all axes before ``each``."""
    check_numbers(who, x)
    centre, centred = centred_blocks(x, each)
    n, total, squares = 0, np.zeros_like(centre), np.zeros_like(centre)
    for block in centred:
        n += len(block)
        total += block.sum(0)
        squares += np.square(block).sum(0)
    offset = total / n
    std = np.sqrt(np.maximum(squares / n - np.square(offset), 0))
    return Moments(*(jnp.asarray(one.reshape(x.shape[each:])) for one in (centre + offset, std)))


def _like_examples(who: str, x: Any, moments: Moments) -> Moments:
    """The moments with as many axes as the data has; refuses those of other data."""
    shape, of_data = jnp.shape(moments.mean), jnp.shape(x)
    if len(shape) >= len(of_data) or of_data[len(of_data) - len(shape) :] != shape:
        raise InputError(
            f"{who} expects data [N, ...] that ends in {list(shape)}, as that which the moments are from, "
            f"got {list(of_data)}"
        )
    mean, std = (jnp.reshape(one, (1,) * (len(of_data) - jnp.ndim(one)) + jnp.shape(one)) for one in moments)
    return Moments(mean, std)
