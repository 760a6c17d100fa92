"""Checks of arguments that several families of rules share."""

import dataclasses
import math
import numbers
from typing import Any

import jax
import jax.numpy as jnp

from fdl.errors import InputError
from fdl.layer import Layer
from fdl.lengths import is_positive


def check_floats(who: str, x: Any) -> None:
    """Refuses integers, in which the values of a smooth function would be rounded away.

    Raises:
        InputError: when x is not an array of floats.

    Example:
        >>> check_floats("sigmoid", jnp.arange(3))
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: sigmoid expects floats, got int32: convert them with x.astype(jnp.float32)
    """
    dtype = jnp.result_type(x)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise InputError(f"{who} expects floats, got {dtype}: convert them with x.astype(jnp.float32)")


def check_real(who: str, *arrays: Any) -> None:
    """Refuses complex numbers: none is the larger (JAX compares real parts first), and squares are no sizes.

    Raises:
        InputError: when an array is complex.

    Example:
        >>> check_real("relu", jnp.ones(3, complex))
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: relu expects real numbers, got complex64: give it real and imaginary parts
    """
    for dtype in map(jnp.result_type, arrays):
        if jnp.issubdtype(dtype, jnp.complexfloating):
            raise InputError(f"{who} expects real numbers, got {dtype}: give it real and imaginary parts")


def check_product(who: str, x: Any, w: Any) -> None:
    """Refuses a product of integers, to whose type a bias would be rounded; either may be integers.

    Raises:
        InputError: when neither x nor w is an array of floats.

    Example:
        >>> check_product("affine", jnp.ones((2, 3), int), jnp.ones((3, 4), int))
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: affine expects floats, got int32: convert them with x.astype(jnp.float32)
    """
    if not jnp.issubdtype(jnp.result_type(x, w), jnp.inexact):
        check_floats(who, x)


def check_vectors(who: str, x: Any, **vectors: Any) -> None:
    """Refuses integers, and parameters that are not one number for each feature of x [..., C].

    Raises:
        InputError: when x is not an array of floats, or with the name of the parameter and both shapes.

    Example:
        >>> check_vectors("layer_norm", jnp.ones((2, 3)), gamma=jnp.ones(3), beta=jnp.ones(2))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: layer_norm expects beta of shape [3] for x of shape [2, 3], got [2]: one number ...
    """
    check_floats(who, x)
    shape = jnp.shape(x)
    for name, vector in vectors.items():
        if jnp.shape(vector) != shape[-1:]:
            raise InputError(
                f"{who} expects {name} of shape {list(shape[-1:])} for x of shape {list(shape)}, "
                f"got {list(jnp.shape(vector))}: one number for each feature of the last axis"
            )


def check_feature_scale(who: str, x: Any, **vector: Any) -> None:
    """Refuses a parameter that is neither a scalar nor one number for each feature of x [..., C].

    Raises:
        InputError: with the name of the parameter and both shapes.

    Example:
        >>> check_feature_scale("prelu", jnp.ones((2, 3)), alpha=jnp.ones(2))
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: prelu expects alpha as a scalar or of shape [3] for x of shape [2, 3], got [2]
    """
    (name, value), shape = *vector.items(), jnp.shape(x)
    if jnp.shape(value) not in ((), shape[-1:]):
        raise InputError(
            f"{who} expects {name} as a scalar or of shape {list(shape[-1:])} for x of shape {list(shape)}, "
            f"got {list(jnp.shape(value))}"
        )


def is_number(value: Any) -> bool:
    """Whether a value can be compared with others; one that is traced can be as far as this is concerned.

    Example:
        >>> is_number(0.5), is_number(jnp.float32(1)), is_number((64,)), is_number(None)
        (True, True, False, False)
    """
    return isinstance(value, (numbers.Real, jax.Array))


def check_rate(who: str, rate: float) -> None:
    """Refuses what is no probability to drop.

    Raises:
        InputError: for a rate outside [0, 1).

    Example:
        >>> check_rate("Dropout", 1)
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: Dropout needs a rate in [0, 1), the probability to drop, got 1
    """
    if not (is_number(rate) and 0 <= rate < 1):
        raise InputError(f"{who} needs a rate in [0, 1), the probability to drop, got {rate!r}")


