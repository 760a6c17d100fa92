"""Training: what the objective, the step, the evaluation, the driver and its display promise."""

import io
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl import InputError
from fdl.data import Batches, k_folds
from fdl.graphs import Graph, batch_graphs
from fdl.layers import LSTM, Affine, BatchNorm, Cast, Dropout, Flatten, Relu, Serial
from fdl.losses import l2, softmax_cross_entropy
from fdl.optim import (
    Optimizer,
    accumulate,
    adam,
    average,
    averaged,
    chain,
    ema,
    float32_masters,
    partition,
    scale_loss,
    sgd,
    skip_nonfinite,
    skipped_in_a_row,
)
from fdl.train import (
    accuracy,
    binary_accuracy,
    check_batch,
    confusion_matrix,
    evaluate,
    fit,
    init_ensemble,
    init_train_state,
    make_eval_step,
    make_train_step,
    scan_steps,
    supervised,
    vmap_steps,
)

NET = Serial(Flatten(), Affine(8), BatchNorm(), Relu(), Dropout(0.2), Affine(3))
OBJECTIVE = supervised(NET, softmax_cross_entropy, metrics={"accuracy": accuracy})
OPTIMIZER = adam(1e-2)


def make_batch(examples=12):
    x = np.random.default_rng(0).normal(size=(examples, 2, 3)).astype(np.float32)
    return x, x[:, 0].argmax(1).astype(np.int32)


@pytest.fixture
def train_state():
    return init_train_state(NET, OPTIMIZER, jax.random.key(0), make_batch()[0])


@pytest.fixture(scope="module")
def train_step():
    return make_train_step(OBJECTIVE, OPTIMIZER)


@pytest.fixture(scope="module")
def eval_step():
    return make_eval_step(OBJECTIVE)


def copy(tree):
    return jax.tree.map(jnp.copy, tree)


def plain(tree):
    """The leaves as NumPy arrays, keys as their numbers."""
    is_key = lambda leaf: jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)  # noqa: E731
    return [np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf) for leaf in jax.tree.leaves(tree)]


def assert_equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for left, right in zip(plain(a), plain(b), strict=True):
        np.testing.assert_array_equal(left, right)


