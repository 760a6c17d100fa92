"""Crops for evaluation: the window in the middle, or ten windows and the mean of what is said of them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fdl.augment.crops import Size, window_in
from fdl.augment.images import check_images

CROPS = 10


def center_crop(images: jax.Array, size: Size) -> jax.Array:
    """The window in the middle; where that is between pixels, half a pixel up and to the left of it.

    Args:
        images: [N, H, W, C], of any dtype.
        size: of the window, one number or (height, width).

    Returns:
        [N, height, width, C], in the dtype of the images.

    Raises:
        InputError: for what is no batch of images, and for windows larger than them.

    Example:
        >>> import jax.numpy as jnp
        >>> center_crop(jnp.arange(9).reshape(1, 3, 3, 1), 1).item()
        4
    """
    check_images("center_crop", images, any_dtype=True)
    height, width = window_in("center_crop", images, size)
    top, left = (jnp.shape(images)[1] - height) // 2, (jnp.shape(images)[2] - width) // 2
    return images[:, top : top + height, left : left + width]


def ten_crops(images: jax.Array, size: Size) -> jax.Array:
    """The windows in the four corners and in the middle, and these five mirrored.

    Args:
        images: [N, H, W, C], of any dtype.
        size: of the windows, one number or (height, width).

    Returns:
        [N, 10, height, width, C]: upper left, upper right, lower left, lower right, middle; then the same, mirrored.

    Raises:
        InputError: for what is no batch of images, and for windows larger than them.

    Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks"
    (2012), section 4.1.

    Example:
        >>> import jax.numpy as jnp
        >>> ten_crops(jnp.arange(9).reshape(1, 3, 3, 1), 1).ravel().tolist()
        [0, 2, 6, 8, 4, 0, 2, 6, 8, 4]
    """
    check_images("ten_crops", images, any_dtype=True)
    height, width = window_in("ten_crops", images, size)
    ends = [
        (rows, columns)
        for rows in (slice(height), slice(-height, None))
        for columns in (slice(width), slice(-width, None))
    ]
    five = jnp.stack([*(images[:, rows, columns] for rows, columns in ends), center_crop(images, size)], 1)
    return jnp.concatenate([five, jnp.flip(five, 3)], 1)


def mean_over_crops(predict: Callable[[jax.Array], Any], images: jax.Array, size: Size) -> Any:
    """What a network says of an image, averaged over `ten_crops` of it.

    Args:
        predict: a function of images [M, height, width, C] that gives arrays [M, ...], such as probabilities.
        images: [N, H, W, C].
        size: what ``predict`` takes, one number or (height, width).

    Returns:
        The means, arrays [N, ...].

    Raises:
        InputError: as `ten_crops`.

    Example:
        >>> import jax.numpy as jnp
        >>> mean_over_crops(lambda x: x.max((1, 2, 3)), jnp.arange(9.0).reshape(1, 3, 3, 1), 1).tolist()
        [4.0]
    """
    crops = ten_crops(images, size)
    said = predict(crops.reshape(-1, *crops.shape[2:]))
    return jax.tree.map(lambda one: one.reshape(len(crops), CROPS, *one.shape[1:]).mean(1), said)
