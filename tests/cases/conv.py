"""Cases of the convolutions."""

import itertools

import numpy as np

from fdl.layers import conv, conv_norm_relu, conv_transpose
from tests.cases import batch_norm
from tests.proof.case import Case


def lows(sizes, kernel, stride, padding, dilation):
    """(positions in front of each axis, how many windows fit)."""
    pairs = []
    for axis, (n, k, s, d) in enumerate(zip(sizes, kernel, stride, dilation, strict=True)):
        extent = (k - 1) * d + 1
        if padding == "SAME":
            out = -(-n // s)
            low = max((out - 1) * s + extent - n, 0) // 2
        else:
            pair = {"VALID": (0, 0), "VALID_EXACT": (0, 0)}.get(padding) if isinstance(padding, str) else padding
            low, high = pair if isinstance(padding, str) else (pair, pair) if isinstance(pair, int) else pair[axis]
            out = (n + low + high - extent) // s + 1
        pairs.append((low, out))
    return pairs


def per_axis(value, axes):
    return value if isinstance(value, tuple) else (value,) * axes


def formula(x, w, b=None, stride=1, padding="SAME", dilation=1, groups=1):
    axes = x.ndim - 2
    stride, dilation = per_axis(stride, axes), per_axis(dilation, axes)
    laid = lows(x.shape[1:-1], w.shape[:-2], stride, padding, dilation)
    y = np.zeros((len(x), *(out for _, out in laid), w.shape[-1]))
    ins, outs = w.shape[-2], w.shape[-1] // groups
    for o in np.ndindex(*y.shape[1:-1]):
        for tap in np.ndindex(*w.shape[:-2]):
            u = [i * s + t * d - low for i, s, t, d, (low, _) in zip(o, stride, tap, dilation, laid, strict=True)]
            if all(0 <= position < n for position, n in zip(u, x.shape[1:-1], strict=True)):
                for g, n in itertools.product(range(groups), range(len(x))):
                    seen = x[(n, *u)][g * ins : (g + 1) * ins]
                    y[(n, *o)][g * outs : (g + 1) * outs] += seen @ w[tap][:, g * outs : (g + 1) * outs]
    return y if b is None else y + b


def arguments(*spatial, kernel, ins, outs, groups=1, bias=False):
    def make(rng, n):
        return {
            "x": rng.normal(size=(n, *spatial, ins)),
            "w": rng.normal(size=(*kernel, ins // groups, outs)),
            "b": rng.normal(size=outs) if bias else None,
        }

    return make


def transpose_formula(x, w, b=None, stride=1, padding="SAME"):
    axes = x.ndim - 2
    stride = per_axis(stride, axes)
    low, sizes = [], []
    for axis, (n, k, s) in enumerate(zip(x.shape[1:-1], w.shape[:-2], stride, strict=True)):
        if padding == "SAME":
            low.append(max(k - s, 0) // 2)
            sizes.append(n * s)
        else:
            before, after = (0, 0) if padding == "VALID" else padding[axis]
            low.append(before)
            sizes.append((n - 1) * s + k - before - after)
    y = np.zeros((len(x), *sizes, w.shape[-1]))
    for o in np.ndindex(*x.shape[1:-1]):
        for tap in np.ndindex(*w.shape[:-2]):
            u = [i * s + t - before for i, s, t, before in zip(o, stride, tap, low, strict=True)]
            if all(0 <= position < n for position, n in zip(u, sizes, strict=True)):
                y[(slice(None), *u)] += x[(slice(None), *o)] @ w[tap]
    return y if b is None else y + b


def norm_formula(x, w, gamma, beta, eps=1e-5, **choices):
    n, mean, var = batch_norm.formula(formula(x, w, **choices), gamma, beta, eps)
    return np.where(n < 0, 0, n), mean, var


def norm_arguments(*spatial, kernel, ins, outs, groups=1):
    def make(rng, n):
        of_conv = arguments(*spatial, kernel=kernel, ins=ins, outs=outs, groups=groups)(rng, n)
        return {"x": of_conv["x"], "w": of_conv["w"], **batch_norm.vectors(rng, outs)}

    return make


def near_kinks(rng, n):
    """So many channels that some are just about to be switched off, and one that is at the kink everywhere."""
    made = norm_arguments(2, kernel=(1,), ins=3, outs=250)(rng, n)
    made["x"] += 2
    made["gamma"][0] = made["beta"][0] = 0
    return made


CASES = [
    Case("images", conv, arguments(5, 4, kernel=(3, 2), ins=2, outs=3, bias=True), formula, choices={"stride": 2}),
    Case(
        "sequences",
        conv,
        arguments(7, kernel=(3,), ins=2, outs=2),
        formula,
        choices={"padding": ((2, 0),), "dilation": 2},
    ),
    Case("volumes", conv, arguments(3, 2, 3, kernel=(2, 2, 1), ins=2, outs=1), formula, choices={"padding": "VALID"}),
    Case(
        "groups",
        conv,
        arguments(3, 3, kernel=(2, 2), ins=4, outs=2, groups=2),
        formula,
        choices={"groups": 2, "padding": 1},
    ),
    Case("images", conv_transpose, arguments(3, 2, kernel=(3, 2), ins=2, outs=3, bias=True), transpose_formula),
    Case(
        "stride",
        conv_transpose,
        arguments(3, 2, kernel=(4, 2), ins=2, outs=1, bias=True),
        transpose_formula,
        choices={"stride": (2, 3)},
    ),
    Case(
        "cropped",
        conv_transpose,
        arguments(4, kernel=(3,), ins=2, outs=2),
        transpose_formula,
        choices={"stride": 2, "padding": ((1, 2),)},
    ),
    Case(
        "images",
        conv_norm_relu,
        norm_arguments(4, 3, kernel=(2, 2), ins=2, outs=3),
        norm_formula,
        choices={"stride": 2},
        remembers=("float32[5,2,2,3]", "float32[3]", "float32[3]"),
    ),
    Case(
        "choices",
        conv_norm_relu,
        norm_arguments(5, kernel=(2,), ins=4, outs=2, groups=2),
        norm_formula,
        choices={"padding": "VALID", "dilation": 2, "groups": 2, "eps": 0.1},
        remembers=("float32[5,3,2]", "float32[2]", "float32[2]"),
    ),
    Case(
        "near kinks",
        conv_norm_relu,
        near_kinks,
        norm_formula,
        remembers=("float32[5,2,250]", "float32[250]", "float32[250]"),
        smooth=False,
    ),
]
