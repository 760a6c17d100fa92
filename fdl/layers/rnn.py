"""The simple recurrent layer: each step sees its input and what the step before it made of its own.

    h_t = f(x_t wx + h_{t-1} wh + b)        x: [N, D]   h: [N, H]   wx: [D, H]   wh: [H, H]   b: [H]

with f = tanh or ReLU. One step backwards, with dh all that arrives at h_t,

    dz = dh (1 - h_t^2) for tanh,  dh where h_t > 0 for ReLU

which the output tells: nothing else is remembered, unless the output is rounded to 16 bits. dz reaches h_{t-1}, x,
wx, wh and b through the products, which `fdl.layers.through_time` takes care of. Over many steps the gradient is
multiplied by wh^T as often: it vanishes or explodes unless wh starts orthogonal, or as the identity for ReLU, and
even then before long. `LSTM` does better.

Sources: Elman, "Finding structure in time" (1990); ReLU: Le, Jaitly and Hinton, "A simple way to initialize
recurrent networks of rectified linear units" (2015).
"""

from typing import Literal

import jax
import jax.numpy as jnp

from fdl.errors import InputError
from fdl.layers import through_time
from fdl.layers.recurrent import Recurrent
from fdl.layers.recurrent_checks import check_recurrence
from fdl.layers.recurrent_products import DENSE
from fdl.layers.through_time import Cell, block_size, in_blocks, what_output_does_not_tell
from fdl.rule import rule


@rule(static=["activation", "block"])
def rnn(
    xs: jax.Array,
    h0: jax.Array,
    wx: jax.Array,
    wh: jax.Array,
    b: jax.Array,
    *,
    lengths: jax.Array | None = None,
    activation: Literal["tanh", "relu"] = "tanh",
    block: int | None = None,
) -> tuple[jax.Array, jax.Array]:
    """The simple recurrence over whole sequences: h_t = f(x_t wx + h_{t-1} wh + b).

    Args:
        xs: [N, T, D], T at least one.
        h0: [N, H], the state before the first step.
        wx: [D, H], wh: [H, H], b: [H].
        lengths: integers [N], how many steps of each sequence are no padding; None for all. Padding has
            hs = 0, leaves the state as it is, and has no gradient; what stands in it does not matter.
        activation: ``"tanh"`` or ``"relu"``.
        block: how many steps have their products with wx taken at once, at most; None for 256 / N, within 16 and 128.

    Returns:
        (hs, h): hs [N, T, H], and the state after the last step of each sequence.

    Raises:
        InputError: for shapes that do not fit together, integers, another activation, and lengths outside
            [0, T] where they can be seen. Inside jit, more than T counts as T.

    Remembers:
        its arguments, which exist anyway, hs, which is the output, and hs in float32 where the output is narrower.

    Source:
        Elman (1990); Le et al. (2015).

    Example:
        >>> import jax.numpy as jnp
        >>> one = jnp.ones((1, 1))
        >>> hs, h = rnn(jnp.ones((1, 3, 1)), 0 * one, one, one, jnp.zeros(1), activation="relu")
        >>> hs.ravel().tolist(), h.tolist()
        ([1.0, 2.0, 3.0], [[3.0]])
    """
    hs, (h,) = through_time.plainly(CELLS[activation], xs, through_time.one_state(h0, xs, wx), wx, wh, b, lengths)
    return hs, h


@rnn.validate
def _(xs, h0, wx, wh, b, *, lengths, activation, block):
    check_recurrence("rnn", xs, {"h0": h0}, wx, wh, b, lengths, 1, block)
    _check_activation("rnn", activation)


@rnn.forward
def _(xs, h0, wx, wh, b, *, lengths, activation, block):
    states, remember = through_time.one_state(h0, xs, wx), what_output_does_not_tell(xs, wx, wh, b)
    (hs, (h,)), kept = through_time.forward(CELLS[activation], xs, states, wx, wh, b, lengths, remember, block)
    return (hs, h), kept


@rnn.backward
def _(kept, upstream, *, activation, block):
    dhs, dh = upstream
    if kept.gates is None:  # hs is what they were, unrounded
        gates, _ = in_blocks(kept.hs, kept.lengths, block_size(kept.xs, block))
        kept = kept._replace(gates=(gates,))
    d = through_time.backward(CELLS[activation], kept, dhs, (dh,), block)
    (dh0,) = d.states
    return d.xs, dh0, d.wx, d.wh, d.b, None


def _tanh(a, q):
    return (jnp.tanh(a + q),)


def _relu(a, q):
    z = a + q
    return (jnp.where(z <= 0, 0, z),)


def _advance(gates, before):
    return gates


def _tanh_back(gates, before, dafter):
    # h = tanh(z)
    (h,), (dh,) = gates, dafter
    dz = dh * (1 - h) * (1 + h)
    return (dz,), (0,)


def _relu_back(gates, before, dafter):
    # h = 0 where z <= 0, z elsewhere
    (h,), (dh,) = gates, dafter
    dz = jnp.where(h == 0, 0, dh)
    return (dz,), (0,)


CELLS = {"tanh": Cell(_tanh, _advance, _tanh_back, DENSE), "relu": Cell(_relu, _advance, _relu_back, DENSE)}


def _check_activation(who, activation):
    if activation not in CELLS:
        raise InputError(f'{who} knows the activations "tanh" and "relu", got {activation!r}')


def rnn_step(
    x: jax.Array,
    h: jax.Array,
    wx: jax.Array,
    wh: jax.Array,
    b: jax.Array,
    *,
    activation: Literal["tanh", "relu"] = "tanh",
) -> jax.Array:
    """One step of `rnn`: h' = f(x wx + h wh + b).

    Args:
        x: [N, D].
        h: [N, H], the state before the step.
        wx, wh, b, activation: as for `rnn`.

    Returns:
        h': [N, H], the state after it, with the gradients of `rnn`.

    Example:
        >>> import jax.numpy as jnp
        >>> one = jnp.ones((1, 1))
        >>> rnn_step(one, 2 * one, one, one, jnp.zeros(1), activation="relu").tolist()
        [[3.0]]
    """
    return rnn(x[:, None], h, wx, wh, b, activation=activation)[1]


class RNN(Recurrent):
    """The layer of `rnn`, over inputs (xs, lengths=None, start=None), with parameters ``wx``, ``wh`` and ``b``.

    Args:
        hidden: H, how many units; the number of inputs is read off xs at init.
        wx_init, wh_init: how the weights start. For ReLU, `fdl.initializers.identity` for wh remembers best.
        activation: ``"tanh"`` or ``"relu"``.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, xs = RNN(5), jnp.ones((2, 7, 3))
        >>> params, state = layer.init(jax.random.key(0), xs)
        >>> hs, _ = layer.apply(params, state, xs)
        >>> (hs, h), _ = layer.apply(params, state, xs, jnp.array([7, 4]), layer.start(xs))
        >>> hs.shape, h.shape, bool((hs[1, 3] == h[1]).all())
        ((2, 7, 5), (2, 5), True)
    """

    rule = rnn

    activation: Literal["tanh", "relu"] = "tanh"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_activation("RNN", self.activation)
