"""Ensembles: their members are what they would be alone, on the same examples or on their own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import InputError
from fdl.data import Batches, MemberBatches, bootstrap, k_folds
from fdl.layers import Affine, BatchNorm, Dropout, Ensemble, Relu, Serial, ensemble, monte_carlo, softmax
from fdl.losses import softmax_cross_entropy
from fdl.optim import adam
from fdl.train import (
    accuracy,
    fit,
    init_ensemble,
    init_train_state,
    make_eval_step,
    make_train_step,
    out_of_fold,
    predict,
    predict_ensemble,
    supervised,
    vmap_steps,
)

X = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
LABELS = X[:, :3].argmax(axis=1)
NET = Serial(Dropout(0.1), BatchNorm(), Affine(8), Relu(), Affine(3))
OPTIMIZER = adam(1e-2)
OBJECTIVE = supervised(NET, softmax_cross_entropy, metrics={"accuracy": accuracy})
STEP = make_train_step(OBJECTIVE, OPTIMIZER)
KEYS = jax.random.split(jax.random.key(0), 3)
FOLDS = list(k_folds(np.arange(50), 3, seed=0, stratify=LABELS))


def alone(i, batches, epochs):
    train_state = init_train_state(NET, OPTIMIZER, KEYS[i], X)
    return fit(STEP, train_state, batches, epochs=epochs, progress=None)


def assert_member(run, i, expected):
    """Member i is the run that was made of it alone."""
    ours = jax.tree.map(lambda a: a[i], run.train_state)
    assert int(ours.step) == int(expected.train_state.step)
    for one, other in zip(*map(jax.tree.leaves, (ours[:2], expected.train_state[:2])), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def trained():
    batches = Batches((X, LABELS), 10, seed=0)
    return fit(vmap_steps(STEP), init_ensemble(NET, OPTIMIZER, KEYS, X), batches, epochs=4, progress=None)


@pytest.fixture(scope="module")
def bagged():
    batches = MemberBatches((X, LABELS), [training for training, _ in FOLDS], 11, seed=0)
    step = vmap_steps(STEP, own_batches=True)
    return fit(step, init_ensemble(NET, OPTIMIZER, KEYS, X), batches, epochs=3, progress=None)


def test_members_are_trained_as_if_alone(trained):
    runs = [alone(i, Batches((X, LABELS), 10, seed=0), 4) for i in range(3)]
    for i, run in enumerate(runs):
        assert_member(trained, i, run)
    for record, *theirs in zip(trained.history, *(run.history for run in runs), strict=True):
        assert record["loss"] == pytest.approx(np.mean([one["loss"] for one in theirs]), rel=1e-4)


def test_a_member_of_a_bag_is_trained_on_its_own_examples(bagged):
    batches = MemberBatches((X, LABELS), [training for training, _ in FOLDS], 11, seed=0)
    for i in (0, 2):
        of_one = lambda epoch, i=i: [(x[:, i], labels[:, i]) for x, labels in batches(epoch)]  # noqa: E731
        assert_member(bagged, i, alone(i, of_one, 3))


def test_member_batches_go_through_each_sample_once_in_another_order_each_epoch():
    samples = [training for training, _ in FOLDS]
    batches = MemberBatches(np.arange(50), samples, 2, seed=1)
    first, second = (np.concatenate(list(batches(epoch))) for epoch in (0, 1))
    assert first.shape == (32, 3)  # of 33, 33 and 34
    for member, sample in enumerate(samples):
        assert len(set(first[:, member])) == 32
        assert set(first[:, member]) <= set(sample)
        assert first[:, member].tolist() != second[:, member].tolist()
    np.testing.assert_array_equal(np.concatenate(list(batches(1))), second)
    np.testing.assert_array_equal(batches(0)[-1], first[-2:])
    assert repr(batches) == "MemberBatches(3 members of 50 examples, batch_size=2, seed=1)"


def test_batches_are_read_from_disk(tmp_path):
    np.save(tmp_path / "x.npy", X)
    stored = np.load(tmp_path / "x.npy", mmap_mode="r")
    samples = [[0, 3, 3, 7], [4, 1, 1, 2]]
    for ours, theirs in zip(*(MemberBatches(x, samples, 2, seed=0)(0) for x in (stored, X)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_bootstrap_draws_with_replacement_and_says_what_it_left_out():
    pairs = list(bootstrap(np.arange(1000), 3, seed=0))
    for drawn, left_out in pairs:
        assert len(drawn) == 1000
        assert sorted({*drawn, *left_out}) == list(range(1000))
        assert not set(drawn) & set(left_out)
        assert len(left_out) / 1000 == pytest.approx(np.exp(-1), abs=0.03)
    assert len({tuple(drawn) for drawn, _ in pairs}) == 3
    np.testing.assert_array_equal(next(bootstrap(np.arange(1000), 3, seed=0))[0], pairs[0][0])


def test_out_of_fold_asks_those_who_did_not_see_an_example(bagged):
    params, state = bagged.train_state.params, bagged.train_state.state
    held_out = [validation for _, validation in FOLDS]
    said = out_of_fold(NET, params, state, X, held_out, then=softmax, batch_size=7)
    for member, places in enumerate(held_out):
        own = jax.tree.map(lambda a: a[member], (params, state))  # noqa: B023
        np.testing.assert_allclose(said[places], softmax(NET.apply(*own, X[places])[0]), atol=1e-6)


def test_out_of_bag_is_a_mean_and_nan_where_all_saw_an_example(bagged):
    params, state = bagged.train_state.params, bagged.train_state.state
    said = out_of_fold(NET, params, state, X, [[0, 1], [1], []])
    each = jax.vmap(lambda params, state: NET.apply(params, state, X)[0])(params, state)
    np.testing.assert_allclose(said[0], each[0, 0], atol=1e-5)
    np.testing.assert_allclose(said[1], (each[0, 1] + each[1, 1]) / 2, atol=1e-5)
    assert np.isnan(said[2:]).all()


def test_what_an_ensemble_says(trained):
    params, state = trained.train_state.params, trained.train_state.state
    each = softmax(jax.vmap(lambda params, state: NET.apply(params, state, X)[0])(params, state))
    mean, spread = predict_ensemble(NET, params, state, X, then=softmax, batch_size=16)
    np.testing.assert_allclose(mean, each.mean(0), atol=1e-6)
    np.testing.assert_allclose(spread, each.std(0), atol=1e-6)
    assert (spread > 0).all()
    net = Ensemble(NET, 3, then=softmax)
    np.testing.assert_allclose(predict(net, params, state, X, batch_size=16), mean, atol=1e-6)
    logits, _ = ensemble(NET, params, state, X)
    np.testing.assert_allclose(logits, predict(Ensemble(NET, 3), params, state, X), atol=1e-5)


def test_members_of_the_same_evaluation(trained):
    each = jax.vmap(make_eval_step(OBJECTIVE), in_axes=(0, None))(trained.train_state, (X, LABELS))
    assert each["loss"].shape == each["accuracy"].shape == (3,)


def test_an_ensemble_is_a_layer():
    net, seen = Ensemble(Serial(Dropout(0.5), BatchNorm(), Affine(2)), 2), []

    def visit(name, child, params, state, *inputs, **options):
        seen.append(name)
        return child.walk(visit, params, state, *inputs, **options)

    @jax.jit
    def passes(key):
        """What the ensemble gives, what a visitor sees, and what each member gives alone."""
        params, state = net.init(key, X)
        of = {"key": key, "train": True}
        alone = [
            net.layer.apply(*jax.tree.map(lambda a: a[i], (params, state)), X, key=one, train=True)  # noqa: B023
            for i, one in enumerate(jax.random.split(key, 2))
        ]
        sampled = monte_carlo(net, params, state, X, key=key, samples=2)[0]
        return net.apply(params, state, X, **of), net.walk(visit, params, state, X, **of)[::2], alone, sampled

    (y, after), (walked, seen_after), alone, sampled = passes(jax.random.key(0))
    np.testing.assert_allclose(y, (alone[0][0] + alone[1][0]) / 2, atol=1e-5)
    np.testing.assert_allclose(after["batch_norm1"]["mean"][1], alone[1][1]["batch_norm1"]["mean"], atol=1e-6)
    np.testing.assert_allclose(walked, y, atol=1e-5)
    np.testing.assert_allclose(seen_after["batch_norm1"]["var"], after["batch_norm1"]["var"], atol=1e-5)
    assert seen == ["0", "dropout1", "batch_norm1", "affine1", "1", "dropout1", "batch_norm1", "affine1"]
    assert sampled.shape == y.shape
    assert repr(net) == "Ensemble(Serial(Dropout(0.5), BatchNorm(), Affine(2)), 2)"


def test_narrow_outputs_are_averaged_in_float32():
    params = {"w": jnp.full((300, 1, 1), 1.0, jnp.bfloat16), "b": jnp.zeros((300, 1), jnp.bfloat16)}
    mean, _ = ensemble(Affine(1), params, {}, jnp.ones((1, 1), jnp.bfloat16))
    assert mean.dtype == jnp.bfloat16
    assert float(mean[0, 0]) == 1.0


def test_a_wrong_label_is_seen_before_anything_is_compiled():
    with pytest.raises(InputError, match=r"class ids in \[0, 3\)"):
        fit(vmap_steps(STEP), init_ensemble(NET, OPTIMIZER, KEYS, X), lambda _: [(X, LABELS + 1)], epochs=1)


@pytest.mark.parametrize(
    ("do", "message"),
    [
        (lambda: init_ensemble(NET, OPTIMIZER, jax.random.key(0), X), r"a key for each member: jax.random.split\("),
        (lambda: Ensemble(NET, 0), "Ensemble needs n as a whole number of at least 1, got 0"),
        (lambda: Ensemble(softmax, 2), "Ensemble is made of a layer"),
        (lambda: bootstrap(X, 0, seed=0), "bootstrap needs members as a whole number of at least 1, got 0"),
        (lambda: MemberBatches(X, [[0, 1], [50]], 1, seed=0), "places from 0 to 49, got 50 to 50"),
        (lambda: MemberBatches(X, [[-1, 0]], 1, seed=0), "places from 0 to 49, got -1 to 0"),
        (lambda: MemberBatches(X, [[[0, 1]]], 1, seed=0), "a sample is a list of places"),
        (lambda: MemberBatches(X, [[0.5]], 1, seed=0), "a sample is a list of places"),
        (lambda: MemberBatches(X, [[0, 1], [2]], 2, seed=0), "from 1 to 1, the size of the smallest sample, got 2"),
        (lambda: MemberBatches(X, [], 1, seed=0), "the size of the smallest sample, got 1"),
        (lambda: MemberBatches(X, [[0, 1]], 1.5, seed=0), "got 1.5"),
        (lambda: MemberBatches(X, [[0, 1]], 1, seed=-1), "seeds and epochs are integers >= 0"),
        (lambda: out_of_fold(Affine(1), {"w": X}, {}, X, [[0]]), r"each of \[50\] members did not see, got 1 lists"),
        (lambda: out_of_fold(Affine(1), {}, {}, X, [[0], X[:, 0] > 0]), r"places, integers of shape \[n\], got bool"),
        (lambda: out_of_fold(Affine(1), {}, {}, X, [[0.0]]), "places, integers of .* got float64"),
        (lambda: out_of_fold(Affine(1), {}, {}, X, [[0, -1]]), "places from 0 to 49, got -1 to 0"),
    ],
)
def test_bad_input_is_refused(do, message):
    with pytest.raises(InputError, match=message):
        do()
