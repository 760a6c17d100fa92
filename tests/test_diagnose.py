"""Diagnosis: every check finds the fault that it is there for, and says nothing of a network without one."""

import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl import InputError
from fdl.initializers import constant, normal, zeros
from fdl.layers import Affine, BatchNorm, Cast, Dropout, Frozen, Relu, Repeat, Serial, Sigmoid, Softmax, relu
from fdl.losses import l2, softmax_cross_entropy, squared_error
from fdl.optim import adam, hyperparameters, momentum, sgd
from fdl.train import TrainState, diagnose, make_train_step, supervised
from fdl.train.diagnosis import (
    Diagnosis,
    data_check,
    gradient_check,
    initial_loss,
    layer_statistics,
    mode_gap,
    overfit_one_batch,
    range_test,
    update_ratios,
)
from fdl.train.diagnosis.short_run import short_run

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(64, 12)).astype(np.float32)
LABELS = np.argmax(X[:, :4], axis=1).astype(np.int32)
BATCH = X, LABELS
FEW = X[:8], LABELS[:8]


def start(net, x=X):
    return jax.jit(net.init)(jax.random.key(1), x)


def deep(activation, **affine):
    hidden = [layer for _ in range(2) for layer in (Affine(40, **affine), activation)]
    return Serial(*hidden, scores=Affine(4, w_init=affine.get("w_init", normal(0.3))))


# ---------------------------------------------------------------------------------------- all together


def test_a_sound_network_passes_and_everything_is_told(tmp_path, capsys):
    net = Serial(Affine(32), BatchNorm(), Relu(), Dropout(0.2), scores=Affine(4))
    found = diagnose(
        net,
        lambda z, t: softmax_cross_entropy(z, t, label_smoothing=0.1),  # whose least value is not zero
        {"training": BATCH, "validation": (X[:32] + 1e-3, LABELS[:32])},
        penalty=lambda params: 1e-4 * l2(params),
    )
    assert found.ok, str(found)
    assert capsys.readouterr().out == f"{found}\n"
    assert [type(finding).__name__ for finding in found.findings] == [
        "DataCheck",
        "GradientCheck",
        "InitialLoss",
        "LayerStatistics",
        "Overfit",
        "RangeTest",
        "UpdateRatios",
        "ModeGap",
    ]
    assert [row.path for row in found.layers.rows] == ["affine1", "batch_norm1", "relu1", "dropout1", "scores"]
    assert 1e-4 < found.learning_rate.suggestion < found.learning_rate.limit < 10
    assert found.initial_loss.expected == pytest.approx(math.log(4), rel=1e-4)
    least = -0.925 * math.log(0.925) - 0.075 * math.log(0.025)
    assert found.overfit.target == pytest.approx(least + 0.05 * (math.log(4) - least), rel=1e-3)
    assert dict(found.ratios.ratios).keys() == {"affine1", "batch_norm1", "scores"}
    found.plot(tmp_path / "diagnosis.png")
    assert (tmp_path / "diagnosis.png").read_bytes().startswith(b"\x89PNG")


def test_what_a_network_cannot_take_is_said_after_the_data_was_looked_at(capsys):
    with pytest.raises(InputError, match=r"class ids in \[0, 4\).*got 4"):
        diagnose(Affine(4), softmax_cross_entropy, (X, LABELS + 1))
    assert "there is class 4, but none of class 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        (BATCH, {"progress": "bar"}, '"auto" or None'),
        ({}, {}, "needs data to train on"),
        (X, {"progress": None}, "pairs"),
    ],
)
def test_diagnose_refuses(data, settings, message):
    with pytest.raises(InputError, match=message):
        diagnose(Affine(4), softmax_cross_entropy, data, **settings)


def test_a_picture_needs_matplotlib(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"fdl\[train\]"):
        Diagnosis(
            *[None] * 2, initial_loss=Anything(), layers=None, overfit=None, learning_rate=None, ratios=None, modes=None
        ).plot(tmp_path / "x.png")


class Anything:
    expected = 1.0


# ---------------------------------------------------------------------------------------- gradient and loss


@fdl.rule
def doubled(x):
    return 2 * x


@doubled.forward
def _(x):
    return 2 * x, None


@doubled.backward
def _(_, dy):
    return (3 * dy,)


class Doubled(fdl.Layer):
    def apply(self, params, state, x, *, key=None, train=False):
        return doubled(x), state


