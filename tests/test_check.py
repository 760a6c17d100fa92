"""Gradient checks pass what is right, name what is wrong, and say what they could not see."""

import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl.check import GradientError, check_gradients, gradient_report
from fdl.layers import Affine, BatchNorm, Dropout, Relu, Serial, affine, batch_norm, relu
from fdl.losses import softmax_cross_entropy

RNG_SEED = 7


def normal(*shape):
    return np.random.default_rng(RNG_SEED).normal(size=shape)


def curve(backward, forward=lambda x, w: jnp.sin(x) * w + w**2):
    """A rule for y = sin(x) w + w^2, elementwise, with any backward and forward part."""

    @fdl.rule
    def curve(x, w):
        return jnp.sin(x) * w + w**2

    curve.forward(lambda x, w: (forward(x, w), (x, w)))
    curve.backward(backward)
    return curve


def right(residuals, dy):
    x, w = residuals
    return jnp.cos(x) * w * dy, (jnp.sin(x) + 2 * w) * dy


def replaced(which, change):
    """The right backward part with one of its gradients changed."""

    def backward(residuals, dy):
        gradients = list(right(residuals, dy))
        gradients[which] = change(gradients[which], residuals, dy)
        return tuple(gradients)

    return backward


def report_of(backward, *, shape=(4, 3), scale=1.0, samples=20, **parts):
    rule, weights = curve(backward, **parts), np.linspace(0.5, 1.5, np.prod(shape)).reshape(shape)

    def loss(x, w):
        return scale * jnp.sum(rule(x, w) * weights)

    return gradient_report(loss, normal(*shape), normal(*shape) + 3, samples=samples)


def wrong_custom_vjp(change):
    @jax.custom_vjp
    def square(x):
        return x**2

    square.defvjp(lambda x: (x**2, x), lambda x, dy: (change(2 * x * dy),))
    return square


# What is right passes


def test_a_network_with_batch_norm_and_dropout_in_training_passes():
    net = Serial(Affine(6), BatchNorm(), Relu(), Dropout(0.4), scores=Affine(3))
    x, labels = normal(8, 5).astype(np.float32), np.arange(8) % 3
    params, state = net.init(jax.random.key(0), x)

    def loss(params, key):
        scores, new_state = net.apply(params, state, x, key=key, train=True)
        return jnp.mean(softmax_cross_entropy(scores, labels)), new_state

    report = check_gradients(loss, params, jax.random.key(1), has_aux=True)
    paths = ["affine1.b", "affine1.w", "batch_norm1.beta", "batch_norm1.gamma", "scores.b", "scores.w"]
    assert report.ok
    assert [row.path for row in report.rows] == paths
    assert [row.compared for row in report.rows] == [6, 20, 6, 6, 3, 18]
    bias_before_batch_norm = report.rows[0]  # zero but for rounding, three times
    values = (bias_before_batch_norm.rules, bias_before_batch_norm.autodiff, bias_before_batch_norm.differences)
    assert max(map(abs, values)) < 1e-9