class TestObjective:
    def test_is_the_mean_of_the_losses_plus_the_penalty(self):
        params, state = NET.init(jax.random.key(0), make_batch()[0])
        x, labels = make_batch()
        objective = supervised(NET, softmax_cross_entropy, penalty=lambda params: 0.1 * l2(params))
        value, _ = objective(params, state, (x, labels), None, train=False)
        z = np.asarray(NET.apply(params, state, x)[0], np.float64)
        losses = np.log(np.exp(z).sum(1)) - z[np.arange(len(z)), labels]
        squares = sum(np.sum(np.square(w)) for w in plain(params))
        np.testing.assert_allclose(value, losses.mean() + 0.1 * squares, rtol=1e-5)

    def test_metrics_are_means_over_examples(self):
        net, x = Affine(2), jnp.eye(2)
        params = {"w": jnp.eye(2), "b": jnp.zeros(2)}
        objective = supervised(net, softmax_cross_entropy, metrics={"accuracy": accuracy})
        _, (_, metrics) = objective(params, {}, (x, jnp.array([0, 0])), None)
        assert metrics == {"accuracy": 0.5}

    def test_several_inputs_are_a_tuple(self):
        net, xs = LSTM(3), jnp.ones((2, 5, 4))
        objective = supervised(net, lambda hs, t: (hs**2).mean((1, 2)) + 0 * t)
        params, state = net.init(jax.random.key(0), xs)
        whole = objective(params, state, (xs, jnp.zeros(2)), None)[0]
        padded = objective(params, state, ((xs, jnp.array([1, 2])), jnp.zeros(2)), None)[0]
        assert 0 < padded < whole

    def test_what_does_not_count_is_left_out_of_means_and_gradients(self):
        params, state = NET.init(jax.random.key(0), X)
        loss = lambda z, t: softmax_cross_entropy(z, t, where=t >= 0)  # noqa: E731
        settings = {"metrics": {"accuracy": accuracy}, "penalty": lambda params: 0.1 * l2(params)}
        padded = supervised(NET, loss, where=lambda t: t >= 0, **settings)
        short = supervised(NET, loss, **settings)
        gradient = lambda objective, *batch: jax.value_and_grad(objective, has_aux=True)(  # noqa: E731
            params, state, batch, None, train=False
        )
        (value, (_, metrics)), grads = gradient(padded, X, np.where(np.arange(12) < 5, LABELS, -1))
        (expected, (_, expected_metrics)), expected_grads = gradient(short, X[:5], LABELS[:5])
        found, expected = (value, metrics, grads), (expected, expected_metrics, expected_grads)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found, expected)
        nothing, (_, metrics) = padded(params, state, (X, np.full(12, -1)), None, train=False)
        assert nothing == 0.1 * l2(params)
        assert metrics == {"accuracy": 0}

    def test_what_counts_is_said_for_every_loss(self, train_state):
        objective = supervised(NET, softmax_cross_entropy, where=lambda t: t[:3] >= 0)
        with pytest.raises(InputError, match=r"mean of 'loss' expects where as booleans of shape \[12\], .* \[3\]"):
            objective(train_state.params, train_state.state, (X, LABELS), None, train=False)

    def test_a_metric_is_a_mean_over_examples_or_a_number(self, train_state):
        def evaluated(metric):
            objective = supervised(NET, softmax_cross_entropy, metrics={"metric": metric})
            return objective(train_state.params, train_state.state, (X, LABELS), None, train=False)[1][1]["metric"]

        assert evaluated(lambda z, t: jnp.float32(3)) == 3
        assert evaluated(lambda z, t: z).shape == ()
        with pytest.raises(InputError, match=r"one value per example, 'metric' gave shape \[3, 3\] for 12 of them"):
            evaluated(confusion_matrix)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"metrics": [accuracy]}, "metrics by name"),
            ({"where": np.ones(3, bool)}, "supervised takes functions, got array"),
            ({"metrics": {"accuracy": "accuracy"}}, "supervised takes functions, got 'accuracy' as accuracy"),
            ({"penalty": 1e-4}, "supervised takes functions, got 0.0001 as penalty"),
        ],
    )
    def test_takes_functions(self, settings, message):
        with pytest.raises(InputError, match=message):
            supervised(NET, softmax_cross_entropy, **settings)

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: make_train_step(NET, OPTIMIZER), r"takes an objective, such as supervised\(net, loss\)"),
            (lambda: make_train_step(None, OPTIMIZER), "takes an objective, .* got None"),
            (lambda: make_train_step(OBJECTIVE, 0.1), r"takes an optimizer, such as adam\(1e-3\), got 0.1"),
            (lambda: make_train_step(OBJECTIVE, adam), r"got <function adam .*: call it first, adam\(...\)"),
            (lambda: init_train_state(NET, adam, jax.random.key(0), X), "init_train_state takes an optimizer"),
        ],
    )
    def test_so_does_the_step(self, make, message):
        with pytest.raises(InputError, match=message):
            make()

    def test_a_metric_cannot_take_the_name_of_the_loss(self):
        with pytest.raises(InputError, match='"loss"'):
            supervised(NET, softmax_cross_entropy, metrics={"loss": accuracy})

    @pytest.mark.parametrize(
        ("batch", "what"),
        [
            ((np.zeros((2, 6)), np.array(["a", "b"])), "targets of dtype <U1"),
            (((np.zeros((2, 6)), np.array([0, None])), np.zeros(2, int)), "inputs of dtype object"),
        ],
    )
    def test_a_batch_is_made_of_numbers(self, train_step, train_state, batch, what):
        with pytest.raises(InputError, match=f"takes numbers, got {what}: .* class ids of names"):
            fit(train_step, train_state, lambda epoch: [batch], epochs=1)

    @pytest.mark.parametrize("batch", [np.zeros((2, 6)), (np.zeros((2, 6)),), {"x": 1, "y": 2}])
    def test_a_batch_is_a_pair(self, train_state, batch):
        with pytest.raises(InputError, match=r"pairs \(inputs, targets\)"):
            OBJECTIVE(train_state.params, train_state.state, batch, train_state.key)


