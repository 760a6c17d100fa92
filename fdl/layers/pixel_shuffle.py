"""Pixel shuffling: channels become positions, and back. What a network computes at low resolution, it shows at high.

With a factor r, the r^2 C channels of every position become the C channels of r x r positions,

    y[i r + a, j r + b, c] = x[i, j, (a r + b) C + c]             x: [N, H, W, r^2 C]   y: [N, H r, W r, C]

and the same for one and three axes. The channels are numbered with C fastest, "depth to space" as TensorFlow and
ONNX's DCR mode have it; PyTorch's pixel_shuffle takes channel c r^2 + a r + b instead.

Every element moves to a place of its own, so each of the two maps is the gradient of the other.

Source: Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel convolutional
neural network" (2016).
"""

from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.layers.rule_layer import RuleLayer
from fdl.layers.taps import check_images
from fdl.rule import rule


@rule(static=["factor"])
def pixel_shuffle(x: jax.Array, factor: int) -> jax.Array:
    """Spreads channels over positions: y[i r + a, j r + b, c] = x[i, j, (a r + b) C + c] for a factor of r.

    Args:
        x: [N, *spatial, r^d C] with d = one to three spatial axes.
        factor: r, how many times longer every spatial axis becomes.

    Returns:
        y: [N, *(r spatial), C], in the dtype of x.

    Raises:
        InputError: for x of another rank, and when r^d does not divide the channels.

    Remembers:
        nothing.

    Source:
        Shi et al. (2016).

    Example:
        >>> import jax.numpy as jnp
        >>> pixel_shuffle(jnp.array([[[1, 2], [3, 4]]]), 2).tolist()
        [[[1], [2], [3], [4]]]
    """
    return _shuffled(x, factor)


@pixel_shuffle.validate
def _(x, factor):
    check_count("pixel_shuffle", "factor", factor)
    check_images("pixel_shuffle", x)
    pieces = factor ** (jnp.ndim(x) - 2)
    if jnp.shape(x)[-1] % pieces:
        raise InputError(
            f"pixel_shuffle by {factor} expects x of shape [N, *spatial, {pieces} * C], got {list(jnp.shape(x))}"
        )


@pixel_shuffle.forward
def _(x, factor):
    return _shuffled(x, factor), None


@pixel_shuffle.backward
def _(_, dy, *, factor):
    # y[i r + a, j r + b, c] = x[i, j, (a r + b) C + c]
    return (_unshuffled(dy, factor),)


@rule(static=["factor"])
def pixel_unshuffle(x: jax.Array, factor: int) -> jax.Array:
    """Gathers positions into channels: y[i, j, (a r + b) C + c] = x[i r + a, j r + b, c], for a factor of r.

    The inverse of `pixel_shuffle`.

    Args:
        x: [N, *spatial, C] with d = one to three spatial axes.
        factor: r, how many times shorter every spatial axis becomes.

    Returns:
        y: [N, *(spatial / r), r^d C], in the dtype of x.

    Raises:
        InputError: for x of another rank, and when r does not divide a spatial axis.

    Remembers:
        nothing.

    Example:
        >>> import jax.numpy as jnp
        >>> pixel_unshuffle(jnp.array([[[1], [2], [3], [4]]]), 2).tolist()
        [[[1, 2], [3, 4]]]
    """
    return _unshuffled(x, factor)


@pixel_unshuffle.validate
def _(x, factor):
    check_count("pixel_unshuffle", "factor", factor)
    check_images("pixel_unshuffle", x)
    if any(n % factor for n in jnp.shape(x)[1:-1]):
        raise InputError(
            f"pixel_unshuffle expects x with spatial sizes that its factor {factor} divides, got {list(jnp.shape(x))}"
        )


@pixel_unshuffle.forward
def _(x, factor):
    return _unshuffled(x, factor), None


@pixel_unshuffle.backward
def _(_, dy, *, factor):
    # y[i, j, (a r + b) C + c] = x[i r + a, j r + b, c]
    return (_shuffled(dy, factor),)


def _shuffled(x, factor):
    examples, *spatial, channels = x.shape
    axes, fewer = len(spatial), channels // factor ** len(spatial)
    # [N, H, W, r, r, C] -> [N, H, r, W, r, C]
    apart = x.reshape(examples, *spatial, *(factor for _ in spatial), fewer)
    order = [axis for pair in zip(range(1, axes + 1), range(axes + 1, 2 * axes + 1), strict=True) for axis in pair]
    return apart.transpose(0, *order, 2 * axes + 1).reshape(examples, *(n * factor for n in spatial), fewer)


def _unshuffled(x, factor):
    examples, *spatial, channels = x.shape
    axes = len(spatial)
    # [N, H, r, W, r, C] -> [N, H, W, r, r, C]
    apart = x.reshape(examples, *(length for n in spatial for length in (n // factor, factor)), channels)
    order = [*range(1, 2 * axes + 1, 2), *range(2, 2 * axes + 1, 2), 2 * axes + 1]
    return apart.transpose(0, *order).reshape(examples, *(n // factor for n in spatial), factor**axes * channels)


class PixelShuffle(RuleLayer):
    """The layer of `pixel_shuffle`.

    Args:
        factor: how many times longer every spatial axis becomes.

    Example:
        >>> import jax.numpy as jnp
        >>> PixelShuffle(2).apply({}, {}, jnp.ones((5, 7, 7, 12)))[0].shape
        (5, 14, 14, 3)
    """

    rule = pixel_shuffle
    factor: int

    def __post_init__(self) -> None:
        check_count("PixelShuffle", "factor", self.factor)

    def receptive_window(self, x: Any) -> tuple[tuple[int, Fraction, int], ...]:
        return ((1, Fraction(1, self.factor), 1),) * (len(x.shape) - 2)


class PixelUnshuffle(RuleLayer):
    """The layer of `pixel_unshuffle`.

    Args:
        factor: how many times shorter every spatial axis becomes.

    Example:
        >>> import jax.numpy as jnp
        >>> PixelUnshuffle(2).apply({}, {}, jnp.ones((5, 14, 14, 3)))[0].shape
        (5, 7, 7, 12)
    """

    rule = pixel_unshuffle
    factor: int

    def __post_init__(self) -> None:
        check_count("PixelUnshuffle", "factor", self.factor)

    def receptive_window(self, x: Any) -> tuple[tuple[int, int, int], ...]:
        return ((self.factor, self.factor, 1),) * (len(x.shape) - 2)
