"""Layers that tell a sequence where its elements are, for attention, which does not see their order.

    y[n, t] = x[n, t] + p[t]

with p either fixed sines and cosines (`fdl.layers.sinusoidal_positions`), or a table that is learned like any other
parameter. Each position adds to every example, so dp[t] = sum over n of dy[n, t], which is what JAX makes of
the broadcast.

Source: Vaswani et al., "Attention is all you need" (2017); Gehring et al., "Convolutional sequence to sequence
learning" (2017), for learned ones.
"""

from typing import Any

import jax
import jax.numpy as jnp

from fdl.concrete import is_concrete
from fdl.counts import check_count
from fdl.errors import InputError
from fdl.initializers import Initializer, normal
from fdl.layer import Layer, Tree
from fdl.layers.checks import check_floats, check_initializers
from fdl.layers.embedding import embedding
from fdl.layers.positions import sinusoidal_positions


class PositionalEncoding(Layer):
    """Adds sines and cosines of the position to x [N, T, C]; after `begin_stream` it counts on from piece to piece.

    Example:
        >>> import jax.numpy as jnp
        >>> PositionalEncoding().apply({}, {}, jnp.zeros((1, 2, 4)))[0].round(2).tolist()
        [[[0.0, 1.0, 0.0, 1.0], [0.84, 0.54, 0.01, 1.0]]]
    """

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        _check_sequence("PositionalEncoding", x)
        positions = state["room"].shape[0] if state else x.shape[1]
        return _added(x, sinusoidal_positions(positions, x.shape[2]), state)

    def begin_stream(self, params: Tree, state: Tree, batch: int, length: int) -> Tree:
        return _beginning(length)


class LearnedPositions(Layer):
    """Adds a learned vector for each position to x [N, T, C]; the parameter is ``table`` [length, C].

    Args:
        length: how many positions there can be.
        w_init: how the table starts.

    Raises:
        InputError: for a sequence, or a stream, that is longer.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = LearnedPositions(1024), jnp.ones((2, 10, 8))
        >>> params, state = layer.init(jax.random.key(0), x)
        >>> params["table"].shape, layer.apply(params, state, x)[0].shape
        ((1024, 8), (2, 10, 8))
    """

    length: int
    w_init: Initializer = normal(stddev=0.02)

    def __post_init__(self) -> None:
        check_count("LearnedPositions", "length", self.length)
        check_initializers(self)

    def init(self, key: jax.Array, x: Any) -> tuple[Tree, Tree]:
        self._check(x)
        return {"table": self.w_init(key, (self.length, x.shape[-1]))}, {}

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        self._check(x)
        return _added(x, params["table"], state)

    def begin_stream(self, params: Tree, state: Tree, batch: int, length: int) -> Tree:
        if length > self.length:
            raise InputError(f"LearnedPositions has {self.length} positions, a stream of {length} needs more")
        return _beginning(length)

    def _check(self, x: Any) -> None:
        _check_sequence("LearnedPositions", x)
        if x.shape[1] > self.length:
            raise InputError(f"LearnedPositions has {self.length} positions, got x of shape {list(x.shape)}")


def _beginning(length: int) -> Tree:
    """The state of a stream: where it is, and, as the shape of an array without elements, how long it may get."""
    return {"position": jnp.zeros((), jnp.int32), "room": jnp.zeros((length, 0))}


def _added(x: Any, table: jax.Array, state: Tree) -> tuple[Any, Tree]:
    """x with the rows of the table that it is at, and a state that is behind them; NaN where there are none."""
    if not state:
        return x + table[None, : x.shape[1]].astype(x.dtype), state
    start, end = state["position"], state["position"] + x.shape[1]
    rows = start + jnp.arange(x.shape[1])
    if is_concrete(end) and end > len(state["room"]):
        raise InputError(f"a stream of {len(state['room'])} positions began, and is given {int(end)}")
    return x + embedding(rows, table[: len(state["room"])])[None].astype(x.dtype), state | {"position": end}


def _check_sequence(who: str, x: Any) -> None:
    if len(x.shape) != 3:
        raise InputError(f"{who} expects x of shape [N, T, C], got {list(x.shape)}")
    check_floats(who, x)
