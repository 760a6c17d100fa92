"""Policies: for each image, operations drawn from a list.

    RandAugment       a number of operations, one after another, all as strong as one number says
    TrivialAugment    one operation, of random strength, and nothing to choose

The list has the 14 operations of RandAugment: nothing, autocontrast, equalize, rotation, solarize, saturation
("color"), posterize, contrast, brightness, sharpness, and shear and translation along each axis.

How to do another thing with each image of a batch? `jax.lax.switch` under vmap does everything with every image
and throws 13 of 14 results away. Here the batch is dealt to the operations like cards: all have the same number of
places (k = N / 14, rounded up), images go to places in random order, and each operation works on its k places. So
every image gets each operation with probability 1/14, as if each had been drawn by itself, and only the number of
images that an operation gets in one batch is more even than it would be then.

One operation for each of 64 images of 32 x 32 x 3 takes 0.9 ms on two CPU cores. The switch under vmap took 12.6, one
warp for all that bends and everything else for all images 10, and a loop over images (`jax.lax.map` with a switch) 0.9
too; but a loop leaves a parallel device idle, and under another vmap it is the first form again.

Sources: Cubuk, Zoph, Shlens and Le, "RandAugment: practical automated data augmentation with a reduced search space"
(2020); Müller and Hutter, "TrivialAugment: tuning-free yet state-of-the-art data augmentation" (2021). Strengths are
those of torchvision.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import jax
import jax.numpy as jnp

from fdl.augment import color, geometry, tones
from fdl.augment.geometry import Method
from fdl.augment.images import Fill, check_random, check_range
from fdl.counts import check_count
from fdl.errors import InputError
from fdl.rule import wide

Operation = Callable[[jax.Array, jax.Array], jax.Array]
Operations = Mapping[str, Operation]

MOST = 30  # the largest magnitude, as in the papers


def policy_operations(
    *,
    max_degrees: float = 30.0,
    max_slope: float = 0.3,
    max_pixels: float | None = None,
    max_change: float = 0.9,
    least_bits: int = 4,
    method: Method = "nearest",
    fill: Fill = 0.0,
) -> Operations:
    """The 14 operations, as functions of images and of a strength for each, from -1 to 1.

    Args:
        max_degrees, max_slope: of the rotation and of shears.
        max_pixels: of translations; 150 / 331 of the height and of the width if None.
        max_change: of the factors of saturation, contrast, brightness and sharpness, around 1.
        least_bits: what posterize keeps at most strength.
        method, fill: of rotation, shears and translations, as for `fdl.augment.warp`.

    Returns:
        A mapping from names to operations. Others can be made of it, and added to it.

    Example:
        >>> operations = policy_operations(fill=0.5)
        >>> list(operations)[:4]
        ['identity', 'autocontrast', 'equalize', 'rotate']
        >>> without_bending = {name: f for name, f in operations.items() if not name.startswith("shear")}
        >>> without_bending |= {"invert": lambda images, strength: 1 - images}
    """
    rotate = partial(geometry.rotate, method=method, fill=fill)
    shear = partial(geometry.shear, method=method, fill=fill)
    translate = partial(geometry.translate, method=method, fill=fill)

    def pixels(size: int) -> float:
        return size * 150 / 331 if max_pixels is None else max_pixels

    def down(amount: jax.Array) -> jax.Array:
        return jnp.stack([amount, jnp.zeros_like(amount)], -1)

    def right(amount: jax.Array) -> jax.Array:
        return jnp.stack([jnp.zeros_like(amount), amount], -1)

    return MappingProxyType(
        {
            "identity": lambda x, s: x,
            "autocontrast": lambda x, s: tones.autocontrast(x),
            "equalize": lambda x, s: tones.equalize(x),
            "rotate": lambda x, s: rotate(x, max_degrees * s),
            "solarize": lambda x, s: tones.solarize(x, (1 - jnp.abs(s)) * 256 / 255),  # at strength 0, nothing
            "saturation": lambda x, s: color.saturation(x, 1 + max_change * s),
            "posterize": lambda x, s: tones.posterize(x, 8 - jnp.round((8 - least_bits) * jnp.abs(s))),
            "contrast": lambda x, s: color.contrast(x, 1 + max_change * s),
            "brightness": lambda x, s: color.brightness(x, 1 + max_change * s),
            "sharpness": lambda x, s: color.sharpness(x, 1 + max_change * s),
            "shear_x": lambda x, s: shear(x, right(max_slope * s)),
            "shear_y": lambda x, s: shear(x, down(max_slope * s)),
            "translate_x": lambda x, s: translate(x, right(pixels(x.shape[2]) * s)),
            "translate_y": lambda x, s: translate(x, down(pixels(x.shape[1]) * s)),
        }
    )


RAND_AUGMENT = policy_operations()
TRIVIAL_AUGMENT = policy_operations(max_degrees=135.0, max_slope=0.99, max_pixels=32.0, max_change=0.99, least_bits=2)


def rand_augment(
    key: jax.Array,
    images: jax.Array,
    layers: int = 2,
    magnitude: float = 9.0,
    *,
    operations: Operations = RAND_AUGMENT,
) -> jax.Array:
    """Does a number of operations with each image, each drawn anew, all of the same strength.

    Args:
        key: a JAX random key.
        images: [N, H, W, C], floats from 0 to 1 or uint8.
        layers: how many operations, N in the paper.
        magnitude: how strong, M in the paper: from 0 to 30. Operations with two directions take either.
        operations: what to draw from, by name.

    Returns:
        The images in their shape and dtype.

    Raises:
        InputError: for what is no batch of images, and for settings outside their range.

    Source: Cubuk, Zoph, Shlens and Le (2020).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from functools import partial
        >>> invert = {"invert": lambda images, strength: 1 - images}
        >>> augment = jax.jit(partial(rand_augment, layers=3, operations=invert))
        >>> augment(jax.random.key(0), jnp.zeros((2, 1, 1, 3))).ravel().tolist()
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    check_random("rand_augment", key, images)
    check_count("rand_augment", "layers", layers, least=0)
    check_range("rand_augment", 0, MOST, magnitude=magnitude)
    _check_operations("rand_augment", operations)

    def layer(images: jax.Array, key: jax.Array) -> tuple[jax.Array, None]:
        deal, sign = jax.random.split(key)
        n = images.shape[0]
        strengths = jax.random.rademacher(sign, (n,), wide(images)) * (magnitude / MOST)
        return dealt(deal, images, strengths, operations), None

    return jax.lax.scan(layer, jnp.asarray(images), jax.random.split(key, layers))[0]


