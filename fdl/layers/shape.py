"""Layers that only rearrange: their gradients are the inverse rearrangement, which JAX knows."""

import math
from collections.abc import Sequence
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
        _check_rank("Flatten", x, least=2)
        return {}, {}

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        _check_rank("Flatten", x, least=2)
        features = math.prod(x.shape[1:])
        return jnp.reshape(x, (x.shape[0], features)), state


class Reshape(Layer):
    """Gives each example another shape: [N, ...] becomes [N, *shape].

    Args:
        shape: the sizes of all axes but the first; one of them may be -1, for what is left over.

    Raises:
        InputError: when an example has another number of elements than the shape.

    Example:
        >>> import jax.numpy as jnp
        >>> Reshape((7, 7, -1)).apply({}, {}, jnp.ones((32, 98)))[0].shape
        (32, 7, 7, 2)
    """

    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        sizes = tuple(self.shape) if isinstance(self.shape, Sequence) else (self.shape,)
        if any(size < -1 for size in sizes) or sizes.count(-1) > 1:
            raise InputError(f"Reshape takes sizes of which one may be -1, got {self.shape!r}")
        object.__setattr__(self, "shape", sizes)

    def init(self, key: Any, x: Any) -> tuple[Tree, Tree]:
        self._sizes(x)
        return {}, {}

    def apply(self, params: Tree, state: Tree, x: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        return jnp.reshape(x, (x.shape[0], *self._sizes(x))), state

    def _sizes(self, x: Any) -> tuple[int, ...]:
        _check_rank("Reshape", x, least=1)
        elements, known = math.prod(x.shape[1:]), math.prod(size for size in self.shape if size != -1)
        left = elements // known if known and -1 in self.shape else 1
        if known * left != elements:
            raise InputError(f"Reshape to {[*self.shape]} does not fit examples of shape {[*x.shape[1:]]}")
        return tuple(left if size == -1 else size for size in self.shape)


def _check_rank(who: str, x: Any, least: int) -> None:
    if len(x.shape) < least:
        raise InputError(f"{who} expects a batch of shape [N, ...], got {list(x.shape)}")
