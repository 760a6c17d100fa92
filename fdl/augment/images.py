"""What images are to augmentations: [N, H, W, C], as floats or as bytes, and one number or one draw for each of them.

Functions that move pixels (flips, crops, warps, mixtures) take numbers of any range, whatever they mean. Functions of
colour need to know what black and white are: 0 and 1 in floats, 0 and 255 in uint8, and they compute in the first of
the two scales. What comes out has the dtype of what went in.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.concrete import is_concrete
from fdl.errors import InputError
from fdl.keys import check_key
from fdl.rule import wide

WHITE = 255  # of bytes; that of floats is 1
Fill = float | Sequence[float] | jax.Array  # one value, or one for each channel


def check_images(who: str, images: Any, any_dtype: bool = False) -> None:
    """Refuses what is no batch of images with at least one pixel.

    Args:
        who: the function to name in the message.
        images: what should be [N, H, W, C].
        any_dtype: whether nothing is computed with the numbers, so that any dtype will do.

    Raises:
        InputError: for other shapes, and for dtypes other than uint8 and floats.

    Example:
        >>> check_images("cutout", jnp.zeros((5, 8, 8)))
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: cutout expects images [N, H, W, C], got [5, 8, 8]: images[..., None] adds one channel
    """
    if isinstance(images, tuple | list):
        raise InputError(
            f"{who} expects images [N, H, W, C], got a {type(images).__name__}: for batches that are pairs "
            f"(images, labels), on_images({who}) is the function"
        )
    shape, dtype = jnp.shape(images), jnp.result_type(images)
    if len(shape) != 4 or 0 in shape[1:]:
        hint = ": images[..., None] adds one channel" if len(shape) == 3 else ""
        hint = hint or ("; the key comes first, then the images" if jnp.issubdtype(dtype, jax.dtypes.prng_key) else "")
        raise InputError(f"{who} expects images [N, H, W, C], got {list(shape)}{hint}")
    if not (any_dtype or dtype == jnp.uint8 or jnp.issubdtype(dtype, jnp.floating)):
        raise InputError(f"{who} expects images as floats or as uint8, got {dtype}: cast them with astype")


def check_random(who: str, key: Any, images: Any, any_dtype: bool = False) -> None:
    """Refuses what is no batch of images, and what is no key to draw with.

    Raises:
        InputError: as `check_images` and `fdl.keys.check_key`.

    Example:
        >>> check_random("random_flip", 0, jnp.zeros((5, 8, 8, 3)))
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: random_flip expects a JAX random key, such as jax.random.key(0), got 0
    """
    check_images(who, images, any_dtype)
    check_key(who, key)


def check_range(who: str, low: float, high: float, **settings: Any) -> None:
    """Refuses settings outside [low, high], and what is not one number; infinity is in no range.

    Raises:
        InputError: with the name of the setting.

    Example:
        >>> check_range("random_flip", 0, 1, probability=1.5)
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: random_flip needs probability from 0 to 1, got 1.5
    """
    for name, value in settings.items():
        limits = f"from {low:g} to {high:g}" if high < float("inf") else f"of at least {low:g}"
        if np.ndim(value):
            raise InputError(f"{who} needs {name} as one number {limits}, got {value}")
        if not low <= value <= high or value == float("inf"):
            raise InputError(f"{who} needs {name} {limits}, got {value}")


def check_pair(who: str, name: str, low: float, pair: Sequence[float], high: float = float("inf")) -> tuple[Any, Any]:
    """The two ends of a range; refuses others than low < first <= second <= high.

    Raises:
        InputError: with the name of the setting.

    Example:
        >>> check_pair("random_resized_crop", "area", 0, (0.08, 1.0), 1)
        (0.08, 1.0)
    """
    if np.shape(pair) != (2,) or not low < pair[0] <= pair[1] <= high:
        top = f" <= {high:g}" if high < float("inf") else ""
        raise InputError(f"{who} needs {name} as a pair {low:g} < least <= most{top}, got {pair}")
    return pair[0], pair[1]


def per_image(who: str, name: str, value: Any, images: Any) -> jax.Array:
    """One number for all images or one for each, in a shape that broadcasts against them.

    Raises:
        InputError: for other shapes than [] and [N].

    Example:
        >>> per_image("brightness", "factor", jnp.ones(5), jnp.zeros((5, 8, 8, 3))).shape
        (5, 1, 1, 1)
    """
    value = jnp.asarray(value)
    if value.shape not in ((), jnp.shape(images)[:1]):
        raise InputError(
            f"{who} of {jnp.shape(images)[0]} images expects a {name} for all or one for each, "
            f"[] or [{jnp.shape(images)[0]}], got {list(value.shape)}"
        )
    return value.reshape(-1, 1, 1, 1)


def filling(who: str, fill: Fill, images: Any) -> jax.Array:
    """What is put where an image has nothing, one value or one for each channel, as an array of their dtype and rank.

    Raises:
        InputError: for other shapes, and for values that integers cannot have, such as 0.5 for bytes, where they can be
            seen.

    Example:
        >>> filling("cutout", (1, 2, 3), jnp.zeros((5, 8, 8, 3), jnp.uint8))
        Array([[[[1, 2, 3]]]], dtype=uint8)
        >>> filling("cutout", 0.5, jnp.zeros((5, 8, 8, 3), jnp.uint8))
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: cutout of uint8 images needs fill as a whole number from 0 to 255, got 0.5
    """
    channels, dtype = jnp.shape(images)[-1], jnp.result_type(images)
    can_be_seen = is_concrete(*jax.tree.leaves(fill))
    values: Any = np.asarray(fill) if can_be_seen else jnp.asarray(fill)
    if can_be_seen and not jnp.issubdtype(dtype, jnp.inexact):
        low, high = (0, 1) if dtype == jnp.bool_ else (jnp.iinfo(dtype).min, jnp.iinfo(dtype).max)
        if not np.all((values == np.round(values)) & (low <= values) & (values <= high)):
            raise InputError(
                f"{who} of {dtype} images needs fill as a whole number from {low} to {high}, got {values.tolist()}"
            )
    if values.shape not in ((), (channels,)):
        raise InputError(
            f"{who} of images with {channels} channels needs one fill for all or one for each, [] or [{channels}], "
            f"got {list(values.shape)}"
        )
    return jnp.asarray(values).astype(dtype).reshape(1, 1, 1, -1)


def positions(images: Any) -> tuple[jax.Array, jax.Array]:
    """The row and the column of each pixel, in shapes that broadcast against the images.

    Example:
        >>> row, column = positions(jnp.zeros((5, 2, 3, 1)))
        >>> row.shape, column.ravel().tolist()
        ((1, 2, 1, 1), [0, 1, 2])
    """
    height, width = jnp.shape(images)[1:3]
    return jnp.arange(height).reshape(1, -1, 1, 1), jnp.arange(width).reshape(1, 1, -1, 1)


def numbers(images: jax.Array) -> jax.Array:
    """The same numbers as floats that can be computed with, in float32 or wider."""
    return jnp.asarray(images).astype(wide(images))


def like(values: jax.Array, images: jax.Array) -> jax.Array:
    """Computed numbers in the dtype of the images: rounded to bytes where these are bytes.

    Example:
        >>> like(jnp.array([-3.0, 2.5, 7.6, 300.0]), jnp.zeros(1, jnp.uint8)).tolist()
        [0, 2, 8, 255]
    """
    if jnp.result_type(images) == jnp.uint8:
        values = jnp.clip(jnp.round(values), 0, WHITE)
    return values.astype(jnp.result_type(images))


def shades(images: jax.Array) -> jax.Array:
    """The images in the scale from 0, black, to 1, white, as floats of at least 32 bits."""
    return numbers(images) / WHITE if jnp.result_type(images) == jnp.uint8 else numbers(images)


def like_shades(values: jax.Array, images: jax.Array) -> jax.Array:
    """The way back from `shades`, to the dtype of the images."""
    return like(values * WHITE if jnp.result_type(images) == jnp.uint8 else values, images)


def like_clipped(values: jax.Array, images: jax.Array) -> jax.Array:
    """The same, with what is darker than black or brighter than white cut off, in floats too.

    Raises:
        InputError: for floats that are far from being shades, where they can be seen.
    """
    if jnp.result_type(images) != jnp.uint8 and is_concrete(images):
        seen = np.asarray(images)  # jnp would record its operations, and have no value, wherever something is traced
        low, high = float(seen.min(initial=0)), float(seen.max(initial=1))
        if low < -0.5 or high > 1.5:
            raise InputError(
                f"colours are changed in floats from 0 to 1, or in bytes, and what lies outside is cut off, got "
                f"{low:.3g} to {high:.3g}: divide by 255 before, and standardise afterwards"
            )
    return like_shades(jnp.clip(values, 0, 1), images)