def test_a_wrong_backward_part_is_found():
    net = Serial(Affine(3), Doubled(), scores=Affine(4))
    found = gradient_check(supervised(net, softmax_cross_entropy), *start(net), FEW, KEY, samples=2)
    assert not found.ok
    assert "affine1" in found.verdict
    assert "by JAX's own derivative" in found.verdict
    assert "WRONG" in str(found)  # the table
    assert [row.ok for row in found.report.rows] == [False, False, True, True]
    assert f"at most {max(row.autodiff_error for row in found.report.rows):.1e} from JAX's own" in found.measured


def test_rounding_is_no_wrong_gradient():
    def rounded(scores, labels):
        return softmax_cross_entropy(scores.astype(jnp.bfloat16), labels)

    net = Serial(Affine(3), Relu(), scores=Affine(4))
    found = gradient_check(supervised(net, rounded), *start(net), FEW, KEY, samples=2)
    assert found.ok
    assert not found.report.ok
    assert "not checked by differences, which a cast to bfloat16 rounds away" in found.measured
    wrong = Serial(Affine(3), Doubled(), scores=Affine(4))
    assert not gradient_check(supervised(wrong, rounded), *start(wrong), FEW, KEY, samples=2).ok


@pytest.mark.parametrize("wrap", [lambda layer: Cast(layer, "bfloat16"), Frozen])
def test_a_gradient_is_checked_without_what_is_around_layers(wrap):
    net = wrap(Serial(Affine(3), Relu(), scores=wrap(Affine(4))))
    found = diagnose(net, softmax_cross_entropy, BATCH, progress=None).gradient
    assert found.ok
    assert found.report.ok
    assert len(found.report.rows) == 4


def test_the_loss_at_the_start():
    def look(net, **settings):
        return initial_loss(net, softmax_cross_entropy, *start(net), BATCH, KEY, **settings)

    loud = look(Affine(4, w_init=normal(9.0)), penalty=lambda params: -0.01 * l2(params))
    assert "sure of what it cannot know" in loud.verdict
    assert "should add a positive number" in loud.verdict
    assert loud.penalty_of_larger == pytest.approx(1.21 * loud.penalty, rel=1e-3)
    assert "does not grow" in look(Affine(4), penalty=lambda params: 1 / l2(params)).verdict
    told = look(Affine(4), expected=9.0)
    assert told.expected == 9.0
    assert "better than one that knows nothing" in told.verdict


def test_a_softmax_too_many():
    net = Serial(Affine(4), Softmax())
    found = initial_loss(net, softmax_cross_entropy, *start(net), BATCH, KEY)
    assert "leave the softmax of the network out" in found.verdict

    def of_probabilities(p, t):
        return softmax_cross_entropy(jnp.log(p), t)

    assert initial_loss(net, of_probabilities, *start(net), BATCH, KEY).ok


def test_a_loss_that_zeros_say_nothing_of():
    def of_probabilities(p, t):
        return -jnp.log(p[..., 0])  # infinite at zero

    net = Serial(Affine(1, w_init=zeros()), Sigmoid())
    found = initial_loss(net, of_probabilities, *start(net), BATCH, KEY)
    assert found.ok
    assert math.isnan(found.expected)
    assert "give expected=" in str(found)
    broken = initial_loss(net, lambda p, t: jnp.log(-p[..., 0]), *start(net), BATCH, KEY)
    assert "before the first step" in broken.verdict


# ---------------------------------------------------------------------------------------- layers


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (deep(Relu(), w_init=normal(0.003)), ["outputs vanish, from affine2 on", "gradients vanish: affine1"]),
        (deep(Relu(), w_init=normal(9.0)), ["outputs explode, from affine2 on", "gradients explode: relu1"]),
        (deep(Relu(), b_init=constant(-100.0)), ["affine2 is dead: 100%"]),
        (deep(Cast(Sigmoid(), "float32"), w_init=normal(5.0)), ["sigmoid1 is saturated"]),
        (deep(Relu(), w_init=zeros()), ["affine1 gives zeros and gets a gradient of zero, and always will"]),
        (Serial(Affine(4, w_init=constant(math.nan))), ["affine1 is the first layer that gives NaN"]),
    ],
    ids=["small", "large", "dead", "saturated", "zeros", "nan"],
)
def test_layers_with_a_fault(net, words):
    found = layer_statistics(net, softmax_cross_entropy, *start(net), BATCH, KEY)
    assert all(word in found.verdict for word in words), found.verdict


