"""Positions: attention does not see the order of its keys, so it has to be written into what it compares.

Sinusoidal positions are vectors to add to the inputs. Position t has a sine and a cosine of each of dim / 2 angular
frequencies, from 1 down to nearly 1 / 10,000, and the two stand next to each other:

    f_i = 10000^(-2 i / dim)         P_t,2i = sin(t f_i)         P_t,2i+1 = cos(t f_i)

Rotary positions turn queries and keys instead. Neighbouring features 2i and 2i + 1 are the coordinates of a point in
a plane, and position t rotates it by the angle a = t f_i:

    y_2i   = x_2i cos a - x_2i+1 sin a
    y_2i+1 = x_2i sin a + x_2i+1 cos a

Rotations add up, so the product of a query at t and a key at s depends on t - s only. As matrices, y = R x with
R^T = R^-1, and the gradient is rotated back: dx = R^T dy, the same formula with -a. Nothing but the positions is
remembered.

The pairs are neighbours here, as in the paper. Others pair feature i with feature i + dim / 2: the two differ by a
fixed order of the features, which has to be applied to the columns of the projections when weights are carried over.

Sources: Vaswani et al., "Attention is all you need" (2017), sinusoidal; Su, Lu, Pan, Murtadha, Wen and Liu,
"RoFormer: enhanced transformer with rotary position embedding" (2021).
"""

import jax
import jax.numpy as jnp
import numpy as np

from fdl.errors import InputError
from fdl.layers.checks import check_floats
from fdl.rule import rule, wide


@rule(static=["base"])
def rotary(x: jax.Array, positions: jax.Array, *, base: float = 10_000.0) -> jax.Array:
    """Rotates each pair of neighbouring features by its position: (y_2i, y_2i+1) = R(t base^(-2i/dim)) (x_2i, x_2i+1).

    Args:
        x: [N, T, heads, dim], floats; dim is even.
        positions: integers of shape [T], or [N, T] where examples differ.
        base: one over the lowest frequency, nearly.

    Returns:
        y, of the shape and dtype of x, computed in float32 or wider.

    Raises:
        InputError: for an odd dim, other shapes, and positions that are no integers.

    Remembers:
        the positions, which exist anyway.

    Source:
        Su et al. (2021).

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.ones((1, 2, 1, 2))
        >>> rotary(x, jnp.arange(2)).round(3).ravel().tolist()
        [1.0, 1.0, -0.301, 1.382]
    """
    return _rotate(x, _angles(positions, x, base))


@rotary.validate
def _(x, positions, *, base):
    check_floats("rotary", x)
    shape = jnp.shape(x)
    if len(shape) != 4 or shape[-1] % 2:
        raise InputError(f"rotary expects x of shape [N, T, heads, dim] with an even dim, got {list(shape)}")
    if not jnp.issubdtype(jnp.result_type(positions), jnp.integer):
        raise InputError(f"rotary expects positions as integers, got {jnp.result_type(positions)}")
    if jnp.shape(positions) not in (shape[1:2], shape[:2]):
        raise InputError(
            f"rotary expects positions of shape {list(shape[1:2])} or {list(shape[:2])} for x of shape "
            f"{list(shape)}, got {list(jnp.shape(positions))}: one for each step of the sequence"
        )


@rotary.forward
def _(x, positions, *, base):
    return rotary.reference(x, positions, base=base), positions


@rotary.backward
def _(positions, dy, *, base):
    # y = R x
    return _rotate(dy, -_angles(positions, dy, base)), None


def _angles(positions, x, base):
    """[T, 1, dim / 2], or [N, T, 1, dim / 2]."""
    dim, dtype = x.shape[-1], wide(x)
    frequencies = base ** (-jnp.arange(0, dim, 2, dtype=dtype) / dim)
    return positions[..., None, None].astype(dtype) * frequencies


def _rotate(x, angles):
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    first, second = x[..., 0::2], x[..., 1::2]
    pairs = jnp.stack([first * cos - second * sin, first * sin + second * cos], axis=-1)
    return pairs.reshape(x.shape).astype(x.dtype)


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
        >>> sinusoidal_positions(2, 4).round(2)
        Array([[0.  , 1.  , 0.  , 1.  ],
               [0.84, 0.54, 0.01, 1.  ]], dtype=float32)
    """
    if dim < 2 or dim % 2:
        raise InputError(f"sinusoidal_positions needs an even number of features, a sine and a cosine each, got {dim}")
    angles = np.arange(length)[:, None] * 10_000.0 ** (-np.arange(0, dim, 2) / dim)
    return jnp.asarray(np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, dim), jnp.float32)
