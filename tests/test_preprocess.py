"""Preprocessing: what is fitted is what NumPy finds in float64, and what is applied can be taken back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import InputError
from fdl.data import (
    PCA,
    Moments,
    Subset,
    channel_moments,
    color_axes,
    feature_moments,
    fit_pca,
    mean_image,
    project,
    reconstruct,
    standardise,
    unstandardise,
    unwhiten,
    whiten,
    zca_unwhiten,
    zca_whiten,
)

BYTES = np.random.default_rng(0).integers(0, 256, (50, 4, 3, 2), dtype=np.uint8)
MIXING = np.random.default_rng(1).normal(size=(6, 6)) + np.eye(6)
X = (np.random.default_rng(2).normal(size=(200, 6)) @ MIXING + 3).astype(np.float32).reshape(200, 3, 2)
FITTED = fit_pca(X)


@pytest.fixture(params=[1, 7, 1 << 22])
def block(request, monkeypatch):
    """Blocks of one example, of several, and all at once."""
    monkeypatch.setattr("fdl.data.arrays._BLOCK", request.param * 24)


@pytest.mark.usefixtures("block")
class TestFitting:
    def test_moments_are_those_of_numpy(self):
        x = BYTES.astype(np.float64)
        for fitted, axes in (feature_moments(BYTES), 0), (channel_moments(BYTES), (0, 1, 2)):
            np.testing.assert_allclose(fitted.mean, x.mean(axes), rtol=1e-6)
            np.testing.assert_allclose(fitted.std, x.std(axes), rtol=1e-6)
        np.testing.assert_array_equal(mean_image(BYTES), feature_moments(BYTES).mean)

    def test_a_mean_of_ten_thousand_leaves_a_variance_of_one(self):
        x = (1e4 + np.random.default_rng(3).normal(size=(5_000, 3))).astype(np.float32)
        exact = x.astype(np.float64)
        np.testing.assert_allclose(channel_moments(x).std, exact.std(0), rtol=1e-6)
        np.testing.assert_allclose(channel_moments(x).mean, exact.mean(0), rtol=1e-7)
        np.testing.assert_allclose(fit_pca(x).variances, np.linalg.eigvalsh(np.cov(exact.T, ddof=0))[::-1], rtol=1e-5)

    def test_axes_are_those_of_the_covariance(self):
        x = BYTES.reshape(50, -1).astype(np.float64)
        covariance = np.cov(x.T, ddof=0)
        fitted = fit_pca(BYTES, components=20)
        assert fitted.mean.shape == (4, 3, 2)
        assert fitted.axes.shape == (20, 24)
        axes, variances = np.asarray(fitted.axes, np.float64), np.asarray(fitted.variances, np.float64)
        np.testing.assert_allclose(axes @ axes.T, np.eye(20), atol=1e-5)
        np.testing.assert_allclose(axes @ covariance, variances[:, None] * axes, atol=1e-3 * variances[0])
        np.testing.assert_allclose(variances, np.sort(np.linalg.eigvalsh(covariance))[:3:-1], rtol=1e-5)
        np.testing.assert_allclose(fitted.total, np.trace(covariance), rtol=1e-6)
        assert np.all(np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1) > 0)


def test_data_on_disk_is_fitted_without_being_read_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("fdl.data.arrays._BLOCK", 24 * 10)
    np.save(tmp_path / "x.npy", BYTES)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    even = Subset(mapped, np.arange(0, 50, 2))
    np.testing.assert_allclose(channel_moments(even).std, BYTES[::2].std((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(fit_pca(mapped).variances, fit_pca(BYTES).variances, rtol=1e-6)


def test_colour_axes_are_the_root_of_the_covariance_of_colours():
    colours = BYTES.reshape(-1, 2) / 255
    axes = np.asarray(color_axes(BYTES), np.float64)
    np.testing.assert_allclose(axes.T @ axes, np.cov(colours.T, ddof=0), rtol=1e-5)
    np.testing.assert_allclose(axes[0] @ axes[1], 0, atol=1e-7)
    np.testing.assert_allclose(color_axes((BYTES / 255).astype(np.float32)), axes, rtol=1e-4)
    np.testing.assert_array_equal(color_axes(BYTES.reshape(-1, 2)), axes)  # pixels without their places


def test_standardised_data_has_mean_zero_and_variance_one():
    moments = channel_moments(BYTES)
    y = jax.jit(standardise)(BYTES, moments)
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(np.mean(y, (0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(np.std(y, (0, 1, 2)), 1, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(unstandardise)(y, moments), BYTES, atol=1e-4)
    assert jax.eval_shape(standardise, jnp.zeros((1, 2), jnp.bfloat16), moments).dtype == jnp.bfloat16
    assert standardise(BYTES[:0], moments).shape == (0, 4, 3, 2)


def test_what_never_varies_becomes_zero():
    moments = feature_moments(np.array([[5, 1], [5, 3]]))
    assert standardise(np.array([[5, 1], [5, 3], [7, 1]]), moments).tolist() == [[0, -1], [0, 1], [2, -1]]
    assert unstandardise(np.array([[0.0, 1.0]]), moments).tolist() == [[5, 3]]


def covariance_of(z):
    z = np.asarray(z, np.float64).reshape(len(z), -1)
    return np.cov(z.T, ddof=0)


def test_projections_are_uncorrelated_and_come_back():
    z = jax.jit(project)(X, FITTED)
    np.testing.assert_allclose(covariance_of(z), np.diag(FITTED.variances), atol=1e-4)
    np.testing.assert_allclose(jax.jit(reconstruct)(z, FITTED), X, atol=1e-4)


def test_what_few_components_lose_is_the_variance_along_the_others():
    few = fit_pca(X, components=2)
    back = reconstruct(project(X, few), few)
    lost = np.mean(np.sum(np.square(np.asarray(back) - X), (1, 2)))
    np.testing.assert_allclose(lost, few.total - few.variances.sum(), rtol=1e-4)
    np.testing.assert_allclose(FITTED.variances.sum(), few.total, rtol=1e-5)


@pytest.mark.parametrize(("there", "back"), [(whiten, unwhiten), (zca_whiten, zca_unwhiten)])
def test_whitened_data_varies_alike_in_all_directions(there, back):
    z = jax.jit(there)(X, FITTED)
    np.testing.assert_allclose(covariance_of(z), np.eye(6), atol=2e-3)
    np.testing.assert_allclose(jax.jit(back)(z, FITTED), X, atol=1e-3)
    damped = np.diag(covariance_of(project(there(X, FITTED, 10.0).reshape(X.shape), PCA(0 * FITTED.mean, *FITTED[1:]))))
    if there is zca_whiten:
        np.testing.assert_allclose(damped, FITTED.variances / (FITTED.variances + 10), rtol=1e-3)
    np.testing.assert_allclose(back(there(X, FITTED, 10.0), FITTED, 10.0), X, atol=1e-3)


def test_zca_is_the_symmetric_root_and_keeps_the_shape():
    unit = np.eye(6, dtype=np.float32).reshape(6, 3, 2) + FITTED.mean
    matrix = np.asarray(zca_whiten(unit, FITTED), np.float64).reshape(6, 6)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-5)
    np.testing.assert_allclose(matrix @ covariance_of(X) @ matrix, np.eye(6), atol=2e-3)
    assert zca_whiten(X[:0], FITTED).shape == (0, 3, 2)


@pytest.mark.parametrize(
    ("there", "back"),
    [(project, reconstruct), (whiten, unwhiten), (zca_whiten, zca_unwhiten), (standardise, unstandardise)],
    ids=lambda f: f.__name__,
)
def test_jaxs_strict_settings_refuse_nothing(there, back):
    fitted = channel_moments(X) if there is standardise else FITTED
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        for x in (X, X.astype(jnp.bfloat16)):
            y = jax.jit(there)(x, fitted)
            assert jax.jit(back)(y, fitted).shape == x.shape


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_image([1, 2]), "mean_image expects one array of numbers .*got list"),
        (lambda: feature_moments(np.array(["a"])), "expects one array of numbers"),
        (lambda: channel_moments(np.zeros((0, 3))), r"at least one example, got data of shape \[0, 3\]"),
        (lambda: channel_moments(np.zeros(3)), r"images \[N, ..., C\], got \[3\]"),
        (lambda: color_axes(np.zeros(3)), r"images \[N, ..., C\], got \[3\]"),
        (lambda: fit_pca(X, 7), "components as a whole number from 1 to 6, the number of features, got 7"),
        (lambda: fit_pca(X, 0), "got 0"),
        (lambda: fit_pca(X, 1.5), "got 1.5"),
        (lambda: fit_pca(np.array([[1.0, np.nan], [2.0, 3.0]])), "fit_pca needs data without NaN and infinity"),
        (lambda: color_axes(np.full((1, 1, 3), np.nan)), "color_axes needs data without NaN and infinity"),
        (lambda: standardise(X, channel_moments(BYTES[..., :1])), r"ends in \[1\], .*got \[200, 3, 2\]"),
        (lambda: unstandardise(X[0], Moments(FITTED.mean, FITTED.mean)), r"ends in \[3, 2\], .*got \[3, 2\]"),
        (lambda: project(BYTES, FITTED), r"project expects examples of shape \[3, 2\], .*\[50, 4, 3, 2\]"),
        (lambda: zca_unwhiten(X[:, 0], FITTED), r"zca_unwhiten expects examples of shape \[3, 2\]"),
        (lambda: unwhiten(X[:, 0, :1], FITTED), r"coordinates along 6 axes, \[N, 6\], got \[200, 1\]"),
        (lambda: unwhiten(X, FITTED), r"coordinates along 6 axes, \[N, 6\], got \[200, 3, 2\]"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
