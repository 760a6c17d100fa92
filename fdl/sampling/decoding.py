"""Decoding steps, and what `generate` and `beam_search`, which are pure functions of one, share.

A decoding step is any function

    step(carry, token) -> (logits, carry)

from the last token, and whatever remembers those before it, to a score for each token that may come next: a
recurrent network with its states as carry, or, made by `stream_step`, any network after `begin_stream`.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.concrete import is_concrete
from fdl.errors import InputError
from fdl.layer import Layer, Tree

Step = Callable[[Any, Any], tuple[Any, Any]]

NONE = -1  # no token: what there is to choose from are scores of NaN


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class StreamStep:
    """What `stream_step` makes: a function that is a pytree, with the parameters as its leaves.

    So `generate` and `beam_search` compile it once for all parameters of these shapes.
    """

    net: Layer = dataclasses.field(metadata={"static": True})
    params: Tree
    inputs: tuple[Any, ...]

    def __call__(self, stream: Any, token: Any) -> tuple[Any, Any]:
        """The scores [..., V] of what may come behind token [...], and the stream that goes on from there."""
        begun = jax.eval_shape(lambda stream: self.net.begin_stream(self.params, stream, 1, 1), stream)
        structure: Any = jax.tree.structure(begun)
        if structure != jax.tree.structure(stream):
            raise InputError(
                "stream_step goes on with a stream, and was given a state that forgets every token: begin with "
                "net.begin_stream(params, state, batch, length)"
            )
        scores, stream = self.net.apply(self.params, stream, token.reshape(-1, 1), *self.inputs)
        return scores[:, -1].reshape(*token.shape, scores.shape[-1]), stream


def stream_step(net: Layer, params: Tree, *inputs: Any) -> StreamStep:
    """The decoding step of a network from ids [N, T] to scores [N, T, V]: its carry is the state of a stream.

    Args:
        net: a network that only looks back, such as `fdl.models.gpt`.
        params: its parameters.
        inputs: what it is given besides the ids, every time, such as what an encoder made of the source.

    Returns:
        A function (stream, token [N]) -> (logits [N, V], stream), to begin with
        ``net.begin_stream(params, state, batch, length)``. For `beam_search`, the token of a stream of one sequence,
        with ``batch=1``, may be a scalar.

    Raises:
        InputError: from the step, for a state that is no stream.

    Example:
        >>> from fdl.layers import Affine, Embedding, LSTM, Serial
        >>> from fdl.sampling import generate
        >>> net, prompt = Serial(Embedding(10, 8), LSTM(16), Affine(10)), jnp.array([[3, 1], [4, 1]])
        >>> params, state = net.init(jax.random.key(0), prompt)
        >>> _, stream = net.apply(params, net.begin_stream(params, state, batch=2, length=6), prompt[:, :-1])
        >>> tokens, _ = generate(stream_step(net, params), stream, prompt[:, -1], 5)
        >>> tokens.shape
        (2, 5)
    """
    return StreamStep(net, params, inputs)


def run(loop: Callable[..., Any], step: Step, *args: Any, **choices: Any) -> Any:
    """The loop, compiled if the step is a pytree; any other function would be compiled anew, and kept, in each call."""
    is_pytree = not jax.tree_util.all_leaves([step])
    return _compiled(loop, step, *args, **choices) if is_pytree else loop(step, *args, **choices)


@functools.partial(jax.jit, static_argnums=0, static_argnames=("length", "choose", "beams"))
def _compiled(loop: Callable[..., Any], *args: Any, **choices: Any) -> Any:
    return loop(*args, **choices)


def as_tokens(token: Any) -> jax.Array:
    """Tokens as integers with room for those of any vocabulary: a byte would wrap where one above 255 follows it."""
    token = jnp.asarray(token)
    is_narrow = jnp.issubdtype(token.dtype, jnp.integer) and token.dtype.itemsize < 4
    return token.astype(jnp.int32) if is_narrow else token


def check_stop(who: str, stop: Any) -> None:
    """Refuses several tokens that end a sequence: an array of them would be one for each sequence of a batch."""
    if stop is not None and np.ndim(stop):
        raise InputError(f"{who} needs stop as one token, got {stop!r}")


def check_found(tokens: jax.Array) -> None:
    """Refuses tokens [..., length] that are none, where they can be seen."""
    if is_concrete(tokens) and (lost := tokens == jnp.asarray(NONE).astype(tokens.dtype)).any():
        first = int(np.argmax(np.any(lost, axis=tuple(range(lost.ndim - 1)))))
        raise InputError(
            f"the scores for token {first} of {tokens.shape[-1]} are NaN: a stream needs room for the prompt and for "
            "all tokens, begin_stream(..., length), the prompt has to be of ids that the network knows, and parameters "
            "have to be finite"
        )


def has_ended(token: jax.Array, stop: int, was_chosen: jax.Array) -> jax.Array:
    """Whether a sequence ended with its last token; a prompt may have the same one."""
    return (token == stop) & was_chosen
