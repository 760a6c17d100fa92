"""The head of a language model: an affine map to a large vocabulary, and the cross-entropy of its softmax.

    z = x w + b          x: [..., D]   w: [D, V]   b: [V]   z: [..., V]
    L = lse(z) - z_y                                                     as in `softmax_cross_entropy`

With N rows, z has N V elements, mostly more than all the rest of the network, and plain differentiation
holds it and its gradient at once. Nothing here needs more of z than one block of columns z_J = x w_J + b_J
at a time:

Forward. The log-sum-exp is taken along the blocks. With m the largest logit so far and s the sum of
exp(z - m) so far, a block with the logits z_J changes them to

    m' = max(m, max z_J)              s' = s e^(m - m') + sum exp(z_J - m')

and in the end L = log s - (z_y - m). The right class is met in one of the blocks, and its logit kept.

Backward. From x, w, b, m and s each block has its logits and probabilities again, and with
dz_J = (p_J - t_J) dL, as derived in cross_entropy.py, the rules of the affine map hold block by block:

    dx = sum over blocks of dz_J w_J^T          dw_J = x^T dz_J          db_J = sum over rows of dz_J

That is a fourth matrix product, where plain differentiation has three: z, dx, dw. (Had the forward pass
dL, it could compute dx and dw while it has z; but dL comes later, and dw mixes the rows.) What is
saved is traffic: the block stays in the cache while it is used, and z is never written to memory.

The last block is as wide as what is left of V: nothing is padded, so there is nothing to mask.

Source: Milakov and Gimelshein, "Online normalizer calculation for softmax" (2018); Wijmans et al.,
"Cut your losses in large-vocabulary language models" (2024).
"""

import math

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.losses.arguments import (
    check_alike,
    check_labels,
    check_range,
    check_smoothing,
    check_where,
    peak_and_total,
    valid,
    without_masked,
)
from fdl.rule import rule, wide
from fdl.slices import put_at, slice_at

LOWEST = float(jnp.finfo(jnp.float32).min) / 2  # below all logits, and finite, also by how much it is below


@rule(static=["label_smoothing", "block"])
def linear_softmax_cross_entropy(
    x: jax.Array,
    w: jax.Array,
    b: jax.Array | None,
    labels: jax.Array,
    *,
    label_smoothing: float = 0.0,
    where: jax.Array | None = None,
    block: int = 2048,
) -> jax.Array:
    """The cross-entropy between softmax(x w + b) and class ids, without the logits of more than one block.

    The same as ``softmax_cross_entropy(affine(x, w, b), labels)``, for vocabularies whose logits would not
    fit, or would take longer to move than to compute. Matrix products are taken in the precision of x and
    w, and accumulated in float32 or wider.

    Args:
        x: [..., D], with any leading axes, for example [N, T, D].
        w: [D, V]; a tied embedding table [V, D] is passed as ``table.T``.
        b: [V], or None.
        labels: class ids, integers of shape [...].
        label_smoothing: e in [0, 1); targets become (1 - e) t + e / V.
        where: booleans of shape [...]; False makes an example's value and gradient zero, whatever its label.
        block: how many classes have their logits at once; V need not be a multiple of it.

    Returns:
        The losses, of shape [...], in the dtype of x, computed in float32 or wider.

    Raises:
        InputError: for shapes that do not fit together, and for ids outside [0, V) where they can be seen.
            Inside jit they cannot, and give NaN.

    Remembers:
        its arguments, which exist anyway, and two numbers per example.

    Source: Wijmans et al., "Cut your losses in large-vocabulary language models" (2024).

    Example:
        >>> import jax.numpy as jnp
        >>> x, w, b = jnp.ones((2, 8, 16)), jnp.zeros((16, 10_000)), jnp.zeros(10_000)
        >>> loss = linear_softmax_cross_entropy(x, w, b, jnp.full((2, 8), 17))
        >>> loss.shape, float(loss[0, 0])
        ((2, 8), 9.2103)
    """
    rows, y = without_masked(where, x, labels)
    z = _logits(rows, w, b)
    right = jnp.take_along_axis(z, y[..., None], axis=-1, mode="clip")[..., 0]
    peak, total = peak_and_total(z)
    below_mean = (peak[..., None] - z).mean(-1) if label_smoothing else 0
    loss = valid(_loss(total, peak - right, below_mean, label_smoothing), y, where, z.shape[-1])
    return loss.astype(x.dtype)


@linear_softmax_cross_entropy.validate
def _(x, w, b, labels, *, label_smoothing, where, block):
    who, x_shape, w_shape = "linear_softmax_cross_entropy", jnp.shape(x), jnp.shape(w)
    if not x_shape or len(w_shape) != 2 or x_shape[-1] != w_shape[0]:
        raise InputError(
            f"{who} expects x of shape [..., D] and w of shape [D, V], got {list(x_shape)} and {list(w_shape)}: "
            "the last axis of x must have as many features as w has rows"
        )
    if b is not None and jnp.shape(b) != w_shape[1:]:
        raise InputError(f"{who} expects b of shape [{w_shape[1]}], got {list(jnp.shape(b))}")
    check_alike(who, x=x)
    check_alike(who, w=w)
    if b is not None:
        check_alike(who, b=b)
    check_count(who, "block", block)
    check_smoothing(who, label_smoothing)
    check_where(who, where, x_shape[:-1])
    check_labels(who, labels, x_shape[:-1], f"x {list(x_shape)}")
    check_range(who, labels, where, w_shape[1])