def test_the_right_rule_passes_and_the_three_values_are_the_derivative():
    report = report_of(right)
    assert report.ok
    assert not report.rules_value - report.value
    x, w, weights = normal(4, 3), normal(4, 3) + 3, np.linspace(0.5, 1.5, 12).reshape(4, 3)
    for row, gradient in zip(report.rows, (np.cos(x) * w * weights, (np.sin(x) + 2 * w) * weights), strict=True):
        expected = gradient[row.index]
        np.testing.assert_allclose([row.rules, row.autodiff], expected, rtol=1e-14)
        np.testing.assert_allclose(row.differences, expected, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_a_loss_may_be_of_any_magnitude(scale):
    assert report_of(right, scale=scale).ok
    assert not report_of(replaced(1, lambda dw, *_: dw.astype(jnp.float32)), scale=scale).ok


ZERO = {
    "all rows of a batch norm alike": lambda x: jnp.sum(batch_norm(x, jnp.ones(3), jnp.zeros(3))[0]),
    "a batch of two": lambda x: jnp.sum(batch_norm(x[2:], jnp.ones(3) * 1.3, jnp.zeros(3))[0]),
    "a batch of one": lambda x: jnp.sum(batch_norm(x[:1], jnp.ones(3) * 1.3, jnp.ones(3))[0] * jnp.arange(3.0)),
    "a shift of all logits": lambda b: jnp.sum(softmax_cross_entropy(jnp.ones((2, 4)) + b[:2, :1], jnp.array([2, 3]))),
    "centred data": lambda w: jnp.mean(affine(jnp.array([[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]]), w[:3])),
    "less than the rounding of the loss": lambda x: 1e6 + 1e-9 * jnp.sum(jnp.sin(x)),
    "nothing": lambda x: 0.0,
}


@pytest.mark.parametrize("name", ZERO)
def test_gradients_that_are_as_good_as_zero_pass(name):
    assert gradient_report(ZERO[name], normal(4, 3)).ok


def test_arrays_without_elements_pass_and_the_value_is_still_compared():
    assert gradient_report(lambda x: jnp.sum(x**2), np.ones((0, 3))).ok
    assert gradient_report(lambda x, y: jnp.sum(x) + jnp.sum(y**2), np.ones((0, 3)), np.ones((1, 1))).ok

    @fdl.rule
    def one(x):
        return jnp.sum(x) + 1

    one.forward(lambda x: (jnp.sum(x) + 2, x))
    one.backward(lambda x, dy: (dy * jnp.ones_like(x),))
    report = gradient_report(one, np.ones((0, 3)))
    assert not report.ok
    assert "f itself is 2 by the forward parts of its rules, 1 by their references" in report.verdict


KINKS = {
    "near and at the kink of a ReLU": lambda x: jnp.sum(relu(x) * jnp.array([1.0, 2.0, 3.0, 4.0, 5.0])),
    "absolute value": lambda x: jnp.sum(jnp.abs(x)),
    "tied maxima": lambda x: jnp.max(x[:2]) + 3 * jnp.max(x[1:]),
}


@pytest.mark.parametrize("name", KINKS)
def test_kinks_are_no_false_alarm(name):
    assert gradient_report(KINKS[name], np.array([0.0, 0.0, 3e-7, -2e-6, 5e-5])).ok


def test_many_kinks_are_no_false_alarm_and_no_excuse():
    x, right_sign = normal(300, 10), np.array([1, -1] * 150)

    def loss(hidden, out):
        return jnp.mean(jnp.square(relu(relu(x @ hidden) @ out)[:, 0] - right_sign))

    params = normal(10, 20), normal(20, 1)
    assert check_gradients(loss, *params, samples=60).rows[0].compared > 30

    wrong = wrong_custom_vjp(lambda dx: 1.01 * dx)
    report = gradient_report(lambda hidden, out: loss(wrong(hidden), out), *params, samples=60)
    assert [row.ok for row in report.rows] == [False, True]


# What is wrong is found


FAULTS = {
    "sign": (0, lambda dx, *_: -dx),
    "factor": (1, lambda dw, *_: 1.01 * dw),
    "dropped term": (1, lambda dw, residuals, dy: jnp.sin(residuals[0]) * dy),
    "no gradient": (0, lambda dx, *_: 0 * dx),
    "rounded to float32": (1, lambda dw, *_: dw.astype(jnp.float32)),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_wrong_backward_is_found_in_the_argument_that_it_is_in(name):
    which, change = FAULTS[name]
    report = report_of(replaced(which, change))
    wrong, fine = report.rows[which], report.rows[1 - which]
    assert not report.ok
    assert not wrong.ok
    assert fine.ok
    assert wrong.path == ("x", "w")[which]
    assert report.verdict.startswith(f"WRONG: {wrong.path}[")
    assert abs(wrong.autodiff - wrong.differences) < 1e-6 * abs(wrong.autodiff)


def test_one_wrong_element_in_ten_thousand_is_found_with_its_index():
    at = (77, 31)
    backward = replaced(1, lambda dw, *_: dw.at[at].multiply(1.01))
    report = report_of(backward, shape=(100, 100), samples=3)
    assert [row.ok for row in report.rows] == [True, False]
    assert report.rows[1].index == at
    assert report.rows[1].autodiff_error == pytest.approx(0.01 / 2.01)
    assert report.rows[1].differences_error == pytest.approx(0.01 / 2.01, rel=1e-3)  # the worst is among the samples

    ones = jnp.ones((100, 100))
    gradient, wrong = (np.asarray(rule((ones, ones), ones)[1]) for rule in (right, backward))
    assert np.linalg.norm(gradient - wrong) / np.linalg.norm(gradient) < 1.1e-4  # a norm would not have seen it


def test_check_gradients_says_where_which_values_and_by_how_much():
    rule = curve(replaced(1, lambda dw, *_: 1.01 * dw))
    params = {"layer": {"w": jnp.array([2.0, 0.0])}}
    with pytest.raises(GradientError) as caught:
        check_gradients(lambda params: jnp.sum(rule(jnp.zeros(2), params["layer"]["w"])), params)
    message = (
        r"WRONG: layer\.w\[0\] is 4\.04 by the rules, 4 by JAX's own derivative, (4|3\.9999\d+|4\.0000\d+) by "
        r"differences: relative error 5\.0e-03 to JAX's own\n"
    )
    assert re.match(message, str(caught.value))
    assert isinstance(caught.value, AssertionError)
    assert caught.value.report.table in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [lambda dx: -dx, lambda dx: 1.01 * dx, lambda dx: dx.at[3, 2].multiply(1.01)],
    ids=["sign", "factor", "one element"],
)
def test_a_wrong_custom_vjp_is_found_by_differences(change):
    square, weights = wrong_custom_vjp(change), normal(6, 5)
    report = gradient_report(lambda x: 1 + jnp.sum(square(x) * weights), normal(6, 5), samples=None)
    (row,) = report.rows
    assert not report.ok
    assert row.autodiff_error == 0.0
    assert row.differences_error > 4e-3
    assert "Is there a jax.custom_vjp" in report.verdict


def without_dy(residuals, dy):
    return right(residuals, jnp.ones_like(dy))


@pytest.mark.parametrize(
    "square",
    [lambda x: curve(without_dy)(x, x), wrong_custom_vjp(lambda dx: 2 * jnp.sign(dx) * jnp.sqrt(jnp.abs(dx / 2)))],
    ids=["rule", "custom_vjp"],
)
def test_a_backward_part_that_does_not_multiply_by_dy_is_found_though_dy_is_one(square):
    report = gradient_report(lambda x: jnp.sum(square(x)), np.ones(3))
    assert not report.ok
    assert report.verdict.startswith("WRONG: the gradient of f / 2 by x is not half of that of f: relative error ")


def test_a_function_that_is_nan_all_around_is_not_compared_and_no_false_alarm():
    report = gradient_report(lambda x: jnp.sum(jnp.log(x) + jnp.log(1e-8 - x)), np.full(3, 1e-8 * (1 - 1e-9)))
    assert report.ok
    assert report.rows[0].compared == 0
    assert "JAX's own to 1e-08 and differences say nothing\nnote: differences of x" in report.verdict


@pytest.mark.parametrize("scale", [1e-8, 1e-5, 1e6])
def test_numbers_may_be_of_any_magnitude(scale):
    def loss(factor):
        square = wrong_custom_vjp(lambda dx: factor * dx)
        return lambda x: jnp.sum(square(x) / scale + scale * jnp.log(jnp.abs(x)) * weights)

    x, weights = scale * (2 + normal(30)), normal(30)
    right, wrong = (gradient_report(loss(factor), x) for factor in (1.0, 1.01))
    assert right.ok
    assert right.rows[0].compared == wrong.rows[0].compared == 20
    assert not wrong.ok


def test_a_wrong_forward_part_is_found():
    report = report_of(right, forward=lambda x, w: jnp.sin(x) * w + 1.01 * w**2)
    assert all(row.ok for row in report.rows)
    assert not report.ok
    assert "f itself is" in report.verdict


def test_nan_is_wrong():
    (row, _) = report_of(replaced(0, lambda dx, *_: dx.at[1, 2].set(jnp.nan))).rows
    assert not row.ok
    assert row.index == (1, 2)
    assert row.autodiff_error == np.inf
    report = gradient_report(lambda x: jnp.sum(jnp.sqrt(x)), np.array([4.0, -1.0, 0.0]))
    assert not report.ok
    assert report.verdict.count("NaN and infinity are never right") == 1
    assert "f itself is nan" in report.verdict


def test_what_is_computed_in_float32_is_not_compared_with_differences_and_said():
    x = jnp.asarray(normal(30, 3), jnp.float32)  # batch_norm gives what it is given: float32
    report = gradient_report(lambda gamma: jnp.mean(batch_norm(x, gamma, gamma)[0] ** 2), np.ones(3), tolerance=1e-4)
    assert report.ok
    assert report.rows[0].compared == 0
    assert "note: differences of gamma" in report.verdict
    assert "float32" in report.verdict


# What it prints


def test_the_table_is_aligned_and_starts_rows_as_cs231n_does():
    def loss(params):
        return jnp.sum((affine(jnp.ones((2, 3)), params["W1"]) + params["b1_of_the_first_layer"]) ** 2)

    params = {"W1": normal(3, 4), "b1_of_the_first_layer": normal(4)}
    head, *rows, verdict = str(gradient_report(loss, params)).splitlines()
    assert re.match(r"W1 relative error: \d\.\de[-+]\d\d ", rows[0])
    assert re.match(r"b1_of_the_first_layer relative error: \d\.\de[-+]\d\d ", rows[1])
    for row, shape in zip(rows, ("(3, 4)", "(4,)"), strict=True):
        assert row.index(shape) == head.index("shape")
        assert re.match(r"\d\.\de-\d\d ", row[head.index("rules against differences") :])
        assert row.endswith("   ok")
    assert rows[0].index("12 of 12") == rows[1].index("4 of 4") == head.index("differences in")
    assert head.startswith("rules against JAX's own ")
    assert verdict == "ok: all 2 gradients agree with JAX's own to 1e-08 and with differences to 0.0001"


def test_a_wrong_row_says_so():
    lines = str(report_of(replaced(0, lambda dx, *_: -dx))).splitlines()
    assert lines[1].startswith("x relative error: 1.0e+00 ")
    assert lines[1].endswith("   WRONG")
    assert lines[2].endswith("   ok")
    assert lines[3].startswith("WRONG: x[")


# What it takes


class Pair(NamedTuple):
    first: object
    second: object


def test_arrays_are_named_by_their_path():
    def total(tree, *others):
        return sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves((tree, others)))

    tree = Pair({"w": np.ones(2, np.float16)}, [1.5, (np.zeros((0, 3)), jnp.ones((), jnp.bfloat16), 3)])
    inside = ["first.w", "second.0", "second.1.0", "second.1.1"]
    report = check_gradients(total, tree)
    assert [row.path for row in report.rows] == inside
    assert [row.shape for row in report.rows] == [(2,), (), (0, 3), ()]
    assert [row.index for row in report.rows] == [(0,), (), None, ()]

    report = check_gradients(total, tree, np.float32(2), 3, 0.5)
    assert [row.path for row in report.rows] == [*(f"tree.{path}" for path in inside), "others0", "others2"]


