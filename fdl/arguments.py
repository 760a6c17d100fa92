"""Arguments of rules: what cannot be one, what they are made into, and what the gradient of one has to look like."""

import inspect
from collections.abc import Collection
from types import NoneType
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np

from fdl.errors import InputError


def is_one_array(parameter: inspect.Parameter) -> bool:
    """Whether an argument is declared as an array, which may be left out, and so is no pytree."""
    kinds = get_args(parameter.annotation) or (parameter.annotation,)
    return jax.Array in kinds and set(kinds) <= {jax.Array, NoneType}


def check_arguments(who: str, arrays: dict[str, Any], choices: dict[str, Any], single: Collection[str]) -> None:
    """Refuses what no rule takes, whatever it computes.

    Args:
        who: the rule's name, for the message.
        arrays, choices: its arguments by name.
        single: which of the arrays can be no tuple.

    Raises:
        InputError: for choices that are no fixed values, and for numbers or tuples in the place of an array.
    """
    for name, choice in choices.items():
        if isinstance(choice, jax.core.Tracer) or not _is_hashable(choice):
            raise InputError(
                f"{who} needs {name} as a fixed Python value (a number, string, tuple or "
                f"function), got {choice!r}: it is part of what is compiled"
            )
    for name, value in arrays.items():
        if type(value) in (list, tuple) and _is_of_numbers(value):
            raise InputError(
                f"{who} expects {name} as an array, got a {type(value).__name__} of numbers: "
                "jnp.array(...) makes one of it"
            )
        if type(value) is tuple and name in single:
            raise InputError(
                f"{who} expects {name} as an array, got a tuple of {len(value)}: a layer's apply returns "
                "(output, state)"
            )


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _is_of_numbers(value: Any) -> bool:
    """Whether lists and tuples have single numbers in them where arrays should be."""
    leaves = jax.tree.leaves(value)
    return bool(leaves) and not any(getattr(leaf, "ndim", 0) for leaf in leaves)


def as_arrays(tree: Any) -> Any:
    """Python's and NumPy's numbers and arrays as JAX's, which know all that a rule may ask of them."""
    kinds = (int, float, np.ndarray, np.generic)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, kinds) else leaf, tree)


def vary_together(arrays: Any) -> Any:
    """Lets all arrays vary over the mesh axes that any of them varies over (under `jax.shard_map`).

    A parameter that every device holds meets data that differs between devices. Made varying out
    here, it reaches the backward pass like the data does, and the transpose of this cast sums its
    gradient over the devices: no rule needs a collective of its own.
    """
    varying = [jax.typeof(leaf).mat.varying for leaf in jax.tree.leaves(arrays)]
    union = frozenset().union(*varying)
    if all(axes == union for axes in varying):
        return arrays

    def vary(leaf: Any) -> Any:
        missing = tuple(sorted(union - jax.typeof(leaf).mat.varying))
        return jax.lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(vary, arrays)


@jax.tree_util.register_static
class Types:
    """The shapes and dtypes of a rule's arrays: remembered from forward to backward at no cost."""

    def __init__(self, leaves: tuple[jax.ShapeDtypeStruct, ...], treedef: Any):
        self.leaves, self.treedef = leaves, treedef

    @classmethod
    def of(cls, arrays: Any) -> "Types":
        leaves, treedef = jax.tree.flatten(arrays)
        return cls(tuple(jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves), treedef)

    def trees(self) -> Any:
        return jax.tree.unflatten(self.treedef, self.leaves)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Types) and (self.leaves, self.treedef) == (other.leaves, other.treedef)

    def __hash__(self) -> int:
        return hash((self.leaves, self.treedef))


def cast_gradient(who: str, name: str, gradient: Any, argument: Any) -> Any:
    """The gradient in the dtypes of its argument. None is for 'no gradient', as is any for an argument not given."""
    if gradient is None or argument is None:
        return None

    def cast(g: Any, a: Any) -> jax.Array:
        if jnp.shape(g) != a.shape:
            raise TypeError(
                f"{who} gives a gradient of shape {list(jnp.shape(g))} for {name}, which is {list(a.shape)}: "
                + _what_to_do(name, jnp.shape(g), a.shape)
            )
        return jnp.asarray(g, a.dtype)

    return jax.tree.map(cast, gradient, argument)


def _what_to_do(name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """What is probably missing where the gradient of an argument does not have its shape."""
    if _repeats(expected, found):
        return f"sum it over the axes along which {name} was repeated"
    if _repeats(found, expected):
        return f"repeat it along the axes over which {name} was summed"
    return "the gradients come in the order of the arguments, and that of a matrix may have to be transposed"


def _repeats(shape: tuple[int, ...], into: tuple[int, ...]) -> bool:
    """Whether an array of this shape is repeated, as by broadcasting, into the other one."""
    behind = into[len(into) - len(shape) :]
    return len(shape) <= len(into) and all(n in (1, m) for n, m in zip(shape, behind, strict=True))