class TestAccuracy:
    def test_counts_the_largest_logit_and_of_ties_the_first(self):
        logits = jnp.array([[1.0, 2.0], [3.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
        assert accuracy(logits, jnp.array([1, 1, 0, 1])).tolist() == [1, 0, 1, 0]

    @pytest.mark.parametrize("labels", [jnp.zeros(2), jnp.zeros(3, int), jnp.zeros((2, 3), int)])
    def test_refuses_other_labels(self, labels):
        with pytest.raises(InputError, match="class ids"):
            accuracy(jnp.zeros((2, 3)), labels)

    @pytest.mark.parametrize("labels", [jnp.zeros(2, int), jnp.ones((2, 1))])
    def test_has_nothing_to_say_of_one_logit(self, labels):
        with pytest.raises(InputError, match="binary_accuracy compares it with zero"):
            accuracy(jnp.zeros((2, 1)), labels)

    def test_of_two_answers_by_the_sign_of_the_logit(self):
        logits, targets = jnp.array([[-1.0], [0.5], [2.0]]), jnp.array([[0], [0], [1]])
        assert binary_accuracy(logits, targets).tolist() == [[1], [0], [1]]
        assert binary_accuracy(logits, targets == 1).tolist() == [[1], [0], [1]]
        near, targets_near = jnp.array([0.0, 0, 0, -0.1, 0.1]), jnp.array([0.5, 0.4, 0.6, 0.6, 0.5])
        assert binary_accuracy(near, targets_near).tolist() == [1, 1, 0, 0, 0]  # what is in the middle is not above it
        with pytest.raises(InputError, match=r"targets of the shape \[3, 1\] of the logits, got \[3\]"):
            binary_accuracy(logits, targets[:, 0])


class TestTrainStep:
    def test_is_pure(self, train_step, train_state):
        assert_equal(train_step(copy(train_state), make_batch()), train_step(train_state, make_batch()))

    def test_is_one_step_of_the_optimizer(self):
        net, optimizer, (x, labels) = Affine(3), sgd(0.1), make_batch()
        objective, x = supervised(net, softmax_cross_entropy), x.reshape(len(x), -1)
        train_state = init_train_state(net, optimizer, jax.random.key(0), x)
        value, grads = jax.value_and_grad(lambda p: softmax_cross_entropy(net.apply(p, {}, x)[0], labels).mean())(
            train_state.params
        )
        expected = jax.tree.map(lambda w, g: np.asarray(w - 0.1 * g), train_state.params, grads)
        after, metrics = make_train_step(objective, optimizer)(train_state, (x, labels))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), after.params, expected)
        np.testing.assert_allclose(metrics["loss"], value, rtol=1e-6)

    def test_scales_the_loss_for_an_optimizer_that_takes_the_scale_out_again(self):
        net, (x, labels) = Affine(3), make_batch()
        objective, x = supervised(net, softmax_cross_entropy), x.reshape(len(x), -1)

        def step(optimizer):
            start = init_train_state(net, optimizer, jax.random.key(0), x)
            return make_train_step(objective, optimizer)(start, (x, labels))

        (after, metrics), (expected, unscaled) = step(scale_loss(sgd(0.1), initial=1024.0)), step(sgd(0.1))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), after.params, expected.params)
        np.testing.assert_allclose(metrics["loss"], unscaled["loss"], rtol=1e-6)

    def test_learns(self, train_step, train_state):
        losses = []
        for _ in range(60):
            train_state, metrics = train_step(train_state, make_batch())
            losses.append(float(metrics["loss"]))
        assert losses[-1] < 0.3 * losses[0]

    def test_takes_over_the_buffers_of_its_state(self, train_step, train_state):
        after, _ = train_step(train_state, make_batch())
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(train_state))
        assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(after))

    def test_leaves_the_key_of_the_user_alone(self, train_step):
        key = jax.random.key(0)
        train_step(init_train_state(NET, OPTIMIZER, key, make_batch()[0]), make_batch())
        assert not key.is_deleted()

    def test_is_compiled_once(self):
        traces = []

        def loss(logits, labels):
            traces.append(logits.shape)
            return softmax_cross_entropy(logits, labels)

        optimizer = adam(1e-2)
        step = make_train_step(supervised(NET, loss), optimizer)
        train_state = init_train_state(NET, optimizer, jax.random.key(0), make_batch()[0])
        for _ in range(3):
            train_state, _ = step(train_state, make_batch())
        assert len(traces) == 1

    def test_keeps_structure_shapes_and_dtypes(self, train_step, train_state):
        before = jax.tree.map(jax.typeof, train_state)
        after, _ = train_step(train_state, make_batch())
        assert jax.tree.map(jax.typeof, after) == before

    def test_draws_anew_at_every_step(self):
        def objective(params, state, batch, key, train=True):
            return jnp.sum(params["w"]), (state, {"drawn": jax.random.uniform(key)})

        optimizer = sgd(0.1)
        train_state = init_train_state(Affine(1), optimizer, jax.random.key(0), jnp.ones((1, 1)))
        train_step, again, drawn = make_train_step(objective, optimizer), copy(train_state), []
        for _ in range(3):
            train_state, metrics = train_step(train_state, 0)
            drawn.append(float(metrics["drawn"]))
        assert len(set(drawn)) == 3
        assert float(train_step(again, 0)[1]["drawn"]) == drawn[0]

    def test_updates_running_statistics(self, train_step, train_state):
        before = jax.tree.map(np.asarray, copy(train_state.state["batch_norm1"]))
        after, _ = train_step(train_state, make_batch())
        assert not np.allclose(after.state["batch_norm1"]["mean"], before["mean"])
        assert not np.allclose(after.state["batch_norm1"]["var"], before["var"])

    def test_counts_steps(self, train_step, train_state):
        for _ in range(3):
            train_state, _ = train_step(train_state, make_batch())
        assert int(train_state.step) == 3

    def test_metrics_stay_on_the_device(self, train_step, train_state):
        _, metrics = train_step(train_state, make_batch())
        assert {name: (type(value) is not float, value.shape) for name, value in metrics.items()} == {
            "loss": (True, ()),
            "accuracy": (True, ()),
        }

    def test_takes_an_optimizer_that_starts_from_the_parameters_themselves(self):
        average = Optimizer(
            lambda params: params, lambda g, s, params=None, **_: (jax.tree.map(lambda g: -0.1 * g, g), s)
        )
        train_state = init_train_state(NET, average, jax.random.key(0), make_batch()[0])
        make_train_step(OBJECTIVE, average)(train_state, make_batch())

    def test_can_be_scanned(self, train_step, train_state):
        batches = jax.tree.map(lambda leaf: jnp.stack([leaf] * 4), make_batch())
        after, metrics = jax.lax.scan(train_step, train_state, batches)
        assert int(after.step) == 4
        assert metrics["loss"].shape == (4,)


