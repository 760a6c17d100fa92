"""The gated recurrent unit: a recurrent layer with two gates and no state but its output.

    a = x wx + b        q = h wh            x: [N, D]   h: [N, H]   wx: [D, 3 H]   wh: [H, 3 H]   b: [3 H]
    r = sigmoid(a_r + q_r)                  how much of the state the candidate sees
    u = sigmoid(a_u + q_u)                  how much of the state is kept
    s = q_n + bh        n = tanh(a_n + r s)     the candidate
    h' = u h + (1 - u) n  =  n + u (h - n)

where the thirds of wx, wh and b are in the order r, u, n. One step backwards, with dh all that arrives at h',

    dn = dh (1 - u)       da_n = dn (1 - n^2)           ds = da_n r
    dr = da_n s           da_r = dr r (1 - r)
    du = dh (h - n)       da_u = du u (1 - u)           and dh u goes to h directly
    da = (da_r, da_u, da_n)       dq = (da_r, da_u, ds)       dbh = sum ds

da reaches x, wx and b, and dq reaches h and wh, through the products, which `fdl.layers.through_time` takes care of.

There are two kinds. Here r multiplies s, after the product with wh, as in the first version of the paper, in cuDNN,
in PyTorch's GRU and in Keras' with reset_after=True, its default: one product per step, of all three thirds at
once. Cho et al. in print, and Keras with reset_after=False, multiply h by r before that product: another function,
and two products one after the other. Weights carry over from PyTorch, whose gates r, z, n are these, with
b = b_ih + b_hh for r and u, b_in for n, and bh = b_hn; from Keras with its order z, r, h changed. Chung et al. write z
for what is renewed, which is 1 - u here.

Sources: Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine
translation" (2014); Chung et al., "Empirical evaluation of gated recurrent neural networks" (2014).
"""

from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp

from fdl.errors import InputError
from fdl.layers import through_time
from fdl.layers.recurrent import Recurrent
from fdl.layers.recurrent_checks import check_recurrence, check_remember
from fdl.layers.recurrent_products import DENSE
from fdl.layers.through_time import Cell, sigmoid, split
from fdl.rule import rule


@rule(static=["remember", "block"])
def gru(
    xs: jax.Array,
    h0: jax.Array,
    wx: jax.Array,
    wh: jax.Array,
    b: jax.Array,
    *,
    bh: jax.Array | None = None,
    lengths: jax.Array | None = None,
    remember: Literal["gates", "states"] = "gates",
    block: int | None = None,
) -> tuple[jax.Array, jax.Array]:
    """The gated recurrent unit over whole sequences: h = u h + (1 - u) n, n = tanh(x wx_n + b_n + r (h wh_n + bh)).

    Args:
        xs: [N, T, D], T at least one.
        h0: [N, H], the state before the first step.
        wx: [D, 3 H], wh: [H, 3 H], b: [3 H], in the order r, u, n along the last axis.
        bh: [H], a bias inside of what r multiplies, or None for zero.
        lengths: integers [N], how many steps of each sequence are no padding; None for all. Padding has
            hs = 0, leaves the state as it is, and has no gradient; what stands in it does not matter.
        remember: ``"gates"``, or ``"states"`` to compute the gates again in the backward pass, by a third more
            arithmetic, for long sequences. The result is the same.
        block: how many steps have their products with wx taken at once, at most; None for all, or with
            ``remember="states"`` for 256 / N, within 16 and 128.

    Returns:
        (hs, h): hs [N, T, H], and the state after the last step of each sequence.

    Raises:
        InputError: for shapes that do not fit together, integers, and lengths outside [0, T] where they can be
            seen. Inside jit, more than T counts as T.

    Remembers:
        its arguments, hs, and unless ``remember="states"`` r, u, n and s: 4 H numbers per step.

    Source:
        Cho et al. (2014), with the reset gate after the product.

    Example:
        >>> import jax.numpy as jnp
        >>> hs, h = gru(jnp.ones((2, 7, 3)), jnp.zeros((2, 5)), jnp.ones((3, 15)), jnp.ones((5, 15)), jnp.zeros(15))
        >>> hs.shape, bool((hs[:, -1] == h).all())
        ((2, 7, 5), True)
    """
    hs, (h,) = through_time.plainly(_cell(bh), xs, through_time.one_state(h0, xs, wx), wx, wh, b, lengths)
    return hs, h


