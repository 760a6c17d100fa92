"""Tones: functions that give every shade another one, the same wherever in the image it stands.

    posterize       only the upper bits of a byte are kept
    solarize        what is bright is inverted, as on film that was exposed too long
    autocontrast    the darkest shade becomes black and the brightest white, in each channel
    equalize        shades are spread such that, in each channel, all are about as frequent

as Pillow's ImageOps define them. Images are floats from 0 to 1 or uint8 from 0 to 255 (`fdl.augment.images`);
posterize and equalize see floats in steps of 1/255.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.augment.images import WHITE, check_images, like_clipped, like_shades, per_image, shades
from fdl.concrete import is_concrete
from fdl.errors import InputError

LEVELS = 256


def posterize(images: jax.Array, bits: Any) -> jax.Array:
    """Keeps the upper bits of each number, as a byte, and sets the others to zero.

    Args:
        images: [N, H, W, C], floats from 0 to 1 or uint8.
        bits: one number for all or [N], integers from 0 to 8.

    Returns:
        The images in their dtype.

    Raises:
        InputError: for what is no batch of images, for bits of another shape, and for numbers outside their range where
            they can be seen.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> jax.jit(posterize)(jnp.array([255, 100], jnp.uint8).reshape(1, 1, 2, 1), 2).ravel().tolist()
        [192, 64]
    """
    check_images("posterize", images)
    if not _within(bits, 0, 8):
        raise InputError(f"posterize keeps a number of bits from 0 to 8, got {bits}")
    step = 2 ** (8 - per_image("posterize", "number of bits", bits, images).astype(jnp.int32))
    return _from_bytes(_bytes(images) // step * step, images)


def solarize(images: jax.Array, threshold: Any) -> jax.Array:
    """y = 1 - x where x >= threshold, else x, in the scale from 0 to 1.

    Args:
        images: [N, H, W, C], floats from 0 to 1 or uint8.
        threshold: one number for all or [N], from 0 to 1, for uint8 too.

    Returns:
        The images in their dtype.

    Raises:
        InputError: for what is no batch of images, for a threshold of another shape, and for one that is far from being
            a shade, such as 128, where it can be seen.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> jax.jit(solarize)(jnp.array([255, 100], jnp.uint8).reshape(1, 1, 2, 1), 0.5).ravel().tolist()
        [0, 100]
    """
    check_images("solarize", images)
    if not _within(threshold, -0.5, 1.5):
        raise InputError(
            f"solarize takes its threshold in the scale from 0 to 1, for bytes too: 128 / 255, got {threshold}"
        )
    x = shades(images)
    return like_shades(jnp.where(x >= per_image("solarize", "threshold", threshold, images), 1 - x, x), images)


def autocontrast(images: jax.Array) -> jax.Array:
    """y = (x - min) / (max - min), for each channel of each image; a constant channel stays as it is.

    Args:
        images: [N, H, W, C], floats from 0 to 1 or uint8.

    Returns:
        The images in their dtype.

    Raises:
        InputError: for what is no batch of images.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> jax.jit(autocontrast)(jnp.array([0.25, 0.5, 0.75]).reshape(1, 1, 3, 1)).ravel().tolist()
        [0.0, 0.5, 1.0]
    """
    check_images("autocontrast", images)
    x = shades(images)
    low, high = x.min((1, 2), keepdims=True), x.max((1, 2), keepdims=True)
    return like_clipped(jnp.where(high > low, (x - low) / jnp.where(high > low, high - low, 1), x), images)


def equalize(images: jax.Array) -> jax.Array:
    """A shade becomes the share of the channel's pixels that are darker: y_v = (step / 2 + sum_{u<v} h_u) / step.

    h is the histogram of the 256 shades, and step the 255th part of all pixels that are not of the brightest shade.
    Integers are divided without remainder; a channel for which step is 0 stays as it is.

    Args:
        images: [N, H, W, C], floats from 0 to 1 or uint8.

    Returns:
        The images in their dtype.

    Raises:
        InputError: for what is no batch of images.

    Example:
        >>> import jax, numpy as np
        >>> dark = np.arange(1024, dtype=np.uint16).reshape(1, 32, 32, 1) // 16
        >>> dark.max().item(), jax.jit(equalize)(dark.astype(np.uint8)).max().item()
        (63, 255)
    """
    check_images("equalize", images)
    x = _bytes(images)
    n, height, width, channels = x.shape
    channel = jnp.arange(n * channels).reshape(n, 1, 1, channels) * LEVELS
    histogram = jnp.zeros(n * channels * LEVELS, jnp.int32).at[(channel + x).ravel()].add(1)
    histogram = histogram.reshape(n, channels, LEVELS)
    brightest = jnp.take_along_axis(histogram, x.max((1, 2))[..., None], axis=2)
    step = (height * width - brightest) // WHITE
    darker = jnp.cumsum(histogram, axis=2) - histogram
    table = jnp.where(step == 0, jnp.arange(LEVELS), (step // 2 + darker) // jnp.maximum(step, 1))
    y = jnp.minimum(table, WHITE).ravel().at[channel + x].get(mode="promise_in_bounds")
    return _from_bytes(y, images)


def _within(value: Any, low: float, high: float) -> bool:
    """Whether numbers are all in a range, as far as can be seen: while something is compiled they have no values."""
    return not is_concrete(value) or bool(np.all((low <= np.asarray(value)) & (np.asarray(value) <= high)))


def _bytes(images: jax.Array) -> jax.Array:
    """The shades in 256 steps, as int32."""
    if jnp.result_type(images) == jnp.uint8:
        return jnp.asarray(images).astype(jnp.int32)
    return jnp.clip(jnp.round(shades(images) * WHITE), 0, WHITE).astype(jnp.int32)


def _from_bytes(x: jax.Array, images: jax.Array) -> jax.Array:
    return like_shades(x.astype(shades(images).dtype) / WHITE, images)
