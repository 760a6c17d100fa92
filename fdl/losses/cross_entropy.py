"""Cross-entropy of a softmax: how surprised a classifier is by the right class.

With logits z and target probabilities t over C classes,

    p = softmax(z) = exp(z) / sum exp(z)
    L = - sum_k t_k log p_k = s lse(z) - sum_k t_k z_k       lse(z) = log sum exp(z),  s = sum_k t_k

where s is 1 unless somebody passes targets that do not sum to one. For a class id y, t is one at y and
zero elsewhere, and L = lse(z) - z_y. Smoothing by e replaces t by (1 - e) t + e / C.

The derivative of lse is the softmax itself, d lse / dz_k = exp(z_k) / sum exp(z) = p_k, so

    dz_k = (s p_k - t_k) dL                 dt_k = (lse(z) - z_k) dL = - log p_k dL

(for smoothed targets times 1 - e in dt, and with the smoothed t and s in dz).

lse is computed as m + log sum exp(z - m) with m = max z, which neither overflows nor loses everything
to underflow, whatever the size of the logits. m and the sum are two numbers per example, and enough to
have p again: p_k = exp(z_k - m) / sum. That says lse twice, but exp(z - m) is what the forward pass
computed, so that compiled together, as they are in a training step, the two passes compute it once.

Source: Bridle, "Probabilistic interpretation of feedforward classification network outputs" (1990);
label smoothing: Szegedy et al., "Rethinking the Inception architecture" (2016).
"""

import jax
import jax.numpy as jnp
import numpy as np

from fdl.errors import InputError
from fdl.rule import rule, wide


@rule(static=["label_smoothing"])
def softmax_cross_entropy(
    logits: jax.Array, labels: jax.Array, *, label_smoothing: float = 0.0, where: jax.Array | None = None
) -> jax.Array:
    """The cross-entropy between softmax(logits) and labels, one value per example.

    Args:
        logits: [..., C], of any size; the softmax is taken over the last axis.
        labels: class ids, integers of shape [...], or target distributions, floats of shape [..., C].
        label_smoothing: e in [0, 1); targets become (1 - e) t + e / C.
        where: booleans of shape [...]; False makes an example's value and gradient zero, whatever its label.

    Returns:
        The losses, of shape [...], in the dtype of the logits, computed in float32 or wider.

    Raises:
        InputError: for labels of another shape, floats where ids are meant, and ids outside [0, C) where
            they can be seen. Inside jit they cannot, and give NaN.

    Remembers:
        its arguments, which exist anyway, and two numbers per example.

    Example:
        >>> import jax.numpy as jnp
        >>> softmax_cross_entropy(jnp.zeros((2, 10)), jnp.array([3, 7])).round(4).tolist()
        [2.3026, 2.3026]
    """
    z, labels = _without_masked(logits.astype(wide(logits)), labels, where)
    loss = _loss(z, labels, where, jax.nn.logsumexp(z, axis=-1), label_smoothing)
    return loss.astype(logits.dtype)


@softmax_cross_entropy.validate
def _(logits, labels, *, label_smoothing, where):
    shape, classes = jnp.shape(logits)[:-1], jnp.shape(logits)[-1:]
    if not classes:
        raise InputError("softmax_cross_entropy expects logits of shape [..., C], got a scalar")
    if not 0 <= label_smoothing < 1:
        raise InputError(f"softmax_cross_entropy needs label_smoothing in [0, 1), got {label_smoothing}")
    if where is not None and (jnp.shape(where) != shape or jnp.result_type(where) != jnp.bool_):
        raise InputError(
            f"softmax_cross_entropy expects where as booleans of shape {list(shape)}, "
            f"got {jnp.result_type(where)} of shape {list(jnp.shape(where))}"
        )
    expected = shape if _are_ids(labels) else shape + classes
    if jnp.shape(labels) != expected or jnp.result_type(labels) == jnp.bool_:
        raise InputError(
            f"softmax_cross_entropy of logits {list(jnp.shape(logits))} expects labels as class ids, integers of "
            f"shape {list(shape)}, or as distributions, floats of shape {list(shape + classes)}; "
            f"got {jnp.result_type(labels)} of shape {list(jnp.shape(labels))}"
        )
    if _are_ids(labels) and not isinstance(labels, jax.core.Tracer) and not isinstance(where, jax.core.Tracer):
        ids = np.asarray(labels)
        outside = ids[((ids < 0) | (ids >= classes[0])) & (True if where is None else np.asarray(where))]
        if outside.size:
            raise InputError(
                f"softmax_cross_entropy expects class ids in [0, {classes[0]}), the number of logits, "
                f"got {outside.flat[0]}: ids start at 0, and padding is masked with where="
            )


@softmax_cross_entropy.forward
def _(logits, labels, *, label_smoothing, where):
    z, known = _without_masked(logits.astype(wide(logits)), labels, where)
    peak = jax.lax.stop_gradient(z.max(-1))  # lse does not depend on it
    total = jnp.exp(z - peak[..., None]).sum(-1)
    loss = _loss(z, known, where, peak + jnp.log(total), label_smoothing)
    return loss.astype(logits.dtype), (logits, labels, where, peak, total)


@softmax_cross_entropy.backward
def _(residuals, dloss, *, label_smoothing):
    logits, labels, where, peak, total = residuals
    z, labels = _without_masked(logits.astype(wide(logits)), labels, where)
    dloss = dloss * _weight(z, labels, where)
    dhard, duniform = (1 - label_smoothing) * dloss, label_smoothing * dloss
    # hard = s lse - sum t z      uniform = lse - mean z      d lse / dz = exp(z - peak) / total
    dlse = dhard * _mass(labels) + duniform
    dz = jnp.exp(z - peak[..., None]) * (dlse / total)[..., None]
    if label_smoothing:
        dz = dz - duniform[..., None] / z.shape[-1]
    if _are_ids(labels):
        is_label = jnp.arange(z.shape[-1]) == labels[..., None]
        return dz - jnp.where(is_label, dhard[..., None], 0), None, None
    dz = dz - labels * dhard[..., None]
    dlabels = ((peak + jnp.log(total))[..., None] - z) * dhard[..., None]
    return dz, dlabels, None


def _loss(z, labels, where, lse, label_smoothing):
    if _are_ids(labels):
        aligned = jnp.take_along_axis(z, labels[..., None], axis=-1, mode="clip")[..., 0]
    else:
        aligned = (labels * z).sum(-1)
    loss = _mass(labels) * lse - aligned
    if label_smoothing:
        loss = (1 - label_smoothing) * loss + label_smoothing * (lse - z.mean(-1))
    return loss * _weight(z, labels, where)


def _mass(labels):
    """What the target probabilities sum to: the s of the derivation."""
    return 1 if _are_ids(labels) else labels.sum(-1)


def _are_ids(labels):
    return jnp.issubdtype(jnp.result_type(labels), jnp.integer) or jnp.result_type(labels) == jnp.bool_


def _without_masked(z, labels, where):
    """Replaces what is masked by something harmless, so that no NaN of it survives a product with zero."""
    if where is None:
        return z, labels
    return jnp.where(where[..., None], z, 0), jnp.where(where if _are_ids(labels) else where[..., None], labels, 0)


def _weight(z, labels, where):
    """One per example: 1, or 0 where it is masked, or NaN where its class id does not exist."""
    weight = jnp.ones(z.shape[:-1], z.dtype) if where is None else where.astype(z.dtype)
    if _are_ids(labels):
        weight = jnp.where((labels >= 0) & (labels < z.shape[-1]), weight, jnp.nan)
    return weight
