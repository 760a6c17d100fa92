"""Contrastive learning: two views of the same thing are alike, and unlike everything else in the batch.

Of each of N examples there are two views, and so 2N projections z, which are compared by the cosine between them. For
view i, whose partner is i', the others are the classes of a softmax, and the partner is the right one:

    u_i = z_i / |z_i|                   directions: how long z is says nothing
    s_ij = u_i . u_j / t                t is the temperature
    l_i = lse_i - s_ii'                 lse_i = log sum over j != i of exp(s_ij)
    L   = (l_i + l_i') / 2              one value for each example

With p_ij = exp(s_ij - lse_i), and p_ii = 0, the cross-entropy's gradient goes through the matrix of similarities, in
which every two views stand twice, s_ij = s_ji:

    ds_ij = (p_ij - [j = i']) dl_i
    du_i = 1/t sum over j of (ds_ij + ds_ji) u_j
    dz_i = (du_i - u_i (u_i . du_i)) / |z_i|

The last line is the derivative of a direction: what goes along u_i would only change the length. A projection of
exactly 0 has no direction; it is taken to be at right angles to all others, u = 0, and gets no gradient.

What keeps everything from collapsing into one point is the denominator: views of other examples are pushed away, the
nearest ones most. A small t listens to the nearest alone.

Remembered are two numbers for each view, the peak of its s_ij and the total of exp(s_ij - peak), which give p back.
Both passes write exp(s_ij - peak_i) alike: where XLA sees them together, it is computed once.

Source: Chen, Kornblith, Norouzi and Hinton, "A simple framework for contrastive learning of visual representations"
(2020); Sohn, "Improved deep metric learning with multi-class N-pair loss objective" (2016).
"""

import jax
import jax.numpy as jnp

from fdl.errors import InputError
from fdl.lengths import unit_of
from fdl.losses.arguments import check_alike
from fdl.rule import rule, wide


@rule(static=["temperature"])
def nt_xent(first: jax.Array, second: jax.Array, *, temperature: float = 0.5) -> jax.Array:
    """The normalised, temperature-scaled cross-entropy of finding each view's partner among all others.

    Args:
        first, second: [N, D], projections of two views of the same N examples, row by row. Their lengths do not matter.
        temperature: t > 0, what cosines are divided by; the smaller, the more the nearest others count.

    Returns:
        The losses, of shape [N], in the dtype of ``first``, computed in float32 or wider. Knowing nothing costs
        log(2 N - 1).

    Raises:
        InputError: for projections that are not [N, D], are of different shapes or no floats, and for a temperature
            that is not positive.

    Remembers:
        its arguments, which exist anyway, and two numbers for each view.

    Source: Chen et al. (2020).

    Example:
        >>> import jax.numpy as jnp
        >>> views = jnp.eye(4)  # of 4 examples, each like itself and unlike the others
        >>> nt_xent(views, views, temperature=0.1).round(4).tolist()
        [0.0003, 0.0003, 0.0003, 0.0003]
    """
    u, _ = _directions(first, second)
    s = _similarities(u, temperature)
    losses = jax.nn.logsumexp(s, axis=1) - _to_partners(s)
    return _per_example(losses).astype(first.dtype)


@nt_xent.validate
def _(first, second, *, temperature):
    if jnp.ndim(first) != 2:
        raise InputError(f"nt_xent expects projections of shape [N, D], got {list(jnp.shape(first))}")
    check_alike("nt_xent", first=first, second=second)
    if not temperature > 0:
        raise InputError(f"nt_xent needs a temperature > 0, got {temperature}")


@nt_xent.forward
def _(first, second, *, temperature):
    u, _ = _directions(first, second)
    s = _similarities(u, temperature)
    peak = jax.lax.stop_gradient(s.max(axis=1, initial=-jnp.inf))  # lse does not depend on it
    total = jnp.exp(s - peak[:, None]).sum(axis=1)
    losses = peak + jnp.log(total) - _to_partners(s)
    return _per_example(losses).astype(first.dtype), (first, second, peak, total)


@nt_xent.backward
def _(residuals, dloss, *, temperature):
    first, second, peak, total = residuals
    u, inverse_length = _directions(first, second)
    # loss = mean of both views' losses
    dlosses = jnp.tile(dloss.astype(total.dtype) / 2, 2)
    # losses = lse - s of the partner
    view = jnp.arange(u.shape[0])
    ds = jnp.exp(_similarities(u, temperature) - peak[:, None]) * (dlosses / total)[:, None]
    ds = ds.at[view, jnp.roll(view, first.shape[0])].add(-dlosses)
    # s = u u^T / temperature
    du = (jnp.matmul(ds, u) + jnp.matmul(ds.T, u)) / temperature
    # u = z / |z|
    dz = (du - u * jnp.sum(u * du, axis=1, keepdims=True)) * inverse_length
    dfirst, dsecond = jnp.split(dz, 2)
    return dfirst, dsecond


def _directions(first, second):
    """All views, the first ones before the second ones: their directions [2N, D], and 1 / their lengths [2N, 1]."""
    z = jnp.concatenate([first, second]).astype(wide(first, second))
    largest = jax.lax.stop_gradient(jnp.abs(z).max(axis=1, keepdims=True, initial=0))
    is_zero = largest == 0
    scale = unit_of(largest)
    scaled = z / scale
    squares = jnp.where(is_zero, 1, jnp.sum(jnp.square(scaled), axis=1, keepdims=True))
    inverse = jnp.where(is_zero, 0, jax.lax.rsqrt(squares))
    return scaled * inverse, inverse / scale


def _similarities(u, temperature):
    """Of all views to all others [2N, 2N]; to itself, each has none."""
    s = jnp.matmul(u, u.T) / temperature
    return jnp.where(jnp.eye(u.shape[0], dtype=bool), -jnp.inf, s)


def _to_partners(s):
    """Of each view, the similarity to the other view of the same example."""
    each = jnp.arange(s.shape[0])
    return s[each, jnp.roll(each, s.shape[0] // 2)]


def _per_example(losses):
    return losses.reshape(2, -1).mean(axis=0)
