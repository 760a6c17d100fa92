"""Dropout: units are switched off at random while training, so that none relies on another.

    y = x m / (1 - rate)         m_i = 1 with probability 1 - rate, else 0, independently

Dividing by 1 - rate ("inverted" dropout) makes E[y] = x, so that inference is the identity. The map
is linear in x, and its Jacobian is diagonal: what scaled x on the way up scales dy on the way down,

    dx = dy m / (1 - rate)

The mask is all there is to remember, one bit of information per element, kept as a boolean.

Source: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: a simple way to prevent
neural networks from overfitting" (2014).
"""

from typing import Any

import jax
import jax.numpy as jnp

from fdl.errors import InputError
from fdl.layer import Layer, Tree
from fdl.rule import rule


@rule(static=["rate"])
def dropout(x: jax.Array, key: jax.Array, rate: float) -> jax.Array:
    """Sets each element to zero with probability ``rate`` and scales the rest by 1 / (1 - rate).

    Args:
        x: an array of any shape.
        key: a JAX random key. The same key drops the same elements.
        rate: the probability to drop, in [0, 1).

    Returns:
        y, of the shape and dtype of x.

    Raises:
        InputError: for a rate outside [0, 1).

    Remembers:
        which elements were kept, as a boolean of the shape of x.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> y = dropout(jnp.ones(10_000), jax.random.key(0), 0.2)
        >>> sorted(set(y.tolist())), round(float(y.mean()), 1)
        ([0.0, 1.25], 1.0)
    """
    return jnp.where(_keep(x, key, rate), x / (1 - rate), 0)


def _keep(x, key, rate):
    return jax.random.bernoulli(key, 1 - rate, jnp.shape(x))


def _check_rate(rate):
    if not 0 <= rate < 1:
        raise InputError(f"dropout needs a rate in [0, 1), the probability to drop, got {rate}")


@dropout.validate
def _(x, key, rate):
    _check_rate(rate)


@dropout.forward
def _(x, key, rate):
    keep = _keep(x, key, rate)
    return jnp.where(keep, x / (1 - rate), 0), keep


@dropout.backward
def _(keep, dy, *, rate):
    # y = x / (1 - rate) where kept, 0 elsewhere
    dx = jnp.where(keep, dy / (1 - rate), 0)
    return dx, None


class Dropout(Layer):
    """The layer of `dropout`: drops while training, and is the identity otherwise.

    Args:
        rate: the probability to drop, in [0, 1).

    Raises:
        InputError: for a rate outside [0, 1), and when ``train=True`` comes without a ``key``.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, x = Dropout(0.5), jnp.ones(4)
        >>> layer.apply({}, {}, x)[0].tolist()
        [1.0, 1.0, 1.0, 1.0]
        >>> y, _ = layer.apply({}, {}, x, key=jax.random.key(1), train=True)
        >>> set(y.tolist()) <= {0.0, 2.0}
        True
    """

    rate: float

    def __post_init__(self) -> None:
        _check_rate(self.rate)

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        if not train:
            return x, state
        if key is None:
            raise InputError(f"{self!r} draws random numbers while train=True: call apply with key=jax.random.key(...)")
        return dropout(x, key, self.rate), state
