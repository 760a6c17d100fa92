"""Crops: windows of images, drawn at random.

Windows of whole pixels are one `jax.lax.dynamic_slice` per image, under vmap: of six forms that were measured it is
the fastest on CPU (0.2 ms for 128 images of 32 x 32 x 3; a gather of single pixels takes twice that). Resized crops
look their pixels up: eight times as fast as products with matrices of weights at 224 x 224.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp

from fdl.augment.geometry import Method, check_method
from fdl.augment.images import Fill, check_images, check_pair, check_random, filling, like, numbers
from fdl.counts import check_count, for_each_axis
from fdl.errors import InputError
from fdl.rule import wide

Size = int | tuple[int, int]


def crop(images: jax.Array, corners: jax.Array, size: Size) -> jax.Array:
    """A window of each image.

    Args:
        images: [N, H, W, C], of any dtype.
        corners: integers [N, 2], the row and the column where each window starts. One that would reach beyond the
            image is moved back into it.
        size: of the window, one number or (height, width).

    Returns:
        [N, height, width, C], in the dtype of the images.

    Raises:
        InputError: for what is no batch of images, for corners of another shape, and for windows larger than them.

    Example:
        >>> import jax.numpy as jnp
        >>> image = jnp.arange(9).reshape(1, 3, 3, 1)
        >>> crop(image, jnp.array([[1, 0]]), 2)[0, ..., 0].tolist()
        [[3, 4], [6, 7]]
    """
    check_images("crop", images, any_dtype=True)
    height, width = window_in("crop", images, size)
    n, channels = jnp.shape(images)[0], jnp.shape(images)[-1]
    if jnp.shape(corners) != (n, 2) or not jnp.issubdtype(jnp.result_type(corners), jnp.integer):
        raise InputError(
            f"crop of {n} images expects corners as integers [{n}, 2], "
            f"got {jnp.result_type(corners)} of shape {list(jnp.shape(corners))}"
        )

    def window(image: jax.Array, corner: jax.Array) -> jax.Array:
        start = corner[0], corner[1], jnp.int32(0)
        # JAX would count negative ones from the other end, where nobody looks for them.
        return jax.lax.dynamic_slice(image, start, (height, width, channels), allow_negative_indices=False)

    return jax.vmap(window)(jnp.asarray(images), jnp.asarray(corners).astype(jnp.int32))


def random_crop(
    key: jax.Array,
    images: jax.Array,
    padding: int = 4,
    *,
    size: Size | None = None,
    mode: Literal["constant", "reflect"] = "constant",
    fill: Fill = 0.0,
) -> jax.Array:
    """A window of each image, drawn uniformly among all that the padded image has.

    Args:
        key: a JAX random key.
        images: [N, H, W, C], of any dtype.
        padding: how many pixels are added on each side first.
        size: of the window, one number or (height, width); that of the images if None.
        mode: what is added: "constant", the value ``fill``, or "reflect", the image mirrored at its rim.
        fill: one value, or one for each channel, in the range of the images: from 0 to 255 in uint8.

    Returns:
        [N, height, width, C], in the dtype of the images.

    Raises:
        InputError: for what is no batch of images, for windows larger than the padded image, for a negative padding or
            an unknown mode, and for a fill of another shape or that the images' dtype does not have.

    Source: He, Zhang, Ren and Sun, "Deep residual learning for image recognition" (2016), section 4.2: padding 4.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> jax.jit(random_crop)(jax.random.key(0), jnp.ones((16, 32, 32, 3), jnp.uint8)).shape
        (16, 32, 32, 3)
    """
    check_random("random_crop", key, images, any_dtype=True)
    check_count("random_crop", "padding", padding, least=0)
    if mode not in ("constant", "reflect"):
        raise InputError(f'random_crop pads by "constant" or "reflect", got {mode!r}')
    n, height, width, channels = jnp.shape(images)
    if mode == "reflect":
        padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)), "reflect")
    else:
        around = jnp.broadcast_to(
            filling("random_crop", fill, images), (n, height + 2 * padding, width + 2 * padding, channels)
        )
        padded = around.at[:, padding : padding + height, padding : padding + width].set(images)
    height, width = window_in("random_crop", padded, (height, width) if size is None else size)
    free = jnp.array([[padded.shape[1] - height + 1, padded.shape[2] - width + 1]])
    return crop(padded, jax.random.randint(key, (n, 2), 0, free), (height, width))


def crop_and_resize(images: jax.Array, boxes: jax.Array, size: Size, *, method: Method = "bilinear") -> jax.Array:
    """A box of each image, brought to one size by interpolation.

    Nothing is smoothed before it is sampled, as in `fdl.layers.resize`: a box much larger than the result loses what
    lies between the samples.

    Args:
        images: [N, H, W, C], floats or uint8.
        boxes: [N, 4], (top, left, height, width) of each box in pixels, fractions included. What lies beyond the
            image repeats its rim.
        size: of the result, one number or (height, width).
        method: "bilinear" or "nearest"; the first with pixels that are class ids makes classes that are not there.

    Returns:
        [N, height, width, C], in the dtype of the images.

    Raises:
        InputError: for what is no batch of images, for boxes of another shape, for sizes below one, and for an
            unknown method.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> image = jnp.array([[1.0, 5.0]]).reshape(1, 1, 2, 1)
        >>> half = jax.jit(crop_and_resize, static_argnames="size")
        >>> half(image, jnp.array([[0.0, 0.0, 1.0, 2.0]]), size=(1, 4)).ravel().tolist()
        [1.0, 2.0, 4.0, 5.0]
    """
    check_images("crop_and_resize", images)
    check_method("crop_and_resize", method)
    out_height, out_width = for_each_axis("crop_and_resize", "size", size, axes=2)
    n, height, width, channels = jnp.shape(images)
    if jnp.shape(boxes) != (n, 4):
        raise InputError(f"crop_and_resize of {n} images expects boxes [{n}, 4], got {list(jnp.shape(boxes))}")
    x, boxes = numbers(images), jnp.asarray(boxes).astype(wide(images))
    down = _samples(boxes[:, 0], boxes[:, 2], out_height, height)
    right = _samples(boxes[:, 1], boxes[:, 3], out_width, width)
    pixels, first = x.reshape(-1, channels), jnp.arange(n).reshape(n, 1, 1) * (height * width)

    def look(row: jax.Array, column: jax.Array) -> jax.Array:
        return pixels.at[first + row[:, :, None] * width + column[:, None, :]].get(mode="promise_in_bounds")

    if method == "nearest":
        return like(look(*(jnp.floor(place + 0.5).astype(jnp.int32) for place in (down, right))), images)
    (row, next_row, below), (column, next_column, beyond) = _between(down, height), _between(right, width)
    below, beyond = below[:, :, None, None], beyond[:, None, :, None]
    upper = (1 - beyond) * look(row, column) + beyond * look(row, next_column)
    lower = (1 - beyond) * look(next_row, column) + beyond * look(next_row, next_column)
    return like((1 - below) * upper + below * lower, images)


def random_resized_crop(
    key: jax.Array,
    images: jax.Array,
    size: Size,
    *,
    area: Sequence[float] = (0.08, 1.0),
    aspect: Sequence[float] = (3 / 4, 4 / 3),
    method: Method = "bilinear",
) -> jax.Array:
    """A box of random area, aspect ratio and place in each image, brought to one size.

    Area is uniform, the aspect ratio uniform in its logarithm among those for which such a box fits into the image,
    and if none does it is the nearest that does. Nothing has to be drawn again.

    Args:
        key: a JAX random key.
        images: [N, H, W, C], floats or uint8.
        size: of the result, one number or (height, width).
        area: the range of the box's area, as a fraction of the image's.
        aspect: the range of the box's width over its height.
        method: as for `crop_and_resize`.

    Returns:
        [N, height, width, C], in the dtype of the images.

    Raises:
        InputError: for what is no batch of images, and for settings outside their range.

    Source: Szegedy et al., "Going deeper with convolutions" (2015), section 6.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from functools import partial
        >>> augment = jax.jit(partial(random_resized_crop, size=4))
        >>> augment(jax.random.key(0), jnp.ones((2, 10, 8, 3), jnp.uint8)).shape
        (2, 4, 4, 3)
    """
    check_random("random_resized_crop", key, images)
    check_pair("random_resized_crop", "area", 0, area, 1)
    check_pair("random_resized_crop", "aspect", 0, aspect)
    return crop_and_resize(images, _random_boxes(key, images, area, aspect), size, method=method)


def _random_boxes(key: jax.Array, images: jax.Array, area: Sequence[float], aspect: Sequence[float]) -> jax.Array:
    n, height, width, _ = jnp.shape(images)
    share, ratio, top, left = jax.random.uniform(key, (4, n), jnp.float32)  # the same for a mask of another dtype
    pixels = (area[0] + share * (area[1] - area[0])) * (height * width)
    # sqrt(pixels / r) <= height and sqrt(pixels r) <= width
    lowest, highest = jnp.log(pixels / height**2), jnp.log(width**2 / pixels)
    low, high = (jnp.clip(math.log(end), lowest, highest) for end in aspect)
    r = jnp.exp(low + ratio * (high - low))
    h, w = jnp.minimum(jnp.sqrt(pixels / r), height), jnp.minimum(jnp.sqrt(pixels * r), width)
    return jnp.stack([top * (height - h), left * (width - w), h, w], 1)


def _samples(start: jax.Array, length: jax.Array, out: int, size: int) -> jax.Array:
    """For each place of the result, where it is between the pixels: [N, out]."""
    place = start[:, None] + (jnp.arange(out, dtype=start.dtype)[None] + 0.5) * (length / out)[:, None] - 0.5
    return jnp.clip(place, 0, size - 1)


def _between(place: jax.Array, size: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The pixel before each place, the next one, and the share of that."""
    before = jnp.floor(place)
    index = before.astype(jnp.int32)
    return index, jnp.minimum(index + 1, size - 1), place - before


def window_in(who: str, images: Any, size: Any) -> tuple[int, int]:
    """Height and width of a window; refuses one that the images are too small for.

    Raises:
        InputError: with both sizes.

    Example:
        >>> window_in("crop", jnp.zeros((1, 3, 3, 1)), 2)
        (2, 2)
    """
    height, width = for_each_axis(who, "size", size, axes=2)
    if height > jnp.shape(images)[1] or width > jnp.shape(images)[2]:
        raise InputError(
            f"{who} cannot take a window of {height} x {width} out of {jnp.shape(images)[1]} x {jnp.shape(images)[2]} "
            "pixels: make it smaller, or pad or resize the images first"
        )
    return height, width
