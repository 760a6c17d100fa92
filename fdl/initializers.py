"""Initializers: how weights start.

An initializer is a value that is called with a key and a shape,

    w = he_normal()(key, shape=(in, out), dtype=jnp.float32)

and whose variance is chosen such that signals keep their size on the way through the layers. For a
weight of shape [*kernel, in, out] with independent, zero-mean entries and y = sum over fan_in of x w,

    Var(y) = fan_in Var(w) E[x^2],          fan_in  = prod(kernel) in
    Var(dx) = fan_out Var(w) E[dy^2],       fan_out = prod(kernel) out

so Var(w) = 1 / fan_in keeps the forward pass (LeCun et al. 1998), 2 / (fan_in + fan_out) compromises
with the backward pass (Glorot and Bengio 2010), and 2 / fan_in makes up for the half of the signal
that a ReLU takes away (He et al. 2015).
"""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from fdl.errors import InputError

Shape = tuple[int, ...]


class Initializer:
    """A way to draw a weight: call it with (key, shape, dtype). Equal settings are equal initializers."""

    def __init__(self, draw: Callable[..., jax.Array], **options: Any):
        self._draw = draw
        self._options = options

    def __call__(self, key: jax.Array, shape: Shape, dtype: DTypeLike = jnp.float32) -> jax.Array:
        return self._draw(key, shape, dtype, **self._options)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Initializer) and (self._draw, self._options) == (other._draw, other._options)

    def __hash__(self) -> int:
        return hash((self._draw, tuple(self._options.items())))

    def __repr__(self) -> str:
        return f"{self._draw.__name__}({', '.join(f'{name}={value!r}' for name, value in self._options.items())})"


def initializer(draw: Callable[..., jax.Array]) -> Callable[..., Initializer]:
    """Makes ``name(**options) -> Initializer`` of a function draw(key, shape, dtype, *, **options).

    Example:
        >>> @initializer
        ... def alternating(key, shape, dtype, *, size):
        ...     return (size * (-1.0) ** jnp.arange(math.prod(shape))).reshape(shape).astype(dtype)
        >>> alternating(size=0.5)
        alternating(size=0.5)
        >>> alternating(size=0.5)(None, (4,)).tolist()
        [0.5, -0.5, 0.5, -0.5]
    """
    _, _, _, *options = inspect.signature(draw).parameters.values()
    signature = inspect.Signature([p.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD) for p in options])

    @functools.wraps(draw)
    def with_options(*args: Any, **kwargs: Any) -> Initializer:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return Initializer(draw, **bound.arguments)

    with_options.__signature__ = signature  # type: ignore[attr-defined]
    return with_options


def fans(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight [*kernel, in, out]: how many products each output and input is part of.

    Raises:
        InputError: for fewer than two axes, which have no fans.

    Example:
        >>> fans((3, 3, 16, 32))
        (144, 288)
    """
    if len(shape) < 2:
        raise InputError(f"a weight needs shape [*kernel, in, out] to have fans, got {list(shape)}")
    kernel = math.prod(shape[:-2])
    return kernel * shape[-2], kernel * shape[-1]


@initializer
def zeros(key: jax.Array, shape: Shape, dtype: DTypeLike) -> jax.Array:
    """All zero: for biases. Weights that start equal stay equal, so it is not for those."""
    return jnp.zeros(shape, dtype)


@initializer
def ones(key: jax.Array, shape: Shape, dtype: DTypeLike) -> jax.Array:
    """All one: for the scales of normalisation layers."""
    return jnp.ones(shape, dtype)


@initializer
def constant(key: jax.Array, shape: Shape, dtype: DTypeLike, *, value: float) -> jax.Array:
    """All ``value``."""
    return jnp.full(shape, value, dtype)


@initializer
def normal(key: jax.Array, shape: Shape, dtype: DTypeLike, *, stddev: float = 0.01) -> jax.Array:
    """Independent draws from N(0, stddev^2)."""
    return stddev * jax.random.normal(key, shape, dtype)


@initializer
def uniform(key: jax.Array, shape: Shape, dtype: DTypeLike, *, scale: float = 0.01) -> jax.Array:
    """Independent draws from U(-scale, scale)."""
    return jax.random.uniform(key, shape, dtype, -scale, scale)


@initializer
def lecun_normal(key: jax.Array, shape: Shape, dtype: DTypeLike) -> jax.Array:
    """N(0, 1 / fan_in), which keeps the variance through linear layers. LeCun et al. (1998)."""
    return math.sqrt(1 / fans(shape)[0]) * jax.random.normal(key, shape, dtype)


@initializer
def glorot_normal(key: jax.Array, shape: Shape, dtype: DTypeLike) -> jax.Array:
    """N(0, 2 / (fan_in + fan_out)), for tanh and sigmoid. Glorot and Bengio (2010)."""
    return math.sqrt(2 / sum(fans(shape))) * jax.random.normal(key, shape, dtype)


@initializer
def he_normal(key: jax.Array, shape: Shape, dtype: DTypeLike) -> jax.Array:
    """N(0, 2 / fan_in), for ReLU. He et al. (2015)."""
    return math.sqrt(2 / fans(shape)[0]) * jax.random.normal(key, shape, dtype)
