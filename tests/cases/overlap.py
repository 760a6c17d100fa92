"""Cases of the Dice loss."""

import numpy as np

from fdl.losses import dice
from tests.proof.case import Case


def formula(probabilities, targets, where, smooth=1.0):
    p, t = probabilities, targets
    if where is not None:
        p, t = np.where(where[..., None], p, 0), np.where(where[..., None], t, 0)
    places = tuple(range(1, p.ndim - 1))
    return 1 - (2 * (p * t).sum(places) + smooth) / ((p**2).sum(places) + (t**2).sum(places) + smooth)


def images(*shape):
    def make(rng, n):
        p, t = rng.random((n, *shape)), (rng.random((n, *shape)) < 0.4).astype(float)
        return {"probabilities": p, "targets": t, "where": None}

    return make


def masked(rng, n):
    """NaN wherever it is masked; the last example is masked everywhere."""
    made, where = images(3, 2, 2)(rng, n), rng.random((n, 3, 2)) < 0.6
    where[-1:] = False
    nan = {k: np.where(where[..., None], made[k], np.nan) for k in ("probabilities", "targets")}
    return nan | {"where": where}


def nan_and_empty(rng, n):
    made = images(3, 2)(rng, n)
    made["probabilities"][::2, 0, 0] = np.nan
    made["targets"][:, :, 1] = made["probabilities"][:, :, 1] = 0
    return made


def case(name, arguments, kept="float32[5,2]", **options):
    batched = ("probabilities", "targets", "where")
    return Case(name, dice, arguments, formula, batched=batched, remembers=(kept, kept), **options)


CASES = [
    case("images", images(3, 2, 2), choices={"smooth": 0.3}),
    case("masked", masked),
    case("vectors", images(3), kept="float32[5,3]"),
    case("nan and empty", nan_and_empty, smooth=False),
]
