"""Sampling: from a model's scores for the next token to tokens, to sequences, to the most probable sequence.

A decoding step is any function

    step(carry, token) -> (logits, carry)

from the last token, and whatever remembers those before it, to a score for each token that may come next: a
recurrent network with its states as carry, or, made by `stream_step`, any network after `begin_stream`. `generate` and
`beam_search` go on from there as pure functions of it, one `jax.lax.scan` each.

The distribution that is drawn from is softmax(logits), reshaped by what comes before the draw:

    temperature  logits / t: below one it sharpens, above one it flattens
    top_k        only the k best tokens
    top_p        only the best tokens that together have probability p, at least one (nucleus sampling)

Prompts of different lengths begin together: the stream reads as much as the shortest one has, and `generate` takes the
rest of the others from ``given`` before it chooses for them. No network sees padding, so any that streams can do it:

    _, stream = net.apply(params, stream, prompts[:, : shortest - 1])           # [N, longest], -1 behind the shorter
    tokens, _ = generate(step, stream, prompts[:, shortest - 1], length, given=prompts[:, shortest:])

Tokens that are ruled out get -inf, so these functions chain in any order. Beam search looks for the sequence with
the greatest sum of log p(token | tokens before) by keeping the best few prefixes at every length.

Source: Holtzman, Buys, Du, Forbes and Choi, "The curious case of neural text degeneration" (2020), for top_p; Wu et
al., "Google's neural machine translation system" (2016), for the length penalty.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.keys import check_key, split_key
from fdl.layer import Layer, Tree
from fdl.rule import wide

Step = Callable[[Any, Any], tuple[Any, Any]]

NONE = -1  # no token: what there is to choose from are scores of NaN


def temperature(logits: jax.Array, t: float) -> jax.Array:
    """Sharpens (t < 1) or flattens (t > 1) a distribution: logits / t.

    Args:
        logits: [..., V].
        t: positive; towards 0 only the best token is left.

    Raises:
        InputError: for a temperature that is not positive.

    Example:
        >>> temperature(jnp.array([1.0, 2.0]), 0.5).tolist()
        [2.0, 4.0]
    """
    if not isinstance(t, jax.core.Tracer) and not 0 < t < math.inf:
        raise InputError(f"temperature needs a positive, finite t, got {t}: for the best token alone there is greedy")
    return logits / t


def top_k(logits: jax.Array, k: int) -> jax.Array:
    """Rules out all but the k best tokens; of equal ones the first are kept.

    Args:
        logits: [..., V].
        k: from 1 to V.

    Raises:
        InputError: for a k outside its range.

    Example:
        >>> top_k(jnp.array([1.0, 3.0, 2.0]), 2).tolist()
        [-inf, 3.0, 2.0]
    """
    check_count("top_k", "k", k, most=logits.shape[-1], of="the number of tokens")
    return jnp.where(_rank(logits) < k, logits, -jnp.inf)


def top_p(logits: jax.Array, p: float) -> jax.Array:
    """Rules out the unlikely tokens: keeps the best whose probabilities first add up to p or more.

    Args:
        logits: [..., V].
        p: in (0, 1].

    Raises:
        InputError: for a p outside its range.

    Source: Holtzman et al. (2020).

    Example:
        >>> top_p(jnp.log(jnp.array([0.5, 0.1, 0.4])), 0.8).round(1).tolist()
        [-0.7, -inf, -0.9]
    """
    if not isinstance(p, jax.core.Tracer) and not 0 < p <= 1:
        raise InputError(f"top_p needs a p in (0, 1], got {p}")
    worst_first, rank = jnp.sort(logits, axis=-1).astype(wide(logits)), _rank(logits)
    no_better = jnp.cumsum(jax.nn.softmax(worst_first, axis=-1), axis=-1)  # 1 - what the better ones have together
    keep = jnp.take_along_axis(no_better > 1 - p, logits.shape[-1] - 1 - rank, -1)
    return jnp.where(keep | (rank == 0), logits, -jnp.inf)


def _rank(logits: jax.Array) -> jax.Array:
    """How many tokens are better than each."""
    return jnp.argsort(jnp.argsort(logits, axis=-1, descending=True), axis=-1)


def greedy(key: Any, logits: jax.Array) -> jax.Array:
    """The best token, the first of equal ones; the key is not used.

    Example:
        >>> int(greedy(None, jnp.array([1.0, 3.0, 2.0])))
        1
    """
    return jnp.argmax(logits, axis=-1)


def sample(key: jax.Array, logits: jax.Array, *, reshape: Callable[[jax.Array], jax.Array] | None = None) -> jax.Array:
    """A token drawn from softmax(logits).

    Args:
        key: a JAX random key.
        logits: [..., V].
        reshape: what is done to the logits first, such as ``lambda z: top_k(temperature(z, 0.7), 40)``.

    Raises:
        InputError: for what is no key, such as None, which `generate` hands on when it was given none.

    Example:
        >>> int(sample(jax.random.key(0), jnp.array([0.0, 1.0]), reshape=lambda z: top_k(z, 1)))
        1
    """
    check_key("sample", key)
    logits = logits if reshape is None else reshape(logits)
    return jax.random.categorical(key, logits.astype(wide(logits)))  # whose noise has so many digits as its logits


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
        >>> net, prompt = Serial(Embedding(10, 8), LSTM(16), Affine(10)), jnp.array([[3, 1], [4, 1]])
        >>> params, state = net.init(jax.random.key(0), prompt)
        >>> _, stream = net.apply(params, net.begin_stream(params, state, batch=2, length=6), prompt[:, :-1])
        >>> tokens, _ = generate(stream_step(net, params), stream, prompt[:, -1], 5)
        >>> tokens.shape
        (2, 5)
    """
    return StreamStep(net, params, inputs)


