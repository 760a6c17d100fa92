"""The layer that only applies a rule: what activations and their like need to stand in a `Serial`."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from fdl.errors import InputError
from fdl.layer import Layer, Tree
from fdl.rule import Rule


class RuleLayer(Layer):
    """A layer that applies one rule to its inputs.

    A subclass names the rule. Its parameters, if `init` makes any, are the rule's arguments of the same
    names, and so are the fields that the rule knows as static choices.

    Example:
        >>> import jax.numpy as jnp
        >>> from fdl.layers import leaky_relu
        >>> class Leaky(RuleLayer):
        ...     rule = leaky_relu
        ...     alpha: float = 0.5
        >>> Leaky().apply({}, {}, jnp.array([-1.0, 2.0]))[0].tolist(), Leaky(0.1)
        ([-0.5, 2.0], Leaky(alpha=0.1))
    """

    rule: ClassVar[Rule[..., Any]]

    def apply(self, params: Tree, state: Tree, *inputs: Any, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        rule = type(self).rule
        choices = {name: value for name, value in vars(self).items() if name in rule.static}
        return rule(*inputs, **params, **choices), state


def learned_scalar(who: str, x: Any, start: float, shared: bool) -> jax.Array:
    """A parameter that scales features: one number for each feature of x [..., C], or one for all of them."""
    if not shared and not x.shape:
        raise InputError(f"{who} learns one number per feature of x [..., C], got a scalar: use shared=True")
    return jnp.full(() if shared else x.shape[-1:], start, jnp.float32)
