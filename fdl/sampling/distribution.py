"""The distribution that a token is drawn from, softmax(logits), reshaped by what comes before the draw.

    temperature  logits / t: below one it sharpens, above one it flattens
    top_k        only the k best tokens
    top_p        only the best tokens that together have probability p, at least one (nucleus sampling)
    min_p        only tokens that are at least p times as probable as the best one

Tokens that are ruled out get -inf, so these functions chain in any order.

Sources: Holtzman, Buys, Du, Forbes and Choi, "The curious case of neural text degeneration" (2020), for top_p; Nguyen
et al., "Turning up the heat: min-p sampling for creative and coherent LLM outputs" (2025), for min_p.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.concrete import is_concrete
from fdl.counts import check_count
from fdl.errors import InputError
from fdl.keys import check_key
from fdl.rule import wide


def temperature(logits: jax.Array, t: float) -> jax.Array:
    """Sharpens (t < 1) or flattens (t > 1) a distribution: logits / t.

    Args:
        logits: [..., V].
        t: positive; towards 0 only the best token is left. One number, or [..., 1], one for each distribution.

    Raises:
        InputError: for a temperature that is not positive, and for temperatures of another shape.

    Example:
        >>> temperature(jnp.array([1.0, 2.0]), 0.5).tolist()
        [2.0, 4.0]
    """
    _check_shape("temperature", "t", t, logits)
    if is_concrete(t) and not np.all((t > 0) & (t < math.inf)):
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
        p: in (0, 1]. One number, or [..., 1], one for each distribution.

    Raises:
        InputError: for a p outside its range, or of another shape.

    Source: Holtzman et al. (2020).

    Example:
        >>> top_p(jnp.log(jnp.array([0.5, 0.1, 0.4])), 0.8).round(1).tolist()
        [-0.7, -inf, -0.9]
    """
    _check_share("top_p", p, logits)
    worst_first, rank = jnp.sort(logits, axis=-1).astype(wide(logits)), _rank(logits)
    no_better = jnp.cumsum(jax.nn.softmax(worst_first, axis=-1), axis=-1)  # 1 - what the better ones have together
    keep = jnp.take_along_axis(no_better > 1 - p, logits.shape[-1] - 1 - rank, -1)
    return jnp.where(keep | (rank == 0), logits, -jnp.inf)


def min_p(logits: jax.Array, p: float) -> jax.Array:
    """Rules out the tokens that are less than p times as probable as the best one: many stay where none is certain.

    Args:
        logits: [..., V].
        p: in (0, 1]. One number, or [..., 1], one for each distribution.

    Raises:
        InputError: for a p outside its range, or of another shape.

    Source: Nguyen et al. (2025).

    Example:
        >>> min_p(jnp.log(jnp.array([0.5, 0.1, 0.4])), 0.3).round(1).tolist()
        [-0.7, -inf, -0.9]
    """
    _check_share("min_p", p, logits)
    wide_logits = logits.astype(wide(logits))
    keep = wide_logits >= wide_logits.max(-1, keepdims=True) + jnp.log(p)
    return jnp.where(keep, logits, -jnp.inf)


def _check_share(who: str, p: float, logits: jax.Array) -> None:
    _check_shape(who, "p", p, logits)
    if is_concrete(p) and not np.all((p > 0) & (p <= 1)):
        raise InputError(f"{who} needs a p in (0, 1], got {p}")


def _check_shape(who: str, name: str, value: Any, logits: jax.Array) -> None:
    """Refuses numbers [N] beside logits [N, V], which would be one for each token where N is V."""
    each = (*jnp.shape(logits)[:-1], 1)
    if jnp.ndim(value) and jnp.shape(value) != each:
        raise InputError(
            f"{who} takes {name} as one number, or of shape {list(each)}, one for each distribution of logits "
            f"{list(jnp.shape(logits))}, got shape {list(jnp.shape(value))}"
        )


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
