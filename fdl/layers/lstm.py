"""Long short-term memory: a recurrent layer whose state is kept by gates, so that gradients survive many steps.

    z = x wx + h wh + b                     x: [N, D]   h, c: [N, H]   wx: [D, 4 H]   wh: [H, 4 H]   b: [4 H]
    i, f, o = sigmoid of the first three quarters of z, g = tanh of the last
    c' = f c + i g                          the cell: a fraction f of what it was, and i of what is new
    h' = o tanh(c')                         what it shows of itself

One step backwards, with dh and dc all that arrives at h' and c', and t = tanh(c'):

    do = dh t       dc += dh o (1 - t^2)
    df = dc c       di = dc g       dg = dc i       and dc f goes to the cell one step before
    dz = (di i (1 - i), df f (1 - f), do o (1 - o), dg (1 - g^2))

since sigmoid' = s (1 - s) and tanh' = 1 - tanh^2, computed as (1 - tanh) (1 + tanh), which loses nothing where tanh
is close to one. dz reaches h, x, wx, wh and b through the products, which `fdl.layers.through_time` takes care of.
Along the cell, the gradient is multiplied by f alone: where f stays close to one, nothing vanishes. c' is not
remembered but computed again, as f c + i g.

Truncated backpropagation through time. A sequence too long to be differentiated at once (a book) is trained on
in windows. Each starts from the state that the last one ended in, as a constant, so that the state remembers
everything, but gradients reach back to the start of the window only:

    >>> import jax, jax.numpy as jnp
    >>> layer, book = LSTM(8), jax.random.normal(jax.random.key(0), (4, 30, 3))
    >>> params, state = layer.init(jax.random.key(1), book)
    >>> def loss(params, window, start):
    ...     (hs, final), _ = layer.apply(params, state, window, None, start)
    ...     return (hs**2).mean(), final
    >>> carried = layer.start(book)
    >>> for window in jnp.split(book, 3, axis=1):
    ...     (value, carried), grads = jax.value_and_grad(loss, has_aux=True)(params, window, carried)
    ...     params = jax.tree.map(lambda w, dw: w - 0.1 * dw, params, grads)

Where several windows are differentiated together, ``jax.lax.stop_gradient(carried)`` between them does the same.

Sources: Hochreiter and Schmidhuber, "Long short-term memory" (1997); the forget gate: Gers, Schmidhuber and
Cummins, "Learning to forget" (2000); a forget bias of one: Jozefowicz, Zaremba and Sutskever, "An empirical
exploration of recurrent network architectures" (2015); windows: Williams and Peng, "An efficient gradient-based
algorithm for on-line training of recurrent network trajectories" (1990).
"""

from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp

from fdl.layers import through_time
from fdl.layers.recurrent import Recurrent
from fdl.layers.recurrent_checks import check_recurrence, check_remember
from fdl.layers.recurrent_products import DENSE
from fdl.layers.through_time import Cell, sigmoid, split
from fdl.rule import rule, wide

Pair = tuple[jax.Array, jax.Array]


@rule(static=["remember", "block"])
def lstm(
    xs: jax.Array,
    h0: jax.Array,
    c0: jax.Array,
    wx: jax.Array,
    wh: jax.Array,
    b: jax.Array,
    *,
    lengths: jax.Array | None = None,
    remember: Literal["gates", "states"] = "gates",
    block: int | None = None,
) -> tuple[jax.Array, Pair]:
    """Long short-term memory over whole sequences: c = f c + i g, h = o tanh(c) with (i, f, o, g) from x wx + h wh + b.

    Args:
        xs: [N, T, D], T at least one.
        h0, c0: [N, H], the state before the first step.
        wx: [D, 4 H], wh: [H, 4 H], b: [4 H], the gates in the order i, f, o, g along the last axis.
        lengths: integers [N], how many steps of each sequence are no padding; None for all. Padding has
            hs = 0, leaves the state as it is, and has no gradient; what stands in it does not matter.
        remember: ``"gates"``, or ``"states"`` to compute the gates again in the backward pass, by a third more
            arithmetic, for long sequences. The result is the same.
        block: how many steps have their products with wx taken at once, at most; None for all, or with
            ``remember="states"`` for 256 / N, within 16 and 128.

    Returns:
        (hs, (h, c)): hs [N, T, H], and the state after the last step of each sequence.

    Raises:
        InputError: for shapes that do not fit together, integers, and lengths outside [0, T] where they can be
            seen. Inside jit, more than T counts as T.

    Remembers:
        its arguments, hs, the cell before each step, and unless ``remember="states"`` the gates: 4 H numbers per step.

    Source:
        Hochreiter and Schmidhuber (1997); Gers et al. (2000).

    Example:
        >>> import jax.numpy as jnp
        >>> xs, zero = jnp.ones((2, 7, 3)), jnp.zeros((2, 5))
        >>> hs, (h, c) = lstm(xs, zero, zero, jnp.ones((3, 20)), jnp.ones((5, 20)), jnp.zeros(20))
        >>> hs.shape, h.shape, bool((hs[:, -1] == h).all())
        ((2, 7, 5), (2, 5), True)
    """
    hs, final = through_time.plainly(CELL, xs, start(h0, c0, xs, wx), wx, wh, b, lengths)
    return result(hs, final)