def test_ints_keys_and_booleans_are_left_alone():
    def loss(x, ids, key, train, keep):
        assert isinstance(ids, np.ndarray)
        assert train is True
        assert isinstance(keep, float)
        return jnp.sum(fdl.layers.dropout(x[ids] ** 2, key, keep))

    report = check_gradients(loss, normal(4), np.array([0, 0, 2]), jax.random.key(3), True, 0.5, argnums=(0,))
    assert [row.path for row in report.rows] == ["x"]
    assert check_gradients(lambda x, y: jnp.sum(x * y), normal(3), normal(3), argnums=-1).rows[0].path == "y"


@pytest.mark.parametrize(
    ("f", "args", "options", "message"),
    [
        (lambda x: x, (np.ones(5),), {}, r"f must give one number, got shape \[5\]: take its sum or its mean"),
        (lambda x: (x, x), (1.0,), {}, "got a tuple: has_aux=True is for"),
        (lambda x: None, (1.0,), {}, "got a NoneType"),
        (lambda x: x, (1.0,), {"has_aux": True}, "with has_aux=True, f must give"),
        (lambda x: jnp.argmax(x), (np.ones(5),), {}, "a floating-point number, got int"),
        (lambda n, s: 1.0, (3, np.arange(3)), {}, r"to differentiate: got \(int, ndarray\)"),
        (lambda: 1.0, (), {}, "to differentiate"),
        (lambda x, n: x, (1.0, 3), {"argnums": 1}, r"got \(float, int\) with argnums=1"),
        (lambda x: x, (1.0,), {"argnums": 1}, "argnums=1"),
        (
            lambda x: x,
            (1.0,),
            {"samples": 0},
            "the gradient check needs samples as a whole number of at least 1, got 0",
        ),
        (lambda x: x, (1.0,), {"tolerance": 0.0}, "positive tolerances"),
        (lambda x: x, (1.0,), {"seed": -1}, "seed as a whole number of at least 0, got -1"),
        (fdl.layers.Affine(3), (np.ones((2, 3)),), {}, r"got Affine\(3\): for a layer, lambda params, x"),
    ],
)
def test_what_cannot_be_checked_is_an_input_error(f, args, options, message):
    with pytest.raises(fdl.InputError, match=message):
        gradient_report(f, *args, **options)


# What it leaves behind


def test_nothing_of_it_is_left_behind():
    x = jnp.ones(3, jnp.bfloat16)
    with fdl.differentiation("autodiff"):  # the rules are checked whatever is on outside
        rule = curve(replaced(0, lambda dx, *_: -dx))
        report = gradient_report(lambda x: jnp.sum(rule(x, x + 1)), x)
        assert not report.ok
        assert jax.grad(rule)(0.0, 1.0) == 1.0
    assert jax.grad(rule)(0.0, 1.0) == -1.0
    assert jnp.ones(1).dtype == jnp.float32
    assert x.dtype == jnp.bfloat16
    with pytest.raises(fdl.InputError):
        gradient_report(lambda x: x, x)
    assert jnp.ones(1).dtype == jnp.float32


def test_the_same_seed_gives_the_same_report():
    def loss(x):
        return jnp.sum(jnp.exp(x))

    reports = [gradient_report(loss, normal(50), samples=5, seed=seed) for seed in (1, 1, 2)]
    assert reports[0] == reports[1] != reports[2]
    assert [report.rows[0].compared for report in reports] == [5, 5, 5]