class TestSkippedSteps:
    """What a step leaves behind whose gradients are not finite."""

    NET = Serial(Affine(4), BatchNorm(), Relu(), Affine(3))
    X = np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32)
    LABELS = np.array([0, 1, 2, 0, 1, 2])

    def start(self, net, optimizer):
        train_state = init_train_state(net, optimizer, jax.random.key(0), self.X)
        return make_train_step(supervised(net, softmax_cross_entropy), optimizer), train_state

    @pytest.mark.parametrize(
        ("wrap", "net"),
        [
            (skip_nonfinite, NET),
            (scale_loss, Cast(NET, "float16")),
            (lambda optimizer: skip_nonfinite(accumulate(optimizer, 2)), NET),
            (lambda optimizer: accumulate(skip_nonfinite(optimizer), 2), NET),
            (lambda optimizer: partition(optimizer, norms=("batch_norm1.*", skip_nonfinite(adam()))), NET),
        ],
    )
    def test_is_the_state_as_it_was(self, wrap, net):
        train_step, train_state = self.start(net, wrap(adam(1e-2)))
        for _ in range(3):
            train_state, _ = train_step(train_state, (self.X, self.LABELS))
        before = copy(train_state.state)
        train_state, metrics = train_step(train_state, (self.X * np.nan, self.LABELS))
        assert math.isnan(metrics["loss"])
        assert_equal(train_state.state, before)
        assert int(train_state.step) == 4

    def test_and_the_next_one_goes_on(self):
        train_step, train_state = self.start(self.NET, skip_nonfinite(adam(1e-2)))
        expected, _ = train_step(copy(train_state), (self.X, self.LABELS))
        skipped, _ = train_step(train_state, (self.X * np.nan, self.LABELS))
        after, _ = train_step(skipped, (self.X, self.LABELS))
        assert_equal(after[:2], expected[:2])

    def test_in_one_call_of_several(self):
        train_step, train_state = self.start(self.NET, skip_nonfinite(adam(1e-2)))
        xs, labels = np.stack([self.X, self.X * np.nan, self.X + 1]), np.stack([self.LABELS] * 3)
        expected = copy(train_state)
        for x in (xs[0], xs[2]):
            expected, _ = train_step(expected, (x, self.LABELS))
        after, _ = scan_steps(train_step)(train_state, (xs, labels))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), after[:2], expected[:2])

    def test_a_part_of_a_batch_counts_from_where_its_update_is_lost(self):
        train_step, train_state = self.start(self.NET, accumulate(skip_nonfinite(adam(1e-2)), 3))
        counts = []
        for factor in (1, np.nan, 1, 1, 1, 1):
            train_state, _ = train_step(train_state, (self.X * np.float32(factor), self.LABELS))
            counts.append(int(skipped_in_a_row(train_state.opt_state)))
        assert counts == [0, 1, 1, 0, 0, 0]

    def test_costs_nothing_where_none_is_left_out(self):
        assert skipped_in_a_row(chain(adam(), ema()).init({"w": jnp.ones(2)})) is None
        assert skipped_in_a_row(accumulate(adam(), 2).init({"w": jnp.ones(2)})) is None


