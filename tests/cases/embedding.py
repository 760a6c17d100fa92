"""Cases of the embedding: ids that repeat, ids that do not exist, and ids of any shape and type."""

import numpy as np

from fdl.layers import embedding
from tests.proof.case import Case


def formula(ids, table):
    known = (ids >= 0) & (ids < len(table))
    chosen = (ids[..., None] == np.arange(len(table))).astype(float)
    return np.where(known[..., None], chosen @ table, np.nan)


def arguments(*shape, rows, features, dtype=np.int32):
    def make(rng, n):
        ids = rng.integers(rows, size=(n, *shape)).astype(dtype)
        return {"ids": ids, "table": rng.normal(size=(rows, features))}

    return make


def outside(rng, n):
    return arguments(2, rows=3, features=2)(rng, n) | {"ids": np.tile(np.array([[0, -1], [2, 3], [-4, 1]]), (n, 1))}


def one_id(rng, n):
    return {"ids": np.array(2), "table": rng.normal(size=(n + 3, 2))}


WORDS = {"batched": ("ids",)}

CASES = [
    Case("repeated", embedding, arguments(rows=3, features=4), formula, remembers=("float32[3,0]",), **WORDS),
    Case(
        "images",
        embedding,
        arguments(2, 3, rows=300, features=2, dtype=np.uint8),
        formula,
        remembers=("float32[300,0]",),
        smooth=False,
        **WORDS,
    ),
    Case("outside", embedding, outside, formula, remembers=("float32[3,0]",), smooth=False, **WORDS),
    Case("one id", embedding, one_id, formula, remembers=("float32[8,0]",), batched=()),
]
