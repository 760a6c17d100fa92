"""Cases of additive attention."""

import numpy as np

from fdl.layers import additive_attention
from tests.proof.case import Case


def formula(q, k, v, w, mask=None, lengths=None, block=None):
    (n, queries, _), keys = q.shape, k.shape[1]
    mask = np.broadcast_to(True if mask is None else mask, (n, queries, keys))
    y = np.zeros((n, queries, v.shape[-1]))
    for i, t in np.ndindex(n, queries):
        known = [j for j in range(keys if lengths is None else lengths[i]) if mask[i, t, j]]
        scores = np.array([w @ np.tanh(q[i, t] + k[i, j]) for j in known])
        for j, score in zip(known, scores, strict=True):
            y[i, t] += np.exp(score - scores.max()) / np.exp(scores - scores.max()).sum() * v[i, j]
    return y


def arguments(queries, keys, hidden=3, dim=2):
    def make(rng, n):
        return {
            "q": rng.normal(size=(n, queries, hidden)),
            "k": rng.normal(size=(n, keys, hidden)),
            "v": rng.normal(size=(n, keys, dim)),
            "w": rng.normal(size=hidden),
        }

    return make


def masked(rng, n):
    """Padding of every length, NaN there; a mask that leaves a query without a key."""
    made, lengths = arguments(2, 4)(rng, n), np.arange(n) % 5
    padding = np.arange(4)[:, None] >= lengths[:, None, None]
    made |= {name: np.where(padding, np.nan, made[name]) for name in ("k", "v")}
    mask = rng.random((n, 2, 4)) < 0.7
    mask[:, 1] = False
    return made | {"mask": mask, "lengths": lengths}


def special(rng, n):
    """Scores of 1e4 of both signs, and NaN in one query."""
    made = arguments(2, 3, hidden=1)(rng, n)
    made["w"] = np.array([1e4])
    made["q"][1::2, 1] = np.nan
    return made


def case(name, arguments, p, smooth=True, **choices):
    return Case(
        name,
        additive_attention,
        arguments,
        formula,
        choices=choices,
        batched=("q", "k", "v", "mask", "lengths"),
        remembers=(f"float32[5,{p}]",),
        smooth=smooth,
    )


CASES = [
    case("blocks", arguments(5, 3), "5,3", block=2),
    case("one block", arguments(2, 3), "2,3"),
    case("masked", masked, "2,4", smooth=False, block=1),
    case("one query, two keys", arguments(1, 2, hidden=1, dim=1), "1,2"),
    case("special", special, "2,3", smooth=False),
]
