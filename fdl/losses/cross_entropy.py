"""Cross-entropy of a softmax: how surprised a classifier is by the right class.

With logits z and target probabilities t over C classes,

    p = softmax(z) = exp(z) / sum exp(z)
    L = - sum_k t_k log p_k = s lse(z) - sum_k t_k z_k       lse(z) = log sum exp(z),  s = sum_k t_k

where s is 1 unless somebody passes targets that do not sum to one. For a class id y, t is one at y and
zero elsewhere, and L = lse(z) - z_y. Smoothing by e replaces t by (1 - e) t + e / C.

The derivative of lse is the softmax itself, d lse / dz_k = exp(z_k) / sum exp(z) = p_k, so

    dz_k = (s p_k - t_k) dL                 dt_k = (lse(z) - z_k) dL = - log p_k dL

(for smoothed targets times 1 - e in dt, and with the smoothed t and s in dz).

Weights w_k of the classes, against imbalance, multiply what each class contributes: w_k t_k stands for the
smoothed t_k wherever it stood above, in s too, so that an unsmoothed class id has its loss times w_y. Then

    dt_k = w_k (lse(z) - z_k) dL            dw_k = sum over examples of t_k (lse(z) - z_k) dL

With m = max z, -log p_k = lse(z) - z_k is computed as log sum exp(z - m) + (m - z_k): nothing overflows, and
no digit is lost to logits that are far from zero, as in the difference of lse(z) = m + log sum exp(z - m)
and z_k. m and the sum are two numbers per example, and enough to have p again: p_k = exp(z_k - m) / sum.
exp(z - m) is what the forward pass computed, so that compiled together, as they are in a training step, the
two passes compute it once. A class without weight or probability costs nothing, even where its logit is -inf. Its
infinite dt is left out as well: of targets that are a softmax, as in the entropy of a policy, it would make NaN.

Source: Bridle, "Probabilistic interpretation of feedforward classification network outputs" (1990);
label smoothing: Szegedy et al., "Rethinking the Inception architecture" (2016).
"""

import jax
import jax.numpy as jnp

from fdl.errors import InputError
from fdl.losses.arguments import (
    are_ids,
    check_alike,
    check_range,
    check_smoothing,
    check_where,
    peak_and_total,
    valid,
    without_masked,
)
from fdl.rule import rule, wide


@rule(static=["label_smoothing"])
def softmax_cross_entropy(
    logits: jax.Array,
    labels: jax.Array,
    *,
    label_smoothing: float = 0.0,
    where: jax.Array | None = None,
    class_weights: jax.Array | None = None,
) -> jax.Array:
    """The cross-entropy between softmax(logits) and labels, one value per example.

    Args:
        logits: [..., C], of any size; the softmax is taken over the last axis.
        labels: class ids, integers of shape [...], or target distributions, floats of shape [..., C].
        label_smoothing: e in [0, 1); targets become (1 - e) t + e / C.
        where: booleans of shape [...]; False makes an example's value and gradient zero, whatever its label.
        class_weights: floats of shape [C]; L = - sum_k w_k t_k log p_k with the smoothed t, so that without
            smoothing the loss of a class id is multiplied by the weight of its class. Nothing is divided by
            the sum of the weights.

    Returns:
        The losses, of shape [...], in the dtype of the logits, computed in float32 or wider. Where a class is asked
        for that is impossible, of which the logit is -inf, they are infinite, or near the largest number.

    Raises:
        InputError: for labels or weights of another shape, floats where ids are meant, smoothing outside
            [0, 1), and ids outside [0, C) where they can be seen. Inside jit they cannot, and give NaN.

    Remembers:
        its arguments, which exist anyway, and two numbers per example.

    Example:
        >>> import jax.numpy as jnp
        >>> softmax_cross_entropy(jnp.zeros((2, 10)), jnp.array([3, 7])).round(4).tolist()
        [2.3026, 2.3026]
    """
    z, labels, class_weights = _wide(logits, labels, where, class_weights)
    loss = _loss(z, labels, where, class_weights, *peak_and_total(z), label_smoothing)
    return loss.astype(logits.dtype)


@softmax_cross_entropy.validate
def _(logits, labels, *, label_smoothing, where, class_weights):
    shape, classes = jnp.shape(logits)[:-1], jnp.shape(logits)[-1:]
    if not classes:
        raise InputError("softmax_cross_entropy expects logits of shape [..., C], got a scalar")
    check_alike("softmax_cross_entropy", logits=logits)
    check_smoothing("softmax_cross_entropy", label_smoothing)
    check_where("softmax_cross_entropy", where, shape)
    if class_weights is not None and (
        jnp.shape(class_weights) != classes or not jnp.issubdtype(jnp.result_type(class_weights), jnp.floating)
    ):
        raise InputError(
            f"softmax_cross_entropy expects class_weights as floats of shape {list(classes)}, one per class, "
            f"got {jnp.result_type(class_weights)} of shape {list(jnp.shape(class_weights))}"
        )
    expected = shape if are_ids(labels) else shape + classes
    if jnp.shape(labels) != expected or jnp.result_type(labels) == jnp.bool_:
        raise InputError(
            f"softmax_cross_entropy of logits {list(jnp.shape(logits))} expects labels as class ids, integers of "
            f"shape {list(shape)}, or as distributions, floats of shape {list(shape + classes)}; "
            f"got {jnp.result_type(labels)} of shape {list(jnp.shape(labels))}"
        )
    if are_ids(labels):
        check_range("softmax_cross_entropy", labels, where, classes[0])