def generate(
    step: Step,
    carry: Any,
    token: Any,
    length: int,
    *,
    key: Any = None,
    choose: Callable[[Any, jax.Array], jax.Array] = greedy,
    stop: int | None = None,
    given: Any = None,
) -> tuple[jax.Array, Any]:
    """Tokens one after the other, each chosen from the scores that the step gives for it.

    Args:
        step: (carry, token) -> (logits [..., V], carry). One of `stream_step` is compiled once; any other function in
            every call, unless it is in `jax.jit`.
        carry: what the step starts with: a pytree of arrays.
        token: the last token of the prompt, of any shape [...]: a batch is generated at once if the step takes one.
        length: how many tokens to make.
        key: a JAX random key, for a ``choose`` that draws.
        choose: (key, logits) -> token, like `greedy` and `sample`: the same function each time, since a new one is
            compiled anew.
        stop: a token after which a sequence only repeats it; in a prompt it ends none.
        given: tokens that are taken in the place of chosen ones, integers [..., up to length]; -1 where one is to be
            chosen, as it is behind them. With the rest of longer prompts, sequences begin where each prompt ends.

    Returns:
        (tokens [..., length], carry), in the type of ``token``, but in int32 at least. Inside jit, a token whose scores
        are NaN is -1.

    Raises:
        InputError: for scores that are NaN, such as those of a stream that has no room left, outside jit; without a
            key for a ``choose`` that draws; for several tokens as ``stop``; for given ones that are no integers, or of
            another shape.

    Example:
        >>> def count(carry, token):  # the next number is always the most probable
        ...     return jax.nn.one_hot(token + 1, 10), carry
        >>> tokens, _ = generate(count, (), jnp.array([2, 5]), 6, stop=8)
        >>> tokens.tolist()
        [[3, 4, 5, 6, 7, 8], [6, 7, 8, 8, 8, 8]]
        >>> tokens, _ = generate(count, (), jnp.array([2, 5]), 4, given=jnp.array([[-1, -1], [1, 0]]))
        >>> tokens.tolist()  # the second prompt is longer, and ends with 5, 1, 0
        [[3, 4, 5, 6], [1, 0, 1, 2]]
    """
    check_count("generate", "length", length, least=0)
    _check_stop("generate", stop)
    keys = None if key is None else split_key("generate", key, length)
    token = _as_tokens(token)
    given = None if given is None else _steps_of(given, token, length)
    tokens, carry = _run(_generate, step, carry, token, keys, stop, given, length=length, choose=choose)
    _check_found(tokens)
    return tokens, carry


