"""Cases of the losses of a distance."""

import numpy as np

from fdl.losses import absolute_error, huber, squared_error
from tests.proof.case import Case


def pair(*shape):
    def make(rng, n):
        return {"predictions": rng.normal(size=(n, *shape)), "targets": rng.normal(size=(n, *shape)), "where": None}

    return make


def masked(rng, n):
    """NaN wherever it is masked."""
    made = pair(4)(rng, n)
    where = rng.random((n, 4)) < 0.5
    return {k: np.where(where, made[k], np.nan) for k in ("predictions", "targets")} | {"where": where}


def special(rng, n):
    """No error, errors of one and of a half, huge ones, the infinities and NaN, in every row."""
    errors = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1e4, -1e4, np.inf, -np.inf, np.nan])
    return {"predictions": np.tile(2 + errors, (n, 1)), "targets": np.full((n, errors.size), 2.0), "where": None}


def unmasked(function):
    """The formula of a function of the error, zero where it is masked."""

    def formula(predictions, targets, where, **choices):
        loss = function(predictions - targets, **choices)
        return loss if where is None else np.where(where, loss, 0)

    return formula


def huber_formula(e, delta=1.0):
    return np.where(np.abs(e) <= delta, e**2 / 2, delta * (np.abs(e) - delta / 2))


def cases(rule, function, **choices):
    formula, batched = unmasked(function), ("predictions", "targets", "where")
    return [
        Case("images", rule, pair(3, 2), formula, choices=choices, batched=batched),
        Case("masked", rule, masked, formula, batched=batched),
        Case("special values", rule, special, formula, batched=batched, smooth=False),
    ]


CASES = [
    *cases(squared_error, np.square),
    *cases(absolute_error, np.abs),
    *cases(huber, huber_formula, delta=0.7),
]