@softmax_cross_entropy.forward
def _(logits, labels, *, label_smoothing, where, class_weights):
    z, known, weights = _wide(logits, labels, where, class_weights)
    peak, total = peak_and_total(z)
    loss = _loss(z, known, where, weights, peak, total, label_smoothing)
    return loss.astype(logits.dtype), (logits, labels, where, class_weights, peak, total)


@softmax_cross_entropy.backward
def _(residuals, dloss, *, label_smoothing):
    logits, labels, where, class_weights, peak, total = residuals
    z, labels, class_weights = _wide(logits, labels, where, class_weights)
    dloss = valid(dloss.astype(z.dtype), labels, where, z.shape[-1])
    dhard, duniform = (1 - label_smoothing) * dloss, label_smoothing * dloss
    # hard = sum w t (lse - z)      uniform = mean of w (lse - z)      d lse / dz = exp(z - peak) / total
    mass, mean_weight = _mass(labels, class_weights), 1 if class_weights is None else class_weights.mean()
    dlse = dhard * mass + duniform * mean_weight
    dz = jnp.exp(z - peak[..., None]) * (dlse / total)[..., None]
    if label_smoothing:
        dz = dz - _weighted(duniform[..., None] / z.shape[-1], class_weights)
    log_total, below = jnp.log(total)[..., None], peak[..., None] - z
    surprise = log_total + below
    if are_ids(labels):
        targets = jnp.arange(z.shape[-1]) == labels[..., None]
        dz = dz - jnp.where(targets, (dhard * mass)[..., None], 0)
        dlabels = None
    else:
        targets = labels
        dz = dz - _weighted(labels, class_weights) * dhard[..., None]
        dlabels = _each(class_weights, log_total + _where_asked_for(labels, below, z), z) * dhard[..., None]
    if class_weights is None:
        return dz, dlabels, None, None
    dtargets = targets * dhard[..., None] + duniform[..., None] / z.shape[-1]
    return dz, dlabels, None, _each(dtargets, surprise, z).sum(range(dloss.ndim))


def _each(weights, surprise, z):
    """weights surprise, which is 0 and not NaN where an impossible class has no weight; None weighs all alike."""
    return surprise if weights is None else weights * _where_asked_for(weights, surprise, z)


def _where_asked_for(weights, surprise, z):
    """How surprising each class is, but nothing for an impossible one of no weight: not infinity times nothing."""
    return jnp.where((z == -jnp.inf) & (weights == 0), 0, surprise)


def _wide(logits, labels, where, class_weights):
    """All in the dtype of the sums, and harmless where it is masked."""
    dtype = wide(logits)
    labels = labels if are_ids(labels) else labels.astype(dtype)
    class_weights = class_weights if class_weights is None else class_weights.astype(dtype)
    return *without_masked(where, logits.astype(dtype), labels), class_weights


def _loss(z, labels, where, class_weights, peak, total, label_smoothing):
    mass = _mass(labels, class_weights)
    if are_ids(labels):
        z_right = jnp.take_along_axis(z, labels[..., None], axis=-1, mode="clip")[..., 0]
        loss = mass * jnp.log(total) + _each(mass, peak - z_right, z_right)
    else:
        loss = mass * jnp.log(total) + _each(_weighted(labels, class_weights), _below(z, peak), z).sum(-1)
    if label_smoothing:
        mean_weight = 1 if class_weights is None else class_weights.mean()
        uniform = mean_weight * jnp.log(total) + _weighted(_below(z, peak), class_weights).mean(-1)
        loss = (1 - label_smoothing) * loss + label_smoothing * uniform
    return valid(loss, labels, where, z.shape[-1])


def _below(z, peak):
    """peak - z, but as far as can be written for what is impossible: without weight, infinity would be NaN."""
    peak = jax.lax.optimization_barrier(peak)  # or XLA makes a whole array of it, for the exponentials too
    return jnp.minimum(peak[..., None] - z, jnp.finfo(z.dtype).max)


def _mass(labels, class_weights):
    """What the weighted target probabilities sum to: the s of the derivation."""
    if not are_ids(labels):
        return _weighted(labels, class_weights).sum(-1)
    return 1 if class_weights is None else jnp.take(class_weights, labels, mode="clip")


def _weighted(per_class, class_weights):
    return per_class if class_weights is None else per_class * class_weights