def check_approximate(who: str, approximate: bool) -> None:
    """Refuses words, all of which would be true: elsewhere "none" asks for the exact function.

    Raises:
        InputError: for what is no bool.

    Example:
        >>> check_approximate("gelu", 1)
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: gelu needs approximate as True, for the tanh, or False, for the exact function, got 1
    """
    if not isinstance(approximate, bool):
        raise InputError(
            f"{who} needs approximate as True, for the tanh, or False, for the exact function, got {approximate!r}"
        )


def check_base(who: str, name: str, base: float) -> None:
    """Refuses what is no base of rotary positions: with 1, which True is, all pairs turn alike, and -1 makes NaN.

    Raises:
        InputError: for a base that is not above one, with the name of the argument.

    Example:
        >>> check_base("MultiHeadAttention", "rotary_base", True)
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: MultiHeadAttention needs a finite rotary_base above 1, such as 10_000.0, got True
    """
    if not 1 < base < math.inf:
        raise InputError(f"{who} needs a finite {name} above 1, such as 10_000.0, got {base}")


def check_eps(who: str, eps: float) -> None:
    """Refuses what does not keep a norm's root away from zero, or is no small number, such as a number of features.

    Raises:
        InputError: for an eps outside (0, 1), and for one that is not positive in float32, without subnormal numbers.

    Example:
        >>> check_eps("LayerNorm", 64)
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: LayerNorm needs an eps between 0 and 1, got 64: the number of features is read off x
    """
    if not (is_number(eps) and 0 < eps < 1):
        raise InputError(f"{who} needs an eps between 0 and 1, got {eps!r}: the number of features is read off x")
    if not is_positive(eps):
        raise InputError(f"{who} needs an eps that is positive in float32 as well, got {eps!r}: 1e-12 is, and small")


def check_initializers(layer: Layer) -> None:
    """Refuses what cannot be called, such as a number of features, in the place of an initializer.

    Args:
        layer: one whose initializers are the fields whose names end in ``_init``.

    Raises:
        InputError: with the name of the field.

    Example:
        >>> from fdl.layers import LSTM
        >>> LSTM(8, 16)
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: LSTM needs an initializer as wx_init, such as he_normal(), got 16: sizes of inputs are \
read off them
    """
    for field in dataclasses.fields(layer):  # type: ignore[arg-type]
        value = getattr(layer, field.name)
        if field.name.endswith("_init") and value is not field.default and not callable(value):
            raise InputError(
                f"{type(layer).__name__} needs an initializer as {field.name}, such as he_normal(), got {value!r}: "
                "sizes of inputs are read off them"
            )


def weights_of(layer: Any, params: Any) -> tuple[Any, Any]:
    """w and b among the parameters of a layer that may have a ``bias``; b is None where it has none.

    Raises:
        InputError: when they are not those of this layer: a bias is neither left out nor added without a word.

    Example:
        >>> from fdl.layers import Affine
        >>> weights_of(Affine(3), {"w": jnp.ones((2, 3))})
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: Affine(3) has parameters called b and w, got w: these are of another layer
    """
    names = ["b", "w"] if layer.bias else ["w"]
    check_names(layer, params, *names)
    return params["w"], params.get("b")


def check_names(layer: Any, params: Any, *names: str) -> None:
    """Refuses parameters that are not called like those of a layer: what is missing or more is of another layer.

    Raises:
        InputError: with the names of both.

    Example:
        >>> from fdl.layers import RMSNorm
        >>> check_names(RMSNorm(), {"gamma": jnp.ones(2), "beta": jnp.ones(2)}, "gamma")
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: RMSNorm() has parameters called gamma, got beta, gamma: these are of another layer
    """
    if sorted(params) != sorted(names):
        *most, last = sorted(names)
        expected = f"{', '.join(most)} and {last}" if most else last
        got = ", ".join(sorted(params)) or "none"
        raise InputError(f"{layer!r} has parameters called {expected}, got {got}: these are of another layer")
