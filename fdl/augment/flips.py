"""Flips: each image as it is, or as in a mirror, with a probability."""

import jax
import jax.numpy as jnp

from fdl.augment.images import check_images, check_random, check_range
from fdl.errors import InputError


def flip(images: jax.Array, where: jax.Array, axis: int = 2) -> jax.Array:
    """Mirrors some of the images.

    Args:
        images: [N, H, W, C], of any dtype.
        where: booleans [N], which images to mirror.
        axis: 2 swaps left and right, 1 top and bottom.

    Returns:
        The images in their shape and dtype.

    Raises:
        InputError: for what is no batch of images, for another mask, and for other axes.

    Example:
        >>> import jax.numpy as jnp
        >>> images = jnp.array([[1, 2], [3, 4]]).reshape(2, 1, 2, 1)
        >>> flip(images, jnp.array([True, False])).reshape(2, 2).tolist()
        [[2, 1], [3, 4]]
    """
    check_images("flip", images, any_dtype=True)
    n = jnp.shape(images)[0]
    if jnp.shape(where) != (n,) or jnp.result_type(where) != jnp.bool_:
        raise InputError(
            f"flip of {n} images expects where as booleans [{n}], "
            f"got {jnp.result_type(where)} of shape {list(jnp.shape(where))}"
        )
    if axis not in (1, 2):
        raise InputError(f"flip mirrors along axis 1 (top and bottom) or 2 (left and right), got {axis}")
    return jnp.where(jnp.asarray(where)[:, None, None, None], jnp.flip(images, axis), images)


def random_flip(key: jax.Array, images: jax.Array, probability: float = 0.5) -> jax.Array:
    """Swaps left and right of an image with a probability, for each by itself.

    Args:
        key: a JAX random key.
        images: [N, H, W, C], of any dtype.
        probability: from 0 to 1.

    Returns:
        The images in their shape and dtype.

    Raises:
        InputError: for what is no batch of images, and for a probability outside its range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> images = jnp.array([1, 2] * 4).reshape(4, 1, 2, 1)
        >>> jax.jit(random_flip)(jax.random.key(0), images).sum(2).ravel().tolist()  # one way or the other
        [3, 3, 3, 3]
    """
    return _random_flip("random_flip", key, images, probability, 2)


def random_vertical_flip(key: jax.Array, images: jax.Array, probability: float = 0.5) -> jax.Array:
    """Swaps top and bottom of an image with a probability, for each by itself: for views from above, and cells.

    Args:
        key: a JAX random key.
        images: [N, H, W, C], of any dtype.
        probability: from 0 to 1.

    Returns:
        The images in their shape and dtype.

    Raises:
        InputError: for what is no batch of images, and for a probability outside its range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> images = jnp.array([1, 2] * 4).reshape(4, 2, 1, 1)
        >>> jax.jit(random_vertical_flip)(jax.random.key(0), images).sum(1).ravel().tolist()
        [3, 3, 3, 3]
    """
    return _random_flip("random_vertical_flip", key, images, probability, 1)


def _random_flip(who: str, key: jax.Array, images: jax.Array, probability: float, axis: int) -> jax.Array:
    check_random(who, key, images, any_dtype=True)
    check_range(who, 0, 1, probability=probability)
    return flip(images, jax.random.bernoulli(key, float(probability), jnp.shape(images)[:1]), axis)
