"""Cases of the activations that map every element by itself."""

import math

import numpy as np

from fdl.layers import (
    elu,
    gelu,
    hard_sigmoid,
    hard_swish,
    leaky_relu,
    mish,
    prelu,
    relu,
    selu,
    sigmoid,
    silu,
    softplus,
    swish,
    tanh,
)
from tests.proof.case import Case

MATRIX, IMAGES = (4,), (2, 3, 2)


def anywhere(*shape, spread=1.0):
    return lambda rng, n: {"x": spread * rng.normal(size=(n, *shape))}


def exactly(*values):
    """Special values, all of them in every row."""
    return lambda rng, n: {"x": np.tile(np.array(values), (n, 1))}


def with_parameter(name, arguments, *shape):
    return lambda rng, n: {**arguments(rng, n), name: rng.normal(size=shape)}


EXTREMES = (0.0, -0.0, 1e4, -1e4, np.nan, 1e-300, -1e-300)
special = exactly(*EXTREMES, np.inf, -np.inf)
finite = exactly(*EXTREMES, 20.0, -20.0)  # x g(x) is no number at minus infinity
kinks = exactly(*EXTREMES, np.inf, -np.inf, 3.0, -3.0, 2.9, -2.9, 3.1, -3.1)


def logistic(x):
    return 1 / (1 + np.exp(-x))


def relu_formula(x):
    return np.where(np.isnan(x), x, np.where(x > 0, x, 0.0))


def leaky_formula(x, alpha):
    return np.where(x > 0, x, 0) + alpha * np.where(x > 0, 0, x)


def hard_sigmoid_formula(x):
    return np.clip(x / 6 + 0.5, 0, 1)


def hard_swish_formula(x):
    return np.where(x == -np.inf, 0, x * hard_sigmoid_formula(x))


def softplus_formula(x):
    return np.where(x > 0, x, 0) + np.log1p(np.exp(-np.abs(x)))


def elu_formula(x, alpha=1.0):
    return np.where(x > 0, x, alpha * np.expm1(np.where(x > 0, 0, x)))


def selu_formula(x):
    return 1.0507009873554804934193349852946 * elu_formula(x, 1.6732632423543772848170429916717)


def swish_formula(x, beta):
    return x / (1 + np.exp(-beta * x))


def gelu_formula(x, approximate=True):
    if approximate:
        return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x * x * x)))
    return x * np.vectorize(math.erfc, otypes=[float])(-x / np.sqrt(2)) / 2


def mish_formula(x):
    return x * np.tanh(np.logaddexp(0, x))


def kept(kind, *shape):
    return (f"{kind}[{','.join(map(str, (5, *shape)))}]",)


def leaky_cases():
    for name, arguments, shape, alpha in [("images", anywhere(*IMAGES), IMAGES, 0.3), ("special", special, (9,), 0.2)]:
        yield Case(
            name,
            leaky_relu,
            arguments,
            leaky_formula,
            choices={"alpha": alpha},
            remembers=kept("bool", *shape),
            smooth=name != "special",
        )


def keeps_y(rule, formula):
    """The rows of an activation that remembers its value."""
    yield Case("images", rule, anywhere(*IMAGES, spread=3), formula, remembers=kept("float32", *IMAGES))
    yield Case("special values", rule, special, formula, remembers=kept("float32", 9), smooth=False)


def keeps_x(rule, formula):
    """The rows of an activation that remembers its argument."""
    yield Case("images", rule, anywhere(*IMAGES, spread=3), formula)
    yield Case("special values", rule, finite, formula, smooth=False)


ELU = {"alpha": 0.7}

CASES = [
    Case("matrix", relu, anywhere(*MATRIX), relu_formula, remembers=kept("bool", *MATRIX)),
    Case("images", relu, anywhere(*IMAGES), relu_formula, remembers=kept("bool", *IMAGES)),
    Case("special values", relu, special, relu_formula, remembers=kept("bool", 9), smooth=False),
    *leaky_cases(),
    Case("one alpha", prelu, with_parameter("alpha", anywhere(*IMAGES)), leaky_formula),
    Case("alpha per feature", prelu, with_parameter("alpha", anywhere(*IMAGES), 2), leaky_formula),
    Case("special values", prelu, with_parameter("alpha", special, 9), leaky_formula, smooth=False),
    Case("images", hard_sigmoid, anywhere(*IMAGES, spread=3), hard_sigmoid_formula, remembers=kept("bool", *IMAGES)),
    Case("kinks", hard_sigmoid, kinks, hard_sigmoid_formula, remembers=kept("bool", 15), smooth=False),
    Case("images", hard_swish, anywhere(*IMAGES, spread=3), hard_swish_formula),
    Case("kinks", hard_swish, kinks, hard_swish_formula, smooth=False),
    *keeps_y(sigmoid, logistic),
    *keeps_y(tanh, lambda x: np.tanh(x)),
    *keeps_y(softplus, softplus_formula),
    *keeps_y(selu, selu_formula),
    Case("images", elu, anywhere(*IMAGES), elu_formula, remembers=kept("float32", *IMAGES)),
    Case("alpha", elu, anywhere(*MATRIX), elu_formula, choices=ELU, remembers=kept("float32", *MATRIX)),
    Case("special values", elu, special, elu_formula, choices=ELU, remembers=kept("float32", 9), smooth=False),
    *keeps_x(silu, lambda x: swish_formula(x, 1)),
    *keeps_x(gelu, gelu_formula),
    *keeps_x(mish, mish_formula),
    Case("exact", gelu, anywhere(*IMAGES, spread=3), gelu_formula, choices={"approximate": False}),
    Case("exact, special values", gelu, finite, gelu_formula, choices={"approximate": False}, smooth=False),
    Case("one beta", swish, with_parameter("beta", anywhere(*IMAGES)), swish_formula),
    Case("beta per feature", swish, with_parameter("beta", anywhere(*IMAGES), 2), swish_formula),
    Case("special values", swish, with_parameter("beta", finite, 9), swish_formula, smooth=False),
]
