"""Rotation, translation, shear: affine maps of the plane, and how an image looks after one.

Positions (y, x) count in pixels, down and to the right, from the middle of the image. A warp is told backwards: for
each place of the new image, where in the old one to look,

    (y', x') = A (y, x) + b

and looks there by interpolation: "bilinear" between the four pixels around, or "nearest". Around the image is an
endless plane of one value, ``fill``. Numbers are of any range; uint8 is rounded.
"""

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp

from fdl.augment.images import Fill, check_images, filling, like, numbers
from fdl.errors import InputError
from fdl.rule import wide

Method = Literal["bilinear", "nearest"]


def warp(images: jax.Array, matrices: jax.Array, *, method: Method = "bilinear", fill: Fill = 0.0) -> jax.Array:
    """The images on a plane that an affine map has moved: y_p = x_{A p + b}.

    Args:
        images: [N, H, W, C], floats or uint8.
        matrices: [2, 3] for all images or [N, 2, 3], the matrix A and the vector b as its last column; rows and
            columns are y (down) and x (to the right) from the middle of the image, in pixels.
        method: "bilinear" or "nearest"; the first with pixels that are class ids makes classes that are not there.
        fill: the value around the image, or one for each channel, in the range of the images: from 0 to 255 in uint8.

    Returns:
        The images in their shape and dtype.

    Raises:
        InputError: for what is no batch of images, for matrices or a fill of another shape, for a fill that the images'
            dtype does not have, and for an unknown method.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> image = jnp.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
        >>> look_right = jnp.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
        >>> jax.jit(warp)(image, look_right)[0, ..., 0].tolist()
        [[2.0, 0.0], [4.0, 0.0]]
    """
    check_images("warp", images)
    check_method("warp", method)
    n, height, width, channels = jnp.shape(images)
    if jnp.shape(matrices) not in ((2, 3), (n, 2, 3)):
        raise InputError(
            f"warp of {n} images expects matrices [2, 3] or [{n}, 2, 3], got {list(jnp.shape(matrices))}: "
            "the last column is what is added"
        )
    x, around = numbers(images), filling("warp", fill, images).astype(wide(images))
    a = jnp.asarray(matrices).astype(x.dtype).reshape(-1, 2, 3, 1, 1)
    down = jnp.arange(height, dtype=x.dtype)[None, :, None] - (height - 1) / 2
    right = jnp.arange(width, dtype=x.dtype)[None, None, :] - (width - 1) / 2
    # Anything far outside is as good as just outside, and fits an integer.
    y_from = jnp.clip(a[:, 0, 0] * down + a[:, 0, 1] * right + a[:, 0, 2] + (height - 1) / 2, -2, height + 1)
    x_from = jnp.clip(a[:, 1, 0] * down + a[:, 1, 1] * right + a[:, 1, 2] + (width - 1) / 2, -2, width + 1)
    pixels, first = x.reshape(-1, channels), jnp.arange(n).reshape(n, 1, 1) * (height * width)

    def look(row: jax.Array, column: jax.Array) -> jax.Array:
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        place = first + jnp.clip(row, 0, height - 1) * width + jnp.clip(column, 0, width - 1)
        return jnp.where(inside[..., None], pixels.at[place].get(mode="promise_in_bounds"), around)

    if method == "nearest":
        return like(look(jnp.floor(y_from + 0.5).astype(jnp.int32), jnp.floor(x_from + 0.5).astype(jnp.int32)), images)
    row, column = jnp.floor(y_from), jnp.floor(x_from)
    below, beyond = (y_from - row)[..., None], (x_from - column)[..., None]  # the shares of the next row and column
    i, j = row.astype(jnp.int32), column.astype(jnp.int32)
    upper = (1 - beyond) * look(i, j) + beyond * look(i, j + 1)
    lower = (1 - beyond) * look(i + 1, j) + beyond * look(i + 1, j + 1)
    return like((1 - below) * upper + below * lower, images)


def rotate(images: jax.Array, degrees: Any, *, method: Method = "bilinear", fill: Fill = 0.0) -> jax.Array:
    """Turns images about their middle, counter-clockwise.

    Args:
        images: [N, H, W, C], floats or uint8.
        degrees: one angle for all or [N].
        method, fill: as for `warp`.

    Returns:
        The images in their shape and dtype; corners that leave the frame are lost.

    Raises:
        InputError: as `warp`, and for angles of another shape.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> image = jnp.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
        >>> jax.jit(rotate)(image, 90.0)[0, ..., 0].round(3).tolist()
        [[2.0, 4.0], [1.0, 3.0]]
    """
    angle = _each("rotate", "angle", degrees, images) * (math.pi / 180)
    return warp(images, matrices_of(rotation(angle)), method=method, fill=fill)