@linear_softmax_cross_entropy.forward
def _(x, w, b, labels, *, label_smoothing, where, block):
    rows, y, known = _rows(x, labels, where)
    classes = w.shape[1]
    zero = jnp.zeros_like(y, _dtype(x, w, b))
    lowest = jnp.full_like(zero, LOWEST)

    def step(carry, start, size):
        peak, total, right, below = carry
        z = _logits(rows, *_columns(w, b, start, size))
        higher = jnp.maximum(peak, z.max(1))
        total = total * jnp.exp(peak - higher) + jnp.exp(z - higher[:, None]).sum(1)
        here = jnp.take_along_axis(z, (y - start)[:, None], axis=1, mode="clip")[:, 0]
        right = jnp.where(y >= start, here, right)  # if it is beyond this block, a later one will know
        if label_smoothing:  # by how much the logits so far are below the peak, all together
            below = below + (higher - peak) * start + (higher[:, None] - z).sum(1)
        return higher, total, right, below

    peak, total, right, below = _over_blocks(step, (lowest, zero, zero, zero), classes, block)
    loss = _loss(total, peak - right, below / classes, label_smoothing)
    loss = valid(loss, y, known, classes)
    return loss.astype(x.dtype).reshape(labels.shape), (x, w, b, labels, where, peak, total)


@linear_softmax_cross_entropy.backward
def _(residuals, dloss, *, label_smoothing, block):
    x, w, b, labels, where, peak, total = residuals
    rows, y, known = _rows(x, labels, where)
    classes = w.shape[1]
    dloss = valid(jnp.ravel(dloss).astype(total.dtype), y, known, classes)
    dright, dmean = (1 - label_smoothing) * dloss, label_smoothing * dloss
    turned = jax.lax.optimization_barrier(rows.T)  # else XLA leaves dw to a slower library on a CPU

    def step(gradients, start, size):
        dx, dw, db = gradients
        w_block, b_block = _columns(w, b, start, size)
        z = _logits(rows, w_block, b_block)
        # loss = lse - (1 - smoothing) right - smoothing mean z          d lse / dz = exp(z - peak) / total
        dz = _subtract_at(jnp.exp(z - peak[:, None]) * (dloss / total)[:, None], y - start, dright)
        if label_smoothing:
            dz = dz - dmean[:, None] / classes
        db = put_at(db, dz.sum(0), start, 0)
        # z = x w + b, in these columns
        dz = dz.astype(jnp.result_type(x, w))
        dx = dx + jnp.matmul(dz, w_block.T, preferred_element_type=dx.dtype)
        dw_block = jnp.matmul(turned, dz, preferred_element_type=dx.dtype).astype(dw.dtype)
        return dx, put_at(dw, dw_block, start, 1), db

    none = jnp.zeros_like(rows, total.dtype), jnp.zeros_like(w), jnp.zeros_like(w, total.dtype, shape=classes)
    dx, dw, db = _over_blocks(step, none, classes, block)
    return dx.reshape(x.shape), dw, db, None, None


def _logits(x, w, b):
    z = jnp.matmul(x, w, preferred_element_type=_dtype(x, w, b))
    return z if b is None else z + b


def _dtype(x, w, b):
    return wide(x, w) if b is None else wide(x, w, b)


def _loss(total, below_right, below_mean, label_smoothing):
    """The loss by how far the right logit, and all in the mean, are below the largest."""
    below = (1 - label_smoothing) * below_right + (label_smoothing * below_mean if label_smoothing else 0)
    return jnp.log(total) + below


def _subtract_at(z, columns, amounts):
    """z [N, C], with each row's amount taken away in one of its columns, or nowhere if it has no such column."""
    columns = jnp.where(columns >= 0, columns, z.shape[1])  # or it would be counted from the end
    return z.at[jnp.arange(z.shape[0]), columns].subtract(amounts, mode="drop", unique_indices=True)


def _columns(w, b, start, size):
    return tuple(a if a is None else slice_at(a, start, size, -1) for a in (w, b))


def _over_blocks(step, carry, classes, block):
    """carry = step(carry, first class, number of classes) over all blocks, of which the last may be narrower."""
    block = min(block, classes)
    whole, rest = divmod(classes, block)
    carry = jax.lax.fori_loop(0, whole, lambda i, carry: step(carry, i * block, block), carry)
    return step(carry, whole * block, rest) if rest else carry


def _rows(x, labels, where):
    """x, labels and where as [N, D], [N] and [N], with zeros where they are masked.

    XLA's CPU compiler unrolls what it does with the rows of a short axis, which takes it longer.
    """
    x, labels = without_masked(where, x, labels)
    where = where if where is None else jnp.ravel(where)
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1]), jnp.ravel(labels), where
