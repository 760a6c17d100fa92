"""Cross-entropy of a softmax: how surprised a classifier is by the right class.

With logits z and target probabilities t over C classes,

    p = softmax(z) = exp(z) / sum exp(z)
    L = - sum_k t_k log p_k = s lse(z) - sum_k t_k z_k       lse(z) = log sum exp(z),  s = sum_k t_k

where s is 1 unless somebody passes targets that do not sum to one. For a class id y, t is one at y and
zero elsewhere, and L = lse(z) - z_y. Smoothing by e replaces t by (1 - e) t + e / C.

The derivative of lse is the softmax itself, d lse / dz_k = exp(z_k) / sum exp(z) = p_k, so

    dz_k = (s p_k - t_k) dL                 dt_k = (lse(z) - z_k) dL = - log p_k dL

(for smoothed targets times 1 - e in dt, and with the smoothed t and s in dz). To have p again it is
enough to remember lse, one number per example: p_k = exp(z_k - lse).

lse is computed as m + log sum exp(z - m) with m = max z, which neither overflows nor loses everything
to underflow, whatever the size of the logits.

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
        its arguments, which exist anyway, and one number per example.

    Example:
        >>> import jax.numpy as jnp
        >>> softmax_cross_entropy(jnp.zeros((2, 10)), jnp.array([3, 7])).round(4).tolist()
        [2.3026, 2.3026]
    """
    z, labels = _without_masked(logits.astype(wide(logits)), labels, where)
    lse = jax.nn.logsumexp(z, axis=-1)
    if _are_ids(labels):
        index = jnp.clip(labels, 0, z.shape[-1] - 1)
        hard = lse - jnp.take_along_axis(z, index[..., None], axis=-1)[..., 0]
    else:
        hard = labels.sum(-1) * lse - (labels * z).sum(-1)
    uniform = lse - z.mean(-1)
    smoothed = (1 - label_smoothing) * hard + label_smoothing * uniform if label_smoothing else hard
    return (smoothed * _weight(z, labels, where)).astype(logits.dtype)


@softmax_cross_entropy.validate
def _(logits, labels, label_smoothing, where):
    shape, classes = jnp.shape(logits)[:-1], jnp.shape(logits)[-1:]
    if not classes:
        raise InputError("softmax_cross_entropy expects logits of shape [..., C], got a scalar")
    if not 0 <= label_smoothing < 1:
        raise InputError(f"softmax_cross_entropy needs label_smoothing in [0, 1), got {label_smoothing}")
    if where is not None and (jnp.shape(where) != shape or jnp.result_type(where) != bool):
        raise InputError(
            f"softmax_cross_entropy expects where as booleans of shape {list(shape)}, "
            f"got {jnp.result_type(where)} of shape {list(jnp.shape(where))}"
        )
    expected = shape if _are_ids(labels) else shape + classes
    if jnp.shape(labels) != expected or jnp.result_type(labels) == bool:
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
def _(logits, labels, label_smoothing, where):
    loss = softmax_cross_entropy.reference(logits, labels, label_smoothing=label_smoothing, where=where)
    z, _ = _without_masked(logits.astype(wide(logits)), labels, where)
    return loss, (logits, labels, where, jax.nn.logsumexp(z, axis=-1))


@softmax_cross_entropy.backward
def _(residuals, dloss, *, label_smoothing):
    logits, labels, where, lse = residuals
    z, labels = _without_masked(logits.astype(wide(logits)), labels, where)
    dloss = (dloss * _weight(z, labels, where))[..., None]
    p = jnp.exp(z - lse[..., None])
    if _are_ids(labels):
        # hard = lse - z_y
        dz = jnp.where(jnp.arange(z.shape[-1]) == labels[..., None], p - 1, p)
        dlabels = None
    else:
        # hard = sum t lse - sum t z
        dz = labels.sum(-1, keepdims=True) * p - labels
        dlabels = (1 - label_smoothing) * (lse[..., None] - z) * dloss
    if label_smoothing:
        # smoothed = (1 - e) hard + e (lse - mean z)
        dz = (1 - label_smoothing) * dz + label_smoothing * (p - 1 / z.shape[-1])
    return dz * dloss, dlabels, None


def _are_ids(labels):
    return jnp.issubdtype(jnp.result_type(labels), jnp.integer) or jnp.result_type(labels) == bool


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