class TestGivenParameters:
    """A run that starts from trained parameters, whose optimizer knows of no others."""

    X = jnp.ones((4, 3))

    def start(self, optimizer, net=None, **given):
        net = net or Serial(encoder=Affine(4), norm=BatchNorm())
        return init_train_state(net, optimizer, jax.random.key(0), self.X, **given)

    def test_masters_are_made_of_them(self):
        optimizer = float32_masters(adam(1e-3))
        trained = jax.tree.map(lambda w: (w + 1).astype(jnp.bfloat16), self.start(optimizer).params)
        train_state = self.start(optimizer, params=trained)
        assert_equal(train_state.params, trained)
        assert_equal(train_state.opt_state.masters, jax.tree.map(lambda w: w.astype(jnp.float32), trained))

    @pytest.mark.parametrize("averaging", [ema(0.99), average(start=5)])
    def test_averages_start_from_them(self, averaging):
        optimizer = chain(adam(1e-3), averaging)
        trained = jax.tree.map(lambda w: w + 1, self.start(optimizer).params)
        train_state = self.start(optimizer, params=trained)
        assert_equal(averaged(train_state.opt_state), trained)
        assert_equal(train_state.params, trained)

    def test_are_copied_and_may_be_numpy(self):
        first = self.start(sgd(0.1))
        params, state = jax.tree.map(lambda a: np.asarray(a) + 1, first[:2])
        train_state = self.start(sgd(0.1), params=params, state=state)
        assert_equal(train_state[:2], (params, state))
        given = self.start(sgd(0.1), params=first.params)
        assert all(a is not b for a, b in zip(*map(jax.tree.leaves, (given.params, first.params)), strict=True))
        assert_equal(given.state, first.state)

    def test_have_the_containers_that_init_makes(self):
        net = Serial(affine=Affine(2), relu=Relu())
        first = self.start(sgd(0.1), net)
        given = self.start(sgd(0.1), net, params={"affine": first.params["affine"]})
        assert_equal(given.params, first.params)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (
                {"params": {"encoder": {"w": jnp.ones((5, 4))}}},
                r"^encoder.b: expected float32\[4\], what init_train_state",
            ),
            (
                {"params": {"encoder": {"w": jnp.ones((5, 4)), "b": jnp.ones(4)}, "norm": {}}},
                r"^encoder.w: expected float32\[3, 4\], what init_train_state was given as params has float32\[5, 4\]",
            ),
            ({"state": {"norm": {"mean": jnp.ones(4)}}}, r"^norm.var: expected float32\[4\], .* as state has nothing"),
        ],
    )
    def test_are_refused_by_path(self, given, message):
        with pytest.raises(InputError, match=message):
            self.start(sgd(0.1), **given)


X, LABELS = make_batch()

BAD_BATCHES = {
    "too many features": ((np.ones((12, 2, 4), np.float32), LABELS), r"^affine1: .*\[\.\.\., 6\].*\[12, 8\]"),
    "no batch axis": ((X[0, 0], LABELS), r"^flatten1: .*\[N, \.\.\.\]"),
    "an empty batch": ((X[:0], LABELS[:0]), "^batch_norm1: .*empty"),
    "float labels": ((X, LABELS.astype(np.float32)), "class ids.*float32"),
    "labels of another rank": ((X, LABELS[:, None]), r"class ids.*\[12, 1\]"),
    "too few labels": ((X, LABELS[:5]), r"class ids.*\[5\]"),
}


class TestBadBatches:
    @pytest.mark.parametrize(("batch", "message"), BAD_BATCHES.values(), ids=BAD_BATCHES)
    def test_are_refused_by_the_step(self, train_step, train_state, batch, message):
        with pytest.raises(InputError, match=message):
            train_step(train_state, batch)
        assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(train_state))

    @pytest.mark.parametrize("label", [-1, 3])
    def test_labels_that_do_not_exist_are_refused_where_they_can_be_seen(self, train_step, train_state, label):
        batch = (X, np.full_like(LABELS, label))
        for refuse in (check_batch, lambda *args: fit(*args[:2], lambda _: [args[2]], epochs=1)):
            with pytest.raises(InputError, match=rf"class ids in \[0, 3\).*got {label}"):
                refuse(train_step, train_state, batch)

    def test_labels_that_do_not_exist_give_nan_where_they_cannot_be_seen(self, train_step, train_state):
        _, metrics = train_step(train_state, (X, np.full_like(LABELS, 3)))
        assert math.isnan(metrics["loss"])

    def test_a_look_at_a_batch_compiles_and_changes_nothing(self, train_step, train_state):
        before = copy(train_state)
        check_batch(train_step, train_state, make_batch())
        assert_equal(train_state, before)

    def test_a_step_that_is_not_jitted_is_not_looked_into(self, train_state):
        def step(train_state, batch):
            return (train_state, {}) if float(batch[0].sum()) < math.inf else None

        check_batch(step, train_state, make_batch())


