"""Losses of a distance: how far a prediction p is from a target t, element by element.

With e = p - t, each loss is a function of e alone, and dp = L'(e) dL, dt = -dp.

    squared     L = e^2                                          L' = 2 e
    absolute    L = |e|                                          L' = sign(e), which is 0 at the kink
    Huber       L = e^2 / 2 where |e| <= delta,                  L' = clip(e, -delta, delta)
                    delta (|e| - delta / 2) elsewhere

The squared loss is minimal at the mean of the targets and the absolute one at their median, which
outliers do not move; Huber's is the square near zero and the absolute value beyond delta, with one
slope where they meet. With c = clip(e, -delta, delta) both of its pieces are L = c (e - c / 2), and
dL/dc = e - c vanishes wherever c moves, so that L' = c.

e is one subtraction away from the arguments: nothing is remembered beside them.

Source: Huber, "Robust estimation of a location parameter" (1964).
"""

import jax
import jax.numpy as jnp

from fdl.errors import InputError
from fdl.losses.arguments import check_alike, check_where, unmasked, widened
from fdl.rule import rule


def _error(predictions, targets, where):
    p, t = widened(where, predictions, targets)
    return p - t


def _check_elements(who, predictions, targets, where):
    check_alike(who, predictions=predictions, targets=targets)
    check_where(who, where, jnp.shape(predictions))


@rule
def squared_error(predictions: jax.Array, targets: jax.Array, *, where: jax.Array | None = None) -> jax.Array:
    """The squared error L = (p - t)^2 of every element, without a factor 1/2.

    Args:
        predictions, targets: floats of one shape, whatever it is.
        where: booleans of that shape; False makes an element's value and gradient zero.

    Returns:
        The losses, of the shape and dtype of the predictions.

    Raises:
        InputError: for targets or a mask of another shape, and for integers.

    Remembers:
        its arguments, which exist anyway.

    Example:
        >>> import jax.numpy as jnp
        >>> squared_error(jnp.array([1.0, 2.0]), jnp.array([1.0, 5.0])).tolist()
        [0.0, 9.0]
    """
    return jnp.square(_error(predictions, targets, where)).astype(predictions.dtype)


@squared_error.validate
def _(predictions, targets, *, where):
    _check_elements("squared_error", predictions, targets, where)


@squared_error.forward
def _(predictions, targets, *, where):
    return squared_error.reference(predictions, targets, where=where), (predictions, targets, where)


@squared_error.backward
def _(residuals, dloss):
    *_, where = residuals
    # loss = e^2
    de = 2 * _error(*residuals) * unmasked(dloss, where)
    return de, -de, None


@rule
def absolute_error(predictions: jax.Array, targets: jax.Array, *, where: jax.Array | None = None) -> jax.Array:
    """The absolute error L = |p - t| of every element, with slope 0 where they are equal.

    Args:
        predictions, targets: floats of one shape, whatever it is.
        where: booleans of that shape; False makes an element's value and gradient zero.

    Returns:
        The losses, of the shape and dtype of the predictions.

    Raises:
        InputError: for targets or a mask of another shape, and for integers.

    Remembers:
        its arguments, which exist anyway.

    Example:
        >>> import jax.numpy as jnp
        >>> absolute_error(jnp.array([1.0, 2.0]), jnp.array([1.0, 5.0])).tolist()
        [0.0, 3.0]
    """
    error = _error(predictions, targets, where)
    return (error * jnp.sign(error)).astype(predictions.dtype)


@absolute_error.validate
def _(predictions, targets, *, where):
    _check_elements("absolute_error", predictions, targets, where)


@absolute_error.forward
def _(predictions, targets, *, where):
    return absolute_error.reference(predictions, targets, where=where), (predictions, targets, where)


@absolute_error.backward
def _(residuals, dloss):
    *_, where = residuals
    # loss = |e|
    de = jnp.sign(_error(*residuals)) * unmasked(dloss, where)
    return de, -de, None


@rule(static=["delta"])
def huber(
    predictions: jax.Array, targets: jax.Array, *, delta: float = 1.0, where: jax.Array | None = None
) -> jax.Array:
    """Huber's loss of every element: e^2 / 2 for |e| <= delta, delta (|e| - delta / 2) beyond, with e = p - t.

    Args:
        predictions, targets: floats of one shape, whatever it is.
        delta: where the square ends, a number above 0.
        where: booleans of that shape; False makes an element's value and gradient zero.

    Returns:
        The losses, of the shape and dtype of the predictions.

    Raises:
        InputError: for targets or a mask of another shape, for integers, and for a delta that is not positive.

    Remembers:
        its arguments, which exist anyway.

    Source: Huber, "Robust estimation of a location parameter" (1964).

    Example:
        >>> import jax.numpy as jnp
        >>> huber(jnp.array([0.5, 4.0]), jnp.zeros(2)).tolist()
        [0.125, 3.5]
    """
    error = _error(predictions, targets, where)
    clipped = _clipped(error, delta)
    return (clipped * (error - clipped / 2)).astype(predictions.dtype)


@huber.validate
def _(predictions, targets, *, delta, where):
    _check_elements("huber", predictions, targets, where)
    if not delta > 0:
        raise InputError(f"huber needs delta > 0, the error at which the square ends, got {delta}")


@huber.forward
def _(predictions, targets, *, delta, where):
    return huber.reference(predictions, targets, delta=delta, where=where), (predictions, targets, where)


@huber.backward
def _(residuals, dloss, *, delta):
    *_, where = residuals
    # loss = clipped * (e - clipped / 2)
    de = _clipped(_error(*residuals), delta) * unmasked(dloss, where)
    return de, -de, None


def _clipped(error, delta):
    """The error within delta, which follows it up to the ends: there JAX halves the slope of a clip."""
    clipped = jnp.clip(error, -delta, delta)
    return jnp.where(clipped == error, error, jax.lax.stop_gradient(clipped))  # nor is there 0 * inf beyond them
