"""Cases of the softmax cross-entropy."""

import numpy as np

from fdl.losses import softmax_cross_entropy
from tests.proof.case import Case


def formula(logits, labels, where=None, label_smoothing=0.0, class_weights=1.0):
    classes = logits.shape[-1]
    targets = np.eye(classes)[np.clip(labels, 0, classes - 1)] if labels.dtype.kind == "i" else labels
    targets = (1 - label_smoothing) * targets + label_smoothing / classes
    shifted = logits - logits.max(-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    class_weights = 1.0 if class_weights is None else class_weights
    weights = class_weights * targets
    loss = -(weights * np.where(weights == 0, 0, log_p)).sum(-1)
    if labels.dtype.kind == "i":
        loss = np.where((labels < 0) | (labels >= classes), np.nan, loss)
    return loss if where is None else np.where(where, loss, 0)


def ids(*shape, classes=4, scale=1.0):
    def make(rng, n):
        return {
            "logits": scale * rng.normal(size=(n, *shape, classes)),
            "labels": rng.integers(classes, size=(n, *shape)),
            "where": None,
        }

    return make


def distributions(*shape, classes=4, total=1.0):
    def make(rng, n):
        targets = rng.dirichlet(np.ones(classes), size=(n, *shape)) if n else np.zeros((n, *shape, classes))
        return {"logits": rng.normal(size=(n, *shape, classes)), "labels": total * targets, "where": None}

    return make


def masked(arguments):
    """Every other row is masked; its class id does not exist."""

    def make(rng, n):
        made = arguments(rng, n)
        where = np.broadcast_to(
            np.arange(n).reshape(-1, *[1] * (made["logits"].ndim - 2)) % 2 == 0, made["logits"].shape[:-1]
        )
        if made["labels"].dtype.kind == "i":
            made["labels"] = np.where(where, made["labels"], -100)
        return made | {"where": where}

    return make


def weighted(arguments):
    def make(rng, n):
        made = arguments(rng, n)
        return made | {"class_weights": rng.uniform(0.5, 2, size=made["logits"].shape[-1])}

    return make


def impossible(rng, n):
    """A class that no logit allows, no target asks for and no weight counts."""
    made = distributions()(rng, n)
    made["logits"][:, 1], made["labels"][:, 1] = -np.inf, 0
    return made | {"class_weights": np.array([0.5, 0, 1, 2])}


def impossible_target(rng, n):
    """The same without weights: there is a gradient for the target, as it has for the policy of an entropy."""
    return impossible(rng, n) | {"class_weights": None}


def nonexistent(rng, n):
    """Class ids next to the first and the last, which can be seen only where they are no tracers."""
    made = ids(classes=4)(rng, n)
    return made | {"labels": np.resize([-1, 4, 0, 3, -7], n)}


def all_masked(rng, n):
    made = ids()(rng, n)
    made["logits"][:] = np.nan
    return made | {"labels": np.full(n, 99), "where": np.zeros(n, bool)}


def with_nan(rng, n):
    made = ids()(rng, n)
    made["logits"][::2, 1] = np.nan
    return made


def case(name, arguments, kept="float32[5]", **options):
    return Case(
        name,
        softmax_cross_entropy,
        arguments,
        formula,
        batched=("logits", "labels", "where"),
        remembers=(kept, kept),
        **options,
    )


CASES = [
    case("ids", ids()),
    case("ids of sequences", ids(3), kept="float32[5,3]"),
    case("ids smoothed", ids(), choices={"label_smoothing": 0.1}),
    case("ids masked", masked(ids())),
    case("ids of sequences masked and smoothed", masked(ids(3)), kept="float32[5,3]", choices={"label_smoothing": 0.2}),
    case("one class", ids(classes=1)),
    case("huge logits", ids(scale=1e4), smooth=False),
    case("all masked", all_masked, smooth=False),
    case("nan", with_nan, smooth=False),
    case("ids that do not exist", nonexistent, smooth=False),
    case("distributions", distributions()),
    case("distributions smoothed", distributions(2, classes=3), kept="float32[5,2]", choices={"label_smoothing": 0.1}),
    case("distributions that do not sum to one", distributions(total=1.7), choices={"label_smoothing": 0.1}),
    case("distributions masked", masked(distributions())),
    case("ids weighted", weighted(ids())),
    case("ids weighted and smoothed", weighted(masked(ids(3))), kept="float32[5,3]", choices={"label_smoothing": 0.1}),
    case("an impossible class", impossible, smooth=False),
    case("an impossible target", impossible_target, smooth=False),
    case("distributions weighted", weighted(masked(distributions())), choices={"label_smoothing": 0.1}),
]