def _generate(step: Step, carry: Any, token: Any, keys: Any, stop: Any, given: Any, *, length: int, choose: Any) -> Any:
    none = jnp.asarray(NONE).astype(token.dtype)
    is_chosen = jnp.ones(length, bool) if given is None else given < 0
    was_chosen = jnp.roll(is_chosen, 1, 0).at[:1].set(False)  # the token that a step goes on from

    def one(before: Any, at: Any) -> Any:
        (carry, token), (key, given, was_chosen) = before, at
        logits, carry = step(carry, token)
        following = choose(key, logits).astype(token.dtype)
        following = jnp.where(jnp.any(jnp.isnan(logits), axis=-1), none, following)
        following = following if stop is None else jnp.where(_ended(token, stop, was_chosen), stop, following)
        following = following if given is None else jnp.where(given < 0, following, given.astype(token.dtype))
        return (carry, following), following

    (carry, _), tokens = jax.lax.scan(one, (carry, token), (keys, given, was_chosen), length=length)
    return jnp.moveaxis(tokens, 0, -1), carry


def _steps_of(given: Any, token: jax.Array, length: int) -> jax.Array:
    """The given tokens [..., up to length] as [length, ...], with none where they end."""
    given = _as_tokens(given)
    *leading, steps = given.shape or (-1,)
    if not jnp.issubdtype(given.dtype, jnp.integer) or tuple(leading) != token.shape or not 0 <= steps <= length:
        raise InputError(
            f"generate takes given tokens as integers of shape {[*token.shape, 'up to length']}, here up to {length}, "
            f"got {given.dtype} of shape {list(given.shape)}"
        )
    none = jnp.full((length - steps, *token.shape), NONE)
    return jnp.concatenate([jnp.moveaxis(given, -1, 0).astype(none.dtype), none])


def _run(loop: Callable[..., Any], step: Step, *args: Any, **choices: Any) -> Any:
    """The loop, compiled if the step is a pytree; any other function would be compiled anew, and kept, in each call."""
    is_pytree = not jax.tree_util.all_leaves([step])
    return _compiled(loop, step, *args, **choices) if is_pytree else loop(step, *args, **choices)


@functools.partial(jax.jit, static_argnums=0, static_argnames=("length", "choose", "beams"))
def _compiled(loop: Callable[..., Any], *args: Any, **choices: Any) -> Any:
    return loop(*args, **choices)


class Beams(NamedTuple):
    """The sequences that `beam_search` found, best first."""

    tokens: jax.Array
    """[beams, length]."""
    log_probability: jax.Array
    """[beams]: the sum over the tokens."""
    score: jax.Array
    """[beams]: the log-probability, divided by the length penalty."""


def beam_search(
    step: Step,
    carry: Any,
    token: Any,
    length: int,
    *,
    beams: int,
    stop: int | None = None,
    length_penalty: float = 0.0,
) -> Beams:
    """The most probable sequences, as far as keeping the best ``beams`` prefixes of each length finds them.

    Works on one sequence; `jax.vmap` makes it a batch. The step is mapped over the beams.

    Args:
        step: (carry, token) -> (logits [V], carry), for one sequence; compiled as in `generate`.
        carry: what the step starts with: a pytree of arrays.
        token: the last token of the prompt, a scalar.
        length: how many tokens to make.
        beams: how many prefixes are kept.
        stop: a token that ends a sequence, which then only repeats it, at no cost.
        length_penalty: a; scores are log p / ((5 + tokens up to stop) / 6)^a, so that a > 0 favours longer ones.

    Returns:
        The sequences. Inside jit and `jax.vmap`, a token whose scores are NaN is -1.

    Raises:
        InputError: for fewer than one beam, for a length that is no whole number, for several tokens, and, as
            `generate`, for scores that are NaN.

    Source: Wu et al. (2016), section 7.

    Example:
        >>> chain = jnp.log(jnp.array([[0.1, 0.6, 0.3], [0.4, 0.3, 0.3], [0.01, 0.01, 0.98]]))
        >>> found = beam_search(lambda carry, token: (chain[token], carry), (), 0, 2, beams=2)
        >>> found.tokens.tolist(), jnp.exp(found.log_probability).round(3).tolist()  # not what greedy finds
        ([[2, 2], [1, 0]], [0.294, 0.24])
    """
    check_count("beam_search", "length", length, least=0)
    check_count("beam_search", "beams", beams)
    if jnp.ndim(token):
        raise InputError(
            f"beam_search works on one sequence, whose last token is a scalar, got tokens of shape "
            f"{list(jnp.shape(token))}: jax.vmap makes it a batch"
        )
    _check_stop("beam_search", stop)
    found: Beams = _run(_beam_search, step, carry, _as_tokens(token), stop, length_penalty, length=length, beams=beams)
    _check_found(found.tokens)
    return found


