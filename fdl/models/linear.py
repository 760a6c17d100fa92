"""Linear models: one affine map, and a loss that says what its outputs mean.

    y = x w + b                                                x: [N, D]   w: [D, K]   b: [K]   y: [N, K]

    linear regression       y is the prediction                            `fdl.losses.squared_error`
    logistic regression     sigmoid(y) is the probability of "yes"         `fdl.losses.sigmoid_cross_entropy`
    softmax regression      softmax(y) are the probabilities of classes    `fdl.losses.softmax_cross_entropy`

The layer is the same in all three; the gradient is too, dL/dy = (what is predicted - what is true) up to a factor. Each
loss is convex in w and b: there is one valley, so all weights start at zero, and any method that goes down finds its
bottom. Before training, every class is as likely as any other, and the loss of K classes is log K.

For squared errors the bottom can be written down. With ``ridge`` r, the one (w, b) that makes

    sum over examples of |x w + b - t|^2 + r |w|^2

smallest has b = mean(t) - mean(x) w, which leaves a problem in the centred X = x - mean(x) and T = t - mean(t). There
the gradient is zero where (X^T X + r I) w = X^T T. Squaring X squares its condition, and doubles the digits that are
lost, so X is taken apart instead, X = U S V^T, and then

    w = V (S^2 + r)^-1 S U^T T

Where r = 0 and columns of X depend on each other, many w are as good, and this gives the shortest one.

Sources: Gauss, "Theoria motus corporum coelestium" (1809), for squares; Hoerl and Kennard, "Ridge regression: biased
estimation for nonorthogonal problems" (1970); Cox, "The regression analysis of binary sequences" (1958), logistic.
"""

from typing import Any

import jax
import jax.numpy as jnp

from fdl.concrete import is_concrete
from fdl.errors import InputError
from fdl.initializers import zeros
from fdl.layers import Affine
from fdl.rule import wide


def linear_regression(outputs: int = 1) -> Affine:
    """A prediction of numbers: y = x w + b, to be trained with squared errors, or by `fit_linear_regression`.

    Args:
        outputs: how many numbers to predict, K.

    Returns:
        A layer from features [N, D] to predictions [N, K], whose weights start at zero.

    Raises:
        InputError: for fewer than one output.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params, state = linear_regression().init(jax.random.key(0), jnp.ones((5, 3)))
        >>> jax.tree.map(jnp.shape, params)
        {'b': (1,), 'w': (3, 1)}
    """
    return Affine(outputs, w_init=zeros())


def logistic_regression(outputs: int = 1) -> Affine:
    """Questions with a yes or a no: the log-odds y = x w + b of yes, to be trained with sigmoid cross-entropy.

    Args:
        outputs: how many questions there are about each example, K.

    Returns:
        A layer from features [N, D] to log-odds [N, K], whose weights start at zero: even chances.

    Raises:
        InputError: for fewer than one output.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.losses import sigmoid_cross_entropy
        >>> net, x, yes = logistic_regression(), jnp.ones((5, 3)), jnp.ones((5, 1))
        >>> log_odds, _ = net.apply(*net.init(jax.random.key(0), x), x)
        >>> round(float(sigmoid_cross_entropy(log_odds, yes).mean()), 4)  # log 2
        0.6931
    """
    return Affine(outputs, w_init=zeros())


def softmax_regression(classes: int) -> Affine:
    """One class out of several: their scores y = x w + b, to be trained with softmax cross-entropy.

    With `fdl.losses.hinge` instead, it is the linear support vector machine of several classes.

    Args:
        classes: how many there are, K.

    Returns:
        A layer from features [N, D] to scores [N, K], whose weights start at zero. Images are made features by
        ``Serial(Flatten(), softmax_regression(10))``.

    Raises:
        InputError: for fewer than one class.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.losses import softmax_cross_entropy
        >>> net, x = softmax_regression(10), jnp.ones((5, 3))
        >>> scores, _ = net.apply(*net.init(jax.random.key(0), x), x)
        >>> round(float(softmax_cross_entropy(scores, jnp.arange(5)).mean()), 4)  # log 10
        2.3026
    """
    return Affine(classes, w_init=zeros())


def fit_linear_regression(x: jax.Array, y: jax.Array, *, ridge: float | jax.Array = 0.0) -> dict[str, jax.Array]:
    """The parameters of `linear_regression` with the least sum of squared errors, by its closed form.

    Args:
        x: the features, [N, D], with N at least 1.
        y: what is to be predicted, [N, K].
        ridge: what is added for each unit of |w|^2, at least 0; the bias costs nothing. It may be traced, to be learnt.

    Returns:
        {"w": [D, K], "b": [K]}, in float32 or wider. Of several best w, the shortest.

    Raises:
        InputError: for other shapes, for no examples, and for a negative ridge where it can be seen.

    Source: Hoerl and Kennard (1970).

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.array([[0.0], [1.0], [2.0]])
        >>> params = fit_linear_regression(x, 3 * x + 1)
        >>> linear_regression().apply(params, {}, jnp.array([[10.0]]))[0].round(3).tolist()
        [[31.0]]
    """
    _check(x, y, ridge)
    return _fit(jnp.asarray(x, wide(x)), jnp.asarray(y, wide(y)), ridge)


@jax.jit
def _fit(x: jax.Array, y: jax.Array, ridge: Any) -> dict[str, jax.Array]:
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    u, s, v_transposed = jnp.linalg.svd(x - x_mean, full_matrices=False)
    with jax.default_matmul_precision("highest"):
        # Directions in which the examples differ by rounding alone say nothing of y.
        says_something = s > jnp.finfo(s.dtype).eps * max(x.shape) * s[0]
        factors = jnp.where(says_something, s / jnp.where(says_something, s**2 + ridge, 1), 0)
        w = v_transposed.T @ (factors[:, None] * (u.T @ (y - y_mean)))
        return {"w": w, "b": y_mean - x_mean @ w}


def _check(x: Any, y: Any, ridge: Any) -> None:
    x_shape, y_shape = jnp.shape(x), jnp.shape(y)
    if len(x_shape) != 2 or 0 in x_shape:
        raise InputError(f"fit_linear_regression expects x of shape [N, D], at least one of each, got {list(x_shape)}")
    if len(y_shape) != 2 or y_shape[0] != x_shape[0]:
        hint = ": a single number for each example is y[:, None]" if y_shape == x_shape[:1] else ""
        raise InputError(f"fit_linear_regression expects y of shape [{x_shape[0]}, K], got {list(y_shape)}{hint}")
    if is_concrete(ridge) and not ridge >= 0:
        raise InputError(f"fit_linear_regression needs a ridge of at least 0, got {ridge}")
