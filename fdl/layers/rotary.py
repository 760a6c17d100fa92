"""Rotary positions: attention does not see the order of its keys, so queries and keys are turned by their positions.

Neighbouring features 2i and 2i + 1 are the coordinates of a point in a plane, which position t rotates by an angle a:

    (y_2i, y_2i+1) = (x_2i, x_2i+1) cos a + (- x_2i+1, x_2i) sin a          a = t base^(-2 i / dim)

Rotations add up, so the product of a query at t and a key at s depends on t - s only. As matrices, y = R x with
R^T = R^-1, and the gradient is rotated back: dx = R^T dy, the same formula with -a. Nothing but the positions is
remembered.

The pairs are neighbours here, as in the paper. Others pair feature i with feature i + dim / 2: the two differ by a
fixed order of the features, which has to be applied to the columns of the projections when weights are carried over.

Source: Su, Lu, Pan, Murtadha, Wen and Liu, "RoFormer: enhanced transformer with rotary position embedding" (2021).
"""

import jax
import jax.numpy as jnp

from fdl.errors import InputError
from fdl.layers.checks import check_base, check_floats
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
        InputError: for an odd dim, other shapes, positions that are no integers, and a base that is not above one.

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
    cos, sin = _cos_sin(positions, x, base)
    return _rotate(x, cos, sin)


@rotary.validate
def _(x, positions, *, base):
    check_floats("rotary", x)
    check_base("rotary", "base", base)
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
    cos, sin = _cos_sin(positions, dy, base)
    return _rotate(dy, cos, -sin), None


def _cos_sin(positions, x, base):
    """Of the angle of each pair: [T, 1, dim / 2, 1], or [N, T, 1, dim / 2, 1]."""
    dim, dtype = x.shape[-1], wide(x)
    frequencies = base ** (-jnp.arange(0, dim, 2, dtype=dtype) / dim)
    angles = positions[..., None, None, None].astype(dtype) * frequencies[:, None]
    return jnp.cos(angles), jnp.sin(angles)


def _rotate(x, cos, sin):
    pairs = x.reshape(*x.shape[:-1], x.shape[-1] // 2, 2)
    quarter_turn = pairs[..., ::-1] * jnp.array([-1, 1], x.dtype)
    return (pairs * cos + quarter_turn * sin).reshape(x.shape).astype(x.dtype)
