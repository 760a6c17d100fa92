"""A stack of equal layers as one loop, so that it is traced and compiled once however deep it is."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from fdl.errors import InputError
from fdl.layer import Tree, Visit
from fdl.layers.copies import Copies


class Repeat(Copies):
    """n layers of one kind, one after the other, each with parameters of its own: x = layer_i(x, ...).

    The parameters of all n are stacked along a first axis, and a `jax.lax.scan` goes through them, so that compiling
    takes as long for a hundred layers as for one. The output of each is the first input of the next; further inputs
    (a mask, an encoder's output) are the same for all. With a random key each layer draws for itself.

    What is stacked has to be copied: of a few layers, ``Serial(*[layer] * n)`` is faster on a CPU, and needs more
    memory.

    Args:
        layer: what is repeated; its output has the shape and dtype of its first input.
        n: how often, at least 1.

    Raises:
        InputError: for an n below 1, and for a layer that changes the shape or dtype.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Affine, Relu, Residual, Serial
        >>> layer, x = Repeat(Residual(Serial(Affine(3), Relu())), 12), jnp.ones((2, 3))
        >>> params, state = layer.init(jax.random.key(0), x)
        >>> params["body"]["affine1"]["w"].shape, layer.apply(params, state, x)[0].shape
        ((12, 3, 3), (2, 3))
    """

    def init(self, key: jax.Array, *inputs: Any) -> tuple[Tree, Tree]:
        params, state = super().init(key, *inputs)
        with jax.debug_key_reuse(False):  # nothing is drawn
            jax.eval_shape(functools.partial(self.apply, train=True), params, state, *inputs, key=key)
        return params, state

    def apply(self, params: Tree, state: Tree, *inputs: Any, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        first, *others = inputs

        def one(x: Any, of_layer: Any) -> tuple[Any, Tree]:
            params, state, key = of_layer
            y, state = self.layer.apply(params, state, x, *others, key=key, train=train)
            self._check_output(x, y)
            return y, state

        keys = None if key is None else jax.random.split(key, self.n)
        return jax.lax.scan(one, jax.tree.map(jnp.asarray, first), (params, state, keys), length=self.n)

    def walk(
        self, visit: Visit, params: Tree, state: Tree, *inputs: Any, key: Any = None, train: bool = False
    ) -> tuple[Any, Tree, Tree]:
        x, *others = inputs
        keys = [None] * self.n if key is None else jax.random.split(key, self.n)
        visited = []
        for name, key in zip(self.children, keys, strict=True):
            own = self.part_of(params, name), self.part_of(state, name)
            x, *arrays = visit(name, self.layer, *own, x, *others, key=key, train=train)
            visited.append(arrays)
        params, state = jax.tree.map(lambda *leaves: jnp.stack(leaves), *visited)
        return x, params, state

    def _check_output(self, x: Any, y: Any) -> None:
        given, made = jax.tree.map(_type, x), jax.tree.map(_type, y)
        if jax.tree.flatten(given) != jax.tree.flatten(made):  # a Graph equals itself only
            raise InputError(
                f"{self.name} hands the output of each layer to the next, so it must be like the input {given}, "
                f"but {self.layer.name} gives {made}"
            )


def _type(x: Any) -> str:
    kind = jax.typeof(x)
    return f"{kind.dtype}{list(kind.shape)}"