class TestMistakenForOneAnother:
    """What is given in the place of a train state, a step or a batch is called by its name."""

    @pytest.fixture
    def members(self):
        return init_ensemble(NET, OPTIMIZER, jax.random.split(jax.random.key(0), 3), X)

    def test_an_evaluation_with_a_training_step(self, train_step, train_state):
        with pytest.raises(InputError, match=r"a dict of metrics, got one that gives a tuple, .*: make_eval_step\("):
            evaluate(train_step, train_state, [(X, LABELS)])
        assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(train_state))
        plain_step = lambda train_state, batch: (train_state, {})  # noqa: E731
        with pytest.raises(InputError, match="got one that gives a tuple"):
            evaluate(plain_step, train_state, [(X, LABELS)])

    def test_a_training_with_something_else(self, eval_step, train_state):
        batches = lambda epoch: [(X, LABELS)]  # noqa: E731
        for step, message in (
            (eval_step, r"a training step gives .*, got one that gives a dict, .*: make_train_step\("),
            (OBJECTIVE, r"a function of \(train_state, batch\), got <function supervised.*: make_train_step"),
            (NET, r"a function of \(train_state, batch\), got Serial\(.*: make_train_step"),
        ):
            with pytest.raises(InputError, match=message):
                fit(step, train_state, batches, epochs=1, progress=None)
        with pytest.raises(InputError, match="a training step gives"):
            scan_steps(eval_step)(train_state, (np.stack([X]), np.stack([LABELS])))

    def test_parameters_and_a_train_state(self, train_step, eval_step, train_state):
        with pytest.raises(InputError, match=r"^train_step takes a train state, .* got a dict of 'affine1'"):
            fit(train_step, train_state.params, lambda epoch: [(X, LABELS)], epochs=1, progress=None)
        with pytest.raises(InputError, match=r"train_step takes a train state, .* got a tuple"):
            train_step(NET.init(jax.random.key(0), X), (X, LABELS))
        with pytest.raises(InputError, match=r"eval_step takes a train state, .* got a dict of 'affine1', 'affine2'"):
            eval_step(train_state.params, (X, LABELS))

    def test_many_train_states_and_one(self, train_step, eval_step, train_state, members):
        with pytest.raises(InputError, match=r"one network, got those of 3 members of an ensemble: vmap_steps\("):
            train_step(members, (X, LABELS))
        with pytest.raises(InputError, match=r"those of 3 members of an ensemble: jax.vmap\(eval_step, in_axes"):
            eval_step(members, (X, LABELS))
        with pytest.raises(InputError, match="the train states of all members, stacked along a first axis"):
            vmap_steps(train_step)(train_state, (X, LABELS))

    def test_a_batch_for_all_members_and_one_of_their_own(self, train_step, members):
        with pytest.raises(
            InputError, match=r"\[N, 3, ...\], as those of MemberBatches, got an array of shape \[12, 2"
        ):
            vmap_steps(train_step, own_batches=True)(members, (X, LABELS))

    @pytest.mark.parametrize("inputs", [[1.0, 2.0], [[1.0, 2.0], [3.0, 4.0]], (1, 2)])
    def test_lists_and_arrays(self, inputs):
        with pytest.raises(InputError, match=r"arrays or their shapes, got a (list|tuple) of numbers: jnp.array\("):
            init_train_state(NET, OPTIMIZER, jax.random.key(0), inputs)

    def test_an_input_without_arrays_is_none_of_numbers(self):
        net = fdl.network(body=Affine(2))(lambda net, x, carry: net.body(x))
        assert init_train_state(net, OPTIMIZER, jax.random.key(0), jnp.ones((1, 3)), ()).step == 0


