"""Metrics that are no means over examples, from the counts of what was taken for what.

The confusion matrix counts, over all examples of a data set, c_ij = how many of class i were said to be j. It is a sum,
so the counts of batches add up (in NumPy's int64, where they may pass 2^31, as pixels do), and with the diagonal c_ii
as the hits,

    precision_j = c_jj / sum_i c_ij                 of what was said to be j, how much was
    recall_i    = c_ii / sum_j c_ij                 of what was i, how much was found
    iou_i       = c_ii / (sum_j c_ij + sum_j c_ji - c_ii)        hits, of all that was i or was said to be

each NaN for a class about which there is nothing to say.

Source: Everingham et al., "The PASCAL visual object classes (VOC) challenge" (2010), for intersection over union.
"""

import jax
import jax.numpy as jnp

from fdl.losses.arguments import check_where
from fdl.train.metrics import any_is_nan, check_class_ids


def confusion_matrix(logits: jax.Array, labels: jax.Array, where: jax.Array | None = None) -> jax.Array:
    """How often an example of class i was said to be j.

    Args:
        logits: [..., C]; of equal largest ones the first counts. For segmentation, [N, H, W, C]. Where one is NaN,
            nothing was said, and nothing counts.
        labels: class ids, integers of shape [...]; what is none of [0, C) does not count, such as -1 for padding.
        where: booleans of shape [...]; False does not count.

    Returns:
        Counts [C, C], int32: rows are what is true, columns what was said.

    Raises:
        InputError: for labels or a mask of another shape, and for floats.

    Example:
        >>> confusion_matrix(jnp.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]), jnp.array([1, 1, 0])).tolist()
        [[0, 1], [1, 1]]
    """
    shape, classes = jnp.shape(logits)[:-1], jnp.shape(logits)[-1]
    check_class_ids("confusion_matrix", logits, labels)
    check_where("confusion_matrix", where, shape)
    labels = jnp.asarray(labels).astype(jnp.int32)  # bytes could not be compared with more classes than they count
    cells = labels * classes + jnp.argmax(logits, axis=-1)
    counts = jnp.ones(shape, jnp.int32) if where is None else where.astype(jnp.int32)
    exists = (labels >= 0) & (labels < classes) & ~any_is_nan(logits)
    cells = jnp.where(exists, cells, classes**2)  # which no cell has
    return jnp.zeros(classes**2, jnp.int32).at[cells.ravel()].add(counts.ravel(), mode="drop").reshape(classes, classes)


def precision(confusion: jax.Array) -> jax.Array:
    """Of what was said to be a class, how much was: [C].

    Example:
        >>> precision(jnp.array([[3, 1], [2, 4]])).round(2).tolist()
        [0.6, 0.8]
    """
    counts = _as_floats(confusion)
    return jnp.diagonal(counts) / jnp.sum(counts, axis=0)


def recall(confusion: jax.Array) -> jax.Array:
    """Of what was a class, how much was found: [C].

    Example:
        >>> recall(jnp.array([[3, 1], [2, 4]])).round(2).tolist()
        [0.75, 0.67]
    """
    counts = _as_floats(confusion)
    return jnp.diagonal(counts) / jnp.sum(counts, axis=1)


def iou(confusion: jax.Array) -> jax.Array:
    """The intersection over union of each class: [C].

    Example:
        >>> iou(jnp.array([[3, 1], [2, 4]])).round(2).tolist()
        [0.5, 0.57]
    """
    counts = _as_floats(confusion)
    hits = jnp.diagonal(counts)
    return hits / (jnp.sum(counts, axis=0) + jnp.sum(counts, axis=1) - hits)


def mean_iou(confusion: jax.Array) -> jax.Array:
    """The intersection over union, averaged over the classes that occur or were said to.

    Example:
        >>> mean_iou(jnp.array([[3, 1], [2, 4]])).round(3).tolist()  # (3 / 6 + 4 / 7) / 2
        0.536
    """
    return jnp.nanmean(iou(confusion))


def _as_floats(confusion: jax.Array) -> jax.Array:
    """Counts that can be added up: a sum of int32 begins anew at 2^31, and so do NumPy's int64 when JAX takes them."""
    return jnp.asarray(confusion, jnp.result_type(float))
