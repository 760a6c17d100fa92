"""What the rows say: how large a published network is, what a small one learns from, and what is refused."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from fdl.layer import Layer


@dataclass(frozen=True)
class Published:
    """A network as its paper has it, of which shapes are computed and nothing else.

    ``output`` is the shape that it gives for ``inputs``, or a tree of shapes where it gives several arrays.
    """

    id: str
    net: Layer
    inputs: tuple[jax.ShapeDtypeStruct, ...]
    output: Any
    parameters: int
    slow: bool = False


@dataclass(frozen=True)
class Small:
    """A small network of its kind: its gradients are compared with JAX's, and a step along them lowers its loss.

    ``batch`` makes (inputs, targets) of a key, floats in float64. ``loss`` takes (output, targets); its mean is what is
    differentiated.
    """

    id: str
    net: Layer
    batch: Callable[[jax.Array], tuple[tuple[Any, ...], Any]]
    loss: Callable[[Any, Any], jax.Array]
    rate: float = 1e-3  # of the one step
    slow: bool = False


@dataclass(frozen=True)
class Refused:
    """Arguments that a function of `fdl.models` does not take, and a pattern of what it says then."""

    id: str
    make: Callable[[], Any]
    message: str
    slow: bool = False


def images(size: int, channels: int = 3, n: int = 2) -> jax.ShapeDtypeStruct:
    """The shape of a batch of images."""
    return jax.ShapeDtypeStruct((n, size, size, channels), jnp.float32)


def tokens(length: int, n: int = 2) -> jax.ShapeDtypeStruct:
    """The shape of a batch of sequences of ids."""
    return jax.ShapeDtypeStruct((n, length), jnp.int32)
