"""An initializer for transposed convolutions that make an image larger: they start as bilinear interpolation."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from fdl.initializers.initializer import Shape, initializer


@initializer
def bilinear(key: jax.Array, shape: Shape, dtype: DTypeLike) -> jax.Array:
    """Interpolation between neighbours, as the weights of a transposed convolution [*kernel, in, out].

    A kernel of k taps is a tent, highest in its middle m = (k - 1) / 2 and zero one tap beyond its ends when k is odd,

        tap t:  1 - |t - m| / f,    f = ceil(k / 2)

    on each axis, and their product on several. With stride s a kernel of 2 s taps (2 s - 1 if s is odd) interpolates;
    channel i goes to channel i, and all other weights are zero.

    Args:
        key, shape, dtype: what to make; the key is not used.

    Source: Long, Shelhamer and Darrell, "Fully convolutional networks for semantic segmentation" (2015), section 3.3.

    Example:
        >>> bilinear()(None, (4, 1, 1)).ravel().tolist()
        [0.25, 0.75, 0.75, 0.25]
        >>> bilinear()(None, (3, 2, 2))[0].tolist()
        [[0.5, 0.0], [0.0, 0.5]]
    """
    *kernel, inputs, outputs = shape
    tents = [1 - abs(np.arange(k) - (k - 1) / 2) / math.ceil(k / 2) for k in kernel]
    window = math.prod(np.meshgrid(*tents, indexing="ij"), start=np.ones(()))
    return jnp.asarray(window[..., None, None] * np.eye(inputs, outputs), dtype)