def translate(images: jax.Array, shifts: Any, *, method: Method = "bilinear", fill: Fill = 0.0) -> jax.Array:
    """Moves images down and to the right.

    Args:
        images: [N, H, W, C], floats or uint8.
        shifts: [2] for all or [N, 2], (down, right) in pixels, negative for up and left; fractions are interpolated.
        method, fill: as for `warp`.

    Returns:
        The images in their shape and dtype.

    Raises:
        InputError: as `warp`, and for shifts of another shape.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> image = jnp.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
        >>> jax.jit(translate)(image, (1, 0), fill=9.0)[0, ..., 0].tolist()
        [[9.0, 9.0], [1.0, 2.0]]
    """
    b = -_each("translate", "(down, right)", shifts, images, 2)
    return warp(images, matrices_of(jnp.eye(2, dtype=b.dtype), b), method=method, fill=fill)


def shear(images: jax.Array, slopes: Any, *, method: Method = "bilinear", fill: Fill = 0.0) -> jax.Array:
    """Moves rows sideways the more the lower they are, and columns down the more they are to the right.

    What is seen at (y, x) was at (y - v x, x - h y), with (v, h) the slopes.

    Args:
        images: [N, H, W, C], floats or uint8.
        slopes: [2] for all or [N, 2], (vertical, horizontal), in pixels per pixel.
        method, fill: as for `warp`.

    Returns:
        The images in their shape and dtype.

    Raises:
        InputError: as `warp`, and for slopes of another shape.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> line = jnp.array([0.0, 1.0, 0.0] * 3).reshape(1, 3, 3, 1)
        >>> jax.jit(shear)(line, (0, 1))[0, ..., 0].tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    return warp(
        images,
        matrices_of(shearing(_each("shear", "(vertical, horizontal)", slopes, images, 2))),
        method=method,
        fill=fill,
    )


def check_method(who: str, method: str) -> None:
    """Refuses other ways to look between pixels than the two that there are.

    Raises:
        InputError: with what came.

    Example:
        >>> check_method("warp", "bicubic")
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: warp interpolates by "bilinear" or "nearest", got 'bicubic'
    """
    if method not in ("bilinear", "nearest"):
        raise InputError(f'{who} interpolates by "bilinear" or "nearest", got {method!r}')


def _each(who: str, name: str, value: Any, images: jax.Array, *size: int) -> jax.Array:
    """One value for each image."""
    check_images(who, images)
    value, n = jnp.asarray(value, wide(images)), jnp.shape(images)[0]
    if value.shape not in (size, (n, *size)):
        raise InputError(
            f"{who} of {n} images expects one {name} for all or one for each, {list(size)} or {[n, *size]}, "
            f"got {list(value.shape)}"
        )
    return jnp.broadcast_to(value, (n, *size))


def rotation(angle: jax.Array) -> jax.Array:
    """Where to look for what was turned by an angle in radians, counter-clockwise with y pointing down: [..., 2, 2].

    Example:
        >>> rotation(jnp.array(0.0)).tolist()
        [[1.0, 0.0], [-0.0, 1.0]]
    """
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([jnp.stack([cos, sin], -1), jnp.stack([-sin, cos], -1)], -2)


def shearing(slopes: jax.Array) -> jax.Array:
    """Where to look for what was sheared by slopes [..., 2]: [..., 2, 2].

    Example:
        >>> shearing(jnp.array([0.0, 0.5])).tolist()
        [[1.0, -0.0], [-0.5, 1.0]]
    """
    one = jnp.ones_like(slopes[..., 0])
    return jnp.stack([jnp.stack([one, -slopes[..., 0]], -1), jnp.stack([-slopes[..., 1], one], -1)], -2)


def product(a: jax.Array, b: jax.Array) -> jax.Array:
    """A B for each image, elementwise: a matrix product may round to fewer digits on some devices."""
    return (a[..., :, :, None] * b[..., None, :, :]).sum(-2)


def matrices_of(a: jax.Array, b: jax.Array | None = None) -> jax.Array:
    """A and b, one for all or one for each, as [N, 2, 3]; b is zero if None.

    Example:
        >>> matrices_of(jnp.ones((1, 2, 2)), jnp.zeros((1, 2))).tolist()
        [[[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]]
    """
    b = jnp.zeros(a.shape[:-1], a.dtype) if b is None else b
    return jnp.concatenate([jnp.broadcast_to(a, (*b.shape, 2)), b[..., None]], -1)
