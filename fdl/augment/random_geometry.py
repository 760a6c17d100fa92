"""Random rotations, translations and shears, drawn for each image by itself.

Each warp interpolates once, and each interpolation blurs a little: `random_affine` does all of a rotation, a
translation, a shear and a zoom at once, and the others are what it does with one of them.
"""

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp

from fdl.augment.geometry import Method, matrices_of, product, rotation, shearing, warp
from fdl.augment.images import Fill, check_pair, check_random, check_range


def random_rotation(
    key: jax.Array, images: jax.Array, max_degrees: float = 15.0, *, method: Method = "bilinear", fill: Fill = 0.0
) -> jax.Array:
    """`rotate` by an angle drawn for each image, uniformly from -max_degrees to max_degrees.

    Args:
        key: a JAX random key.
        images: [N, H, W, C], floats or uint8.
        max_degrees: from 0 to 180.
        method, fill: as for `warp`.

    Returns:
        The images in their shape and dtype.

    Raises:
        InputError: as `warp`, and for max_degrees outside its range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> jax.jit(random_rotation)(jax.random.key(0), jnp.ones((2, 5, 5, 1)))[:, 2, 2, 0].tolist()  # the middle stays
        [1.0, 1.0]
    """
    check_random("random_rotation", key, images)
    check_range("random_rotation", 0, 180, max_degrees=max_degrees)
    return random_affine(key, images, max_degrees=max_degrees, method=method, fill=fill)


def random_translation(
    key: jax.Array, images: jax.Array, max_shift: float = 0.1, *, method: Method = "bilinear", fill: Fill = 0.0
) -> jax.Array:
    """`translate` by shifts drawn for each image, uniformly up to a part of its height and of its width.

    Args:
        key: a JAX random key.
        images: [N, H, W, C], floats or uint8.
        max_shift: as a fraction of height and width, from 0 to 1, either way.
        method, fill: as for `warp`.

    Returns:
        The images in their shape and dtype.

    Raises:
        InputError: as `warp`, and for max_shift outside its range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> moved = jax.jit(random_translation)(jax.random.key(0), jnp.ones((2, 10, 10, 1)))
        >>> moved[:, 1:9, 1:9].min().item()  # by one pixel at most
        1.0
    """
    check_random("random_translation", key, images)
    check_range("random_translation", 0, 1, max_shift=max_shift)
    return random_affine(key, images, max_shift=max_shift, method=method, fill=fill)


def random_shear(
    key: jax.Array, images: jax.Array, max_slope: float = 0.2, *, method: Method = "bilinear", fill: Fill = 0.0
) -> jax.Array:
    """`shear` with a vertical and a horizontal slope drawn for each image, uniformly from -max_slope to max_slope.

    Args:
        key: a JAX random key.
        images: [N, H, W, C], floats or uint8.
        max_slope: in pixels per pixel, >= 0.
        method, fill: as for `warp`.

    Returns:
        The images in their shape and dtype.

    Raises:
        InputError: as `warp`, and for max_slope outside its range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> jax.jit(random_shear)(jax.random.key(0), jnp.ones((2, 5, 5, 1)))[:, 2, 2, 0].tolist()  # the middle stays
        [1.0, 1.0]
    """
    check_random("random_shear", key, images)
    check_range("random_shear", 0, math.inf, max_slope=max_slope)
    return random_affine(key, images, max_slope=max_slope, method=method, fill=fill)


def random_affine(
    key: jax.Array,
    images: jax.Array,
    *,
    max_degrees: float = 0.0,
    max_shift: float = 0.0,
    max_slope: float = 0.0,
    zoom: Sequence[float] = (1.0, 1.0),
    method: Method = "bilinear",
    fill: Fill = 0.0,
) -> jax.Array:
    """Zoom, shear, rotation and translation, in this order, with one interpolation for all of them.

    Args:
        key: a JAX random key.
        images: [N, H, W, C], floats or uint8.
        max_degrees, max_shift, max_slope: as for `random_rotation`, `random_translation` and `random_shear`.
        zoom: the range that the factor of each image is drawn from, uniformly in its logarithm; 2 is twice as large.
        method, fill: as for `warp`.

    Returns:
        The images in their shape and dtype.

    Raises:
        InputError: as `warp`, and for settings outside their range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from functools import partial
        >>> augment = jax.jit(partial(random_affine, max_degrees=180, zoom=(2, 2)))
        >>> augment(jax.random.key(0), jnp.ones((1, 8, 8, 1))).min().item()  # twice as large: no corner shows
        1.0
    """
    check_random("random_affine", key, images)
    check_range("random_affine", 0, 180, max_degrees=max_degrees)
    check_range("random_affine", 0, 1, max_shift=max_shift)
    check_range("random_affine", 0, math.inf, max_slope=max_slope)
    least, most = check_pair("random_affine", "zoom", 0, zoom)
    n, height, width, _ = jnp.shape(images)
    turn, move, tilt, size = jax.random.split(key, 4)
    draw = partial(jax.random.uniform, dtype=jnp.float32)  # whatever the images are: a mask of another dtype follows
    angle = draw(turn, (n,), minval=-1, maxval=1) * math.radians(max_degrees)
    shift = draw(move, (n, 2), minval=-1, maxval=1) * max_shift * jnp.array([[height, width]], jnp.float32)
    slopes = draw(tilt, (n, 2), minval=-1, maxval=1) * max_slope
    factor = jnp.exp(draw(size, (n,)) * math.log(most / least) + math.log(least))
    # Backwards: what came last is undone first.
    a = product(shearing(slopes), rotation(angle)) / factor[:, None, None]
    return warp(images, matrices_of(a, -(a * shift[:, None, :]).sum(-1)), method=method, fill=fill)
