"""A row of the benchmark, and the two executables that it compares."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import fdl


class Row(NamedTuple):
    """A rule at a size that is common in practice.

    ``arguments`` makes the rule's arguments from ``draw(*shape)``, which gives normal float32 arrays.
    """

    rule: fdl.Rule[..., Any]
    size: str
    arguments: Callable[[Callable[..., Any]], Mapping[str, Any]]

    def __str__(self) -> str:
        return f"{self.rule.__name__} {self.size}"


def compiled(
    row: Row, compiler_options: Mapping[str, Any] = {}
) -> tuple[tuple[jax.stages.Compiled, jax.stages.Compiled], tuple[Any, ...]]:
    """Value and all gradients of a row as two executables, with rules and under autodiff, and their inputs."""
    rng = np.random.default_rng(1)
    arrays, choices = row.rule.bind(**row.arguments(lambda *shape: rng.normal(size=shape).astype(np.float32)))
    floats = {k: v for k, v in arrays.items() if v is not None and _has_gradient(v)}
    others = {k: v for k, v in arrays.items() if k not in floats}
    floats, others = jax.device_put((floats, others))
    value = jax.eval_shape(lambda: row.rule(**floats, **others, **choices))
    upstream = jax.tree.map(lambda y: jax.device_put(rng.normal(size=y.shape).astype(y.dtype)), value)

    def value_and_gradients(floats: Any, others: Any, upstream: Any) -> Any:
        value, pull_back = jax.vjp(lambda floats: row.rule(**floats, **others, **choices), floats)
        return value, pull_back(upstream)

    def compile_by(how: Literal["rules", "autodiff"]) -> jax.stages.Compiled:
        with fdl.differentiation(how):
            return jax.jit(value_and_gradients).lower(floats, others, upstream).compile(dict(compiler_options))

    return (compile_by("rules"), compile_by("autodiff")), (floats, others, upstream)


def _has_gradient(tree: Any) -> bool:
    return all(jnp.issubdtype(jnp.result_type(leaf), jnp.floating) for leaf in jax.tree.leaves(tree))
