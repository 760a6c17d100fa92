"""Convolutions over time that only look back, and what they remember of a sequence that comes piece by piece.

A convolution with k taps, d positions apart, on one axis and with stride 1 only looks back if its padding is all in
front, ((k - 1) d, 0). Output t is then made of x_t, x_{t-d}, ..., x_{t-(k-1)d}, and a piece of a sequence needs the
last (k - 1) d positions of what was before it. After `begin_stream` they are part of the state, and take the place of
the padding; at the beginning they are the zeros that it is made of.

Convolutions of any other kind carry nothing: they see each piece by itself.

Source: van den Oord et al., "WaveNet: a generative model for raw audio" (2016), section 2.1.
"""

from typing import Any

import jax.numpy as jnp

from fdl.counts import for_each_axis
from fdl.errors import InputError
from fdl.layer import Tree
from fdl.windows import Padding, windows


def begun(layer: Any, kernel: tuple[int, ...], channels: int, batch: int, dtype: Any) -> Tree:
    """What a convolution carries at the beginning of a stream: zeros [batch, (k - 1) d, channels], if it looks back.

    Example:
        >>> from fdl.layers import Conv
        >>> begun(Conv(8, 3, padding=((4, 0),), dilation=2), (3,), 5, batch=7, dtype=jnp.float32)["before"].shape
        (7, 4, 5)
        >>> begun(Conv(8, 3), (3,), 5, batch=7, dtype=jnp.float32)
        {}
    """
    if len(kernel) != 1:
        return {}
    who = type(layer).__name__
    reach = (kernel[0] - 1) * for_each_axis(who, "dilation", layer.dilation, 1)[0]
    choices = {name: getattr(layer, name) for name in ("stride", "padding", "dilation")}
    laid = windows(who, (reach + 1,), kernel, **choices)  # of the shortest input that has a window
    if laid.stride != (1,) or laid.padding != ((reach, 0),) or reach == 0:
        return {}
    return {"before": jnp.zeros((batch, reach, channels), dtype)}


def continued(layer: Any, state: Tree, x: Any) -> tuple[Any, Padding, Tree]:
    """x with what was before it, the padding that is left to do, and the state after it; out of a stream, as it was.

    Raises:
        InputError: for other sequences than the stream began with.
    """
    if "before" not in state:
        return x, layer.padding, state
    before = state["before"]
    batch, reach, channels = before.shape
    if jnp.ndim(x) != 3 or (x.shape[0], x.shape[2]) != (batch, channels):
        raise InputError(
            f"{type(layer).__name__} began a stream of sequences [{batch}, T, {channels}], and is given "
            f"{list(jnp.shape(x))}"
        )
    x = jnp.concatenate([before.astype(x.dtype), x], axis=1)
    return x, "VALID", state | {"before": x[:, x.shape[1] - reach :].astype(before.dtype)}
