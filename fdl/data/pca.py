"""Principal components: the axes along which data varies most.

The covariance of centred data, S = 1/N sum_n (x_n - m)(x_n - m)^T, has orthonormal eigenvectors u_i, and their
eigenvalues are the variances along them. With those of the K largest as the rows of U,

    project         z = U (x - m)               K numbers that keep as much of the variance as K can
    reconstruct     x = U^T z + m               the nearest to x that they can tell

Fitting sums S up in float64 over blocks of data that may be larger than memory; it takes D^2 numbers and, for the
eigenvectors, time of order D^3: the 50,000 images of CIFAR-10, D = 3,072, take 40 seconds on two cores.

Source: Hotelling, "Analysis of a complex of statistical variables into principal components" (1933).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fdl.counts import check_count
from fdl.data.preprocess import centred_blocks, check_numbers, floating
from fdl.errors import InputError
from fdl.rule import wide


class PCA(NamedTuple):
    """What `fit_pca` found: D numbers are an example, K axes were kept.

    ``mean`` has the shape of an example, ``axes`` are the principal axes, [K, D], in the order of their
    ``variances``, [K], the largest first. ``total`` is the variance along all axes, a scalar.
    """

    mean: jax.Array
    axes: jax.Array
    variances: jax.Array
    total: jax.Array


def fit_pca(data: Any, components: int | None = None) -> PCA:
    """Finds the principal axes of data.

    Args:
        data: [N, ...], numbers of any kind, in memory or on disk (see `fdl.data.arrays`).
        components: how many axes to keep, from 1 to the number of features; all if None.

    Returns:
        A `PCA`, in float32 or, where JAX has that switched on, float64. An axis' largest entry is positive.

    Raises:
        InputError: for data without any example, for NaN and infinity in it, and for a number of components outside
            its range.

    Example:
        >>> import numpy as np
        >>> line = np.array([[0.0, 1.0], [3.0, 5.0], [6.0, 9.0]])
        >>> fitted = fit_pca(line, components=1)
        >>> fitted.axes.round(3).tolist(), fitted.variances.round(3).tolist()
        ([[0.6, 0.8]], [16.667])
    """
    check_numbers("fit_pca", data)
    mean, covariance = _covariance(data, each=1)
    features = len(covariance)
    components = features if components is None else components
    check_count("fit_pca", "components", components, most=features, of="the number of features")
    variances, axes = _eigen("fit_pca", covariance)
    return PCA(
        jnp.asarray(mean.reshape(data.shape[1:])),
        jnp.asarray(axes[:components]),
        jnp.asarray(variances[:components]),
        jnp.asarray(np.trace(covariance)),
    )


def color_axes(images: Any) -> jax.Array:
    """The principal axes of the colours of pixels, each as long as the standard deviation along it.

    This is what `fdl.augment.pca_color_noise` adds multiples of.

    Args:
        images: [N, ..., C], in memory or on disk; uint8 is divided by 255.

    Returns:
        [C, C], one axis in each row, the longest first.

    Raises:
        InputError: for data without any example, for NaN and infinity in it, and for what is no images.

    Example:
        >>> import numpy as np
        >>> greys = np.array([0, 0, 0, 255, 255, 255], np.uint8).reshape(2, 1, 1, 3)
        >>> np.abs(color_axes(greys)).round(3).tolist()
        [[0.5, 0.5, 0.5], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    check_numbers("color_axes", images)
    if images.ndim < 2:
        raise InputError(f"color_axes expects images [N, ..., C], got {list(images.shape)}")
    variances, axes = _eigen("color_axes", _covariance(images, each=images.ndim - 1)[1])
    white = 255 if images.dtype == np.uint8 else 1
    return jnp.asarray(np.sqrt(variances)[:, None] * axes / white)


def project(x: jax.Array, fitted: PCA) -> jax.Array:
    """The coordinates of x along the principal axes, z = U (x - m).

    Args:
        x: [N, ...].
        fitted: from `fit_pca` of the training data.

    Returns:
        [N, K], in the dtype of x if that is floating and in float32 otherwise.

    Raises:
        InputError: for examples of another shape than those that were fitted.

    Example:
        >>> import jax, numpy as np
        >>> line = np.array([[0.0, 1.0], [3.0, 5.0], [6.0, 9.0]], np.float32)
        >>> jax.jit(project)(line, fit_pca(line, components=1)).ravel().round(3).tolist()
        [-5.0, 0.0, 5.0]
    """
    return coordinates("project", x, fitted).astype(floating(x))


def reconstruct(z: jax.Array, fitted: PCA) -> jax.Array:
    """The way back from `project`: x = U^T z + m, without what the axes that were not kept had of it.

    Args:
        z: [N, K], floats.
        fitted: that which `project` was given.

    Returns:
        [N, ...], in the dtype of z.

    Raises:
        InputError: for another number of coordinates.

    Example:
        >>> import jax, numpy as np
        >>> line = np.array([[0.0, 1.0], [3.0, 5.0], [6.0, 9.0]], np.float32)
        >>> jax.jit(reconstruct)(np.array([[5.0]], np.float32), fit_pca(line, components=1)).round(3).tolist()
        [[6.0, 9.0]]
    """
    return examples("reconstruct", z, 1.0, fitted)


def _covariance(data: Any, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean [D] and covariance [D, D] in float64, of what the axes from ``each`` on hold."""
    centre, centred = centred_blocks(data, each)
    n, total, products = 0, np.zeros_like(centre), np.zeros((len(centre), len(centre)))
    for block in centred:
        n += len(block)
        total += block.sum(0)
        products += block.T @ block
    offset = total / n
    return centre + offset, products / n - np.outer(offset, offset)


def _eigen(who: str, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variances [D] and axes [D, D], in rows, the largest variance first; signs such that they are always the same."""
    if not np.isfinite(covariance).all():
        raise InputError(f"{who} needs data without NaN and infinity: data_report says where they are")
    variances, vectors = np.linalg.eigh(covariance)
    axes = vectors.T[::-1]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(1, keepdims=True), 1)
    return np.maximum(variances[::-1], 0), axes * np.sign(largest)


def coordinates(who: str, x: Any, fitted: PCA) -> jax.Array:
    """U (x - m), in float32 or wider; ``who`` is the function to name in messages.

    Raises:
        InputError: for examples of another shape than those that were fitted.
    """
    if not jnp.ndim(x) or jnp.shape(x)[1:] != fitted.mean.shape:
        raise InputError(
            f"{who} expects examples of shape {list(fitted.mean.shape)}, as those that were fitted, "
            f"got data of shape {list(jnp.shape(x))}"
        )
    centred = jnp.asarray(x).astype(wide(x)) - fitted.mean[None]
    return times(centred.reshape(-1, fitted.mean.size), fitted.axes.T)


def examples(who: str, z: Any, scale: Any, fitted: PCA) -> jax.Array:
    """U^T (scale z) + m, in the dtype of z; ``who`` is the function to name in messages.

    Raises:
        InputError: for another number of coordinates.
    """
    kept = len(fitted.axes)
    if jnp.ndim(z) != 2 or jnp.shape(z)[1] != kept:
        raise InputError(f"{who} expects the coordinates along {kept} axes, [N, {kept}], got {list(jnp.shape(z))}")
    x = times(jnp.asarray(z).astype(wide(z)) * scale, fitted.axes)
    return (x.reshape(-1, *fitted.mean.shape) + fitted.mean[None]).astype(floating(z))


def times(a: jax.Array, b: jax.Array) -> jax.Array:
    """A matrix product in full precision: whitening multiplies what a device's short cuts leave out."""
    return jnp.matmul(a, b, precision="highest")