def trivial_augment(key: jax.Array, images: jax.Array, *, operations: Operations = TRIVIAL_AUGMENT) -> jax.Array:
    """Does one operation with each image, as strong as chance has it; there is nothing to tune.

    Args:
        key: a JAX random key.
        images: [N, H, W, C], floats from 0 to 1 or uint8.
        operations: what to draw from, by name; by default in the paper's wide ranges, which move by up to 32 pixels.

    Returns:
        The images in their shape and dtype.

    Raises:
        InputError: for what is no batch of images.

    Source: Müller and Hutter (2021).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from functools import partial
        >>> brighter = {"brighter": lambda images, strength: images + jnp.abs(strength)[:, None, None, None]}
        >>> augment = jax.jit(partial(trivial_augment, operations=brighter))
        >>> y = augment(jax.random.key(0), jnp.zeros((500, 1, 1, 1)))
        >>> y.min().item(), y.max().item()
        (0.0, 1.0)
    """
    check_random("trivial_augment", key, images)
    _check_operations("trivial_augment", operations)
    deal, sign, level = jax.random.split(key, 3)
    n, dtype = jnp.shape(images)[0], wide(images)
    strengths = jax.random.randint(level, (n,), 0, MOST + 1).astype(dtype) / MOST
    strengths = strengths * jax.random.rademacher(sign, (n,), dtype)
    return dealt(deal, jnp.asarray(images), strengths, operations)


def dealt(key: jax.Array, images: jax.Array, strengths: jax.Array, operations: Operations) -> jax.Array:
    """One operation for each image: images are dealt to the places of operations in random order.

    Args:
        key: a JAX random key.
        images: [N, H, W, C].
        strengths: [N].
        operations: by name.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> operations = {"up": lambda x, s: x + 1, "down": lambda x, s: x - 1}
        >>> deal = jax.jit(lambda key: dealt(key, jnp.zeros((4, 1, 1, 1)), jnp.zeros(4), operations))
        >>> sorted(deal(jax.random.key(0)).ravel().tolist())
        [-1.0, -1.0, 1.0, 1.0]
    """
    n, each = len(images), -(-len(images) // len(operations))
    places = jax.random.permutation(key, each * len(operations))[:n]
    guests = jnp.zeros(each * len(operations), jnp.int32).at[places].set(jnp.arange(n, dtype=jnp.int32))
    if n == 0:
        return images
    done = [
        operation(images[here], strengths[here])
        for operation, here in zip(operations.values(), guests.reshape(-1, each), strict=True)
    ]
    return jnp.concatenate(done)[places]


def _check_operations(who: str, operations: Operations) -> None:
    if not isinstance(operations, Mapping) or not operations:
        raise InputError(f"{who} draws from a mapping of at least one name to an operation, got {operations!r}")