class TestEvaluate:
    def test_weighs_batches_by_their_examples(self, eval_step, train_state):
        x, labels = make_batch()
        whole = evaluate(eval_step, train_state, [(x, labels)])
        parts = evaluate(eval_step, train_state, [(x[:7], labels[:7]), (x[7:11], labels[7:11]), (x[11:], labels[11:])])
        assert list(whole) == ["loss", "accuracy"]
        assert parts == pytest.approx(whole, rel=1e-5)

    def test_what_does_not_count_may_be_nan(self, eval_step, train_state):
        x, labels = make_batch()
        whole = evaluate(eval_step, train_state, [(x, labels)])
        assert math.isnan(float(eval_step(train_state, (x[:0], labels[:0]))["loss"]))
        assert evaluate(eval_step, train_state, [(x, labels), (x[:0], labels[:0])]) == whole

    def test_weighs_batches_by_what_counts_in_them(self, train_state):
        x, labels = make_batch()
        labels = np.where(np.isin(np.arange(12), [0, 1, 2, 8]), labels, -1)
        counts = lambda t: t >= 0  # noqa: E731
        loss = lambda z, t: softmax_cross_entropy(z, t, where=counts(t))  # noqa: E731
        step = make_eval_step(supervised(NET, loss, metrics={"accuracy": accuracy}, where=counts))
        parts = [(x[:6], labels[:6]), (x[6:], labels[6:])]
        found = evaluate(step, train_state, parts, weight=lambda batch: counts(batch[1]).sum())
        assert found == pytest.approx(evaluate(step, train_state, [(x, labels)]), rel=1e-5)
        for weight in (0, -1):
            with pytest.raises(InputError, match="batches that count for something"):
                evaluate(step, train_state, parts, weight=lambda batch, weight=weight: weight)
        with pytest.raises(InputError, match=r"one number for each batch, got shape \[6\]: of what counts, the .sum"):
            evaluate(step, train_state, parts, weight=lambda batch: counts(batch[1]))
        with pytest.raises(InputError, match="one number for each batch, got none"):
            evaluate(step, train_state, parts, weight=lambda batch: None)

    def test_does_not_guess_how_many_examples_there_are(self, train_state):
        def objective(params, state, batch, key, train=True):
            return (batch["x"] * batch["a_scale"][0]).mean(), (state, {})

        step = make_eval_step(objective)
        parts = [{"a_scale": np.ones(2), "x": np.full(n, float(n))} for n in (30, 10)]
        with pytest.raises(InputError, match=r"one row per example, got \[2\] and \[30\]: weight="):
            evaluate(step, train_state, parts)
        assert evaluate(step, train_state, parts, weight=lambda batch: len(batch["x"])) == {"loss": pytest.approx(25)}

    def test_graphs_count_by_their_targets(self, train_state):
        pair = Graph(np.ones((2, 1)), senders=np.array([0]), receivers=np.array([1]))
        big = Graph(np.ones((9, 1)), senders=np.zeros(30, int), receivers=np.ones(30, int))
        step = make_eval_step(lambda params, state, batch, key, train: (batch[1].mean(), (state, {})))
        parts = [(batch_graphs([pair] * 3), np.zeros(3)), (big, np.ones(1))]
        assert evaluate(step, train_state, parts) == {"loss": 0.25}
        alone = make_eval_step(lambda params, state, batch, key, train: (batch.nodes.mean(), (state, {})))
        assert evaluate(alone, train_state, [pair, big]) == {"loss": 1}

    def test_reads_what_is_on_disk(self, eval_step, train_state, tmp_path):
        x, labels = make_batch()
        np.save(tmp_path / "x.npy", x)
        _, validation = next(k_folds((np.load(tmp_path / "x.npy", mmap_mode="r"), labels), 3, seed=0))
        expected = evaluate(eval_step, train_state, [(np.asarray(validation[0]), validation[1])])
        assert evaluate(eval_step, train_state, [validation]) == expected

    def test_a_step_that_is_not_jitted_may_read_its_batch(self, train_state):
        assert evaluate(lambda train_state, batch: {"loss": float(batch[0].sum())}, train_state, [(np.ones(3),)]) == {
            "loss": 3
        }

    def test_uses_running_statistics_and_drops_nothing(self, eval_step, train_state):
        x, labels = make_batch()
        z, _ = NET.apply(train_state.params, train_state.state, x)
        expected = softmax_cross_entropy(z, labels).mean()
        assert evaluate(eval_step, train_state, [(x, labels)])["loss"] == pytest.approx(float(expected), rel=1e-5)

    def test_leaves_the_train_state_as_it_is(self, eval_step, train_state):
        before = copy(train_state)
        evaluate(eval_step, train_state, [make_batch()])
        assert_equal(train_state, before)

    def test_needs_a_batch(self, eval_step, train_state):
        with pytest.raises(InputError, match="nothing to evaluate"):
            evaluate(eval_step, train_state, [])
        with pytest.raises(InputError, match=r"write \[\(inputs, targets\)\] for one batch"):
            evaluate(eval_step, train_state, make_batch())
        with pytest.raises(InputError, match=r"got a Batches, .*: write ordered_batches\(arrays, batch"):
            evaluate(eval_step, train_state, Batches(make_batch(), 4, seed=0))


