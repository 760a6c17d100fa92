"""Inference: batches change nothing, whatever the data, and what is random is what `monte_carlo` says it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl import InputError
from fdl.layers import LSTM, Affine, Dropout, Flatten, Relu, Serial, monte_carlo, softmax
from fdl.train import in_batches, predict, predict_monte_carlo, predict_views

X = np.random.default_rng(0).normal(size=(10, 3, 4)).astype(np.float32)
NET = Serial(Flatten(), Affine(5))
PARAMS, STATE = jax.jit(NET.init)(jax.random.key(0), X)
EXPECTED = X.reshape(10, 12) @ np.asarray(PARAMS["affine1"]["w"])


@pytest.mark.parametrize("batch_size", [1, 4, 5, 16])
def test_batches_change_nothing(batch_size):
    outputs = predict(NET, PARAMS, STATE, X, batch_size=batch_size)
    assert type(outputs) is np.ndarray
    np.testing.assert_allclose(outputs, EXPECTED, rtol=1e-5, atol=1e-6)


def test_no_examples_and_narrow_outputs():
    assert predict(NET, PARAMS, STATE, X[:0], batch_size=4).shape == (0, 5)
    outputs = predict(NET, PARAMS, STATE, jnp.asarray(X, jnp.bfloat16), batch_size=4)
    assert outputs.shape == (10, 5)


class Counting(fdl.Layer):
    """Gives several outputs, and counts how often it is traced."""

    traces = 0

    def apply(self, params, state, x, *, key=None, train=False):
        assert key is None
        assert not train
        Counting.traces += 1
        return {"sum": x["a"].sum((1, 2)), "both": (x["a"], x["b"] + 1)}, state


def test_any_pytree_in_and_out_compiled_once(tmp_path):
    np.save(tmp_path / "a.npy", X)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    inputs = {"a": mapped, "b": np.arange(10)}
    for examples in (10, 7, 2):
        some = jax.tree.map(lambda array: array[:examples], inputs)  # noqa: B023
        outputs = predict(Counting(), {}, {}, some, batch_size=4)
        np.testing.assert_allclose(outputs["sum"], X[:examples].sum((1, 2)), rtol=1e-5)
        np.testing.assert_array_equal(outputs["both"][0], X[:examples])
        np.testing.assert_array_equal(outputs["both"][1], np.arange(examples) + 1)
    assert Counting.traces == 1


def test_data_is_read_batch_by_batch():
    class OnDisk:
        shape, dtype, ndim = X.shape, X.dtype, X.ndim

        def __getitem__(self, index):
            reads.append(np.atleast_1d(index).tolist())
            return X[index]

    reads = []
    in_batches(lambda x, _: x, OnDisk(), batch_size=4)
    assert reads == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_monte_carlo_draws_other_units_in_each_batch():
    net = Serial(Flatten(), Dropout(0.5), Affine(2))
    params, state = jax.jit(net.init)(jax.random.key(1), X)
    same = np.repeat(X[:1], 8, axis=0)
    key = jax.random.key(2)
    mean, spread = predict_monte_carlo(net, params, state, same, key=key, samples=6, batch_size=4)
    assert mean.shape == spread.shape == (8, 2)
    first = monte_carlo(net, params, state, same[:4], key=jax.random.fold_in(key, 0), samples=6)
    np.testing.assert_allclose(mean[:4], first[0], rtol=1e-5)
    np.testing.assert_allclose(spread[:4], first[1], rtol=1e-5)
    assert not np.allclose(mean[:4], mean[4:])


def and_turned(x):
    return jnp.stack([x, -x, 2 * x], axis=1)


def test_views_are_averaged_after_what_is_asked_for():
    outputs = predict_views(NET, PARAMS, STATE, X, and_turned, batch_size=4)
    np.testing.assert_allclose(outputs, EXPECTED * (1 - 1 + 2) / 3, rtol=1e-4, atol=1e-5)
    probabilities = predict_views(NET, PARAMS, STATE, X, and_turned, then=softmax, batch_size=4)
    expected = np.mean([np.asarray(jax.nn.softmax(factor * EXPECTED)) for factor in (1, -1, 2)], axis=0)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4, atol=1e-6)


def test_views_of_examples_that_are_numbers():
    x = np.arange(5, dtype=np.float32)
    np.testing.assert_array_equal(predict_views(Relu(), {}, {}, x, lambda x: jnp.stack([x, -x], axis=1)), x / 2)


class Total(fdl.Layer):
    def apply(self, params, state, x, *, key=None, train=False):
        return {"total": x.sum()}, state


def test_several_inputs_are_a_tuple():
    net, xs, lengths = LSTM(3), np.ones((5, 4, 2), np.float32), np.array([4, 3, 2, 1, 4])
    params, state = net.init(jax.random.key(0), xs)
    hs = predict(net, params, state, (xs, lengths), batch_size=2)
    assert ((hs != 0).any(-1).sum(1) == lengths).all()


def test_refuses_parameters_that_a_step_has_taken_over():
    used = jax.tree.map(jnp.copy, PARAMS)
    jax.tree.map(lambda a: a.delete(), used)
    message = "was given a train state that an earlier step has taken over"
    with pytest.raises(InputError, match=f"^predict {message}"):
        predict(NET, used, STATE, X)
    with pytest.raises(InputError, match=f"^predict_monte_carlo {message}"):
        predict_monte_carlo(NET, used, STATE, X, key=jax.random.key(0), samples=2)
    with pytest.raises(InputError, match=f"^predict_views {message}"):
        predict_views(NET, used, STATE, X, and_turned)


def test_a_single_example_is_no_batch():
    with pytest.raises(InputError) as caught:
        predict(NET, PARAMS, STATE, X[0])
    assert f"taken for {len(X[0])} examples, one per row: a single example x is x[None]" in caught.value.__notes__[-1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: predict(NET, PARAMS, STATE, X, batch_size=0), "at least 1, got 0"),
        (lambda: predict(NET, PARAMS, STATE, {"a": X, "b": X[:3]}), "of one length"),
        (lambda: predict(Total(), {}, {}, X, batch_size=4), r"for a batch of 4, total has shape \[\]"),
        (lambda: predict(Total(), {}, {}, X[:0], batch_size=4), r"total has shape \[\]"),
        (lambda: predict(NET, PARAMS, STATE, X.reshape(10, 4, 3)[:, :2]), "affine1"),
        (lambda: predict_views(NET, PARAMS, STATE, X, lambda x: x[0], batch_size=4), r"\[N, V, ...\]"),
        (lambda: predict_monte_carlo(NET, PARAMS, STATE, X, key=jax.random.key(0), samples=2), "no layer that drops"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(InputError, match=message):
        call()
