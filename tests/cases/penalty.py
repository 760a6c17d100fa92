"""Cases of the penalties on parameters."""

import jax
import numpy as np

from fdl.losses import l2
from tests.proof.case import Case


def tree(rng, n):
    return {"params": {"hidden": {"w": rng.normal(size=(n, 3)), "b": rng.normal(size=3)}, "scale": rng.normal(size=())}}


def l2_formula(params):
    return sum(np.sum(w * w) for w in jax.tree.leaves(params))


CASES = [
    Case("tree", l2, tree, l2_formula, batched=()),
    Case("array", l2, lambda rng, n: {"params": rng.normal(size=(n, 2, 2))}, l2_formula, batched=("params",)),
]