def _beam_search(
    step: Step, carry: Any, token: Any, stop: Any, length_penalty: Any, *, length: int, beams: int
) -> Beams:
    carries = jax.tree.map(lambda a: jnp.broadcast_to(a, (beams, *jnp.shape(a))), carry)
    tokens = jnp.full(beams, token)
    alone = jnp.where(jnp.arange(beams) == 0, 0.0, -jnp.inf)  # at first all beams are the same prefix

    def one(now: Any, position: jax.Array) -> Any:
        carries, tokens, total, tokens_so_far, lengths = now
        logits, carries = jax.vmap(step)(carries, tokens)
        more = jax.nn.log_softmax(logits.astype(wide(logits)), axis=-1)
        ended = jnp.zeros(beams, bool)
        if stop is not None:
            ended = _ended(tokens, stop, position > 0)
            more = jnp.where(ended[:, None], jnp.where(jnp.arange(more.shape[-1]) == stop, 0.0, -jnp.inf), more)
        candidates = (total[:, None] + more).ravel()
        longer = jnp.broadcast_to((lengths + ~ended)[:, None], more.shape).ravel()
        _, best = jax.lax.top_k(candidates / _penalty(longer, length_penalty), beams)
        parents, tokens = best // more.shape[-1], (best % more.shape[-1]).astype(tokens.dtype)
        tokens = jnp.where(jnp.isnan(candidates[best]), jnp.asarray(NONE).astype(tokens.dtype), tokens)
        carries, tokens_so_far = jax.tree.map(lambda a: a[parents], (carries, tokens_so_far))
        tokens_so_far = tokens_so_far.at[:, position].set(tokens)
        return (carries, tokens, candidates[best], tokens_so_far, longer[best]), None

    end = (carries, tokens, alone, jnp.zeros((beams, length), tokens.dtype), jnp.zeros(beams, int))
    if length:  # tracing a step needs a place for its token
        end, _ = jax.lax.scan(one, end, jnp.arange(length))
    _, _, total, found, lengths = end
    return Beams(found, total, total / _penalty(lengths, length_penalty))


def _as_tokens(token: Any) -> jax.Array:
    """Tokens as integers with room for those of any vocabulary: a byte would wrap where one above 255 follows it."""
    token = jnp.asarray(token)
    is_narrow = jnp.issubdtype(token.dtype, jnp.integer) and token.dtype.itemsize < 4
    return token.astype(jnp.int32) if is_narrow else token


def _check_stop(who: str, stop: Any) -> None:
    if stop is not None and np.ndim(stop):
        raise InputError(f"{who} needs stop as one token, got {stop!r}")


def _check_found(tokens: jax.Array) -> None:
    """Refuses tokens [..., length] that are none, where they can be seen."""
    if not isinstance(tokens, jax.core.Tracer) and (lost := tokens == jnp.asarray(NONE).astype(tokens.dtype)).any():
        first = int(np.argmax(np.any(lost, axis=tuple(range(lost.ndim - 1)))))
        raise InputError(
            f"the scores for token {first} of {tokens.shape[-1]} are NaN: a stream needs room for the prompt and for "
            "all tokens, begin_stream(..., length), and parameters have to be finite"
        )


def _ended(token: jax.Array, stop: int, was_chosen: jax.Array) -> jax.Array:
    """Whether a sequence ended with its last token; a prompt may have the same one."""
    return (token == stop) & was_chosen


def _penalty(lengths: jax.Array, a: float) -> jax.Array:
    return ((5 + lengths) / 6) ** a
