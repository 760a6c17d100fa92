"""Composition: several augmentations as one function of a key and images, or of a key and a batch.

A stage is a function f(key, values) -> values. Settings that are not the usual ones are fixed by `functools.partial`:

    augment = chain(random_flip, random_crop, partial(cutout, size=8))

Augmentation belongs into the compiled step, with the step's key, and into training only. `fdl.train.supervised` does
that with a function of a key and a batch:

    supervised(net, loss, augment=on_images(augment))
    supervised(net, loss, augment=chain(on_images(augment), partial(mixup, classes=10)))

Where the labels lie on the image, such as a mask of class ids, they have to move with it. A key draws the same for
every batch of the same size and number, so both are given one, and what interpolates looks at the nearest class:

    def augment(key, batch):
        images, masks = batch  # [N, H, W, C], uint8 [N, H, W]
        images = random_rotation(key, images)
        return images, random_rotation(key, masks[..., None], method="nearest")[..., 0]
"""

from collections.abc import Callable
from typing import Any

import jax

from fdl.errors import InputError
from fdl.keys import check_key

Stage = Callable[[jax.Array, Any], Any]


def chain(*stages: Stage) -> Stage:
    """One after another, each with a key of its own.

    Args:
        stages: functions of (key, values): of images, or, as from `on_images` and for `mixup`, of batches.

    Returns:
        A function of (key, values) that gives what the last one gives. A stage's key depends on how many are before
        it, and not on what comes after it.

    Raises:
        InputError: for no stages, and for one that is no function: what was called already, for instance.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from functools import partial
        >>> from fdl.augment import cutout, random_crop, random_flip
        >>> augment = jax.jit(chain(random_flip, partial(random_crop, padding=2), partial(cutout, size=8)))
        >>> augment(jax.random.key(0), jnp.ones((16, 32, 32, 3), jnp.uint8)).shape
        (16, 32, 32, 3)
    """
    if not stages:
        raise InputError("chain needs at least one stage")
    for stage in stages:
        if not callable(stage):
            raise InputError(
                f"chain is made of functions of (key, images), got a {type(stage).__name__}: "
                "settings are fixed by functools.partial, as in partial(cutout, size=8)"
            )

    def chained(key: jax.Array, values: Any) -> Any:
        check_key("chain", key)
        for index, stage in enumerate(stages):
            values = stage(jax.random.fold_in(key, index), values)
        return values

    return chained


def on_images(augment: Stage) -> Stage:
    """Makes a function of batches of one of images: labels stay as they are.

    That is right for labels of whole images. A mask that lies on the image has to move with it: see the module's text.

    Args:
        augment: a function of (key, images).

    Returns:
        A function of (key, batch), for batches that are pairs (images, labels).

    Raises:
        InputError: from the function, for a batch that is no pair.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> negative = on_images(lambda key, images: 1 - images)
        >>> images, labels = negative(jax.random.key(0), (jnp.zeros((1, 1, 1, 1)), jnp.array([7])))
        >>> images.item(), labels.item()
        (1.0, 7)
    """

    def augmented(key: jax.Array, batch: Any) -> Any:
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise InputError(f"on_images takes a batch as a pair (images, labels), got a {type(batch).__name__}")
        return augment(key, batch[0]), batch[1]

    return augmented
