"""A row of the table: a rule, arguments for it, and what is known about the result."""

import dataclasses
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.rule import Rule


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """One rule with arguments; every check runs on every case.

    Attributes:
        name: what distinguishes this row from the others of its rule.
        rule: the rule.
        arguments: from a NumPy generator and a batch size to the array arguments by name, in float64.
        formula: the same function written independently in NumPy, called with the same names.
        choices: the static arguments by name.
        batched: the names of the arguments whose first axis is the batch.
        remembers: the types of what forward keeps besides its arguments, for a batch of 5 in float32.
        smooth: False on a kink or next to NaN, where central differences say nothing.
        batch: the batch size where a check has no reason for another one.
    """

    name: str
    rule: Rule[..., Any]
    arguments: Callable[[np.random.Generator, int], Mapping[str, Any]]
    formula: Callable[..., Any]
    choices: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    batched: tuple[str, ...] = ("x",)
    remembers: tuple[str, ...] = ()
    smooth: bool = True
    batch: int = 5

    def __str__(self) -> str:
        return f"{self.rule.__name__}-{self.name}".replace(" ", "-")

    def make(self, n: int | None = None, dtype: Any = jnp.float64, draw: int = 0) -> dict[str, Any]:
        """Arguments for a batch of n with floats in ``dtype``; the same ``draw`` gives the same numbers."""
        generator = np.random.default_rng([zlib.crc32(str(self).encode()), draw])
        arguments = self.arguments(generator, self.batch if n is None else n)
        return {name: jax.tree.map(lambda a: _as(a, dtype), value) for name, value in arguments.items()}

    def call(self, arguments: Mapping[str, Any], rule: Rule[..., Any] | None = None) -> Any:
        return (rule or self.rule)(**arguments, **self.choices)

    def upstream(self, y: Any, draw: int = 0) -> Any:
        """A random gradient for every output, different in every element."""
        generator = np.random.default_rng([zlib.crc32(str(self).encode()), draw, 1])
        return jax.tree.map(lambda a: jnp.asarray(generator.normal(size=a.shape), a.dtype), y)


def is_float(array: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(array), jnp.floating) if not _is_key(array) else False


def split(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments that have a gradient, and the others."""
    with_gradient = {k: v for k, v in arguments.items() if v is not None and all(map(is_float, jax.tree.leaves(v)))}
    return with_gradient, {k: v for k, v in arguments.items() if k not in with_gradient}


def _as(array: Any, dtype: Any) -> Any:
    if _is_key(array):
        return array
    return jnp.asarray(array, dtype if np.issubdtype(np.asarray(array).dtype, np.floating) else None)


def _is_key(array: Any) -> bool:
    return isinstance(array, jax.Array) and jnp.issubdtype(array.dtype, jax.dtypes.prng_key)
