"""Folding batch norm into the layer before it: a network for inference that has no norms left.

In inference a norm multiplies each channel by a number and adds one, and a layer that ends in z = x w + b, whatever
its sum runs over, can do that by itself:

    gamma (z - mean) / sqrt(var + eps) + beta  =  x (w s) + (b - mean) s + beta        s = gamma / sqrt(var + eps)

with s along the last axis of w, which is the outputs'. What is computed is the same, up to rounding, with one pass
over memory less for each norm.

Source: Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference"
(2018), section 3.2.
"""

import dataclasses
from typing import Any

import jax

from fdl.errors import InputError
from fdl.layer import Layer, Tree, fields_of, with_fields
from fdl.layers.activation import Relu
from fdl.layers.affine import Affine
from fdl.layers.batch_norm import BatchNorm
from fdl.layers.combinators import Serial
from fdl.layers.conv import Conv, DepthwiseConv
from fdl.layers.conv_norm import ConvNormRelu
from fdl.layers.conv_transpose import ConvTranspose
from fdl.layers.repeat import Repeat
from fdl.layers.sandwich import AffineNormRelu, AffineRelu
from fdl.layers.wrapper import Wrapper
from fdl.rule import wide
from fdl.wiring import Combinator

Folded = tuple[Layer, Tree, Tree]


def fold_batch_norm(layer: Layer, params: Tree, state: Tree) -> Folded:
    """A network for inference that computes the same without its batch norms, wherever they follow a linear layer.

    A `BatchNorm` that comes right after a `Conv`, `ConvTranspose`, `DepthwiseConv` or `Affine` in a `Serial`, at any
    depth of any network, goes into the weights and the bias of that layer, which keeps its name. `ConvNormRelu`
    becomes a `Serial` of a `Conv` and a `Relu`, and `AffineNormRelu` an `AffineRelu`. All else stays as it is.

    The result is an ordinary layer with its own params and state, to be applied with ``train=False``: trained further,
    it would be another network. A wiring that reads the params of a child itself reads the new ones.

    Args:
        layer: any layer or network.
        params, state: as training left them.

    Returns:
        (layer, params, state): what is left of all three.

    Raises:
        InputError: for something else than a layer.

    Source:
        Jacob et al. (2018).

    Example:
        >>> import fdl, jax, jax.numpy as jnp
        >>> from fdl.layers import Affine, BatchNorm, Relu, Serial
        >>> net, x = Serial(Affine(3, bias=False), BatchNorm(), Relu(), Affine(2)), jnp.ones((4, 5))
        >>> params, state = net.init(jax.random.key(0), x)
        >>> folded, params, state = fdl.fold_batch_norm(net, params, state)
        >>> folded, folded.apply(params, state, x)[0].shape
        (Serial(Affine(3), Relu(), Affine(2)), (4, 2))
    """
    if not isinstance(layer, Layer):
        raise InputError(f"fold_batch_norm takes a layer with its params and state, got {layer!r}")
    return _fold(layer, params, state)


def _fold(layer: Layer, params: Tree, state: Tree) -> Folded:
    if isinstance(layer, ConvNormRelu):
        conv, of_conv = _into(layer.conv, {"w": params["w"]}, layer.norm, params, state)
        net = Serial(conv, Relu())
        first, second = net.children
        return net, {first: of_conv, second: {}}, {first: {}, second: {}}
    if isinstance(layer, AffineNormRelu):
        _, of_affine = _into(layer.affine, {"w": params["w"]}, layer.norm, params, state)
        return AffineRelu(layer.features, w_init=layer.w_init), of_affine, {}
    if isinstance(layer, Wrapper):
        inner, params, state = _fold(layer.layer, params, state)
        return dataclasses.replace(layer, layer=inner), params, state
    if isinstance(layer, Repeat):
        return _fold_stack(layer, params, state)
    if isinstance(layer, Combinator):
        new, params, state = _fold_children(layer, params, state)
        # A subclass with a wiring of its own, such as Concat, does not call its children one after the other.
        is_chain = isinstance(new, Serial) and type(new).wire is Serial.wire
        return _fold_neighbours(new, params, state) if is_chain else (new, params, state)
    return layer, params, state


def _fold_children(layer: Combinator, params: Tree, state: Tree) -> Folded:
    children = layer.children
    folded = {name: _fold(child, params[name], state[name]) for name, child in children.items()}

    def rebuilt(name: str, value: Any) -> Any:
        """A field's value, with the children in it: in a field of their name, or in pairs with their name."""
        if isinstance(value, tuple):
            pair = len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], Layer)
            return (value[0], rebuilt(*value)) if pair else tuple(rebuilt(name, part) for part in value)
        return folded[name][0] if isinstance(value, Layer) and children.get(name) == value else value

    new = with_fields(layer, **{name: rebuilt(name, value) for name, value in fields_of(layer).items()})
    if new.children != {name: child for name, (child, _, _) in folded.items()}:
        return layer, params, state  # it makes its children itself, so that they cannot be others
    return new, {name: p for name, (_, p, _) in folded.items()}, {name: s for name, (_, _, s) in folded.items()}


def _fold_neighbours(layer: Any, params: Tree, state: Tree) -> Folded:
    members: list[tuple[str, Any]] = []
    params, state = dict(params), dict(state)
    for name, child in layer.members:
        before, linear = members[-1] if members else ("", None)
        if type(child) is BatchNorm and type(linear) in (Conv, ConvTranspose, DepthwiseConv, Affine):
            linear, params[before] = _into(linear, params[before], child, params.pop(name), state.pop(name))
            members[-1] = (before, linear)
        else:
            members.append((name, child))
    return with_fields(layer, members=tuple(members)), params, state


def _fold_stack(layer: Repeat, params: Tree, state: Tree) -> Folded:
    if not jax.tree.leaves(state):  # no running statistics, no norm
        return layer, params, state
    layers: list[Layer] = []

    def fold(params: Tree, state: Tree) -> tuple[Tree, Tree]:
        inner, params, state = _fold(layer.layer, params, state)
        layers.append(inner)
        return params, state

    params, state = jax.vmap(fold)(params, state)
    return dataclasses.replace(layer, layer=layers[0]), params, state


def _into(linear: Any, params: Tree, norm: BatchNorm, of_norm: Tree, state: Tree) -> tuple[Any, Tree]:
    """A linear layer, which has no state, with a norm in its weights and bias."""
    w, mean, var = params["w"], state["mean"], state["var"]
    scale = of_norm["gamma"] * jax.lax.rsqrt(var.astype(wide(w, var)) + norm.eps)
    b = (params.get("b", 0) - mean) * scale + of_norm["beta"]
    return dataclasses.replace(linear, bias=True), {"w": (w * scale).astype(w.dtype), "b": b.astype(w.dtype)}
