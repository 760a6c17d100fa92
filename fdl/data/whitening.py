"""Whitening: data that varies alike in all directions.

With the principal axes of the training data as the rows of U (`fdl.data.pca`), and its mean m,

    whiten          z = L^-1/2 U (x - m)                coordinates along the axes, each with variance 1
    zca_whiten      y = U^T L^-1/2 U (x - m)            the same, turned back: of all whitened data the nearest to x - m

where L holds the variances + eps: along axes of next to no variance, dividing by its root alone would blow noise up.

Source: Bell and Sejnowski, "The independent components of natural scenes are edge filters" (1997), for ZCA.
"""

import jax
import jax.numpy as jnp

from fdl.data.pca import PCA, coordinates, examples, times
from fdl.data.preprocess import floating


def whiten(x: jax.Array, fitted: PCA, eps: float = 1e-5) -> jax.Array:
    """Coordinates along the principal axes, each with variance 1: z = (L + eps)^-1/2 U (x - m).

    Args:
        x: [N, ...].
        fitted: from `fit_pca` of the training data.
        eps: what is added to variances, in their unit.

    Returns:
        [N, K], in the dtype of x if that is floating and in float32 otherwise.

    Raises:
        InputError: for examples of another shape than those that were fitted.

    Example:
        >>> import jax, numpy as np
        >>> from fdl.data import fit_pca
        >>> line = np.array([[0.0, 1.0], [3.0, 5.0], [6.0, 9.0]], np.float32)
        >>> jax.jit(whiten)(line, fit_pca(line, components=1)).ravel().round(3).tolist()
        [-1.225, 0.0, 1.225]
    """
    return (coordinates("whiten", x, fitted) / jnp.sqrt(fitted.variances + eps)[None]).astype(floating(x))


def unwhiten(z: jax.Array, fitted: PCA, eps: float = 1e-5) -> jax.Array:
    """The way back from `whiten`: x = U^T (L + eps)^1/2 z + m.

    Args:
        z: [N, K], floats.
        fitted, eps: those that `whiten` was given.

    Returns:
        [N, ...], in the dtype of z.

    Raises:
        InputError: for another number of coordinates.

    Example:
        >>> import jax, numpy as np
        >>> from fdl.data import fit_pca
        >>> line = np.array([[0.0, 1.0], [3.0, 5.0], [6.0, 9.0]], np.float32)
        >>> jax.jit(unwhiten)(np.array([[1.5**0.5]], np.float32), fit_pca(line, components=1)).round(3).tolist()
        [[6.0, 9.0]]
    """
    return examples("unwhiten", z, jnp.sqrt(fitted.variances + eps)[None], fitted)


def zca_whiten(x: jax.Array, fitted: PCA, eps: float = 1e-5) -> jax.Array:
    """Whitened data that still looks like an image: y = U^T (L + eps)^-1/2 U (x - m).

    Args:
        x: [N, ...].
        fitted: from `fit_pca` of the training data. With K axes, what is along the others is lost.
        eps: what is added to variances, in their unit; larger ones keep noise down (0.1 is usual for images that
            were standardised).

    Returns:
        An array like x, in its dtype if that is floating and in float32 otherwise.

    Raises:
        InputError: for examples of another shape than those that were fitted.

    Example:
        >>> import jax, numpy as np
        >>> from fdl.data import fit_pca
        >>> line = np.array([[0.0, 1.0], [3.0, 5.0], [6.0, 9.0]], np.float32)
        >>> jax.jit(zca_whiten)(line, fit_pca(line, components=1))[2].round(3).tolist()  # 1.225 (0.6, 0.8)
        [0.735, 0.98]
    """
    z = coordinates("zca_whiten", x, fitted) / jnp.sqrt(fitted.variances + eps)[None]
    return times(z, fitted.axes).reshape(jnp.shape(x)).astype(floating(x))


def zca_unwhiten(y: jax.Array, fitted: PCA, eps: float = 1e-5) -> jax.Array:
    """The way back from `zca_whiten`: x = U^T (L + eps)^1/2 U y + m.

    Args:
        y: [N, ...], floats.
        fitted, eps: those that `zca_whiten` was given.

    Returns:
        An array like y, in its dtype.

    Raises:
        InputError: for examples of another shape than those that were fitted.

    Example:
        >>> import jax, numpy as np
        >>> from fdl.data import fit_pca
        >>> line = np.array([[0.0, 1.0], [3.0, 5.0], [6.0, 9.0]], np.float32)
        >>> fitted = fit_pca(line)
        >>> zca_unwhiten(zca_whiten(line, fitted), fitted)[2].round(2).tolist()
        [6.0, 9.0]
    """
    z = coordinates("zca_unwhiten", y, fitted._replace(mean=jnp.zeros_like(fitted.mean)))
    return examples("zca_unwhiten", z, jnp.sqrt(fitted.variances + eps)[None], fitted).astype(floating(y))