@gru.validate
def _(xs, h0, wx, wh, b, *, bh, lengths, remember, block):
    check_recurrence("gru", xs, {"h0": h0}, wx, wh, b, lengths, 3, block)
    check_remember("gru", remember)
    if bh is not None and jnp.shape(bh) != jnp.shape(h0)[-1:]:
        raise InputError(f"gru expects bh of shape {list(jnp.shape(h0)[-1:])}, got {list(jnp.shape(bh))}")


@gru.forward
def _(xs, h0, wx, wh, b, *, bh, lengths, remember, block):
    states = through_time.one_state(h0, xs, wx)
    (hs, (h,)), kept = through_time.forward(_cell(bh), xs, states, wx, wh, b, lengths, remember, block)
    return (hs, h), (bh, kept)


@gru.backward
def _(residuals, upstream, *, remember, block):
    bh, kept = residuals
    dhs, dh = upstream
    d = through_time.backward(_cell(bh), kept, dhs, (dh,), block)
    (dh0,), (*_, dbh) = d.states, split(d.q, 3)
    return d.xs, dh0, d.wx, d.wh, d.b, dbh, None


def _cell(bh):
    return Cell(lambda a, q: _gates(a, q, bh), _advance, _back, DENSE, lambda dr, du, dn, ds: (dr, du, ds))


def _gates(a, q, bh):
    (a_r, a_u, a_n), (q_r, q_u, s) = split(a, 3), split(q, 3)
    r, u = sigmoid(a_r + q_r), sigmoid(a_u + q_u)
    s = s if bh is None else s + bh
    return r, u, jnp.tanh(a_n + r * s), s


def _advance(gates, before):
    _, u, n, _ = gates
    (h,) = before
    return (n + u * (h - n),)


def _back(gates, before, dafter):
    r, u, n, s = gates
    (h,), (dh,) = before, dafter
    # h' = n + u (h - n)
    dn = dh * (1 - u)
    du = dh * (h - n)
    # n = tanh(a_n + r s)      u = sigmoid(a_u + q_u)      r = sigmoid(a_r + q_r)
    da_n = dn * (1 - n) * (1 + n)
    da_u = du * u * (1 - u)
    da_r = da_n * s * r * (1 - r)
    return (da_r, da_u, da_n, da_n * r), (dh * u,)


def gru_step(
    x: jax.Array, h: jax.Array, wx: jax.Array, wh: jax.Array, b: jax.Array, *, bh: jax.Array | None = None
) -> jax.Array:
    """One step of `gru`: h' = u h + (1 - u) n.

    Args:
        x: [N, D].
        h: [N, H], the state before the step.
        wx, wh, b, bh: as for `gru`.

    Returns:
        h': [N, H], the state after it, with the gradients of `gru`.

    Example:
        >>> import jax.numpy as jnp
        >>> gru_step(jnp.ones((2, 3)), jnp.zeros((2, 5)), jnp.ones((3, 15)), jnp.ones((5, 15)), jnp.zeros(15)).shape
        (2, 5)
    """
    return gru(x[:, None], h, wx, wh, b, bh=bh)[1]


class GRU(Recurrent):
    """The layer of `gru`, over inputs (xs, lengths=None, start=None), with parameters ``wx``, ``wh``, ``b`` and ``bh``.

    Args:
        hidden: H, how many units; the number of inputs is read off xs at init.
        wx_init, wh_init: how the weights start, one gate at a time. Biases start at zero.
        remember: as for `gru`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, xs = GRU(5), jnp.ones((2, 7, 3))
        >>> params, state = layer.init(jax.random.key(0), xs)
        >>> hs, _ = layer.apply(params, state, xs)
        >>> (hs, h), _ = layer.apply(params, state, xs, jnp.array([7, 4]), layer.start(xs))
        >>> hs.shape, h.shape, bool((hs[1, 3] == h[1]).all())
        ((2, 7, 5), (2, 5), True)
    """

    rule = gru
    gates: ClassVar[int] = 3
    names: ClassVar[tuple[str, ...]] = ("wx", "wh", "b", "bh")

    remember: Literal["gates", "states"] = "gates"

    def biases(self) -> dict[str, Any]:
        return {**super().biases(), "bh": jnp.zeros(self.hidden, jnp.float32)}
