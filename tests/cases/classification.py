"""Cases of the losses of single scores."""

import numpy as np

from fdl.losses import hinge, sigmoid_cross_entropy
from tests.proof.case import Case


def sigmoid_formula(logits, targets, where):
    """-t log p - (1 - t) log(1 - p), with both logarithms by cases, so that nothing overflows."""
    small = np.log1p(np.exp(-np.abs(logits)))
    log_p, log_not_p = np.where(logits > 0, 0, logits) - small, np.where(logits > 0, -logits, 0) - small
    loss = -targets * log_p - (1 - targets) * log_not_p
    return loss if where is None else np.where(where, loss, 0)


def pair(*shape, scale=1.0):
    def make(rng, n):
        return {"logits": scale * rng.normal(size=(n, *shape)), "targets": rng.random((n, *shape)), "where": None}

    return make


def masked_pair(rng, n):
    """NaN and infinity wherever it is masked."""
    made, where = pair(4)(rng, n), rng.random((n, 4)) < 0.5
    return {
        "logits": np.where(where, made["logits"], np.inf),
        "targets": np.where(where, made["targets"], np.nan),
        "where": where,
    }


def special_pair(rng, n):
    """Targets at both ends, for logits of every size, and NaN, in every row."""
    logits = np.array([0.0, 1e4, -1e4, 1e4, -1e4, 40.0, -40.0, np.nan])
    targets = np.array([0.5, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.5])
    return {"logits": np.tile(logits, (n, 1)), "targets": np.tile(targets, (n, 1)), "where": None}


def hinge_formula(scores, labels, where, margin=1.0):
    classes = scores.shape[-1]
    loss = np.zeros(labels.shape)
    for index in np.ndindex(labels.shape):
        y = labels[index]
        if where is not None and not where[index]:
            continue
        if not 0 <= y < classes:
            loss[index] = np.nan
            continue
        rivals = np.delete(scores[index], y)
        missing = rivals - scores[index][y] + margin
        loss[index] = missing[~(missing <= 0)].sum()
    return loss


def scores(*shape, classes=4):
    def make(rng, n):
        return {
            "scores": rng.normal(size=(n, *shape, classes)),
            "labels": rng.integers(classes, size=(n, *shape)),
            "where": None,
        }

    return make


def masked_scores(rng, n):
    """Every other example is masked; its scores are NaN and its class id does not exist."""
    made, where = scores(3)(rng, n), np.broadcast_to(np.arange(n)[:, None] % 2 == 0, (n, 3))
    return {
        "scores": np.where(where[..., None], made["scores"], np.nan),
        "labels": np.where(where, made["labels"], -100),
        "where": where,
    }


def special_scores(rng, n):
    """Differences of exactly the margin, scores of every size and NaN, and class ids that do not exist."""
    rows = [[0.0, 1.0, -1.0], [1e4, -1e4, 0.0], [np.nan, 0.0, 0.0], [0.0, 1.0, 2.0], [0.0, 1.0, 2.0]]
    return {
        "scores": np.resize(rows, (n, 3)) if n else np.zeros((0, 3)),
        "labels": np.resize([0, 1, 1, -1, 3], n),
        "where": None,
    }


def case(name, rule, arguments, formula, **options):
    return Case(name, rule, arguments, formula, batched=("logits", "targets", "scores", "labels", "where"), **options)


CASES = [
    case("images", sigmoid_cross_entropy, pair(3, 2, scale=3), sigmoid_formula),
    case("masked", sigmoid_cross_entropy, masked_pair, sigmoid_formula),
    case("special values", sigmoid_cross_entropy, special_pair, sigmoid_formula, smooth=False),
    case("other margin", hinge, scores(), hinge_formula, choices={"margin": 0.3}),
    case("masked sequences", hinge, masked_scores, hinge_formula),
    case("one class", hinge, scores(classes=1), hinge_formula),
    case("special values", hinge, special_scores, hinge_formula, smooth=False),
]
