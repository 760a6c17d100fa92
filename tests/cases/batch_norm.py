"""Cases of batch normalisation."""

import numpy as np

from fdl.layers import batch_norm, batch_norm_inference
from tests.proof.case import Case


def formula(x, gamma, beta, eps=1e-5):
    rows = x.reshape(-1, x.shape[-1])
    mean = rows.sum(0) / len(rows) if len(rows) else np.full(x.shape[-1], np.nan)
    var = ((rows - mean) ** 2).sum(0) / len(rows) if len(rows) else np.full(x.shape[-1], np.nan)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta, mean, var


def inference_formula(x, gamma, beta, mean, var, eps=1e-5):
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


def vectors(rng, features):
    return {"gamma": rng.normal(size=features), "beta": rng.normal(size=features)}


def arguments(*shape, shift=0.0, spread=1.0):
    def make(rng, n):
        return {"x": shift + spread * rng.normal(size=(n, *shape)), **vectors(rng, shape[-1])}

    return make


def with_nan(rng, n):
    x = rng.normal(size=(n, 3))
    x[: n // 2, 1] = np.nan
    return {"x": x, **vectors(rng, 3)}


def inference_arguments(*shape):
    def make(rng, n):
        statistics = {"mean": rng.normal(size=shape[-1]), "var": rng.uniform(0.5, 2, size=shape[-1])}
        return arguments(*shape)(rng, n) | statistics

    return make


def statistics(features):
    return (f"float32[{features}]", f"float32[{features}]")


CASES = [
    Case("matrix", batch_norm, arguments(3), formula, remembers=statistics(3)),
    Case("images", batch_norm, arguments(2, 3, 4), formula, remembers=statistics(4)),
    Case("other eps", batch_norm, arguments(3), formula, choices={"eps": 0.3}, remembers=statistics(3)),
    Case("one feature", batch_norm, arguments(1), formula, remembers=statistics(1)),
    Case("large mean", batch_norm, arguments(3, shift=100.0), formula, remembers=statistics(3)),
    Case("constant", batch_norm, arguments(3, shift=2.0, spread=0.0), formula, remembers=statistics(3), smooth=False),
    Case("nan", batch_norm, with_nan, formula, remembers=statistics(3), smooth=False),
    Case("matrix", batch_norm_inference, inference_arguments(3), inference_formula),
    Case("images", batch_norm_inference, inference_arguments(2, 3, 4), inference_formula, choices={"eps": 0.1}),
]
