"""Losses of single scores: a class is right or wrong by itself, or against one rival at a time.

Sigmoid cross-entropy. With p = sigmoid(z) the probability of "yes" and a target t in [0, 1],

    L = - t log p - (1 - t) log(1 - p) = softplus(z) - t z          softplus(z) = log(1 + e^z)

since log p = - softplus(-z) = z - softplus(z) and log(1 - p) = - softplus(z). softplus is computed as
max(z, 0) + log(1 + e^-|z|), which no z overflows; the t z is taken from the maximum first, where it may
be all there is, so that a "yes" costs as exactly as a "no". The derivative of softplus is the sigmoid, so

    dz = (p - t) dL = ((1 - t) p - t (1 - p)) dL          1 - p = sigmoid(-z)          dt = - z dL

Hinge, for many classes. Each wrong class j should score a margin less than the right one, y, and pays
for what is missing:

    L = sum over j != y of max(0, m_j),     m_j = s_j - s_y + margin

    ds_j = [m_j > 0] dL   for j != y,       ds_y = - sum of ds_j over j != y

with slope 0 at the kink m_j = 0. (Weston and Watkins, "Support vector machines for multi-class pattern
recognition", 1999.)

Both backward passes start from the arguments again; nothing is remembered beside them.
"""

import jax
import jax.numpy as jnp
import numpy as np

from fdl.concrete import is_concrete
from fdl.errors import InputError
from fdl.losses.arguments import (
    check_alike,
    check_labels,
    check_range,
    check_where,
    unmasked,
    valid,
    widened,
    without_masked,
)
from fdl.rule import rule, wide


@rule
def sigmoid_cross_entropy(logits: jax.Array, targets: jax.Array, *, where: jax.Array | None = None) -> jax.Array:
    """The cross-entropy L = softplus(z) - t z between sigmoid(logits) and targets, elementwise.

    Args:
        logits: floats of any shape and any finite size.
        targets: floats of the same shape in [0, 1]: the probabilities of "yes".
        where: booleans of the same shape; False makes an element's value and gradient zero.

    Returns:
        The losses, of the shape and dtype of the logits, computed in float32 or wider.

    Raises:
        InputError: for targets or a mask of another shape, for integers, and for targets outside [0, 1] where
            they can be seen, which is outside jit.

    Remembers:
        its arguments, which exist anyway.

    Example:
        >>> import jax.numpy as jnp
        >>> sigmoid_cross_entropy(jnp.array([0.0, 1e4]), jnp.array([1.0, 0.0])).round(4).tolist()
        [0.6931, 10000.0]
    """
    z, t = widened(where, logits, targets)
    loss = t * jax.nn.softplus(-z) + (1 - t) * jax.nn.softplus(z)
    return unmasked(loss, where).astype(logits.dtype)


@sigmoid_cross_entropy.validate
def _(logits, targets, *, where):
    check_alike("sigmoid_cross_entropy", logits=logits, targets=targets)
    check_where("sigmoid_cross_entropy", where, jnp.shape(logits))
    if not is_concrete(targets, where):
        return
    values = np.asarray(targets)
    outside = values[((values < 0) | (values > 1)) & (True if where is None else np.asarray(where))]
    if outside.size:
        raise InputError(
            f"sigmoid_cross_entropy expects targets in [0, 1], got {outside.flat[0]}: they are "
            "probabilities, so that the two classes are 0 and 1, not -1 and 1"
        )


@sigmoid_cross_entropy.forward
def _(logits, targets, *, where):
    z, t = widened(where, logits, targets)
    loss = jnp.maximum(z, 0) - t * z + jnp.log1p(jnp.exp(-jnp.abs(z)))
    return unmasked(loss, where).astype(logits.dtype), (logits, targets, where)


@sigmoid_cross_entropy.backward
def _(residuals, dloss):
    logits, targets, where = residuals
    z, t = widened(where, logits, targets)
    dloss = unmasked(dloss, where)
    # loss = t softplus(-z) + (1 - t) softplus(z)      p = sigmoid(z)
    return ((1 - t) * jax.nn.sigmoid(z) - t * jax.nn.sigmoid(-z)) * dloss, -z * dloss, None


@rule(static=["margin"])
def hinge(scores: jax.Array, labels: jax.Array, margin: float = 1.0, *, where: jax.Array | None = None) -> jax.Array:
    """The multi-class hinge loss L = sum over the wrong classes j of max(0, s_j - s_y + margin).

    Args:
        scores: [..., C], one score per class.
        labels: class ids, integers of shape [...].
        margin: by how much the right class should win.
        where: booleans of shape [...]; False makes an example's value and gradient zero, whatever its label.

    Returns:
        The losses, of shape [...], in the dtype of the scores, summed in float32 or wider.

    Raises:
        InputError: for labels of another shape or type, and for ids outside [0, C) where they can be seen.
            Inside jit they cannot, and give NaN.

    Remembers:
        its arguments, which exist anyway.

    Source: Weston and Watkins, "Support vector machines for multi-class pattern recognition" (1999).

    Example:
        >>> import jax.numpy as jnp
        >>> hinge(jnp.array([[3.0, 2.5, 1.0], [0.0, 0.0, 0.0]]), jnp.array([0, 1])).tolist()
        [0.5, 2.0]
    """
    s, y = without_masked(where, scores.astype(wide(scores)), labels)
    return valid(_missing(s, y, margin).sum(-1), y, where, s.shape[-1]).astype(scores.dtype)


@hinge.validate
def _(scores, labels, margin, *, where):
    if not jnp.shape(scores):
        raise InputError("hinge expects scores of shape [..., C], got a scalar")
    *shape, classes = jnp.shape(scores)
    check_alike("hinge", scores=scores)
    check_where("hinge", where, tuple(shape))
    check_labels("hinge", labels, tuple(shape), f"scores {list(jnp.shape(scores))}")
    check_range("hinge", labels, where, classes)


@hinge.forward
def _(scores, labels, margin, *, where):
    return hinge.reference(scores, labels, margin, where=where), (scores, labels, where)


@hinge.backward
def _(residuals, dloss, *, margin):
    scores, labels, where = residuals
    s, y = without_masked(where, scores.astype(wide(scores)), labels)
    dloss = valid(dloss.astype(s.dtype), y, where, s.shape[-1])[..., None]
    # loss = sum of missing      missing = max(0, s_j - s_y + margin), and 0 for j = y
    ds = jnp.where(_missing(s, y, margin) != 0, dloss, 0)
    rows = ds.reshape(y.size, s.shape[-1])
    rows = rows.at[jnp.arange(y.size), y.ravel()].set(-rows.sum(1), mode="clip", unique_indices=True)
    return rows.reshape(s.shape), None, None


def _missing(s, labels, margin):
    """What each class pays: how far a wrong one is from a margin below the right one."""
    right = jnp.take_along_axis(s, labels[..., None], axis=-1, mode="clip")
    missing = s - right + margin
    is_right = jnp.arange(s.shape[-1]) == labels[..., None]
    return jnp.where((missing <= 0) | is_right, 0, missing)
