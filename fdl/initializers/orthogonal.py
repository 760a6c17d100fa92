"""Weights that start as isometries: orthogonal matrices and the identity.

An orthogonal w has w^T w = I, so |x w| = |x|: a deep linear network neither grows nor shrinks any
direction of its input, forward or backward, however deep it is. Random variances keep the size on average
only, and stretch some directions while others vanish. A weight that is not square has orthonormal columns
or rows, whichever are fewer.

The Q of a QR factorisation of a Gaussian matrix depends on how the algorithm chooses the signs in R, and
is not uniformly distributed. A = Q R is unique once R has a positive diagonal; with Q diag(sign(diag R))
the result is: rotating A rotates it, and A's distribution does not change under rotations.

The kernel of a convolution [*kernel, in / groups, out] is taken as the matrix [prod(kernel) in / groups, out]
that multiplies each patch of the input.
"""

import math

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from fdl.errors import InputError
from fdl.initializers.initializer import Shape, initializer


@initializer
def orthogonal(key: jax.Array, shape: Shape, dtype: DTypeLike, *, scale: float = 1.0) -> jax.Array:
    """A random orthogonal matrix times ``scale``: w^T w = scale^2 I, or w w^T where w is wider than tall.

    Args:
        key, shape, dtype: what to draw, [in, out] or [*kernel, in / groups, out]. Narrow floats are
            rounded at the end: the factorisation is done in float32 or wider.
        scale: the gain: 1 for linear layers, sqrt(2) for ReLU.

    Raises:
        InputError: when called for a shape of fewer than two axes.

    Source: Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep
    linear neural networks" (2014); the signs: Mezzadri, "How to generate random matrices from the
    classical compact groups" (2007).

    Example:
        >>> import jax
        >>> w = orthogonal()(jax.random.key(0), (5, 2))
        >>> abs(w.T @ w).round(3).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    _check_axes("orthogonal", shape)
    rows, columns = math.prod(shape[:-1]), shape[-1]
    tall = (max(rows, columns), min(rows, columns))
    q, r = jnp.linalg.qr(jax.random.normal(key, tall, dtype))
    q = jnp.where(jnp.diag(r) < 0, -q, q)
    return (scale * (q if rows >= columns else q.T)).reshape(shape)


@initializer
def identity(key: jax.Array, shape: Shape, dtype: DTypeLike, *, scale: float = 1.0, groups: int = 1) -> jax.Array:
    """The layer that returns its input, times ``scale``, as far as inputs and outputs have partners.

    For w [in, out], ones on the diagonal. For a convolution [*kernel, in / groups, out], the same at the
    centre of the kernel and zero elsewhere (the Dirac kernel), so that each channel of a "SAME"
    convolution with stride 1 comes out as it went in.

    Args:
        key, shape, dtype: what to make; the key is not used.
        scale: what the input is multiplied with.
        groups: of the convolution: the i-th output of each group is its i-th input.

    Raises:
        InputError: when called for a shape of fewer than two axes, or whose outputs the groups do not divide.

    Source: Le, Jaitly and Hinton, "A simple way to initialize recurrent networks of rectified linear
    units" (2015); Zagoruyko and Komodakis, "DiracNets" (2017).

    Example:
        >>> identity(scale=0.5)(None, (2, 3)).tolist()
        [[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]]
        >>> identity()(None, (3, 1, 1)).ravel().tolist()
        [0.0, 1.0, 0.0]
    """
    _check_axes("identity", shape)
    *kernel, inputs, outputs = shape
    if outputs % groups:
        raise InputError(f"identity cannot split {outputs} outputs into {groups} groups")
    one_to_one = jnp.tile(scale * jnp.eye(inputs, outputs // groups, dtype=dtype), groups)
    centre = tuple((size - 1) // 2 for size in kernel)
    return jnp.zeros(shape, dtype).at[centre].set(one_to_one)


def _check_axes(who: str, shape: Shape) -> None:
    if len(shape) < 2:
        raise InputError(f"{who} makes weights of shape [*kernel, in, out], got {list(shape)}")
