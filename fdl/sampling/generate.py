"""Sequences token by token, each chosen from the scores that the ones before it give: one `jax.lax.scan`.

Prompts of different lengths begin together: the stream reads as much as the shortest one has, and `generate` takes the
rest of the others from ``given`` before it chooses for them. No network sees padding, so any that streams can do it:

    _, stream = net.apply(params, stream, prompts[:, : shortest - 1])           # [N, longest], -1 behind the shorter
    tokens, _ = generate(step, stream, prompts[:, shortest - 1], length, given=prompts[:, shortest:])
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.keys import split_key
from fdl.sampling.decoding import NONE, Step, as_tokens, check_found, check_stop, has_ended, run
from fdl.sampling.distribution import greedy


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
    check_stop("generate", stop)
    keys = None if key is None else split_key("generate", key, length)
    token = as_tokens(token)
    given = None if given is None else _steps_of(given, token, length)
    tokens, carry = run(_generate, step, carry, token, keys, stop, given, length=length, choose=choose)
    check_found(tokens)
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
        following = following if stop is None else jnp.where(has_ended(token, stop, was_chosen), stop, following)
        following = following if given is None else jnp.where(given < 0, following, given.astype(token.dtype))
        return (carry, following), following

    (carry, _), tokens = jax.lax.scan(one, (carry, token), (keys, given, was_chosen), length=length)
    return jnp.moveaxis(tokens, 0, -1), carry


def _steps_of(given: Any, token: jax.Array, length: int) -> jax.Array:
    """The given tokens [..., up to length] as [length, ...], with none where they end."""
    given = as_tokens(given)
    *leading, steps = given.shape or (-1,)
    if not jnp.issubdtype(given.dtype, jnp.integer) or tuple(leading) != token.shape or not 0 <= steps <= length:
        raise InputError(
            f"generate takes given tokens as integers of shape {[*token.shape, 'up to length']}, here up to {length}, "
            f"got {given.dtype} of shape {list(given.shape)}"
        )
    none = jnp.full((length - steps, *token.shape), NONE)
    return jnp.concatenate([jnp.moveaxis(given, -1, 0).astype(none.dtype), none])
