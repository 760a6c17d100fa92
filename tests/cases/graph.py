"""Cases of gathering and scattering: segments of every length, entries that take no part, indices that do not exist."""

import jax.numpy as jnp
import numpy as np

from fdl.layers import gather_nodes, scatter_max, scatter_mean, scatter_softmax, scatter_sum
from tests.proof.case import Case

INDEX = np.array([2, 0, 2, 3, 2, 0, 2, 2])  # nobody is in segment 1


def by_segment(collect):
    """A formula that calls ``collect`` with the values of one segment and feature at a time."""

    def formula(values, index, size, where=None):
        where = np.ones(len(index), bool) if where is None else where
        index = index.astype(int)
        y = np.zeros((size, *values.shape[1:]))
        for s in range(size):
            for place in np.ndindex(values.shape[1:]):
                mine = [values[(e, *place)] for e in range(len(index)) if where[e] and index[e] == s]
                y[(s, *place)] = collect(mine) if mine else 0
        lost = any(where[e] and not 0 <= index[e] < size for e in range(len(index)))
        return np.full_like(y, np.nan) if lost else y

    return formula


def softmax_formula(scores, index, size, where=None):
    where = np.ones(len(index), bool) if where is None else where
    y = np.zeros(scores.shape)
    for e in range(len(index)):
        others = [j for j in range(len(index)) if where[j] and index[j] == index[e]]
        if where[e]:
            y[e] = 1 / sum(np.exp(scores[j] - scores[e]) for j in others)
    lost = any(where[e] and not 0 <= index[e] < size for e in range(len(index)))
    return np.full_like(y, np.nan) if lost else y


def gathered(nodes, index):
    y = np.full((len(index), *nodes.shape[1:]), np.nan)
    for e, i in enumerate(index):
        if 0 <= i < len(nodes):
            y[e] = nodes[i]
    return y


def entries(*shape, name="values", index=INDEX, where=None, dtype=np.int32):
    """n entries in the order of an index that is repeated as often as it takes."""

    def make(rng, n):
        arguments = {name: rng.normal(size=(n, *shape)), "index": np.resize(index, n).astype(dtype)}
        return arguments | ({} if where is None else {"where": np.resize(where, n).astype(bool)})

    return make


def padded(*shape, name="values", spread=1.0):
    """Some entries take no part: with NaN for values, and an index that does not exist."""

    def make(rng, n):
        arguments = entries(*shape, name=name, where=[1, 0, 1, 1, 0, 0, 1, 1])(rng, n)
        out = ~arguments["where"]
        values = np.where(out.reshape(n, *[1] * len(shape)), np.nan, spread * arguments[name])
        arguments[name] = jnp.asarray(values)  # in JAX, for which an overflow in float16 is no error
        return arguments | {"index": np.where(out, np.resize([-1, 9, 2], n), arguments["index"])}

    return make


def lost(name="values"):
    """One of the indices does not exist; that of an entry that takes no part does not matter."""
    return entries(2, name=name, index=[2, 0, 4, 3, -1], where=[1, 1, 0, 1, 1])


def ties(rng, n):
    rows = [[1.0, -np.inf, 0.0], [1.0, -np.inf, -0.0], [0.0, np.inf, np.nan], [2.0, 1.0, 5.0], [0.5, np.nan, np.nan]]
    return {"values": np.resize(rows, (n, 3)), "index": np.resize([2, 2, 2, 0, 2], n)}


def nodes_and_index(*shape, index=INDEX, count=4, dtype=np.int32):
    def make(rng, n):
        return {"nodes": rng.normal(size=(count, *shape)), "index": np.resize(index, n).astype(dtype)}

    return make


ENTRIES = {"batched": ("values", "index", "where"), "choices": {"size": 4}}
SCORES = {**ENTRIES, "batched": ("scores", "index", "where")}
NODES = {"batched": ("index",), "remembers": ("float32[4,0]",)}
MEAN = {"remembers": ("float32[4]",), **ENTRIES}
total, mean, largest = by_segment(sum), by_segment(np.mean), by_segment(np.max)

CASES = [
    Case("repeated", gather_nodes, nodes_and_index(3), gathered, **NODES),
    Case("uint8", gather_nodes, nodes_and_index(2, 3, dtype=np.uint8), gathered, **NODES),
    Case("outside", gather_nodes, nodes_and_index(2, index=[3, -1, 4, 0, 0]), gathered, smooth=False, **NODES),
    Case("matrix", scatter_sum, entries(3), total, batch=8, **ENTRIES),
    Case("scalars", scatter_sum, entries(), total, **ENTRIES),
    Case("padding", scatter_sum, padded(2), total, smooth=False, **ENTRIES),
    Case("outside", scatter_sum, lost(), total, smooth=False, **ENTRIES),
    Case("matrix", scatter_mean, entries(3), mean, batch=8, **MEAN),
    Case("padding", scatter_mean, padded(2, 2), mean, smooth=False, batch=8, **MEAN),
    Case("outside", scatter_mean, lost(), mean, smooth=False, **MEAN),
    Case("matrix", scatter_max, entries(3), largest, batch=8, remembers=("int32[4,3]",), **ENTRIES),
    Case("padding", scatter_max, padded(2), largest, smooth=False, batch=8, remembers=("int32[4,2]",), **ENTRIES),
    Case("outside", scatter_max, lost(), largest, smooth=False, remembers=("int32[4,2]",), **ENTRIES),
    Case("ties", scatter_max, ties, largest, smooth=False, remembers=("int32[4,3]",), **ENTRIES),
    Case(
        "heads",
        scatter_softmax,
        entries(3, name="scores"),
        softmax_formula,
        batch=8,
        remembers=("float32[5,3]",),
        **SCORES,
    ),
    Case(
        "huge scores and padding",
        scatter_softmax,
        padded(2, name="scores", spread=1e6),
        softmax_formula,
        smooth=False,
        batch=8,
        remembers=("float32[5,2]",),
        **SCORES,
    ),
    Case(
        "outside",
        scatter_softmax,
        lost("scores"),
        softmax_formula,
        smooth=False,
        remembers=("float32[5,2]",),
        **SCORES,
    ),
]