@lstm.validate
def _(xs, h0, c0, wx, wh, b, *, lengths, remember, block):
    check_recurrence("lstm", xs, {"h0": h0, "c0": c0}, wx, wh, b, lengths, 4, block)
    check_remember("lstm", remember)


@lstm.forward
def _(xs, h0, c0, wx, wh, b, *, lengths, remember, block):
    states = start(h0, c0, xs, wx)
    (hs, final), kept = through_time.forward(CELL, xs, states, wx, wh, b, lengths, remember, block)
    return result(hs, final), kept


@lstm.backward
def _(kept, upstream, *, remember, block):
    dhs, dstates = upstream
    d = through_time.backward(CELL, kept, dhs, dstates, block)
    dh0, dc0 = d.states
    return d.xs, dh0, dc0, d.wx, d.wh, d.b, None


def _gates(a, q):
    i, f, o, g = split(a + q, 4)
    return *map(sigmoid, (i, f, o)), jnp.tanh(g)


def _advance(gates, before):
    i, f, o, g = gates
    _, c = before
    c = f * c + i * g
    return o * jnp.tanh(c), c


def _back(gates, before, dafter):
    i, f, o, g = gates
    _, c = before
    dh, dc = dafter
    t = jnp.tanh(f * c + i * g)
    # h' = o t      t = tanh(c')
    dc = dc + dh * o * (1 - t) * (1 + t)
    # c' = f c + i g
    di, df, do, dg = dc * g, dc * c, dh * t, dc * i
    # i, f, o = sigmoid(z)      g = tanh(z)
    dz = di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g) * (1 + g)
    return dz, (0, dc * f)


CELL = Cell(_gates, _advance, _back, DENSE)


def start(h0: jax.Array, c0: jax.Array, xs: jax.Array, wx: jax.Array) -> Pair:
    """The states before the first step. The cell is a sum over all steps, so it is carried in float32 or wider."""
    dtype = jnp.result_type(xs, wx)
    return h0.astype(dtype), c0.astype(wide(dtype))


def result(hs: jax.Array, final: Pair) -> tuple[jax.Array, Pair]:
    """What the rule returns."""
    h, c = final
    return hs, (h, c.astype(h.dtype))


def lstm_step(x: jax.Array, h: jax.Array, c: jax.Array, wx: jax.Array, wh: jax.Array, b: jax.Array) -> Pair:
    """One step of `lstm`: c' = f c + i g, h' = o tanh(c').

    Args:
        x: [N, D].
        h, c: [N, H], the state before the step.
        wx, wh, b: as for `lstm`.

    Returns:
        (h, c): [N, H], the state after it, with the gradients of `lstm`.

    Example:
        >>> import jax.numpy as jnp
        >>> x, zero = jnp.ones((2, 3)), jnp.zeros((2, 5))
        >>> h, c = lstm_step(x, zero, zero, jnp.ones((3, 20)), jnp.ones((5, 20)), jnp.zeros(20))
        >>> h.shape, c.shape
        ((2, 5), (2, 5))
    """
    return lstm(x[:, None], h, c, wx, wh, b)[1]


class LSTM(Recurrent):
    """The layer of `lstm`, over inputs (xs, lengths=None, start=None), with parameters ``wx``, ``wh`` and ``b``.

    Args:
        hidden: H, how many units; the number of inputs is read off xs at init.
        wx_init, wh_init: how the weights start, one gate at a time.
        forget_bias: how the forget gates' part of ``b`` starts; the rest starts at zero. With 1, gates start
            open by 0.73, so that gradients reach back some steps from the beginning of training.
        remember: as for `lstm`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, xs = LSTM(5), jnp.ones((2, 7, 3))
        >>> params, state = layer.init(jax.random.key(0), xs)
        >>> hs, _ = layer.apply(params, state, xs)
        >>> (hs, (h, c)), _ = layer.apply(params, state, xs, jnp.array([7, 4]), layer.start(xs))
        >>> hs.shape, h.shape, bool((hs[1, 3] == h[1]).all())
        ((2, 7, 5), (2, 5), True)
    """

    rule = lstm
    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2

    forget_bias: float = 1.0
    remember: Literal["gates", "states"] = "gates"

    def biases(self) -> dict[str, Any]:
        b = jnp.zeros(4 * self.hidden, jnp.float32)
        return {"b": b.at[self.hidden : 2 * self.hidden].set(self.forget_bias)}
