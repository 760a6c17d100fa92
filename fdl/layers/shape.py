"""Layers that only rearrange: their gradients are the inverse rearrangement, which JAX knows."""

import math
from typing import Any

import jax.numpy as jnp

from fdl.errors import InputError
from fdl.layer import Layer, Tree


class Flatten(Layer):
    """Makes one axis of all but the first: [N, ...] becomes [N, features].

    Raises:
        InputError: when x has no axis besides the batch; a single example needs a batch axis of size one.

    Example:
        >>> import jax.numpy as jnp
        >>> Flatten().apply({}, {}, jnp.ones((32, 8, 8)))[0].shape
        (32, 64)
    """

    def init(self, key: Any, x: Any) -> tuple[Tree, Tree]:
        _check_rank(x)
        return {}, {}

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        _check_rank(x)
        features = math.prod(x.shape[1:])
        return jnp.reshape(x, (x.shape[0], features)), state


def _check_rank(x: Any) -> None:
    if len(x.shape) < 2:
        raise InputError(f"Flatten expects a batch of shape [N, ...], got {list(x.shape)}")
