"""What the losses do beyond the table of cases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl.layers import affine, softmax
from fdl.losses import (
    absolute_error,
    dice,
    gaussian_kl,
    hinge,
    huber,
    kl_divergence,
    l1,
    l2,
    linear_softmax_cross_entropy,
    nt_xent,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
    squared_error,
)

KEY = jax.random.key(0)
LOGITS = jnp.zeros((2, 3))
IDS = jnp.array([0, 1])


@pytest.mark.parametrize("block", [1, 7, 64, 100, 1000])
def test_every_block_gives_the_loss_of_the_whole(block):
    x, w = jax.random.normal(KEY, (2, 5, 8)), jax.random.normal(KEY, (8, 100))
    labels = jax.random.randint(KEY, (2, 5), 0, 100)

    def value_and_gradients(loss):
        return jax.value_and_grad(lambda x, w: loss(x, w) @ jnp.arange(5.0) @ jnp.ones(2), (0, 1))(x, w)

    fused = value_and_gradients(lambda x, w: linear_softmax_cross_entropy(x, w, None, labels, block=block))
    plain = value_and_gradients(lambda x, w: softmax_cross_entropy(affine(x, w), labels))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), fused, plain)


def test_a_whole_block_of_classes_may_be_impossible():
    x, w, labels = jax.random.normal(KEY, (2, 3)), jax.random.normal(KEY, (3, 6)), jnp.array([3, 5])
    b = jnp.array([-jnp.inf, -jnp.inf, 0, 1, -jnp.inf, 2])

    def value_and_gradients(loss):
        return jax.value_and_grad(lambda *arguments: loss(*arguments) @ jnp.array([1.0, 3.0]), (0, 1, 2))(x, w, b)

    fused = value_and_gradients(lambda x, w, b: linear_softmax_cross_entropy(x, w, b, labels, block=2))
    plain = value_and_gradients(lambda x, w, b: softmax_cross_entropy(affine(x, w, b), labels))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), fused, plain)


def test_the_weight_of_an_impossible_class_that_is_no_target_has_no_gradient():
    logits, weights = jnp.array([[0.0, 1.0, -jnp.inf]]), jnp.ones(3)

    def loss(weights):
        return softmax_cross_entropy(logits, jnp.array([0]), class_weights=weights)[0]

    np.testing.assert_allclose(jax.grad(loss)(weights), [np.log(1 + np.e), 0, 0], rtol=1e-6)


def test_class_weights_have_mixed_derivatives_where_nothing_is_asked_for_yet():
    x, y, w = jnp.array([[0.3, -0.2], [1.0, 0.0]]), jnp.array([0, 1]), jnp.array([1.0, 2.0])

    def mixed(of_examples):  # as in learning which examples to trust
        return jax.grad(lambda w: (of_examples * softmax_cross_entropy(x, y, class_weights=w)).sum())(w)

    found = jax.jacrev(mixed)(jnp.zeros(2))
    with fdl.differentiation("autodiff"):
        np.testing.assert_allclose(found, jax.jacrev(mixed)(jnp.zeros(2)), rtol=1e-5)
    assert (jnp.diag(found) > 0.4).all()


@pytest.mark.parametrize("smooth", [1.0, 1e-5])
def test_dice_has_an_exact_gradient_where_a_class_is_absent(smooth):
    p = jax.random.uniform(KEY, (1, 256, 256, 1))
    dp = jax.grad(lambda p: dice(p, jnp.zeros_like(p), smooth=smooth).sum())(p)
    exact = 2 * np.asarray(p, float) * smooth / ((np.asarray(p, float) ** 2).sum() + smooth) ** 2
    np.testing.assert_allclose(dp, exact, rtol=1e-5)


def test_dice_of_nothing_with_a_tiny_smooth_has_no_gradient():
    nothing = jnp.zeros((1, 4, 1))
    assert (jax.grad(lambda p: dice(p, nothing, smooth=1e-30).sum())(nothing) == 0).all()
    with pytest.raises(fdl.InputError, match="dice needs smooth > 0, in float32 too, got 1e-40"):
        dice(nothing, nothing, smooth=1e-40)


def test_dice_has_an_exact_gradient_near_the_targets():
    t = jax.random.uniform(KEY, (1, 64, 64, 1))
    p = t + 1e-3 * jax.random.normal(jax.random.key(1), t.shape)
    dp = jax.grad(lambda p: dice(p, t).sum())(p)
    wide_p, wide_t = np.asarray(p, float), np.asarray(t, float)
    size = (wide_p**2).sum() + (wide_t**2).sum() + 1
    exact = 2 / size * (wide_p - wide_t - ((wide_p - wide_t) ** 2).sum() / size * wide_p)
    np.testing.assert_allclose(dp, exact, rtol=1e-4, atol=1e-6 * abs(exact).max())


MASKED = {
    "softmax_cross_entropy": lambda z, where: softmax_cross_entropy(z, jnp.array([2, 0, 1]), where=where),
    "linear_softmax_cross_entropy": lambda z, where: linear_softmax_cross_entropy(
        z, jnp.ones((3, 2)), None, jnp.array([0, 0, 1]), where=where
    ),
    "hinge": lambda z, where: hinge(z, jnp.array([2, 0, 1]), where=where),
    "kl_divergence": lambda z, where: kl_divergence(z, z + jnp.arange(3.0), where=where),
    "gaussian_kl": lambda z, where: gaussian_kl(z, z, where=where),
    "sigmoid_cross_entropy": lambda z, where: sigmoid_cross_entropy(z[:, 0], jnp.ones(3), where=where),
    "squared_error": lambda z, where: squared_error(z[:, 0], jnp.ones(3), where=where),
    "absolute_error": lambda z, where: absolute_error(z[:, 0], jnp.ones(3), where=where),
    "huber": lambda z, where: huber(z[:, 0], jnp.ones(3), where=where),
}


@pytest.mark.parametrize("mode", ["rules", "autodiff"])
@pytest.mark.parametrize("name", MASKED)
def test_what_is_masked_has_no_gradient_whatever_is_made_of_its_loss(name, mode):
    where, weights = jnp.array([True, False, True]), jnp.array([1.0, jnp.nan, 2.0])
    z = jax.random.normal(KEY, (3, 3))

    def total(z, weights):
        return jnp.where(where, weights * MASKED[name](z, where), 0).sum()

    with fdl.differentiation(mode):
        gradient = jax.grad(total)(z, weights)
        np.testing.assert_array_equal(gradient, jax.grad(total)(z, weights.at[1].set(5.0)))
    assert (gradient[1] == 0).all()


def test_gradients_in_float16_do_not_overflow_on_the_way():
    p, t = jnp.linspace(0, 1, 200, dtype=jnp.float16).reshape(1, 100, 2), jnp.ones((1, 100, 2), jnp.float16)
    _, pull_back = jax.vjp(dice, p, t)
    exact = jax.vjp(dice, p.astype(jnp.float32), t.astype(jnp.float32))[1](jnp.full((1, 2), 2.0**15))
    for ours, theirs in zip(pull_back(jnp.full((1, 2), 2.0**15, jnp.float16)), exact, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3)
    w = jnp.array([4e4, -6e4], jnp.float16)
    np.testing.assert_allclose(jax.grad(lambda w: 1e-4 * l2(w))(w), [8, -12], rtol=2e-3)


def test_a_penalty_squares_in_float32():
    assert l2(jnp.full(8, 300.0, jnp.float16)) == 720_000
    assert float(l2(jnp.full(10_000, 1e-4, jnp.float16))) == pytest.approx(1e-4, rel=1e-3)


def test_the_gradient_holds_one_block_of_logits():
    x, w, b, labels = jnp.ones((256, 8)), jnp.ones((8, 4096)), jnp.ones(4096), jnp.zeros(256, int)

    def total(x, w, b):
        return linear_softmax_cross_entropy(x, w, b, labels, block=128).sum()

    compiled = jax.jit(jax.grad(total, (0, 1, 2))).lower(x, w, b).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 4 * 256 * 4096 / 4


def test_class_weights_multiply_the_loss_of_a_class():
    weights = jnp.array([1.0, 2.0, 5.0])
    logits, labels = jax.random.normal(KEY, (4, 3)), jnp.array([0, 1, 2, 2])
    weighted = softmax_cross_entropy(logits, labels, class_weights=weights)
    np.testing.assert_allclose(weighted, weights[labels] * softmax_cross_entropy(logits, labels), rtol=1e-6)


def test_a_distribution_has_no_divergence_from_itself():
    logits = 50 * jax.random.normal(KEY, (4, 7))
    np.testing.assert_allclose(kl_divergence(logits, logits + 3), 0, atol=1e-5)


FAR = jnp.array([[1e4, 9999.0], [1e6, 1e6 - 1], [100.0, 95.0], [30.0, 22.0], [-1e6, -1e6 + 1]])
FAR_IDS, FAR_TARGETS = jnp.zeros(5, int), jnp.array([1.0, 0.0])


NO_DIGIT_IS_LOST = {
    "ids": lambda z: softmax_cross_entropy(z, FAR_IDS),
    "targets": lambda z: softmax_cross_entropy(z, FAR_TARGETS + 0 * z),
    "smoothed": lambda z: softmax_cross_entropy(z, FAR_IDS, label_smoothing=0.1, class_weights=jnp.array([1.0, 2.0])),
    "linear": lambda z: linear_softmax_cross_entropy(z, jnp.eye(2), None, FAR_IDS),
    "linear, smoothed": lambda z: linear_softmax_cross_entropy(
        z, jnp.eye(2), None, FAR_IDS, label_smoothing=0.1, block=1
    ),
    "kl": lambda z: kl_divergence(z, z + jnp.array([0.0, 0.5])),
    "kl, turned": lambda z: kl_divergence(z - jnp.array([0.0, 0.5]), z),
    "yes": lambda z: sigmoid_cross_entropy(z[2:4] / 8, jnp.ones((2, 2))),
    "no": lambda z: sigmoid_cross_entropy(-z[2:4] / 8, jnp.zeros((2, 2))),
}


@pytest.mark.parametrize("name", NO_DIGIT_IS_LOST)
@pytest.mark.parametrize("mode", ["rules", "autodiff"])
def test_no_digit_is_lost_far_from_zero(name, mode):
    def value_and_gradient(z):
        with fdl.differentiation(mode):
            value, pull_back = jax.vjp(NO_DIGIT_IS_LOST[name], z)
            return value, pull_back(jnp.ones_like(value))[0]

    values, gradients = value_and_gradient(FAR)
    with jax.enable_x64(True):
        exact_values, exact_gradients = value_and_gradient(FAR.astype(jnp.float64))
    differences = 1e-7 if "kl" in name else 0  # those of log p and log q
    np.testing.assert_allclose(values, exact_values, rtol=1e-4, atol=differences)
    np.testing.assert_allclose(gradients, exact_gradients, rtol=2e-5, atol=0 if name in ("yes", "no") else 3e-7)


@pytest.mark.parametrize("size", [1e-30, 1e30, 1e38])
def test_directions_of_views_of_any_size(size):
    first, second = jax.random.uniform(KEY, (2, 3, 4), minval=-1.0)
    value, gradient = jax.value_and_grad(lambda z: nt_xent(size * z, size * second).sum())(first)
    expected = jax.value_and_grad(lambda z: nt_xent(z, second).sum())(first)
    np.testing.assert_allclose(value, expected[0], rtol=1e-5)
    if size < 1e38:  # where numbers as small as the gradient can be written
        np.testing.assert_allclose(gradient, expected[1], rtol=1e-4, atol=1e-6)


def test_an_impossible_class_costs_nothing_where_it_is_not_asked_for():
    logits, targets, weights = jnp.array([0.0, 1.0, -jnp.inf]), jnp.array([0.5, 0.5, 0.0]), jnp.array([1.0, 1.0, 0.0])
    possible = softmax_cross_entropy(logits[:2], targets[:2])
    np.testing.assert_allclose(softmax_cross_entropy(logits, targets), possible, rtol=1e-6)
    gradients = jax.grad(lambda z, t: softmax_cross_entropy(z, t, class_weights=weights), (0, 1))(logits, targets)
    assert all(jnp.isfinite(gradient).all() for gradient in gradients)
    smoothed = softmax_cross_entropy(logits, jnp.array(0), label_smoothing=0.3, class_weights=weights)
    two = softmax_cross_entropy(logits[:2], jnp.array([0.7 + 0.1, 0.1]))
    np.testing.assert_allclose(smoothed, two, rtol=1e-6)
    assert softmax_cross_entropy(logits, jnp.array(2)) == jnp.inf
    assert softmax_cross_entropy(logits, targets[::-1]) > 1e37
    assert softmax_cross_entropy(logits, jnp.array(2), class_weights=weights) == 0


@pytest.mark.parametrize("mode", ["rules", "autodiff"])
@pytest.mark.parametrize("weights", [None, jnp.ones(3)], ids=["alike", "weighted"])
def test_an_impossible_action_is_no_part_of_the_entropy_of_a_policy(mode, weights):
    def entropy(z):
        return softmax_cross_entropy(z, softmax(z), class_weights=None if weights is None else weights[: len(z)])

    scores = jnp.array([0.0, 1.0, -jnp.inf])
    with fdl.differentiation(mode):
        gradient = jax.grad(entropy)(scores)
        np.testing.assert_allclose(gradient, [*jax.grad(entropy)(scores[:2]), 0], rtol=1e-5)


def test_cross_entropy_of_huge_logits_is_exact():
    logits = jnp.array([[1e4, 0.0], [-1e4, 0.0], [1e30, -1e30]])
    assert softmax_cross_entropy(logits, jnp.array([1, 0, 0])).tolist() == [1e4, 1e4, 0]


def test_ids_are_checked_where_they_can_be_seen():
    bad = jnp.array([0, 3])
    with pytest.raises(fdl.InputError):
        jax.grad(lambda logits: softmax_cross_entropy(logits, bad).sum())(LOGITS)
    losses = jax.jit(softmax_cross_entropy)(LOGITS, bad)
    assert jnp.isnan(losses).tolist() == [False, True]
    assert softmax_cross_entropy(LOGITS, bad, where=jnp.array([True, False]))[1] == 0


def test_labels_may_be_constants_in_a_compiled_function():
    for label in (2, jnp.array(2)):
        gradient = jax.grad(jax.jit(lambda z, label=label: softmax_cross_entropy(z, label)))(jnp.zeros(4))
        assert gradient.tolist() == [0.25, 0.25, -0.75, 0.25]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: l1({"w": 1j * LOGITS}), "l1 expects real numbers, got complex64"),
        (lambda: l2(1j * LOGITS), "l2 expects real numbers, got complex64"),
        (lambda: squared_error(LOGITS, jnp.ones(2)), r"targets of the shape \[2, 3\] of predictions, got \[2\]"),
        (lambda: squared_error(LOGITS, IDS[:, None] + LOGITS.astype(int)), "targets as floats, got int32"),
        (lambda: absolute_error(LOGITS, jnp.ones((3, 2))), r"absolute_error expects targets .* got \[3, 2\]"),
        (lambda: squared_error(LOGITS, LOGITS, where=jnp.ones(2, bool)), r"booleans of shape \[2, 3\]"),
        (lambda: huber(LOGITS, LOGITS, delta=0.0), "delta > 0"),
        (lambda: sigmoid_cross_entropy(LOGITS, jnp.ones((2, 1))), r"targets of the shape \[2, 3\] .* got \[2, 1\]"),
        (lambda: sigmoid_cross_entropy(LOGITS, LOGITS - 1), r"targets in \[0, 1\], got -1.0"),
        (lambda: sigmoid_cross_entropy(LOGITS, LOGITS + 1.5), r"targets in \[0, 1\], got 1.5"),
        (lambda: hinge(LOGITS, jnp.array([0, 3])), r"hinge expects class ids in \[0, 3\), .* got 3"),
        (lambda: hinge(LOGITS, jnp.array([[0, 1]])), r"integers of shape \[2\], got int32 of shape \[1, 2\]"),
        (lambda: hinge(LOGITS, jnp.array([0.0, 1.0])), "got float32"),
        (lambda: hinge(jnp.zeros(()), jnp.array(0)), "got a scalar"),
        (lambda: kl_divergence(LOGITS, jnp.zeros((2, 4))), r"q_logits of the shape \[2, 3\] of p_logits, got \[2, 4\]"),
        (lambda: kl_divergence(LOGITS, LOGITS, where=jnp.ones((2, 3), bool)), r"booleans of shape \[2\]"),
        (lambda: gaussian_kl(jnp.zeros(()), jnp.zeros(())), "at least one axis"),
        (lambda: dice(LOGITS, jnp.ones((3, 2))), r"targets of the shape \[2, 3\] of probabilities, got \[3, 2\]"),
        (lambda: dice(LOGITS, LOGITS, smooth=0.0), "smooth > 0"),
        (lambda: dice(jnp.ones(3), jnp.ones(3)), r"\[N, \*spatial, C\], got \[3\]"),
        (lambda: softmax_cross_entropy(jnp.zeros((2, 3), int), jnp.array([0, 1])), r"logits .*int32"),
        (lambda: softmax_cross_entropy(LOGITS, jnp.array([0, 3])), r"class ids in \[0, 3\), .* got 3"),
        (lambda: softmax_cross_entropy(LOGITS, jnp.array([-1, 0])), "got -1"),
        (lambda: softmax_cross_entropy(LOGITS, jnp.array([0.0, 1.0])), r"got float32 of shape \[2\]"),
        (lambda: softmax_cross_entropy(LOGITS, jnp.array([[0], [1]])), r"got int32 of shape \[2, 1\]"),
        (lambda: softmax_cross_entropy(LOGITS, jnp.ones((2, 3), int)), r"got int32 of shape \[2, 3\]"),
        (lambda: softmax_cross_entropy(LOGITS, jnp.ones(2, bool)), "got bool"),
        (lambda: softmax_cross_entropy(LOGITS, jnp.ones((2, 4))), r"floats of shape \[2, 3\]; got float32 .* \[2, 4\]"),
        (lambda: softmax_cross_entropy(LOGITS, jnp.array([0, 1]), label_smoothing=1.0), r"label_smoothing in \[0, 1\)"),
        (lambda: softmax_cross_entropy(LOGITS, jnp.array([0, 1]), where=jnp.ones(2)), "where as booleans"),
        (lambda: softmax_cross_entropy(jnp.zeros(()), jnp.array(0)), "got a scalar"),
        (
            lambda: softmax_cross_entropy(LOGITS, IDS, class_weights=jnp.ones(2)),
            r"class_weights as floats of shape \[3\], .* got float32 of shape \[2\]",
        ),
        (lambda: softmax_cross_entropy(LOGITS, IDS, class_weights=jnp.ones(3, int)), "got int32"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(fdl.InputError, match=message):
        call()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": jnp.ones((2, 5))}, r"got \[2, 5\] and \[4, 3\]"),
        ({"w": jnp.ones(4)}, r"w of shape \[D, V\], got \[2, 4\] and \[4\]"),
        ({"w": jnp.ones((4, 3), int)}, "w as floats, got int32"),
        ({"b": jnp.ones(4)}, r"b of shape \[3\], got \[4\]"),
        ({"labels": jnp.array([0, 3])}, r"class ids in \[0, 3\), .* got 3"),
        ({"labels": jnp.ones((2, 3))}, r"integers of shape \[2\], got float32 of shape \[2, 3\]"),
        ({"label_smoothing": 1.0}, r"label_smoothing in \[0, 1\)"),
        ({"where": jnp.ones(3, bool)}, r"where as booleans of shape \[2\]"),
        ({"block": 0}, "linear_softmax_cross_entropy needs block as a whole number of at least 1, got 0"),
    ],
)
def test_bad_input_of_the_fused_loss_is_refused(changed, message):
    arguments = {"x": jnp.ones((2, 4)), "w": jnp.ones((4, 3)), "b": jnp.ones(3), "labels": IDS}
    with pytest.raises(fdl.InputError, match=message):
        linear_softmax_cross_entropy(**arguments | changed)


def test_ids_and_targets_are_checked_where_they_can_be_seen():
    bad = jnp.array([0, 3])
    assert jnp.isnan(jax.jit(hinge)(LOGITS, bad)).tolist() == [False, True]
    fused = jax.jit(linear_softmax_cross_entropy)(jnp.ones((2, 4)), jnp.ones((4, 3)), None, bad)
    assert jnp.isnan(fused).tolist() == [False, True]
    where = jnp.array([True, False])
    assert hinge(LOGITS, bad, where=where)[1] == 0
    assert sigmoid_cross_entropy(jnp.ones(2), jnp.array([1.0, -100.0]), where=where)[1] == 0
    assert jnp.isfinite(jax.jit(sigmoid_cross_entropy)(jnp.ones(2), jnp.array([1.0, -100.0]))).all()


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.int8, jnp.int16, jnp.uint32])
def test_class_ids_may_be_narrower_than_the_number_of_classes(dtype):
    scores, narrow = jnp.sin(jnp.arange(900.0)).reshape(3, 300), jnp.array([3, 100, 7], dtype)
    losses = {
        "softmax": softmax_cross_entropy,
        "hinge": hinge,
        "linear": lambda z, ids: linear_softmax_cross_entropy(z, jnp.eye(300), None, ids, block=64),
    }
    for loss in losses.values():
        gradient = jax.jit(jax.grad(lambda z, ids, loss=loss: loss(z, ids).sum()))
        assert (gradient(scores, narrow) == gradient(scores, narrow.astype(jnp.int32))).all()
        assert jnp.isfinite(loss(scores, narrow)).all()