def test_layers_of_any_wiring_are_seen():
    net = fdl.network(embed=Affine(12), blocks=Repeat(Affine(12), 2), scores=Affine(4, w_init=zeros()))(
        lambda net, x: net.scores(relu(net.embed(net.blocks(net.embed(x)))))
    )
    params, state = start(net)
    found = layer_statistics(net, softmax_cross_entropy, params, state, BATCH, KEY)
    assert [row.path for row in found.rows] == ["embed", "blocks.0", "blocks.1", "embed", "scores"]
    assert found.zeros == ("scores.w",)  # a start of zero is sound, and hides what is behind it
    assert found.ok
    dy = (0.25 - np.eye(4)[LABELS]) / len(X)  # of scores that are zero
    assert found.rows[-1].gradient == pytest.approx(np.linalg.norm(dy), rel=1e-4)
    first = X @ np.asarray(params["embed"]["w"])
    assert found.rows[0].size == pytest.approx(float(np.sqrt(np.mean(first**2))), rel=1e-4)
    assert found.input_size == pytest.approx(float(np.sqrt(np.mean(X**2))), rel=1e-4)


def test_a_loss_without_a_gradient():
    found = layer_statistics(Affine(4), lambda y, t: 0 * y[:, 0], *start(Affine(4)), BATCH, KEY)
    assert [row.path for row in found.rows] == ["affine"]
    assert "the loss has no gradient" in found.verdict


# ---------------------------------------------------------------------------------------- what learns, and how fast


class Constant(fdl.Layer):
    """Looks at nothing, like a network behind a stop_gradient."""

    def init(self, key, x):
        return {"w": jnp.ones(4)}, {}

    def apply(self, params, state, x, *, key=None, train=False):
        return jnp.zeros((len(x), 4)) + jax.lax.stop_gradient(params["w"]), state


@pytest.mark.parametrize(
    ("net", "settings", "words"),
    [
        (Constant(), {}, "does not fall at all"),
        (Affine(4), {"steps": 10}, "still falling"),
        (Affine(4), {"optimizer": momentum(1e38)}, "not finite after"),
    ],
    ids=["stopped", "slow", "wild"],
)
def test_overfitting(net, settings, words):
    found = overfit_one_batch(net, softmax_cross_entropy, *start(net), FEW, KEY, **settings)
    assert words in found.verdict


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3, 1e6])
def test_targets_of_every_size_have_to_be_learnt(size):
    """The least that the squared error can be is 0, however far from 0 the targets are."""
    targets = size * (1 + X[:8, :2] / 10)
    found = overfit_one_batch(Affine(2), of_regression, *start(Affine(2)), (X[:8], targets), KEY, steps=20)
    assert found.target == pytest.approx(0.05 * 2 * np.mean(targets**2), rel=0.02)


def test_what_cannot_be_learnt_by_heart():
    contradicting = np.repeat(X[:4], 2, axis=0), np.arange(8, dtype=np.int32) % 4
    net = Affine(4)
    found = overfit_one_batch(net, softmax_cross_entropy, *start(net), contradicting, KEY, optimizer=adam(0.1))
    assert "stays where it is: look for examples that are alike with different targets" in found.verdict
    assert min(found.losses) == pytest.approx(math.log(2), rel=0.02)
    with pytest.raises(InputError, match="part between 0 and 1"):
        overfit_one_batch(net, softmax_cross_entropy, *start(net), contradicting, KEY, part=1.0)


REGRESSION = [(X, X @ np.linspace(-1, 1, 24, dtype=np.float32).reshape(12, 2))]


def of_regression(y, t):
    return squared_error(y, t).sum(-1)


def test_the_range_test_suggests_a_rate_and_judges_one():
    net = Affine(2)
    objective = supervised(net, of_regression)
    rates = []

    def make(schedule):
        rates.append(schedule)
        return adam(schedule)

    found = range_test(objective, make, *start(net), REGRESSION, KEY, chosen=1e-2)
    assert found.ok
    assert 1e-2 < found.suggestion < 0.2 < found.limit < 1
    np.testing.assert_allclose(rates[0](np.arange(100)), found.rates, rtol=1e-3)
    assert found.rates[0] == pytest.approx(1e-6)
    assert found.rates[-1] == pytest.approx(10.0)
    assert "hardly moves" in range_test(objective, adam, *start(net), REGRESSION, KEY, chosen=1e-8, steps=60).verdict
    with pytest.raises(InputError, match="0 < low < high"):
        range_test(objective, adam, *start(net), REGRESSION, KEY, low=1.0, high=0.1)
    with pytest.raises(InputError, match=r"range_test takes a function from a learning rate .* of type Optimizer"):
        range_test(objective, adam(1e-3), *start(net), REGRESSION, KEY)
    with pytest.raises(InputError, match="diagnose takes a function from a learning rate to an optimizer"):
        fdl.train.diagnose(net, of_regression, REGRESSION[0], optimizer=adam(1e-3), progress=None)


