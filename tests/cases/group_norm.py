"""Cases of group and instance normalisation."""

import numpy as np

from fdl.layers import group_norm, instance_norm
from tests.proof.case import Case


def group_formula(x, gamma, beta, groups, eps=1e-5):
    y = np.empty_like(x)
    size = x.shape[-1] // groups
    for n in range(len(x)):
        for group in range(groups):
            features = slice(group * size, (group + 1) * size)
            values = x[n, ..., features]
            y[n, ..., features] = (values - values.mean()) / np.sqrt(values.var() + eps)
    return gamma * y + beta


def instance_formula(x, gamma, beta, eps=1e-5):
    return group_formula(x, gamma, beta, x.shape[-1], eps)


def arguments(*shape, shift=0.0, spread=1.0):
    def make(rng, n):
        x = shift + spread * rng.normal(size=(n, *shape))
        return {"x": x, "gamma": rng.normal(size=shape[-1]), "beta": rng.normal(size=shape[-1])}

    return make


def with_nan(rng, n):
    made = arguments(2, 4)(rng, n)
    made["x"][::2, 1, 1] = np.nan
    return made


def case(name, rule, make, statistics, choices, **options):
    formula = group_formula if rule is group_norm else instance_formula
    return Case(name, rule, make, formula, choices, remembers=(f"float32[5,{statistics}]",) * 2, **options)


CASES = [
    case("sequence", group_norm, arguments(2, 6), 3, {"groups": 3}),
    case("images", group_norm, arguments(2, 3, 4, shift=3.0), 2, {"groups": 2, "eps": 0.1}),
    case("matrix in one group", group_norm, arguments(7), 1, {"groups": 1}),
    case("constant", group_norm, arguments(2, 4, spread=0.0), 2, {"groups": 2}, smooth=False),
    case("nan", group_norm, with_nan, 2, {"groups": 2}, smooth=False),
    case("images", instance_norm, arguments(3, 2, 2), 2, {"eps": 0.1}),
    case("nan", instance_norm, with_nan, 4, {}, smooth=False),
]
