"""Products of a recurrence, x wx and h wh, and their ways back: of many steps at once, or of one step in a loop.

In a loop x has as many rows as there are examples, mostly fewer than features. XLA's products on a CPU begin by copying
their second factor, so it should be the smaller one: y = x w is then taken as (w^T x^T)^T, and dx = dy w^T as
(w dy^T)^T. A convolution in the place of the matrix product makes another kind of layer (`fdl.layers.conv_lstm`).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.rule import wide

STEPS_THAT_TURN = 32  # from how many steps on a weight is turned once for all of them


class Product(NamedTuple):
    """A product y = x w, where x may have any leading axes, and what its backward pass is made of."""

    of: Callable[[Any, Any], Any]  # x, w -> y
    in_steps: Callable[[Any, Any, int], Callable[[Any], Any]]  # x, w, how many steps -> (x -> y) of one of them
    turned: Callable[[Any], Any]  # w -> the w of the way back
    to_input: Callable[[Any, Any], Any]  # dy, turned w -> dx
    to_weight: Callable[[Any, Any, Any], Any]  # x, dy, w -> dw


def matmul(x: Any, w: Any) -> Any:
    """The product x w, accumulated in float32 or wider, and left so."""
    return jnp.matmul(x, w, preferred_element_type=wide(x, w))


def _in_steps(x: Any, w: Any, steps: int) -> Callable[[Any], Any]:
    """x -> x w; as (w^T x^T)^T if there are so many steps that it pays to turn w before them."""
    if steps < STEPS_THAT_TURN or not _is_smaller(x, len(w)):
        return lambda x: matmul(x, w)
    turned = jax.lax.optimization_barrier(w.T)
    return lambda x: _turned_matmul(x, turned)


def _to_input(dy: Any, w: Any) -> Any:
    """dx = dy w^T."""
    dy = dy.astype(w.dtype)
    return _turned_matmul(dy, w) if _is_smaller(dy, len(w)) else matmul(dy, w.T)


def _turned_matmul(x: Any, w: Any) -> Any:
    """x w^T as (w x^T)^T. Without the barrier XLA would write this as x w^T."""
    y = jax.lax.dot_general(w, x, (((1,), (x.ndim - 1,)), ((), ())), preferred_element_type=wide(x, w))
    return jnp.moveaxis(jax.lax.optimization_barrier(y), 0, -1)


def _is_smaller(x: Any, features: int) -> bool:
    """Whether x has fewer rows than there are features."""
    rows = math.prod(x.shape[:-1])
    return isinstance(rows, int) and rows < features


def _to_weight(x: Any, dy: Any, w: Any) -> Any:
    rows = tuple(range(x.ndim - 1))
    return jax.lax.dot_general(x, dy.astype(x.dtype), ((rows, rows), ((), ())), preferred_element_type=wide(x, dy))


# y = x w: dx = dy w^T, for which w does not have to be turned first, and dw = x^T dy
DENSE = Product(of=matmul, in_steps=_in_steps, turned=lambda w: w, to_input=_to_input, to_weight=_to_weight)
