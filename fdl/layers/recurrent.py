"""Layers over sequences: what RNN, LSTM, GRU and ConvLSTM have in common, and how they are combined.

A layer over sequences takes (xs, lengths=None, start=None). Without ``start`` it begins with a state of zeros and
returns hs alone, so that it stands in a `Serial`. Whoever passes a state, ``layer.start(xs)`` to begin with, gets
one back: (hs, final). `Stacked` and `Bidirectional` take and return the same.

After `begin_stream` the layer carries its state by itself, as part of what `apply` calls state: each call goes on
where the last one ended, in any wiring. A ``start`` is then where the first piece starts from. Gradients end at the
beginning of a piece, so that training on one piece after the other is truncated backpropagation through time.

Two of them in opposite directions see each step with what comes before and after it. Going backwards means to
reverse the sequence, each within its own length, so that padding stays behind it:

    y_t = x_{length - 1 - t} for t < length, else x_t

which is its own inverse, and its own transpose: dx is dy, reversed.

Source: Schuster and Paliwal, "Bidirectional recurrent neural networks" (1997).
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.ids import check_lengths
from fdl.initializers import Initializer, glorot_uniform, orthogonal
from fdl.keys import split_key
from fdl.layer import Layer, Tree
from fdl.layers.checks import check_initializers, check_names
from fdl.layers.combinators import Serial
from fdl.rule import Rule, rule
from fdl.wiring import Combinator, Net

_CARRIED = ("h", "c")  # what the states of a recurrent layer are called in a stream


@rule
def reverse_sequences(xs: jax.Array, lengths: jax.Array | None = None) -> jax.Array:
    """Reverses each sequence within its own length: y_t = x_{length - 1 - t} for t < length, else x_t.

    Args:
        xs: [N, T, ...].
        lengths: integers [N], in [0, T], or None for T each.

    Returns:
        ys, of the shape and dtype of xs. Padding stays where it is.

    Raises:
        InputError: for lengths of another shape, or outside [0, T] where they can be seen.

    Remembers:
        lengths, which exist anyway.

    Example:
        >>> import jax.numpy as jnp
        >>> reverse_sequences(jnp.array([[1, 2, 3], [4, 5, 0]]), jnp.array([3, 2])).tolist()
        [[3, 2, 1], [5, 4, 0]]
    """
    if lengths is None:
        return xs[:, ::-1]
    steps, ends = jnp.arange(xs.shape[1]), jnp.minimum(lengths, xs.shape[1])[:, None]
    source = jnp.where(steps < ends, ends - 1 - steps, steps)
    return jnp.take_along_axis(xs, source.reshape(source.shape + (1,) * (xs.ndim - 2)), axis=1, mode="clip")


@reverse_sequences.validate
def _(xs, lengths):
    if jnp.ndim(xs) < 2:
        raise InputError(f"reverse_sequences expects xs of shape [N, T, ...], got {list(jnp.shape(xs))}")
    examples, steps, *_ = jnp.shape(xs)
    check_lengths("reverse_sequences", lengths, examples, steps, "steps")


@reverse_sequences.forward
def _(xs, lengths):
    return reverse_sequences.reference(xs, lengths), lengths


@reverse_sequences.backward
def _(lengths, dys):
    return reverse_sequences.reference(dys, lengths), None


class Recurrent(Layer):
    """A layer of one recurrent rule, over inputs (xs, lengths=None, start=None).

    A subclass names the rule and its parameters, and how many gates and states it has. Its fields that the rule knows
    as static choices are passed to it.
    """

    rule: ClassVar[Rule[..., Any]]
    gates: ClassVar[int] = 1
    states: ClassVar[int] = 1
    names: ClassVar[tuple[str, ...]] = ("wx", "wh", "b")  # of the parameters

    hidden: int
    wx_init: Initializer = glorot_uniform()
    wh_init: Initializer = orthogonal()

    def __post_init__(self) -> None:
        check_count(type(self).__name__, "hidden", self.hidden)
        check_initializers(self)

    def biases(self) -> dict[str, Any]:
        """The parameters that are no weights, as they start."""
        return {"b": jnp.zeros(self.gates * self.hidden, jnp.float32)}

    def window(self, xs: Any) -> tuple[int, ...]:
        """The spatial part of the weights' shapes: none, where every position is a feature."""
        return ()

    def start(self, xs: Any) -> Any:
        """The state to begin with: zeros, for as many sequences as there are in xs."""
        zeros = jnp.zeros((xs.shape[0], *xs.shape[2:-1], self.hidden), xs.dtype)
        return zeros if self.states == 1 else (zeros,) * self.states

    def init(self, key: jax.Array, xs: Any, lengths: Any = None, start: Any = None) -> tuple[Tree, Tree]:
        if len(xs.shape) < 3:
            raise InputError(f"{type(self).__name__} expects xs of shape [N, T, ..., D], got {list(xs.shape)}")
        wx_key, wh_key = split_key(type(self).__name__, key)
        window = self.window(xs)

        def weight(draw: Initializer, key: jax.Array, inputs: int) -> jax.Array:
            keys = jax.random.split(key, self.gates)
            return jnp.concatenate([draw(k, (*window, inputs, self.hidden)) for k in keys], axis=-1)

        wx = weight(self.wx_init, wx_key, xs.shape[-1])
        return {"wx": wx, "wh": weight(self.wh_init, wh_key, self.hidden), **self.biases()}, {}

    def apply(
        self,
        params: Tree,
        state: Tree,
        xs: Any,
        lengths: Any = None,
        start: Any = None,
        *,
        key: Any = None,
        train: bool = False,
    ) -> tuple[Any, Tree]:
        check_names(self, params, *self.names)
        rule = type(self).rule
        choices = {name: value for name, value in vars(self).items() if name in rule.static}
        before = self.start(xs) if start is None else start
        before = before if isinstance(before, tuple) else (before,)
        if len(before) != self.states:
            raise InputError(f"{self!r} starts from {self.states} arrays, as from layer.start(xs), got {len(before)}")
        if state:
            before = self._continued(state, before)
        hs, final = rule(xs, *before, **params, lengths=lengths, **choices)
        if state:
            carried = zip(_CARRIED, final if isinstance(final, tuple) else (final,), strict=False)
            state = {"position": state["position"] + xs.shape[1], **dict(carried)}
        return (hs if start is None else (hs, final)), state

    def begin_stream(self, params: Tree, state: Tree, batch: int, length: int) -> Tree:
        if params["wx"].ndim > 2:
            raise InputError(f"{self!r} cannot begin a stream without images: give it layer.start(xs), and carry that")
        shape, dtype = (batch, self.hidden), params["wx"].dtype
        carried = {name: jnp.zeros(shape, dtype) for name in _CARRIED[: self.states]}
        return {"position": jnp.zeros((), jnp.int32), **carried}

    def _continued(self, state: Tree, start: tuple[Any, ...]) -> tuple[Any, ...]:
        """What a stream carries, or at its beginning the start."""
        carried = tuple(state[name] for name in _CARRIED[: self.states])
        if carried[0].shape != start[0].shape:
            raise InputError(
                f"{type(self).__name__} began a stream of {carried[0].shape[0]} sequences, and is given {len(start[0])}"
            )
        return tuple(jnp.where(state["position"] > 0, a, b) for a, b in zip(carried, start, strict=True))

    def receptive_window(self, xs: Any, *_: Any) -> tuple[tuple[Any, Any, Any], ...]:
        return tuple((size, 1, 1) for size in xs.shape[1:-1])