class TestFit:
    def test_does_what_the_bare_loop_does(self, train_step, eval_step, train_state):
        epochs = {0: [make_batch(12), make_batch(6)], 1: [make_batch(6)]}
        bare, losses = copy(train_state), {}
        for epoch, batches in epochs.items():
            losses[epoch] = []
            for batch in batches:
                bare, metrics = train_step(bare, batch)
                losses[epoch].append(float(metrics["loss"]))
        driven, history, position, stopped = fit(
            train_step,
            train_state,
            epochs.get,
            epochs=2,
            validate=lambda train_state: evaluate(eval_step, train_state, [make_batch()]),
            progress=None,
        )
        assert_equal(driven, bare)
        assert [(record["epoch"], record["step"]) for record in history] == [(1, 2), (2, 3)]
        assert history[0]["loss"] == pytest.approx((2 * losses[0][0] + losses[0][1]) / 3)
        assert history[1]["loss"] == pytest.approx(losses[1][0])
        last = evaluate(eval_step, driven, [make_batch()])
        assert {name: history[1][f"validation_{name}"] for name in last} == last
        assert json.loads(json.dumps(history)) == list(history)
        assert (position, stopped) == ((2, 0), None)

    def test_of_no_epochs_changes_nothing(self, train_step, train_state):
        assert fit(train_step, train_state, lambda epoch: [], epochs=0)[:2] == (train_state, ())

    def test_says_when_an_iterator_is_used_up(self, train_step, train_state):
        once = iter([make_batch()])
        with pytest.raises(InputError, match=r"batches\(1\) gave no batch"):
            fit(train_step, train_state, lambda epoch: once, epochs=2, progress=None)

    def test_says_what_batches_are(self, train_step, train_state):
        with pytest.raises(InputError, match="lambda epoch"):
            fit(train_step, train_state, [make_batch()], epochs=1)

    def test_refuses_other_settings(self, train_step, train_state):
        with pytest.raises(InputError, match="-1"):
            fit(train_step, train_state, lambda epoch: [], epochs=-1)
        with pytest.raises(InputError, match="'loud'"):
            fit(train_step, train_state, lambda epoch: [], epochs=1, progress="loud")


def test_importing_brings_no_extra():
    extras = ("rich", "matplotlib", "sklearn", "tqdm", "PIL", "orbax", "tensorstore", "safetensors")
    program = f"import sys, fdl.train, fdl.data; print([name for name in {extras} if name in sys.modules])"
    command, root = [sys.executable, "-c", program], Path(__file__).parents[1]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert result.stdout == "[]\n", result.stderr


class Terminal(io.StringIO):
    def isatty(self):
        return True


class TestProgress:
    @pytest.fixture
    def run(self, train_step, eval_step, train_state):
        def run(batches=lambda epoch: [make_batch()] * 3, **options):
            validate = lambda train_state: evaluate(eval_step, train_state, [make_batch()])  # noqa: E731
            fit(train_step, train_state, batches, epochs=2, validate=validate, **options)

        return run

    LINE = r"epoch 1/2  loss \d\.\d{3}  accuracy \d\.\d{3}  validation loss \d\.\d{3}  accuracy \d\.\d{3}"

    def test_is_one_flushed_line_per_epoch_without_a_terminal(self, run, capsys):
        run()
        first, second = capsys.readouterr().out.splitlines()
        assert re.fullmatch(self.LINE + r"  \d+\.\d\d s", first)
        assert second.startswith("epoch 2/2  loss ")

    def test_can_be_turned_off(self, run, capsys):
        run(progress=None)
        assert capsys.readouterr().out == ""

    def test_is_lines_when_asked_for_on_a_terminal(self, run, monkeypatch):
        monkeypatch.setattr(sys, "stdout", terminal := Terminal())
        run(progress="lines")
        assert len(terminal.getvalue().splitlines()) == 2

    def test_says_how_to_get_the_bar_when_rich_is_missing(self, run, monkeypatch):
        monkeypatch.setitem(sys.modules, "rich", None)
        monkeypatch.setattr(sys, "stdout", terminal := Terminal())
        run()
        hint, *lines = terminal.getvalue().splitlines()
        assert 'pip install "fdl[train]"' in hint
        assert len(lines) == 2

    @pytest.mark.parametrize("length_is_known", [True, False])
    def test_is_a_bar_on_a_terminal(self, run, monkeypatch, length_is_known):
        monkeypatch.setattr("fdl.train.progress.SECONDS_BETWEEN_UPDATES", 0)
        monkeypatch.setattr(sys, "stdout", terminal := Terminal())
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", "100")
        batches = [make_batch()] * 3
        run(lambda epoch: batches if length_is_known else iter(batches))
        text = terminal.getvalue()
        for part in ("epoch 2/2", "loss ", "examples/s", "left", "validation loss"):
            assert part in text
