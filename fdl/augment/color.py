"""Light and colour: brightness, contrast, saturation, hue, sharpness.

All but hue go along a line from a duller version d(x) of an image through the image and beyond,

    y = d(x) + factor (x - d(x))            factor 0: d(x), 1: x, above 1: more of what d(x) lacks

    brightness      d(x) = 0, black
    contrast        d(x) = the mean of the image's greys, the same for all of its pixels
    saturation      d(x) = the grey of the pixel, in every channel
    sharpness       d(x) = the image, smoothed over 3 x 3 pixels

and y is cut off at black and white. These are the definitions of Pillow's ImageEnhance. Images are floats from 0 to 1
or uint8 from 0 to 255 (`fdl.augment.images`), so colours are changed before an image is standardised.
"""

from typing import Any

import jax
import jax.numpy as jnp

from fdl.augment.images import check_images, like_clipped, like_shades, per_image, positions, shades
from fdl.errors import InputError

LUMA = (0.299, 0.587, 0.114)  # how bright red, green and blue look: ITU-R BT.601, section 2.5.1


def grayscale(images: jax.Array) -> jax.Array:
    """How bright each pixel looks, in one channel.

    Args:
        images: [N, H, W, C]: with three channels 0.299 red + 0.587 green + 0.114 blue, otherwise their mean.

    Returns:
        [N, H, W, 1], in the dtype of the images.

    Raises:
        InputError: for what is no batch of images.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> jax.jit(grayscale)(jnp.array([255, 0, 0], jnp.uint8).reshape(1, 1, 1, 3)).ravel().tolist()
        [76]
    """
    check_images("grayscale", images)
    return like_shades(_gray(shades(images)), images)


def brightness(images: jax.Array, factor: Any) -> jax.Array:
    """y = factor x.

    Args:
        images: [N, H, W, C], floats from 0 to 1 or uint8.
        factor: one for all or [N], >= 0.

    Returns:
        The images, cut off at white, in their dtype.

    Raises:
        InputError: for what is no batch of images, and for a factor of another shape.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> jax.jit(brightness)(jnp.array([0.25, 0.75]).reshape(1, 1, 2, 1), 2.0).ravel().tolist()
        [0.5, 1.0]
    """
    check_images("brightness", images)
    return like_clipped(per_image("brightness", "factor", factor, images) * shades(images), images)


def contrast(images: jax.Array, factor: Any) -> jax.Array:
    """y = m + factor (x - m), where m is the mean of the image's greys.

    Args:
        images: [N, H, W, C], floats from 0 to 1 or uint8.
        factor: one for all or [N], >= 0.

    Returns:
        The images, cut off at black and white, in their dtype.

    Raises:
        InputError: for what is no batch of images, and for a factor of another shape.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> jax.jit(contrast)(jnp.array([0.25, 0.75]).reshape(1, 1, 2, 1), 0.5).ravel().tolist()
        [0.375, 0.625]
    """
    check_images("contrast", images)
    x = shades(images)
    return _along(_gray(x).mean((1, 2, 3), keepdims=True), x, "contrast", factor, images)


def saturation(images: jax.Array, factor: Any) -> jax.Array:
    """y = g + factor (x - g), where g is the grey of the pixel; images with one channel stay as they are.

    Args:
        images: [N, H, W, C], floats from 0 to 1 or uint8.
        factor: one for all or [N], >= 0.

    Returns:
        The images, cut off at black and white, in their dtype.

    Raises:
        InputError: for what is no batch of images, and for a factor of another shape.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> jax.jit(saturation)(jnp.array([255, 0, 0], jnp.uint8).reshape(1, 1, 1, 3), 0.0).ravel().tolist()
        [76, 76, 76]
    """
    check_images("saturation", images)
    x = shades(images)
    return _along(_gray(x), x, "saturation", factor, images)


def sharpness(images: jax.Array, factor: Any) -> jax.Array:
    """y = s + factor (x - s), where s is the image smoothed by 1/13 (1 1 1; 1 5 1; 1 1 1), except on its rim.

    Args:
        images: [N, H, W, C], floats from 0 to 1 or uint8.
        factor: one for all or [N], >= 0; below 1 the images get blurred, above 1 sharper.

    Returns:
        The images, cut off at black and white, in their dtype.

    Raises:
        InputError: for what is no batch of images, and for a factor of another shape.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> dot = jnp.array([0, 0, 0, 0, 130, 0, 0, 0, 0], jnp.uint8).reshape(1, 3, 3, 1)
        >>> jax.jit(sharpness)(dot, 0.0)[0, 1, 1].tolist()  # 130 * 5 / 13
        [50]
    """
    check_images("sharpness", images)
    x = shades(images)
    height, width = x.shape[1:3]
    rows = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    columns = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    sums = columns[:, :, :-2] + columns[:, :, 1:-1] + columns[:, :, 2:]
    row, column = positions(x)
    is_rim = (row == 0) | (row == height - 1) | (column == 0) | (column == width - 1)
    return _along(jnp.where(is_rim, x, (sums + 4 * x) / 13), x, "sharpness", factor, images)


def hue(images: jax.Array, turn: Any) -> jax.Array:
    """Turns the colours around the circle red, yellow, green, cyan, blue, magenta, red; greys stay grey.

    In HSV, h becomes h + turn. Written without it: a channel is v - v s max(0, min(k, 4 - k, 1)) with
    k = (n + 6 h) mod 6 and n = 5, 3, 1 for red, green and blue.

    Args:
        images: [N, H, W, 3], floats from 0 to 1 or uint8.
        turn: one for all or [N], in turns: 1/3 makes red green, and 1 is all the way round.

    Returns:
        The images in their dtype.

    Raises:
        InputError: for other than three channels, and for a turn of another shape.

    Source: Smith, "Color gamut transform pairs" (1978).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> jax.jit(hue)(jnp.array([255, 0, 0], jnp.uint8).reshape(1, 1, 1, 3), 1 / 3).ravel().tolist()
        [0, 255, 0]
    """
    check_images("hue", images)
    if jnp.shape(images)[-1] != 3:
        raise InputError(f"hue expects 3 channels, red, green and blue, got {jnp.shape(images)[-1]}")
    x = shades(images)
    red, green, blue = (x[..., i : i + 1] for i in range(3))
    value = jnp.maximum(jnp.maximum(red, green), blue)
    chroma = value - jnp.minimum(jnp.minimum(red, green), blue)
    divisor = jnp.where(chroma == 0, 1, chroma)
    sixths = jnp.where(
        value == red,
        (green - blue) / divisor,
        jnp.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    turned = sixths + 6 * per_image("hue", "turn", turn, images)

    def channel(n: int) -> jax.Array:
        k = n + turned - 6 * jnp.floor((n + turned) / 6)  # five times as fast as jnp.mod
        return value - chroma * jnp.clip(jnp.minimum(k, 4 - k), 0, 1)

    return like_clipped(jnp.concatenate([channel(5), channel(3), channel(1)], -1), images)


def _gray(x: jax.Array) -> jax.Array:
    if x.shape[-1] != 3:
        return x.mean(-1, keepdims=True)
    red, green, blue = (weight * x[..., i : i + 1] for i, weight in enumerate(LUMA))
    return red + green + blue


def _along(dull: jax.Array, x: jax.Array, who: str, factor: Any, images: jax.Array) -> jax.Array:
    return like_clipped(dull + per_image(who, "factor", factor, images) * (x - dull), images)
