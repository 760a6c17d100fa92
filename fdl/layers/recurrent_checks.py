"""Checks of arguments that the recurrent rules share."""

from typing import Any

import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.ids import check_lengths
from fdl.layers.checks import check_floats


def check_recurrence(
    who: str, xs: Any, states: dict[str, Any], wx: Any, wh: Any, b: Any, lengths: Any, gates: int, block: int | None
) -> None:
    """Refuses arguments of a recurrent rule that do not fit together; a kernel before the last axes of wx is spatial.

    Raises:
        InputError: with the name of the argument, what was expected, and what came.
    """
    x_shape, w_shape = jnp.shape(xs), jnp.shape(wx)
    if len(w_shape) < 2 or w_shape[-1] % gates or not w_shape[-1]:
        raise InputError(f"{who} expects wx of shape [..., in, {gates} hidden], got {list(w_shape)}")
    *kernel, inputs, outputs = w_shape
    hidden, axes = outputs // gates, "".join(f", S{i + 1}" for i in range(len(kernel)))
    if len(x_shape) != 3 + len(kernel) or x_shape[-1] != inputs:
        raise InputError(
            f"{who} expects xs of shape [N, T{axes}, {inputs}] for wx of shape {list(w_shape)}, "
            f"got {list(x_shape)}: batch first, then time, features last"
        )
    if x_shape[1] == 0:
        raise InputError(f"{who} expects xs with at least one step, got {list(x_shape)}: empty sequences have length 0")
    state = (x_shape[0], *x_shape[2:-1], hidden)
    expected = {"wh": (*kernel, hidden, outputs), "b": (outputs,)} | dict.fromkeys(states, state)
    for name, array in ({"wh": wh, "b": b} | states).items():
        if jnp.shape(array) != expected[name]:
            raise InputError(
                f"{who} expects {name} of shape {list(expected[name])} for xs of shape {list(x_shape)} and wx of "
                f"shape {list(w_shape)}, got {list(jnp.shape(array))}"
            )
    for array in (xs, wx, wh, b, *states.values()):
        check_floats(who, array)
    if block is not None or kernel:  # a convolution has no rows of which some 250 are enough
        check_count(who, "block", block)
    check_lengths(who, lengths, x_shape[0], x_shape[1], "steps")


def check_remember(who: str, remember: str) -> None:
    """Refuses what is no choice of what to remember."""
    if remember not in ("gates", "states"):
        raise InputError(f'{who} remembers "gates" or "states", got {remember!r}')
