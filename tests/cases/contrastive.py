"""Cases of the contrastive loss: directions of every length, among them none."""

import numpy as np

from fdl.losses import nt_xent
from tests.proof.case import Case


def formula(first, second, temperature=0.5):
    z, n = np.concatenate([first, second]), len(first)
    lengths = np.sqrt((z * z).sum(1))
    losses = np.zeros(2 * n)
    for i in range(2 * n):
        cosines = [z[i] @ z[j] / (lengths[i] * lengths[j] or 1) / temperature for j in range(2 * n)]
        others = [cosines[j] for j in range(2 * n) if j != i]
        losses[i] = np.log(np.sum(np.exp(np.array(others) - max(others)))) + max(others) - cosines[(i + n) % (2 * n)]
    return (losses[:n] + losses[n:]) / 2


def projections(rng, n, features=3):
    return {"first": rng.normal(size=(n, features)), "second": rng.normal(size=(n, features))}


def without_direction(rng, n):
    """Among the views are zeros."""
    made = projections(rng, n)
    made["first"][::2] = 0
    made["second"][1:2] = 0
    return made


def very_long_and_short(rng, n):
    made = projections(rng, n)
    return {"first": 1e4 * made["first"], "second": 1e-4 * made["second"]}


def with_nan(rng, n):
    made = projections(rng, n)
    made["first"][n // 2 :, 1] = np.nan
    return made


def case(name, arguments, **options):
    remembers = ("float32[10]",) * 2
    return Case(name, nt_xent, arguments, formula, batched=("first", "second"), remembers=remembers, **options)


CASES = [
    case("matrix", projections),
    case("cold", projections, choices={"temperature": 0.05}),
    case("without direction", without_direction, smooth=False),
    case("very long and short", very_long_and_short, smooth=False),
    case("nan", with_nan, smooth=False),
]
