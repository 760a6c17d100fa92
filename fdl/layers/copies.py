"""Layers of one kind with their parameters stacked along a first axis: what `Repeat` and `Ensemble` have in common."""

from typing import Any

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.keys import split_key
from fdl.layer import Layer, Tree


class Copies(Layer):
    """n layers of one kind, each with parameters and a state of its own, in arrays with a first axis of n."""

    layer: Layer
    n: int

    def __post_init__(self) -> None:
        who = type(self).__name__
        if not isinstance(self.layer, Layer):
            raise InputError(f"{who} is made of a layer, got {self.layer!r}")
        check_count(who, "n", self.n)

    @property
    def children(self) -> dict[str, Layer]:
        return {str(i): self.layer for i in range(self.n)}

    def part_of(self, tree: Tree, name: str) -> Tree:
        return jax.tree.map(lambda stacked: stacked[int(name)], tree)

    def init(self, key: jax.Array, *inputs: Any) -> tuple[Tree, Tree]:
        return jax.vmap(lambda key: self.layer.init(key, *inputs))(split_key(type(self).__name__, key, self.n))

    def begin_stream(self, params: Tree, state: Tree, batch: int, length: int) -> Tree:
        streams = super().begin_stream(params, state, batch, length)
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *streams.values())
