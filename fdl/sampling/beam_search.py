"""Beam search: the sequence with the greatest sum of log p(token | tokens before), by keeping the best few prefixes.

Source: Wu et al., "Google's neural machine translation system" (2016), for the length penalty.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.rule import wide
from fdl.sampling.decoding import NONE, Step, as_tokens, check_found, check_stop, has_ended, run


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
    check_stop("beam_search", stop)
    found: Beams = run(_beam_search, step, carry, as_tokens(token), stop, length_penalty, length=length, beams=beams)
    check_found(found.tokens)
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
            ended = has_ended(tokens, stop, position > 0)
            more = jnp.where(ended[:, None], jnp.where(jnp.arange(more.shape[-1]) == stop, 0.0, -jnp.inf), more)
        candidates = (total[:, None] + more).ravel()
        longer = jnp.broadcast_to((lengths + (~ended).astype(lengths.dtype))[:, None], more.shape).ravel()
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


def _penalty(lengths: jax.Array, a: float) -> jax.Array:
    return ((5 + lengths) / 6) ** a
