"""Maxout: the largest of several affine pieces, a convex activation that learns its own shape.

    y_f = max over p of x_fp        x: [..., features x pieces]   y: [..., features]

The pieces of one feature stand next to each other ("features-major"): x[..., f * pieces + p] is piece p of
feature f, and Serial(Affine(features * pieces), Maxout(pieces)) is the layer of the paper.

y moves only with the piece that won, so the gradient goes there,

    dx_fp = dy_f where p is the winner of feature f, 0 elsewhere

and the first of several equal pieces is the winner. Its number, in one byte for up to 256 pieces, is all that
is remembered: neither x nor y.

Source: Goodfellow, Warde-Farley, Mirza, Courville and Bengio, "Maxout networks" (2013).
"""

import jax
import jax.numpy as jnp
import numpy as np

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.layers.checks import check_real
from fdl.layers.rule_layer import RuleLayer
from fdl.rule import rule


@rule(static=["pieces"])
def maxout(x: jax.Array, pieces: int) -> jax.Array:
    """The largest of every ``pieces`` neighbours on the last axis; ties go to the first.

    Args:
        x: [..., features * pieces]; x[..., f * pieces + p] is piece p of feature f.
        pieces: how many pieces there are for each feature.

    Returns:
        y: [..., features], in the dtype of x. A NaN among the pieces wins.

    Raises:
        InputError: when pieces does not divide the last axis, and for complex numbers.

    Remembers:
        which piece won, as the smallest unsigned integer that holds it, of the shape of y.

    Source:
        Goodfellow, Warde-Farley, Mirza, Courville and Bengio (2013).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x = jnp.array([1.0, 3.0, 5.0, 5.0])
        >>> maxout(x, 2).tolist(), jax.grad(lambda x: maxout(x, 2).sum())(x).tolist()
        ([3.0, 5.0], [0.0, 1.0, 1.0, 0.0])
    """
    x = _by_feature(x, pieces)
    return jnp.take_along_axis(x, jnp.argmax(x, axis=-1, keepdims=True), axis=-1)[..., 0]


@maxout.validate
def _(x, pieces):
    check_count("maxout", "pieces", pieces)
    check_real("maxout", x)
    shape = jnp.shape(x)
    if not shape or shape[-1] % pieces:
        raise InputError(f"maxout expects x of shape [..., features * {pieces}], got {list(shape)}")


@maxout.forward
def _(x, pieces):
    x = _by_feature(x, pieces)
    number = np.min_scalar_type(max(range(pieces)))
    return jnp.max(x, axis=-1), jnp.argmax(x, axis=-1).astype(number)


@maxout.backward
def _(winner, dy, *, pieces):
    # y = x[..., winner]
    won = winner[..., None] == jnp.arange(pieces, dtype=winner.dtype)
    dx = jnp.where(won, dy[..., None], 0)
    return (dx.reshape(*dy.shape[:-1], dy.shape[-1] * pieces),)


def _by_feature(x, pieces):
    return x.reshape(*x.shape[:-1], x.shape[-1] // pieces, pieces)


class Maxout(RuleLayer):
    """The layer of `maxout`; it has no parameters and divides the number of features by ``pieces``.

    Args:
        pieces: how many pieces there are for each feature.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Affine, Serial
        >>> layer, x = Serial(Affine(5 * 3), Maxout(3)), jnp.ones((2, 4))
        >>> params, state = layer.init(jax.random.key(0), x)
        >>> layer.apply(params, state, x)[0].shape
        (2, 5)
    """

    rule = maxout
    pieces: int

    def __post_init__(self) -> None:
        check_count("Maxout", "pieces", self.pieces)
