"""Kullback-Leibler divergences: what it costs to take one distribution for another.

    KL(p || q) = sum_k p_k (log p_k - log q_k)

Categorical. With logits a and c, p = softmax(a) and q = softmax(c), so log p_k = a_k - lse(a) and
log q_k = c_k - lse(c). With r_k = log p_k - log q_k, and d log p_k / da_j = [j = k] - p_j,

    dL/da_j = p_j (r_j + 1) - p_j sum_k p_k (r_k + 1)          da = p (r - KL) dL
    dL/dc_j = - p_j + q_j sum_k p_k                            dc = (q - p) dL

The arguments are logits because those exist for any network, of any size, without a logarithm of zero;
log-probabilities are logits too, since lse of them is 0. A class with p_k = 0 costs nothing, by the
limit of p log p, even where its logits are -inf.
The backward pass needs the largest logit and the sum of exp(logit - largest) of both, for p, q and r, and KL: five
numbers per example. Logits are only ever measured from the largest of their row: far from zero, a - c would have lost
the digits in which p and q differ.

Gaussian. For q = N(mean, exp(log_var)) in every latent dimension against the standard normal,

    KL(q || N(0, 1)) = 1/2 sum (mean^2 + e^v - 1 - v),   v = log_var

    dmean = mean dL          dv = (e^v - 1) / 2 dL

where e^v - 1 is one function, expm1, which keeps its digits near v = 0.

Source: Kullback and Leibler, "On information and sufficiency" (1951); Kingma and Welling,
"Auto-encoding variational Bayes" (2013), appendix B.
"""

import jax
import jax.numpy as jnp

from fdl.errors import InputError
from fdl.losses.arguments import check_alike, check_where, peak_and_total, unmasked, widened
from fdl.rule import rule


def _check_pair(who, where, **pair):
    check_alike(who, **pair)
    first, shape = next((key, jnp.shape(value)) for key, value in pair.items())
    if not shape:
        raise InputError(f"{who} expects {first} with at least one axis, got a scalar: the last axis is summed over")
    check_where(who, where, shape[:-1])


@rule
def kl_divergence(p_logits: jax.Array, q_logits: jax.Array, *, where: jax.Array | None = None) -> jax.Array:
    """The divergence KL(p || q) = sum_k p_k (log p_k - log q_k) of p = softmax(p_logits), q = softmax(q_logits).

    p is the truth, or the teacher, and q what is taken for it. For probabilities pass their logarithms:
    those are logits too, and log 0 = -inf is right where p is zero.

    Args:
        p_logits, q_logits: [..., C], of any size; the distributions are over the last axis.
        where: booleans of shape [...]; False makes an example's value and gradient zero.

    Returns:
        The divergences, of shape [...], in the dtype of ``q_logits``, computed in float32 or wider.

    Raises:
        InputError: for arguments of different shapes, and for integers.

    Remembers:
        its arguments, which exist anyway, and five numbers per example.

    Source: Kullback and Leibler, "On information and sufficiency" (1951).

    Example:
        >>> import jax.numpy as jnp
        >>> p, q = jnp.array([0.5, 0.5, 0.0]), jnp.array([0.25, 0.25, 0.5])
        >>> float(kl_divergence(jnp.log(p), jnp.log(q)))
        0.6931
    """
    a, c = widened(where, p_logits, q_logits)  # masked ones are both uniform, at divergence 0
    log_p, log_q = jax.nn.log_softmax(a), jax.nn.log_softmax(c)
    return _mean_ratio(jnp.exp(log_p), log_p - log_q).astype(q_logits.dtype)


@kl_divergence.validate
def _(p_logits, q_logits, *, where):
    _check_pair("kl_divergence", where, p_logits=p_logits, q_logits=q_logits)


@kl_divergence.forward
def _(p_logits, q_logits, *, where):
    a, c = widened(where, p_logits, q_logits)
    sums = (peak_a, total_a), _ = peak_and_total(a), peak_and_total(c)
    divergence = _mean_ratio(jnp.exp(a - peak_a[..., None]), _log_ratio(a, c, sums)) / total_a
    return divergence.astype(q_logits.dtype), (p_logits, q_logits, where, sums, divergence)


@kl_divergence.backward
def _(residuals, dloss):
    p_logits, q_logits, where, sums, divergence = residuals
    (peak_a, total_a), (peak_c, total_c) = sums
    a, c = widened(where, p_logits, q_logits)
    p, q = jnp.exp(a - peak_a[..., None]), jnp.exp(c - peak_c[..., None])  # times total_a, and total_c
    dloss = unmasked(dloss, where)
    dp, dq = (dloss / total_a)[..., None], (dloss / total_c)[..., None]
    # divergence = sum p (log p - log q)
    da = jnp.where(p == 0, 0, p * (_log_ratio(a, c, sums) - divergence[..., None])) * dp
    return da, q * dq - p * dp, None


def _log_ratio(a, c, sums):
    """log p - log q."""
    # Without the barrier XLA makes whole arrays of the peaks, for the exponentials too.
    (peak_a, total_a), (peak_c, total_c) = jax.lax.optimization_barrier(sums)
    return (a - peak_a[..., None]) - (c - peak_c[..., None]) - jnp.log(total_a / total_c)[..., None]


def _mean_ratio(p, log_ratio):
    """sum p (log p - log q), with 0 where p is 0 and the logarithms may be infinite."""
    return (p * jnp.where(p == 0, 0, log_ratio)).sum(-1)


@rule
def gaussian_kl(mean: jax.Array, log_var: jax.Array, *, where: jax.Array | None = None) -> jax.Array:
    """The divergence of N(mean, exp(log_var)) from the standard normal, 1/2 sum (mean^2 + e^v - 1 - v), v = log_var.

    Args:
        mean, log_var: [..., latent], the parameters of independent normal variables; the last axis is summed over.
        where: booleans of shape [...]; False makes an example's value and gradient zero.

    Returns:
        The divergences, of shape [...], in the dtype of the mean, computed in float32 or wider.

    Raises:
        InputError: for arguments of different shapes, and for integers.

    Remembers:
        its arguments, which exist anyway.

    Source: Kingma and Welling, "Auto-encoding variational Bayes" (2013), appendix B.

    Example:
        >>> import jax.numpy as jnp
        >>> gaussian_kl(jnp.array([[0.0, 0.0], [2.0, 1.0]]), jnp.zeros((2, 2))).tolist()
        [0.0, 2.5]
    """
    m, v = widened(where, mean, log_var)  # masked ones are the standard normal's, at divergence 0
    return (0.5 * (m * m + jnp.expm1(v) - v).sum(-1)).astype(mean.dtype)


@gaussian_kl.validate
def _(mean, log_var, *, where):
    _check_pair("gaussian_kl", where, mean=mean, log_var=log_var)


@gaussian_kl.forward
def _(mean, log_var, *, where):
    m, v = widened(where, mean, log_var)
    loss = 0.5 * ((m * m).sum(-1) + (jnp.expm1(v) - v).sum(-1))
    return loss.astype(mean.dtype), (mean, log_var, where)


@gaussian_kl.backward
def _(residuals, dloss):
    mean, log_var, where = residuals
    m, v = jax.lax.optimization_barrier(widened(where, mean, log_var))  # or XLA keeps expm1(v) from the forward pass
    dloss = unmasked(dloss, where)[..., None]
    # loss = 0.5 sum (m^2 + e^v - 1 - v)
    return m * dloss, 0.5 * jnp.expm1(v) * dloss, None
