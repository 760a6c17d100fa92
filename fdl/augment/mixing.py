"""Mixtures: two examples become one, and so do their labels.

    mixup     y = s x_a + (1 - s) x_b                      every pixel is a mixture
    cutmix    y = x_b in a box, x_a around it              s is the share of pixels that are of a

and in both the label is the distribution t = s t_a + (1 - s) t_b, for which `fdl.losses.softmax_cross_entropy` is as
good as for class ids. What each example is mixed with is drawn from its own batch.

A mixture changes labels, so these are functions of a batch, a pair (images, labels).

Shares are drawn from Beta(alpha, alpha). With u and v uniform between 0 and 1, w = u^(1 / alpha) and c = cos(2 pi v),

    s = 1/2 + sign(c) / 2 sqrt((1 - w) c^2 / (w + (1 - w) c^2))

has that distribution: it is Bailey's formula for Student's t, with 2 alpha degrees of freedom, taken from t to
1/2 + t / (2 sqrt(2 alpha + t^2)). Nothing is drawn again, as it is in jax.random.beta, which takes a second to compile.

Sources: Bailey, "Polar generation of random variates with the t-distribution" (1994); Devroye, "Random variate
generation in one line of code" (1996).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from fdl.augment.images import check_images, like, numbers
from fdl.augment.noise import in_boxes
from fdl.errors import InputError
from fdl.keys import split_key
from fdl.layers.one_hot import one_hot

Pair = tuple[jax.Array, jax.Array]


def mixup(key: jax.Array, batch: Pair, *, classes: int | None = None, alpha: float = 1.0) -> Pair:
    """Mixes each example with another: y = s x_a + (1 - s) x_b, t = s t_a + (1 - s) t_b.

    The share s is drawn for each example from Beta(alpha, alpha), and is that of the larger part: since a and b are
    both drawn at random, the mixtures have the same distribution as without that, but an example keeps its main
    label, and its place.

    Args:
        key: a JAX random key.
        batch: (images, labels): [N, H, W, C], floats of any range or uint8; class ids, integers [N], or
            distributions [N, classes].
        classes: how many classes there are; needed for ids.
        alpha: above 0: small ones leave most examples nearly as they are, at 1 all shares are as likely.

    Returns:
        (images, labels): in shape and dtype of the images; distributions [N, classes], floats.

    Raises:
        InputError: for what is no such batch, for ids without ``classes``, and for an alpha that is not above 0.

    Source: Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: beyond empirical risk minimization" (2018).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from functools import partial
        >>> batch = jnp.eye(2).reshape(2, 1, 2, 1), jnp.array([0, 1])
        >>> images, labels = jax.jit(partial(mixup, classes=2))(jax.random.key(1), batch)
        >>> images.ravel().tolist() == labels.ravel().tolist(), labels.argmax(1).tolist()
        (True, [0, 1])
    """
    images, distributions = _checked("mixup", batch, classes, alpha)
    n = len(distributions)
    order, draw = split_key("mixup", key)
    shares = symmetric_beta(draw, alpha, n)
    return mix((images, distributions), jax.random.permutation(order, n), jnp.maximum(shares, 1 - shares))


def mix(batch: Pair, partners: jax.Array, shares: jax.Array) -> Pair:
    """Mixes each example with a partner: s of itself, 1 - s of the other.

    Args:
        batch: (images, labels): [N, H, W, C] and distributions [N, classes].
        partners: [N], the place in the batch of each example's partner.
        shares: [N], from 0 to 1.

    Returns:
        (images, labels), of the same shapes and dtypes.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> batch = jnp.array([0.0, 1.0]).reshape(2, 1, 1, 1), jnp.eye(2)
        >>> images, labels = jax.jit(mix)(batch, jnp.array([1, 0]), jnp.array([0.75, 1.0]))
        >>> images.ravel().tolist(), labels.tolist()
        ([0.25, 1.0], [[0.75, 0.25], [0.0, 1.0]])
    """
    images, labels = batch
    return _mixture(images, partners, shares[:, None, None, None]), _mixture(labels, partners, shares[:, None])


def cutmix(key: jax.Array, batch: Pair, *, classes: int | None = None, alpha: float = 1.0) -> Pair:
    """Pastes a box of another image into each, and mixes labels by how many pixels each has.

    A share s is drawn for each example from Beta(alpha, alpha); the box has sqrt(1 - s) of the height and of the width,
    and its middle is any pixel. What is outside the image is left out, and the label counts what is inside.

    Args:
        key: a JAX random key.
        batch: (images, labels): [N, H, W, C], of any dtype; class ids, integers [N], or distributions
            [N, classes].
        classes: how many classes there are; needed for ids.
        alpha: above 0; at 1 all shares are as likely.

    Returns:
        (images, labels): in shape and dtype of the images; distributions [N, classes], floats.

    Raises:
        InputError: for what is no such batch, for ids without ``classes``, and for an alpha that is not above 0.

    Source: Yun et al., "CutMix: regularization strategy to train strong classifiers with localizable features" (2019).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from functools import partial
        >>> batch = jnp.array([0, 1]).repeat(16).reshape(2, 4, 4, 1), jnp.array([0, 1])
        >>> images, labels = jax.jit(partial(cutmix, classes=2))(jax.random.key(0), batch)
        >>> images.mean((1, 2, 3)).tolist() == labels[:, 1].tolist()
        True
    """
    images, distributions = _checked("cutmix", batch, classes, alpha)
    n, height, width, _ = jnp.shape(images)
    order, draw, place = split_key("cutmix", key, 3)
    side = jnp.sqrt(1 - symmetric_beta(draw, alpha, n))
    size = jnp.round(side[:, None] * jnp.array([[height, width]], side.dtype)).astype(jnp.int32)
    corners = jax.random.randint(place, (n, 2), 0, jnp.array([[height, width]])) - size // 2
    boxes = jnp.concatenate([corners, corners + size], 1)
    return paste((images, distributions), jax.random.permutation(order, n), boxes)


def paste(batch: Pair, partners: jax.Array, boxes: jax.Array) -> Pair:
    """Replaces a box of each image by that of a partner, and its label by the mixture that has as many pixels of each.

    Args:
        batch: (images, labels): [N, H, W, C] and distributions [N, classes].
        partners: [N], the place in the batch of each example's partner.
        boxes: integers [N, 4]: from row and column (included) to row and column (not included); what is outside the
            image is left out.

    Returns:
        (images, labels), of the same shapes and dtypes.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> batch = jnp.array([0.0, 0.0, 1.0, 1.0]).reshape(2, 1, 2, 1), jnp.eye(2)
        >>> images, labels = jax.jit(paste)(batch, jnp.array([1, 0]), jnp.array([[0, 0, 1, 1], [0, 0, 0, 0]]))
        >>> images.reshape(2, 2).tolist(), labels.tolist()
        ([[1.0, 0.0], [1.0, 1.0]], [[0.5, 0.5], [0.0, 1.0]])
    """
    images, labels = batch
    inside = in_boxes(images, *boxes.T)
    pixels = inside.shape[1] * inside.shape[2]
    shares = jnp.minimum((~inside).sum((1, 2)) / pixels, 1)  # rounded up, 1 would leave less than nothing for the other
    return jnp.where(inside, images[partners], images), _mixture(labels, partners, shares)


def symmetric_beta(key: jax.Array, alpha: float, n: int) -> jax.Array:
    """Draws n numbers from Beta(alpha, alpha), by the formula in the module's own text.

    Example:
        >>> shares = symmetric_beta(jax.random.key(0), 1.0, 10_000)  # uniform
        >>> round(float(shares.mean()), 1), round(12 * float(shares.var()), 1)
        (0.5, 1.0)
    """
    u, v = jax.random.uniform(key, (2, n))
    w, c = u ** (1 / alpha), jnp.cos(2 * jnp.pi * v)
    square = (1 - w) * c**2
    return 0.5 + 0.5 * jnp.sign(c) * jnp.sqrt(square / (w + square))


def _mixture(values: jax.Array, partners: jax.Array, shares: jax.Array) -> jax.Array:
    x = numbers(values)
    return like(shares * x + (1 - shares) * x[partners], values)


def _checked(who: str, batch: Any, classes: int | None, alpha: float) -> Pair:
    """The images, and the labels as distributions."""
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise InputError(f"{who} takes a batch as a pair (images, labels), got a {type(batch).__name__}")
    images, labels = batch
    check_images(who, images, any_dtype=who == "cutmix")
    if not 0 < alpha < math.inf:
        raise InputError(f"{who} needs alpha above 0, got {alpha}: to mix nothing, leave {who} out")
    n, shape, dtype = jnp.shape(images)[0], jnp.shape(labels), jnp.result_type(labels)
    if shape == (n,) and jnp.issubdtype(dtype, jnp.integer):
        if classes is None:
            raise InputError(f"{who} of class ids needs to know how many classes there are: classes=10")
        return jnp.asarray(images), one_hot(labels, classes)
    if len(shape) != 2 or shape[0] != n or not jnp.issubdtype(dtype, jnp.floating) or classes not in (None, shape[1]):
        columns = "classes" if classes is None else classes
        raise InputError(
            f"{who} of {n} images expects labels as class ids, integers [{n}], or as distributions, floats "
            f"[{n}, {columns}]; got {dtype} of shape {list(shape)}"
        )
    return jnp.asarray(images), jnp.asarray(labels)