def test_the_range_test_when_nothing_can_be_learnt():
    found = range_test(supervised(Constant(), softmax_cross_entropy), adam, *start(Constant()), [BATCH], KEY, steps=20)
    assert "the loss falls at no rate" in found.verdict
    assert math.isnan(found.suggestion)
    assert "the loss fell by a tenth at none of 1e-06 to 1e+01" in str(found)


def test_the_range_test_does_not_take_a_cheap_batch_for_a_fall():
    scales = [1.0, *[10.0] * 7]  # the first batch costs a hundredth of the others
    learnable = [(X, scale * REGRESSION[0][1]) for scale in scales]
    net = Affine(2)
    found = range_test(supervised(net, of_regression), adam, *start(net), learnable, KEY, chosen=1e-2)
    assert found.ok
    assert found.suggestion > 1e-2
    still = range_test(supervised(net, of_regression), lambda _: sgd(1e-30), *start(net), learnable, KEY)
    assert math.isnan(still.suggestion)
    np.testing.assert_allclose(still.smooth, np.mean(still.losses[:8]), rtol=1e-6)


def test_updates_over_weights():
    net = Serial(first=Affine(8), scores=Affine(4, w_init=zeros()))
    objective = supervised(net, softmax_cross_entropy)
    sound = update_ratios(objective, adam(1e-3), *start(net), [BATCH], KEY)
    assert sound.ok  # and a layer that starts at zero is not judged for it
    assert dict(sound.ratios)["scores"] > 0.1
    assert not sound.details
    fast = update_ratios(objective, adam(1.0), *start(net), [BATCH], KEY)
    assert fast.verdict.startswith("first moves too far")
    assert "scores" in fast.details


def test_a_short_run_takes_the_steps_of_training():
    net = Serial(Dropout(0.5), Affine(2))
    objective, optimizer = supervised(net, of_regression), adam(1e-2)
    params, state = start(net)
    run = short_run(objective, optimizer, params, state, REGRESSION * 2, KEY, steps=3)
    train_state = TrainState(params, state, optimizer.init(params), jnp.copy(KEY), jnp.zeros((), jnp.int32))
    step = make_train_step(objective, optimizer)
    for expected in run.losses:
        train_state, metrics = step(train_state, REGRESSION[0])
        assert float(metrics["loss"]) == pytest.approx(expected, rel=1e-5)
    assert hyperparameters(train_state.opt_state)["learning_rate"] == pytest.approx(1e-2)
    for ours, theirs in zip(jax.tree.leaves(run.params), jax.tree.leaves(train_state.params), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    with pytest.raises(InputError, match="of one form"):
        short_run(objective, optimizer, params, state, [REGRESSION[0], FEW], KEY, steps=3)
    with pytest.raises(InputError, match="a run needs steps as a whole number of at least 1, got 0"):
        short_run(objective, optimizer, params, state, REGRESSION, KEY, steps=0)


# ---------------------------------------------------------------------------------------- modes and data


class Forgetful(fdl.Layer):
    def apply(self, params, state, x, *, key=None, train=False):
        return x if train else -5 * x, state


def test_modes():
    same = mode_gap(Affine(4), softmax_cross_entropy, *start(Affine(4)), BATCH, KEY)
    assert same.ok
    assert same.apart == pytest.approx(0, abs=1e-6)
    assert same.training_loss == pytest.approx(same.evaluation_loss, rel=1e-5)
    net = Serial(Affine(4), Forgetful())
    other = mode_gap(net, softmax_cross_entropy, *start(net), BATCH, KEY)
    assert "evaluation is much worse" in other.verdict
    assert other.apart == pytest.approx(1.2, rel=1e-3)  # |x - -5x| / |-5x|


def test_a_loss_below_zero_may_be_better_in_evaluation():
    def loss(y, t):
        return of_regression(y, t) - 20

    net, other = Serial(Affine(4), Dropout(0.5)), Serial(Affine(4), Forgetful())
    params, state = start(net)
    batch = X, net.apply(params, state, X)[0]  # which evaluation meets exactly
    found = mode_gap(net, loss, params, state, batch, KEY)
    assert found.evaluation_loss == pytest.approx(-20)
    assert -20 < found.training_loss < -10
    assert found.apart > 0.1
    assert found.ok
    params = dict(zip(("affine1", "forgetful1"), params.values(), strict=True))
    worse = mode_gap(other, loss, params, {"affine1": {}, "forgetful1": {}}, batch, KEY)
    assert worse.training_loss == pytest.approx(-20)
    assert not worse.ok


def test_data_is_looked_at_in_all_parts():
    found = data_check({"training": (255 * X, LABELS), "test": (255 * X[:5], LABELS[:5])})
    assert "networks learn best from numbers around one" in found.verdict
    assert "5 examples of test are in training too" in found.verdict
    assert data_check({"training": BATCH}).ok
