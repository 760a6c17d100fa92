"""What convolutions of all kinds share around their mathematics: checks of arguments, and how parameters start."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from fdl.counts import is_count
from fdl.errors import InputError
from fdl.keys import split_key
from fdl.layer import Tree
from fdl.layers.checks import check_product
from fdl.layers.taps import check_images

# How XLA names the axes of images, weights and outputs, by the number of spatial ones.
DIMENSION_NUMBERS = {1: ("NWC", "WIO", "NWC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")}


def check_conv(who: str, x: Any, w: Any, groups: int) -> None:
    """Refuses x, w and groups that do not fit together, and a product of integers.

    Raises:
        InputError: with both shapes, or the type.

    Example:
        >>> check_conv("conv", jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 4, 5)), 1)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: conv expects w of shape [*kernel, 3, out] for x of shape [1, 8, 8, 3], ...
    """
    check_images(who, x)
    x_shape, w_shape = jnp.shape(x), jnp.shape(w)
    check_groups(who, x_shape[-1], groups)
    ins = x_shape[-1] // groups
    if len(w_shape) != len(x_shape) or w_shape[-2] != ins:
        of_groups = f" in {groups} groups" if groups > 1 else ""
        raise InputError(
            f"{who} expects w of shape [*kernel, {ins}, out] for x of shape {list(x_shape)}{of_groups}, "
            f"got {list(w_shape)}: {_why(x_shape, w_shape, ins)}"
        )
    check_groups(who, w_shape[-1], groups)
    check_product(who, x, w)


def _why(x: tuple[int, ...], w: tuple[int, ...], ins: int) -> str:
    """What may be wrong with the shapes of x and w."""
    if len(w) == len(x) + 1:
        return "x has an axis less, that of the channels, x[..., None], or that of the examples, x[None]"
    if len(w) == len(x) > 2 and x[1] * ins == w[-2] * x[-1]:
        return "the channels of x are behind its examples, and belong to the end, jnp.moveaxis(x, 1, -1)"
    return "[*kernel, in / groups, out], with as many axes of the kernel as x has spatial ones"


def check_groups(who: str, channels: int, groups: int) -> None:
    """Refuses groups that do not divide the channels.

    Raises:
        InputError: with both numbers.

    Example:
        >>> check_groups("conv", 6, 4)
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: conv needs a number of groups that divides its channels in and out, got 4 for 6 channels
    """
    if not is_count(groups) or channels % groups:
        raise InputError(
            f"{who} needs a number of groups that divides its channels in and out, "
            f"got {groups!r} for {channels} channels"
        )


def init_weights(layer: Any, key: jax.Array, shape: Sequence[int], fans: tuple[float, float]) -> Tree:
    """The parameters of a layer that has the fields w_init, bias and b_init, for a w of this shape with these fans.

    Example:
        >>> from fdl.layers import Conv
        >>> init_weights(Conv(2, 3), jax.random.key(0), (3, 3, 1, 2), (9, 18))["b"].tolist()
        [0.0, 0.0]
    """
    w_key, b_key = split_key(type(layer).__name__, key)
    params = {"w": layer.w_init(w_key, tuple(shape), fans=fans)}
    return params | ({"b": layer.b_init(b_key, tuple(shape[-1:]))} if layer.bias else {})
