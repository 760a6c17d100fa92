"""Cases of the penalties on parameters."""

import jax
import numpy as np

from fdl.losses import l1, l2
from tests.proof.case import Case


def tree(rng, n):
    return {"params": {"hidden": {"w": rng.normal(size=(n, 3)), "b": rng.normal(size=3)}, "scale": rng.normal(size=())}}


def l2_formula(params):
    return sum(np.sum(w * w) for w in jax.tree.leaves(params))


def l1_formula(params):
    return sum(np.sum(np.abs(w)) for w in jax.tree.leaves(params))


def kinks(rng, n):
    return {"params": [np.tile([0.0, -0.0, 1e4, -1e-300, np.inf], (n, 1)), np.array([0.0, np.nan])]}


CASES = [
    Case("tree", l1, tree, l1_formula, batched=()),
    Case("kinks", l1, kinks, l1_formula, batched=(), smooth=False),
    Case("tree", l2, tree, l2_formula, batched=()),
    Case("array", l2, lambda rng, n: {"params": rng.normal(size=(n, 2, 2))}, l2_formula, batched=("params",)),
]
