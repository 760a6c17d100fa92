"""A step size for each parameter, from the size that its gradients had: before Adam.

In every recurrence w are the parameters, g their gradient, and lr the learning rate. Each hyperparameter is a
number or a schedule. All of this is computed in float32 or wider, so that eps is not zero.
"""

from typing import Any

import jax.numpy as jnp

from fdl.optim.hyperparameters import DECAY, NOT_NEGATIVE, POSITIVE, Hyperparameter, Hyperparameters
from fdl.optim.optimizer import Optimizer
from fdl.optim.recurrence import per_parameter


def adagrad(learning_rate: Hyperparameter = 1e-2, eps: Hyperparameter = 1e-10) -> Optimizer:
    """AdaGrad: steps shrink with the sum of all squared gradients, and stay large for parameters rarely used.

        s = s + g^2
        w += -lr g / (sqrt(s) + eps)

    eps stands outside the root, as in PyTorch; optax and Keras put it inside and start s from 0.1.

    Args:
        learning_rate: lr >= 0.
        eps: positive.

    Raises:
        InputError: for a hyperparameter outside its range.

    Source:
        Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic optimization" (2011).

    Example:
        >>> import jax.numpy as jnp
        >>> opt, g = adagrad(1.0), jnp.array([3.0, 0.01])
        >>> updates, opt_state = opt.update(g, opt.init(g))
        >>> updates.tolist()
        [-1.0, -1.0]
        >>> updates, _ = opt.update(g, opt_state)
        >>> updates.round(4).tolist()
        [-0.7071, -0.7071]
    """
    values = Hyperparameters("adagrad", learning_rate=(learning_rate, NOT_NEGATIVE), eps=(eps, POSITIVE))

    def recurrence(h: Any, g: Any, w: Any, total: Any) -> tuple[Any, Any]:
        total = total + jnp.square(g)
        return -h.learning_rate * g / (jnp.sqrt(total) + h.eps), total

    return per_parameter(recurrence, values, slots=["total"])


def adadelta(
    learning_rate: Hyperparameter = 1.0, decay: Hyperparameter = 0.95, eps: Hyperparameter = 1e-6
) -> Optimizer:
    """AdaDelta: steps in the units of the parameters, from the size of earlier steps.

        s = rho s + (1 - rho) g^2
        u = -sqrt(d + eps) / sqrt(s + eps) g
        d = rho d + (1 - rho) u^2
        w += lr u

    Both eps stand inside their roots: the first is what gets the method to move at all.

    Args:
        learning_rate: lr >= 0; the paper has none, that is, 1.
        decay: rho in [0, 1).
        eps: positive.

    Raises:
        InputError: for a hyperparameter outside its range.

    Source:
        Zeiler, "ADADELTA: an adaptive learning rate method" (2012), algorithm 1.

    Example:
        >>> import jax.numpy as jnp
        >>> opt, g = adadelta(), jnp.array([3.0, -3.0])
        >>> updates, _ = opt.update(g, opt.init(g))
        >>> updates.round(5).tolist()
        [-0.00447, 0.00447]
    """
    values = Hyperparameters(
        "adadelta", learning_rate=(learning_rate, NOT_NEGATIVE), decay=(decay, DECAY), eps=(eps, POSITIVE)
    )

    def recurrence(h: Any, g: Any, w: Any, square: Any, step_square: Any) -> tuple[Any, Any, Any]:
        square = h.decay * square + (1 - h.decay) * jnp.square(g)
        step = -jnp.sqrt((step_square + h.eps) / (square + h.eps)) * g
        return h.learning_rate * step, square, h.decay * step_square + (1 - h.decay) * jnp.square(step)

    return per_parameter(recurrence, values, slots=["square", "step_square"])


def rmsprop(
    learning_rate: Hyperparameter = 1e-3,
    decay: Hyperparameter = 0.9,
    eps: Hyperparameter = 1e-8,
    *,
    centred: bool = False,
) -> Optimizer:
    """RMSProp: the gradient over the root of its running mean square.

        s = rho s + (1 - rho) g^2
        w += -lr g / (sqrt(s) + eps)

    Centred, it divides by the running standard deviation: with a = rho a + (1 - rho) g, sqrt(max(s - a^2, 0))
    takes the place of sqrt(s); the maximum is there for rounding, which could leave less than nothing.

    eps stands outside the root, as in PyTorch; TensorFlow and optax put it inside. PyTorch's rho is 0.99. The
    average starts from zero and is not corrected for that, so the first steps are 1 / sqrt(1 - rho) times longer.

    Args:
        learning_rate: lr >= 0.
        decay: rho in [0, 1).
        eps: positive.
        centred: whether the mean is taken away from the mean square. Its first steps are the longest: one
            gradient has no variance but that by which the averages lag behind it.

    Raises:
        InputError: for a hyperparameter outside its range.

    Source:
        Tieleman and Hinton, "Neural networks for machine learning", lecture 6.5 (2012); centred: Graves,
        "Generating sequences with recurrent neural networks" (2013), equations 38 to 41.

    Example:
        >>> import jax.numpy as jnp
        >>> opt, g = rmsprop(0.1, decay=0.75), jnp.array([3.0, -0.01])
        >>> updates, _ = opt.update(g, opt.init(g))
        >>> updates.round(4).tolist()
        [-0.2, 0.2]
    """
    values = Hyperparameters(
        "rmsprop", learning_rate=(learning_rate, NOT_NEGATIVE), decay=(decay, DECAY), eps=(eps, POSITIVE)
    )

    def recurrence(h: Any, g: Any, w: Any, square: Any) -> tuple[Any, Any]:
        square = h.decay * square + (1 - h.decay) * jnp.square(g)
        return -h.learning_rate * g / (jnp.sqrt(square) + h.eps), square

    def centred_recurrence(h: Any, g: Any, w: Any, square: Any, mean: Any) -> tuple[Any, Any, Any]:
        square = h.decay * square + (1 - h.decay) * jnp.square(g)
        mean = h.decay * mean + (1 - h.decay) * g
        deviation = jnp.sqrt(jnp.maximum(square - jnp.square(mean), 0))
        return -h.learning_rate * g / (deviation + h.eps), square, mean

    if centred:
        return per_parameter(centred_recurrence, values, slots=["square", "mean"])
    return per_parameter(recurrence, values, slots=["square"])