class Stacked(Serial, init=False):
    """Layers over sequences, one on top of the other: hs of one is xs of the next, and all get the same lengths.

    A state, to start from or at the end, is a tuple with that of each layer.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import GRU, LSTM, Stacked
        >>> layer, xs = Stacked(LSTM(5), GRU(4)), jnp.ones((2, 7, 3))
        >>> params, state = layer.init(jax.random.key(0), xs)
        >>> (hs, ((h1, c1), h2)), _ = layer.apply(params, state, xs, jnp.array([7, 4]), layer.start(xs))
        >>> hs.shape, h1.shape, h2.shape
        ((2, 7, 4), (2, 5), (2, 4))
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_children(self)

    def start(self, xs: Any) -> Any:
        """The states to begin with, of each layer."""
        return _starts(self, xs)

    def wire(self, net: Net, xs: Any, lengths: Any = None, start: Any = None) -> Any:
        if start is None:
            for layer in net:
                xs = layer(xs, lengths)
            return xs
        if len(start) != len(self.children):
            raise InputError(f"Stacked has {len(self.children)} layers, but {len(start)} states to start them from")
        final = []
        for layer, state in zip(net, start, strict=True):
            xs, after = layer(xs, lengths, state)
            final.append(after)
        return xs, tuple(final)


class Bidirectional(Combinator):
    """A layer over sequences and a second one of the same kind that runs backwards in time, side by side.

    The features of the second follow those of the first. Each sequence is reversed within its own length. A
    state, to start from or at the end, is a pair; what the second ends in has seen the first step last. It
    carries nothing in a stream, since it looks ahead.

    Source: Schuster and Paliwal (1997).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import LSTM
        >>> layer, xs = Bidirectional(LSTM(5)), jnp.ones((2, 7, 3))
        >>> params, state = layer.init(jax.random.key(0), xs)
        >>> layer.apply(params, state, xs, jnp.array([7, 4]))[0].shape
        (2, 7, 10)
    """

    layer: Layer

    @property
    def children(self) -> dict[str, Layer]:
        return {"forwards": self.layer, "backwards": self.layer}

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_children(self)

    def start(self, xs: Any) -> Any:
        """The states to begin with, of both directions."""
        return _starts(self, xs)

    def begin_stream(self, params: Tree, state: Tree, batch: int, length: int) -> Tree:
        return state

    def wire(self, net: Net, xs: Any, lengths: Any = None, start: Any = None) -> Any:
        mirrored = reverse_sequences(xs, lengths)
        if start is None:
            there, back = net.forwards(xs, lengths), net.backwards(mirrored, lengths)
            return jnp.concatenate([there, reverse_sequences(back, lengths)], axis=-1)
        (there, last), (back, first) = net.forwards(xs, lengths, start[0]), net.backwards(mirrored, lengths, start[1])
        return jnp.concatenate([there, reverse_sequences(back, lengths)], axis=-1), (last, first)


def _check_children(layer: Combinator) -> None:
    for child in layer.children.values():
        if not hasattr(child, "start"):
            raise InputError(f"{type(layer).__name__} is made of layers over sequences, got {child!r}")


def _starts(layer: Any, xs: Any) -> tuple[Any, ...]:
    return tuple(child.start(xs) for child in layer.children.values())
