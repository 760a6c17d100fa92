"""Cases of attention. Blocks are small enough that there are several, and mostly divide neither axis."""

import jax
import numpy as np
from jax.extend.random import threefry_2x32

from fdl.layers import attention
from tests.proof.case import Case


def formula(q, k, v, mask=None, bias=None, lengths=None, key=None, causal=False, scale=None, rate=0.0, block=None):
    (n, queries, heads, dim), (_, keys, kv_heads, _) = q.shape, k.shape
    shape = (n, heads, queries, keys)
    mask = np.broadcast_to(True if mask is None else mask, shape)
    bias = np.broadcast_to(0.0 if bias is None else bias, shape)
    kept = np.ones(shape) if key is None else (words(key, shape) / 2**32 >= rate) / (1 - rate)
    y = np.zeros((n, queries, heads, v.shape[-1]))
    for i, t, h in np.ndindex(n, queries, heads):
        g = h // (heads // kv_heads)
        length = keys if lengths is None else lengths[i]
        known = [s for s in range(length) if mask[i, h, t, s] and (not causal or s - keys <= t - queries)]
        scores = [(dim**-0.5 if scale is None else scale) * q[i, t, h] @ k[i, s, g] + bias[i, h, t, s] for s in known]
        e = np.exp(np.array(scores) - max(scores)) if max(scores, default=-np.inf) != -np.inf else np.zeros(len(known))
        for s, weight in zip(known, e, strict=True):
            y[i, t, h] += kept[i, h, t, s] * weight / (e.sum() or 1) * v[i, s, g]
    return y


def words(key, shape):
    """JAX's own hash of (query among those of all matrices, key), its two words made one."""
    counters = np.indices((int(np.prod(shape[:3])), shape[3])).astype(np.uint32)
    first, second = np.split(np.asarray(threefry_2x32(jax.random.key_data(key), counters.ravel())), 2)
    return (first ^ second).reshape(shape)


def arguments(queries, keys, heads=2, kv_heads=2, dim=3, dim_v=2, bias=None):
    """bias: its shape without the examples, or None."""

    def make(rng, n):
        return {
            "q": rng.normal(size=(n, queries, heads, dim)),
            "k": rng.normal(size=(n, keys, kv_heads, dim)),
            "v": rng.normal(size=(n, keys, kv_heads, dim_v)),
            "bias": None if bias is None else rng.normal(size=bias),
        }

    return make


def masked(rng, n):
    """Padding of every length, NaN there; a mask that leaves a query without a key; minus infinity in the bias."""
    made, lengths = arguments(3, 5, bias=(2, 1, 5))(rng, n), np.arange(n) % 6
    padding = np.arange(5)[:, None, None] >= lengths[:, None, None, None]
    made |= {name: np.where(padding, np.nan, made[name]) for name in ("k", "v")}
    mask = rng.random((n, 1, 3, 5)) < 0.7
    mask[:, :, 1] = False
    made["bias"][1, :, 2] = -np.inf
    return made | {"mask": mask, "lengths": lengths}


def dropped(rng, n):
    return arguments(3, 4, heads=4, bias=(n, 1, 3, 4))(rng, n) | {"key": jax.random.key(3)}


def huge(rng, n):
    """Scores of 1e4 of both signs, in any order; NaN in one query, and one value."""
    made = arguments(3, 7, heads=1, kv_heads=1, bias=(3, 7))(rng, n)
    made["bias"] += 1e4 * rng.choice([-1.0, 1.0], size=(3, 7))
    made["q"][1::3, 1] = np.nan
    made["v"][2::3, 4] = np.nan
    return made


def case(name, arguments, number, y=None, batched=(), **choices):
    """number: the shape of either number of each query; y: its shape, where it is remembered."""
    return Case(
        name,
        attention,
        arguments,
        formula,
        choices=choices,
        batched=("q", "k", "v", "mask", "lengths", *batched),
        remembers=(f"float32[5,{number}]",) * 2 + ((f"float32[5,{y}]",) if y else ()),
        smooth=name != "huge" and not name.startswith("masked"),
    )


RATE = 1904534612 / 2**32  # the bits of one weight: bits that equal the rate exactly are kept

CASES = [
    case("causal in blocks, shared heads", arguments(3, 5, kv_heads=1), "2,3", y="3,2,2", causal=True, block=2),
    case("one block", arguments(3, 4, bias=(1, 4)), "2,3", scale=-0.7),
    case("masked in blocks", masked, "2,3", y="3,2,2", block=3),
    case("masked in one block", masked, "2,3", causal=True),
    case("dropped in blocks", dropped, "4,3", y="3,4,2", batched=("bias",), rate=RATE, block=2),
    case("more queries than keys", arguments(5, 3), "2,5", causal=True, block=3),
    case("causal blocks that overlap", arguments(8, 5), "2,8", y="8,2,2", causal=True, block=3),
    case("blocks without keys", arguments(8, 3, bias=(8, 3)), "2,8", causal=True, block=3),
    case("one query, two keys", arguments(1, 2, heads=1, kv_heads=1, dim=1, dim_v=1), "1,1"),
    case("huge", huge, "1,3", y="3,1,2", causal=True, block=3),
]
