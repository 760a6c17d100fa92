"""Dropout: units are switched off at random while training, so that none relies on another.

    y = x m / (1 - rate)         m_i = 1 with probability 1 - rate, else 0

Dividing by 1 - rate ("inverted" dropout) makes E[y] = x, so that inference is the identity. The map
is linear in x, and its Jacobian is diagonal: what scaled x on the way up scales dy on the way down,

    dx = dy m / (1 - rate)

What is drawn, each independently, makes three rules of one:

    dropout            one m for every element
    spatial_dropout    one m for every channel of every example: neighbouring pixels are so alike that one
                       tells what was dropped of another
    drop_path          one m for every example: the whole branch of a residual network is skipped

The mask is all there is to remember, and `dropout` does not remember even that: its bits come from the key
by arithmetic alone (`fdl.layers.random_bits`), and the backward pass draws them again. The small masks of the
other two are kept.

Sources: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: a simple way to prevent neural
networks from overfitting" (2014); Tompson, Goroshin, Jain, LeCun and Bregler, "Efficient object localization
using convolutional networks" (2015), spatial; Huang, Sun, Liu, Sedra and Weinberger, "Deep networks with
stochastic depth" (2016), paths.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.errors import InputError
from fdl.keys import check_key
from fdl.layer import Layer, Tree
from fdl.layers.checks import check_floats, check_rate
from fdl.layers.random_bits import random_bits
from fdl.rule import rule, wide


@rule(static=["rate"])
def dropout(x: jax.Array, key: jax.Array, rate: float) -> jax.Array:
    """Sets each element to zero with probability ``rate`` and scales the rest: y = x m / (1 - rate).

    Args:
        x: floats of any shape.
        key: a JAX random key. The same key drops the same elements.
        rate: the probability to drop, in [0, 1), rounded down to a multiple of 2^-32.

    Returns:
        y, of the shape and dtype of x.

    Raises:
        InputError: for a rate outside [0, 1), for integers, and for what is no random key.

    Remembers:
        the key, which exists anyway.

    Source:
        Srivastava et al. (2014).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> y = dropout(jnp.ones(10_000), jax.random.key(0), 0.2)
        >>> sorted(set(y.tolist())), round(float(y.mean()), 1)
        ([0.0, 1.25], 1.0)
    """
    return _drop(_elements(x, key, rate), x, rate)


@dropout.validate
def _(x, key, rate):
    _check("dropout", x, key, rate)


@dropout.forward
def _(x, key, rate):
    return dropout.reference(x, key, rate), key


@dropout.backward
def _(key, dy, *, rate):
    # y = 0 where dropped, x / (1 - rate) elsewhere
    return _drop(_elements(dy, key, rate), dy, rate), None


def _elements(x, key, rate):
    """Which elements are dropped."""
    return random_bits(key, jnp.shape(x)) < np.uint32(rate * 2**32)


def _drop(dropped, x, rate):
    """0 where dropped, x / (1 - rate) elsewhere, where the mask may have axes of size one."""
    return jnp.where(dropped, 0, jnp.asarray(x, wide(x)) / (1 - rate)).astype(jnp.result_type(x))


@rule(static=["rate"])
def spatial_dropout(x: jax.Array, key: jax.Array, rate: float) -> jax.Array:
    """Sets whole channels to zero, each of each example with probability ``rate``: y = x m / (1 - rate).

    Args:
        x: [N, *spatial, C], floats.
        key: a JAX random key. The same key drops the same channels.
        rate: the probability to drop, in [0, 1).

    Returns:
        y, of the shape and dtype of x.

    Raises:
        InputError: for a rate outside [0, 1), integers, x with fewer than two axes, and what is no random key.

    Remembers:
        which channels were dropped, as a boolean [N, 1, ..., C].

    Source:
        Tompson et al. (2015).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> y = spatial_dropout(jnp.ones((20, 8, 8, 3)), jax.random.key(0), 0.5)
        >>> sorted(set(y.ravel().tolist())), bool((y == y[:, :1, :1]).all())
        ([0.0, 2.0], True)
    """
    return _drop(_channels(x, key, rate), x, rate)


@spatial_dropout.validate
def _(x, key, rate):
    _check("spatial_dropout", x, key, rate)
    if jnp.ndim(x) < 2:
        raise InputError(f"spatial_dropout expects x of shape [N, *spatial, C], got {list(jnp.shape(x))}")


@spatial_dropout.forward
def _(x, key, rate):
    dropped = _channels(x, key, rate)
    return _drop(dropped, x, rate), dropped


@spatial_dropout.backward
def _(dropped, dy, *, rate):
    # y = 0 where dropped, x / (1 - rate) elsewhere
    return _drop(dropped, dy, rate), None


def _channels(x, key, rate):
    """Which channels are dropped: [N, 1, ..., C]."""
    examples, *spatial, channels = jnp.shape(x)
    return jax.random.bernoulli(key, rate, (examples, *(1 for _ in spatial), channels))


@rule(static=["rate"])
def drop_path(x: jax.Array, key: jax.Array, rate: float) -> jax.Array:
    """Sets whole examples to zero, each with probability ``rate``: y = x m / (1 - rate), stochastic depth.

    As the last layer of a residual branch, it makes the block skip the branch for those examples.

    Args:
        x: [N, ...], floats.
        key: a JAX random key. The same key drops the same examples.
        rate: the probability to drop, in [0, 1).

    Returns:
        y, of the shape and dtype of x.

    Raises:
        InputError: for a rate outside [0, 1), for integers, for a scalar, and for what is no random key.

    Remembers:
        which examples were dropped, as a boolean [N, 1, ...].

    Source:
        Huang et al. (2016), who scale by 1 - rate in inference instead of dividing by it in training.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> y = drop_path(jnp.ones((20, 3)), jax.random.key(0), 0.5)
        >>> sorted(set(map(tuple, y.tolist())))
        [(0.0, 0.0, 0.0), (2.0, 2.0, 2.0)]
    """
    return _drop(_examples(x, key, rate), x, rate)


@drop_path.validate
def _(x, key, rate):
    _check("drop_path", x, key, rate)
    if jnp.ndim(x) < 1:
        raise InputError("drop_path expects x of shape [N, ...], got a scalar")


@drop_path.forward
def _(x, key, rate):
    dropped = _examples(x, key, rate)
    return _drop(dropped, x, rate), dropped


@drop_path.backward
def _(dropped, dy, *, rate):
    # y = 0 where dropped, x / (1 - rate) elsewhere
    return _drop(dropped, dy, rate), None


def _examples(x, key, rate):
    """Which examples are dropped: [N, 1, ...]."""
    examples, *rest = jnp.shape(x)
    return jax.random.bernoulli(key, rate, (examples, *(1 for _ in rest)))


def _check(who, x, key, rate):
    check_rate(who, rate)
    check_floats(who, x)
    check_key(who, key)


class Dropout(Layer):
    """The layer of `dropout`: drops elements while training, and is the identity otherwise.

    Args:
        rate: the probability to drop, in [0, 1); with 0 nothing is drawn.

    Raises:
        InputError: for a rate outside [0, 1), and when ``train=True`` comes without a ``key`` to draw from.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = Dropout(0.5), jnp.ones(4)
        >>> layer.apply({}, {}, x)[0].tolist()
        [1.0, 1.0, 1.0, 1.0]
        >>> y, _ = layer.apply({}, {}, x, key=jax.random.key(1), train=True)
        >>> set(y.tolist()) <= {0.0, 2.0}
        True
    """

    rule = dropout
    rate: float

    def __post_init__(self) -> None:
        check_rate(type(self).__name__, self.rate)

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        if not train or not self.rate:
            return x, state
        if key is None:
            raise InputError(f"{self!r} draws random numbers while train=True: call apply with key=jax.random.key(...)")
        return type(self).rule(x, key, self.rate), state


class SpatialDropout(Dropout):
    """The layer of `spatial_dropout`: drops channels while training, and is the identity otherwise.

    Args:
        rate: the probability to drop, in [0, 1); with 0 nothing is drawn.

    Raises:
        InputError: for a rate outside [0, 1), and when ``train=True`` comes without a ``key`` to draw from.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> y, _ = SpatialDropout(0.5).apply({}, {}, jnp.ones((2, 8, 8, 3)), key=jax.random.key(0), train=True)
        >>> bool((y == y[:, :1, :1]).all())
        True
    """

    rule = spatial_dropout


class DropPath(Dropout):
    """The layer of `drop_path`: drops examples while training, and is the identity otherwise.

    Args:
        rate: the probability to drop, in [0, 1); with 0 nothing is drawn.

    Raises:
        InputError: for a rate outside [0, 1), and when ``train=True`` comes without a ``key`` to draw from.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Relu, Residual, Serial
        >>> block = Residual(Serial(Relu(), DropPath(0.5)))
        >>> params, state = block.init(jax.random.key(0), jnp.ones((20, 3)))
        >>> y, _ = block.apply(params, state, jnp.ones((20, 3)), key=jax.random.key(1), train=True)
        >>> sorted(set(map(tuple, y.tolist())))
        [(1.0, 1.0, 1.0), (3.0, 3.0, 3.0)]
    """

    rule = drop_path
