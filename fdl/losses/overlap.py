"""The Dice loss: how little a predicted region overlaps with the true one.

For sets A and B, Dice's coefficient is 2 |A and B| / (|A| + |B|). For p and t in [0, 1] per place, with
sums over all places of one image and one class,

    D = (2 sum p t + s) / (sum p^2 + sum t^2 + s)
    L = 1 - D = E / (E + G)        E = sum (p - t)^2        G = 2 sum p t + s

The second form has no cancellation, and shows that L is zero exactly where p = t. A small s makes an
image without the class cost nothing when nothing is predicted. By the quotient rule, since E + G is the
denominator of D,

    dp = 2 / (E + G) (p - t - L p) dL = 2 / (E + G) (D (p - t) - L t) dL
    dt = 2 / (E + G) (t - p - L t) dL = 2 / (E + G) (D (t - p) - L p) dL

so that two numbers per example and class, E and G, are all there is to remember. The second form has no cancellation
either: near p = t its first term is exact and L small, and where the class is not there, t is zero and D p all that is
left, of which the first form would find little in p - L p. A class that covers few places counts as much as one that
covers many: that is what the loss is for.

Source: Milletari, Navab and Ahmadi, "V-Net: fully convolutional neural networks for volumetric medical
image segmentation" (2016).
"""

import jax
import jax.numpy as jnp

from fdl.errors import InputError
from fdl.lengths import is_positive
from fdl.losses.arguments import check_alike, check_where, widened
from fdl.rule import rule


@rule(static=["smooth"])
def dice(
    probabilities: jax.Array, targets: jax.Array, *, smooth: float = 1.0, where: jax.Array | None = None
) -> jax.Array:
    """The soft Dice loss L = 1 - (2 sum p t + s) / (sum p^2 + sum t^2 + s), one value per example and class.

    The sums run over all axes between the first and the last. The mean over the classes, with or without
    the background, is the caller's to take.

    Args:
        probabilities: [N, *spatial, C], in [0, 1]: the softmax or the sigmoid of a network's scores.
        targets: floats of the same shape, in [0, 1]: one-hot, as `fdl.layers.one_hot(labels, C, where=where)` makes
            them of class ids, or soft.
        smooth: s, a number above 0, in float32 too.
        where: booleans of shape [N, *spatial]; False leaves a place out of the sums.

    Returns:
        The losses, of shape [N, C], in [0, 1], in the dtype of the probabilities.

    Raises:
        InputError: for targets or a mask of another shape, for integers (class ids become targets with
            `fdl.layers.one_hot`), for fewer than two axes, and for ``smooth`` that is not positive.

    Remembers:
        its arguments, which exist anyway, and two numbers per example and class.

    Source: Milletari et al., "V-Net: fully convolutional neural networks for volumetric medical image
    segmentation" (2016).

    Example:
        >>> import jax.numpy as jnp
        >>> truth = jnp.zeros((1, 4, 4, 2)).at[0, :2, :, 0].set(1).at[0, 2:, :, 1].set(1)
        >>> dice(truth, truth).tolist(), dice(1 - truth, truth).round(3).tolist()
        ([[0.0, 0.0]], [[0.941, 0.941]])
    """
    p, t = widened(where, probabilities, targets)
    loss = 1 - (2 * _sum(p * t) + smooth) / (_sum(p * p) + _sum(t * t) + smooth)
    return loss.astype(probabilities.dtype)


@dice.validate
def _(probabilities, targets, *, smooth, where):
    shape = jnp.shape(probabilities)
    if len(shape) < 2:
        raise InputError(f"dice expects probabilities of shape [N, *spatial, C], got {list(shape)}")
    check_alike("dice", probabilities=probabilities, targets=targets)
    check_where("dice", where, shape[:-1])
    if not is_positive(smooth):
        raise InputError(
            f"dice needs smooth > 0, in float32 too, got {smooth}: an empty image would divide zero by zero"
        )


@dice.forward
def _(probabilities, targets, *, smooth, where):
    p, t = widened(where, probabilities, targets)
    error, shared = _sum(jnp.square(p - t)), 2 * _sum(p * t) + smooth
    return (error / (error + shared)).astype(probabilities.dtype), (probabilities, targets, where, error, shared)


@dice.backward
def _(residuals, dloss, *, smooth):
    probabilities, targets, where, error, shared = residuals
    p, t = widened(where, probabilities, targets)
    size = error + shared
    # loss = L = 1 - D = error / size      dp = 2 / size (D (p - t) - L t)      dt = 2 / size (D (t - p) - L p)
    of_difference, of_other = (_everywhere(dloss * (2 * number / size) / size, p) for number in (shared, error))
    derror = (p - t) * of_difference
    return derror - t * of_other, -derror - p * of_other, None


def _sum(values):
    """Over all places."""
    return values.sum(range(1, values.ndim - 1))


def _everywhere(values, like):
    """[N, C] as [N, 1, ..., 1, C], with as many axes as ``like``."""
    return jnp.expand_dims(values, range(1, like.ndim - 1))
