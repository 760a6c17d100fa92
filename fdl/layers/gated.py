"""Gated linear units: half of the features decide how much of the other half goes through.

    y = a f(b)          x = [a, b], the two halves of the last axis, in this order

    glu       f = sigmoid        f' = f (1 - f)
    swiglu    f = silu
    geglu     f = gelu

By the product rule, element by element,

    da = f(b) dy        db = a f'(b) dy        dx = [da, db]

x is all that is remembered: it holds a and b, f(b) follows from b for less than it costs to read it back, and
y exists anyway.

Sources: Dauphin, Fan, Auli and Grangier, "Language modeling with gated convolutional networks" (2017);
Shazeer, "GLU variants improve transformer" (2020), whose f(x w) (x v) is affine(x, [v, w]) here.
"""

import jax
import jax.numpy as jnp

from fdl.errors import InputError
from fdl.layers.checks import check_approximate, check_floats
from fdl.layers.rule_layer import RuleLayer
from fdl.layers.self_gated import gelu, gelu_slope, silu, silu_slope
from fdl.rule import rule, wide


@rule
def glu(x: jax.Array) -> jax.Array:
    """The gated linear unit y = a sigmoid(b), where a and b are the halves of the last axis of x.

    Args:
        x: [..., 2 C], floats; the second half is the gate.

    Returns:
        y: [..., C], in the dtype of x, computed in float32 or wider.

    Raises:
        InputError: for integers, and for an odd number of features.

    Remembers:
        x.

    Source:
        Dauphin, Fan, Auli and Grangier (2017).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> glu(jnp.array([2.0, 4.0, 0.0, 100.0])).tolist()
        [1.0, 4.0]
        >>> jax.grad(lambda x: glu(x).sum())(jnp.array([2.0, 4.0, 0.0, 100.0])).tolist()
        [0.5, 1.0, 0.5, 0.0]
    """
    a, b = _halves(x)
    return (a * jax.nn.sigmoid(b)).astype(x.dtype)


@glu.validate
def _(x):
    _check_halves("glu", x)


@glu.forward
def _(x):
    return glu.reference(x), x


@glu.backward
def _(x, dy):
    a, b = _halves(x)
    # y = a s      s = sigmoid(b)
    s = jax.nn.sigmoid(b)
    return (_joined(dy * s, dy * a * s * (1 - s)),)


@rule
def swiglu(x: jax.Array) -> jax.Array:
    """The gated linear unit y = a silu(b), where a and b are the halves of the last axis of x.

    Args:
        x: [..., 2 C], floats; the second half is the gate.

    Returns:
        y: [..., C], in the dtype of x, computed in float32 or wider.

    Raises:
        InputError: for integers, and for an odd number of features.

    Remembers:
        x.

    Source:
        Shazeer (2020).

    Example:
        >>> import jax.numpy as jnp
        >>> swiglu(jnp.array([2.0, 4.0, 0.0, 100.0])).tolist()
        [0.0, 400.0]
    """
    a, b = _halves(x)
    return (a * silu(b)).astype(x.dtype)


@swiglu.validate
def _(x):
    _check_halves("swiglu", x)


@swiglu.forward
def _(x):
    return swiglu.reference(x), x


@swiglu.backward
def _(x, dy):
    a, b = _halves(x)
    # y = a silu(b)
    return (_joined(dy * silu(b), dy * a * silu_slope(b)),)


@rule(static=["approximate"])
def geglu(x: jax.Array, approximate: bool = True) -> jax.Array:
    """The gated linear unit y = a gelu(b), where a and b are the halves of the last axis of x.

    Args:
        x: [..., 2 C], floats; the second half is the gate.
        approximate: which `gelu` it is.

    Returns:
        y: [..., C], in the dtype of x, computed in float32 or wider.

    Raises:
        InputError: for integers, for an odd number of features, and as `gelu`.

    Remembers:
        x.

    Source:
        Shazeer (2020).

    Example:
        >>> import jax.numpy as jnp
        >>> geglu(jnp.array([2.0, 4.0, 0.0, 100.0])).tolist()
        [0.0, 400.0]
    """
    a, b = _halves(x)
    return (a * gelu(b, approximate)).astype(x.dtype)


@geglu.validate
def _(x, approximate):
    _check_halves("geglu", x)
    check_approximate("geglu", approximate)


@geglu.forward
def _(x, approximate):
    return geglu.reference(x, approximate), x


@geglu.backward
def _(x, dy, *, approximate):
    a, b = _halves(x)
    # y = a gelu(b)
    return (_joined(dy * gelu(b, approximate), dy * a * gelu_slope(b, approximate)),)


def _halves(x):
    return jnp.split(x.astype(wide(x)), 2, axis=-1)


def _joined(first, second):
    """[first, second] along the last axis: as a sum of padded halves it fuses with what computes them."""
    others, width = [(0, 0)] * (first.ndim - 1), first.shape[-1]
    return jnp.pad(first, [*others, (0, width)]) + jnp.pad(second, [*others, (width, 0)])


def _check_halves(who, x):
    check_floats(who, x)
    shape = jnp.shape(x)
    if not shape or shape[-1] % 2:
        raise InputError(f"{who} expects x of shape [..., 2 C], two halves of equal size, got {list(shape)}")


class Glu(RuleLayer):
    """The layer of `glu`; it has no parameters and halves the number of features.

    Example:
        >>> import jax.numpy as jnp
        >>> Glu().apply({}, {}, jnp.array([2.0, 0.0]))[0].tolist()
        [1.0]
    """

    rule = glu


class Swiglu(RuleLayer):
    """The layer of `swiglu`; it has no parameters and halves the number of features.

    Example:
        >>> import jax.numpy as jnp
        >>> Swiglu().apply({}, {}, jnp.array([2.0, 100.0]))[0].tolist()
        [200.0]
    """

    rule = swiglu


class Geglu(RuleLayer):
    """The layer of `geglu`; it has no parameters and halves the number of features.

    Args:
        approximate: which `gelu` it is.

    Example:
        >>> import jax.numpy as jnp
        >>> Geglu().apply({}, {}, jnp.array([2.0, 100.0]))[0].tolist()
        [200.0]
    """

    rule = geglu
    approximate: bool = True
