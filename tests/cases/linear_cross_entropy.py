"""Cases of the fused affine map and softmax cross-entropy. No block divides the vocabulary, but for one row."""

import numpy as np

from fdl.losses import linear_softmax_cross_entropy
from tests.cases import cross_entropy
from tests.proof.case import Case


def formula(x, w, b, labels, where=None, label_smoothing=0.0, block=0):
    x = x if where is None else np.where(where[..., None], x, 0)
    logits = np.einsum("...d,dv->...v", x, w) + (0 if b is None else b)
    return cross_entropy.formula(logits, labels, where, label_smoothing)


def arguments(*shape, features=3, classes=11, bias=True, scale=1.0):
    def make(rng, n):
        return {
            "x": scale * rng.normal(size=(n, *shape, features)),
            "w": rng.normal(size=(features, classes)),
            "b": rng.normal(size=classes) if bias else None,
            "labels": rng.integers(classes, size=(n, *shape)),
            "where": None,
        }

    return make


def masked(rng, n):
    """Every other example is masked, NaN there, and its class id does not exist."""
    made, where = arguments(2)(rng, n), np.broadcast_to(np.arange(n)[:, None] % 2 == 0, (n, 2))
    return made | {
        "x": np.where(where[..., None], made["x"], np.nan),
        "labels": np.where(where, made["labels"], 99),
        "where": where,
    }


def huge(rng, n):
    """Logits of every size, all of them far below zero in some rows; NaN; ids next to the first and the last."""
    made = arguments(classes=7, scale=1e3)(rng, n)
    made["w"][2:] = 0
    made["w"][1] = 1.0
    made["x"][1::2, 0] = 0
    made["x"][1::2, 1] = -3e4
    made["x"][2::5, 0] = np.nan
    return made | {"labels": np.resize([0, 6, 3, 7, -1], n)}


def case(name, arguments, block, kept="float32[5]", **choices):
    return Case(
        name,
        linear_softmax_cross_entropy,
        arguments,
        formula,
        choices={"block": block, **choices},
        batched=("x", "labels", "where"),
        remembers=(kept, kept),
        smooth=name != "huge",
    )


CASES = [
    case("matrix", arguments(), 4),
    case("sequences masked and smoothed", masked, 3, kept="float32[10]", label_smoothing=0.2),
    case("linear in one block", arguments(bias=False), 100),
    case("blocks that fit", arguments(classes=6), 3, label_smoothing=0.1),
    case("huge", huge, 3),
]
