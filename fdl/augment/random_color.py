"""Random colours: a factor, or a turn of the colour circle, drawn for each image by itself."""

import jax
import jax.numpy as jnp

from fdl.augment.color import brightness, contrast, hue, saturation
from fdl.augment.images import check_random, check_range


def random_brightness(key: jax.Array, images: jax.Array, strength: float = 0.4) -> jax.Array:
    """`brightness` with a factor drawn for each image, uniformly from 1 - strength to 1 + strength.

    Args:
        key: a JAX random key.
        images: [N, H, W, C], floats from 0 to 1 or uint8.
        strength: from 0 to 1.

    Returns:
        The images in their dtype.

    Raises:
        InputError: for what is no batch of images, and for a strength outside its range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> y = jax.jit(random_brightness)(jax.random.key(0), jnp.full((100, 1, 1, 1), 0.5))
        >>> y.min().round(1).item(), y.max().round(1).item()
        (0.3, 0.7)
    """
    return brightness(images, _factors("random_brightness", key, images, strength))


def random_contrast(key: jax.Array, images: jax.Array, strength: float = 0.4) -> jax.Array:
    """`contrast` with a factor drawn for each image, uniformly from 1 - strength to 1 + strength.

    Args:
        key, images, strength: as for `random_brightness`.

    Returns:
        The images in their dtype.

    Raises:
        InputError: as `random_brightness`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> jax.jit(random_contrast)(jax.random.key(0), jnp.full((3, 8, 8, 1), 0.5)).mean().item()  # nothing to stretch
        0.5
    """
    return contrast(images, _factors("random_contrast", key, images, strength))


def random_saturation(key: jax.Array, images: jax.Array, strength: float = 0.4) -> jax.Array:
    """`saturation` with a factor drawn for each image, uniformly from 1 - strength to 1 + strength.

    Args:
        key, images, strength: as for `random_brightness`.

    Returns:
        The images in their dtype.

    Raises:
        InputError: as `random_brightness`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> jax.jit(random_saturation)(jax.random.key(0), jnp.full((3, 8, 8, 3), 99, jnp.uint8)).max().item()
        99
    """
    return saturation(images, _factors("random_saturation", key, images, strength))


def random_hue(key: jax.Array, images: jax.Array, max_turn: float = 0.05) -> jax.Array:
    """`hue` with a turn drawn for each image, uniformly from -max_turn to max_turn.

    Args:
        key: a JAX random key.
        images: [N, H, W, 3], floats from 0 to 1 or uint8.
        max_turn: from 0 to 0.5, which is half way round.

    Returns:
        The images in their dtype.

    Raises:
        InputError: for other than three channels, and for a max_turn outside its range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> jax.jit(random_hue)(jax.random.key(0), jnp.full((3, 8, 8, 3), 99, jnp.uint8)).max().item()  # grey stays
        99
    """
    check_random("random_hue", key, images)
    check_range("random_hue", 0, 0.5, max_turn=max_turn)
    return hue(images, jax.random.uniform(key, jnp.shape(images)[:1], minval=-max_turn, maxval=max_turn))


def _factors(who: str, key: jax.Array, images: jax.Array, strength: float) -> jax.Array:
    check_random(who, key, images)
    check_range(who, 0, 1, strength=strength)
    return jax.random.uniform(key, jnp.shape(images)[:1], minval=1 - strength, maxval=1 + strength)
