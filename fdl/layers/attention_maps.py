"""Where a network looks: the weights of every attention in it, for a pass over some inputs."""

from typing import Any

import jax

from fdl.layer import Layer, Tree, walk_by_path
from fdl.layers.wrapper import unwrapped


def attention_maps(net: Layer, params: Tree, state: Tree, *inputs: Any) -> dict[str, jax.Array]:
    """The weights of all attention layers inside a network, which the network itself never has as a whole.

    Args:
        net, params, state: any network, or an attention layer by itself, which goes by its name.
        inputs: what goes into it.

    Returns:
        By the path of each layer that has a method ``weights``, what it gives for what the layer is called with in
        this pass: [N, heads, Tq, Tk] of `MultiHeadAttention`, [N, Tq, Tk] of `AdditiveAttention`.

    Example:
        >>> import functools, jax, jax.numpy as jnp
        >>> from fdl.layers import EncoderBlock, MultiHeadAttention, Repeat, feed_forward
        >>> net, x = Repeat(EncoderBlock(MultiHeadAttention(2), feed_forward(4, 8)), 2), jnp.ones((1, 3, 4))
        >>> params, state = net.init(jax.random.key(0), x)
        >>> maps = jax.eval_shape(functools.partial(attention_maps, net), params, state, x)
        >>> {path: weights.shape for path, weights in maps.items()}
        {'0.attention': (1, 2, 3, 3), '1.attention': (1, 2, 3, 3)}
    """
    maps: dict[str, jax.Array] = {}

    def at(path: tuple[str, ...], layer: Layer, walk: Any, params: Tree, *args: Any, **options: Any) -> Any:
        if weights := getattr(unwrapped(layer), "weights", None):
            _, *inputs = args
            maps[".".join(path)] = weights(params, *inputs)
        return walk(params, *args, **options)

    walk_by_path(net, at, params, state, *inputs)
    return maps
