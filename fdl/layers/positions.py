"""Sinusoidal positions: attention does not see the order of its inputs, so a vector for each position is added to them.

Position t has a sine and a cosine of each of dim / 2 angular frequencies, from 1 down to nearly 1 / 10,000, and the
two stand next to each other:

    f_i = 10000^(-2 i / dim)         P_t,2i = sin(t f_i)         P_t,2i+1 = cos(t f_i)

A shift by s rotates each such pair by the angle s f_i: a linear map, the same for all t.

Source: Vaswani et al., "Attention is all you need" (2017).
"""

import jax
import jax.numpy as jnp
import numpy as np

from fdl.errors import InputError


def sinusoidal_positions(length: int, dim: int) -> jax.Array:
    """A vector for each position: P_t,2i = sin(t 10000^(-2i/dim)) and P_t,2i+1 = cos(t 10000^(-2i/dim)).

    Args:
        length: how many positions.
        dim: the features of each, an even number.

    Returns:
        float32 of shape [length, dim], each element rounded from its value in float64.

    Raises:
        InputError: for an odd dim.

    Source:
        Vaswani et al. (2017), with sines and cosines side by side.

    Example:
        >>> sinusoidal_positions(2, 4).round(2).tolist()
        [[0.0, 1.0, 0.0, 1.0], [0.84, 0.54, 0.01, 1.0]]
    """
    if dim < 2 or dim % 2:
        raise InputError(f"sinusoidal_positions needs an even number of features, a sine and a cosine each, got {dim}")
    angles = np.arange(length)[:, None] * 10_000.0 ** (-np.arange(0, dim, 2) / dim)
    return jnp.asarray(np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, dim), jnp.float32)
