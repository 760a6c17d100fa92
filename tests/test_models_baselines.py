"""Baselines: the closed form of linear regression is the minimiser, neighbours are the nearest of all."""

import jax
import numpy as np
import pytest

from fdl import InputError
from fdl.losses import squared_error
from fdl.models import fit_linear_regression, k_nearest_neighbours, linear_regression, nearest_neighbours

RNG = np.random.default_rng(0)
X, W, B = RNG.normal(size=(50, 4)) + 3, RNG.normal(size=(4, 2)), np.array([1.0, -2.0])
MEMORY = RNG.normal(size=(103, 5)).astype(np.float32)  # a prime number, which no block divides


@pytest.mark.parametrize("ridge", [0.0, 2.5])
def test_the_gradient_is_zero_at_the_closed_form(ridge):
    with jax.enable_x64(True):
        y = X @ W + B + 0.1 * RNG.normal(size=(50, 2))
        params = fit_linear_regression(X, y, ridge=ridge)

        def loss(params):
            predicted, _ = linear_regression(2).apply(params, {}, X)
            return squared_error(predicted, y).sum() + ridge * (params["w"] ** 2).sum()

        for gradient in jax.tree.leaves(jax.grad(loss)(params)):
            np.testing.assert_allclose(gradient, 0, atol=1e-9)


def test_of_columns_that_depend_on_each_other_the_shortest_weights_are_found():
    x = np.concatenate([X, X[:, :1]], axis=1).astype(np.float32)
    params = fit_linear_regression(x, (X @ W + B).astype(np.float32))
    np.testing.assert_allclose(params["w"], np.concatenate([W[:1] / 2, W[1:], W[:1] / 2]), atol=1e-4)
    np.testing.assert_allclose(params["b"], B, atol=1e-3)


def test_features_that_never_vary_have_no_weight():
    params = fit_linear_regression(np.ones((3, 2), np.float32), np.array([[1.0], [2.0], [6.0]], np.float32))
    assert params["w"].tolist() == [[0.0], [0.0]]
    assert params["b"].tolist() == [3.0]


@pytest.mark.parametrize("block", [1, 10, 1000])
def test_neighbours_are_those_of_all_distances(block):
    queries = RNG.normal(size=(7, 5)).astype(np.float32)
    distances, index = nearest_neighbours(queries, MEMORY, 4, block=block)
    expected = np.sqrt(((queries[:, None] - MEMORY) ** 2).sum(-1))
    np.testing.assert_array_equal(index, expected.argsort(axis=1)[:, :4])
    np.testing.assert_allclose(distances, np.sort(expected)[:, :4], rtol=1e-5)


def test_an_example_of_the_memory_is_its_own_neighbour_also_far_from_zero_and_the_first_of_equals_wins():
    far = np.concatenate([MEMORY, MEMORY]) + 1e3
    distances, index = nearest_neighbours(far, far, 1, block=10)
    np.testing.assert_array_equal(index[:, 0], np.tile(np.arange(103), 2))
    np.testing.assert_allclose(distances, 0, atol=0.01)


def test_neighbours_of_raw_pixels_are_told_from_near_copies():
    images = RNG.integers(0, 256, (20, 3072)).astype(np.float32)
    distances, index = nearest_neighbours(images, np.concatenate([images + 0.01, images]), 2)
    np.testing.assert_array_equal(index, np.stack([20 + np.arange(20), np.arange(20)], axis=1))
    np.testing.assert_allclose(distances, np.tile([0, 0.01 * 3072**0.5], (20, 1)), rtol=2e-3)


def test_votes_are_shares_of_the_neighbours_and_images_may_be_bytes():
    images = np.array([0, 1, 2, 9, 250, 255], np.uint8).reshape(6, 1, 1, 1)
    votes = k_nearest_neighbours(images[:1], images, np.array([0, 0, 1, 1, 2, 2]), 3, classes=3)
    np.testing.assert_allclose(votes, [[2 / 3, 1 / 3, 0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_linear_regression(X, X[:, 0]), r"y\[:, None\]"),
        (lambda: fit_linear_regression(X[0], X), r"\[N, D\]"),
        (lambda: fit_linear_regression(X, X, ridge=-1.0), "at least 0"),
        (lambda: nearest_neighbours(MEMORY[0], MEMORY, 1), r"x\[None\]"),
        (lambda: nearest_neighbours(MEMORY, MEMORY, 104), "from 1 to 103"),
        (lambda: k_nearest_neighbours(MEMORY, MEMORY, np.zeros(5, int), 1, classes=2), "one for each"),
        (lambda: k_nearest_neighbours(MEMORY, MEMORY, np.full(103, 2), 1, classes=2), "got 2"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
