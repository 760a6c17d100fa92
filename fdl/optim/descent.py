"""Descent along the gradient, plain and with a velocity.

In every recurrence w are the parameters, g their gradient, and lr the learning rate. Each hyperparameter is a
number or a schedule. All of this is computed in float32 or wider.
"""

from typing import Any

from fdl.optim.hyperparameters import DECAY, NOT_NEGATIVE, Hyperparameter, Hyperparameters
from fdl.optim.optimizer import Optimizer
from fdl.optim.recurrence import per_parameter


def sgd(learning_rate: Hyperparameter) -> Optimizer:
    """Stochastic gradient descent: w += -lr g.

    Args:
        learning_rate: lr >= 0.

    Raises:
        InputError: for a learning rate that is negative, infinite or NaN.

    Source:
        Robbins and Monro, "A stochastic approximation method" (1951).

    Example:
        >>> import jax.numpy as jnp
        >>> opt = sgd(0.5)
        >>> updates, _ = opt.update({"w": jnp.array(2.0)}, opt.init({"w": jnp.array(1.0)}))
        >>> float(updates["w"])
        -1.0
    """
    values = Hyperparameters("sgd", learning_rate=(learning_rate, NOT_NEGATIVE))

    def recurrence(h: Any, g: Any, w: Any) -> tuple[Any]:
        return (-h.learning_rate * g,)

    return per_parameter(recurrence, values)


def momentum(learning_rate: Hyperparameter, decay: Hyperparameter = 0.9) -> Optimizer:
    """Gradient descent with momentum: v = m v - lr g, then w += v.

    The velocity v has the size of an update. PyTorch and optax keep v = m v + g and multiply by lr
    afterwards, which is the same as long as lr does not change.

    Args:
        learning_rate: lr >= 0.
        decay: m in [0, 1), the share of the velocity that each step keeps.

    Raises:
        InputError: for a learning rate or a decay outside its range.

    Source:
        Polyak, "Some methods of speeding up the convergence of iteration methods" (1964).

    Example:
        >>> import jax.numpy as jnp
        >>> opt, g = momentum(1.0, decay=0.5), jnp.array(1.0)
        >>> v1, opt_state = opt.update(g, opt.init(g))
        >>> v2, opt_state = opt.update(g, opt_state)
        >>> float(v1), float(v2)
        (-1.0, -1.5)
    """
    values = Hyperparameters("momentum", learning_rate=(learning_rate, NOT_NEGATIVE), decay=(decay, DECAY))

    def recurrence(h: Any, g: Any, w: Any, v: Any) -> tuple[Any, Any]:
        v = h.decay * v - h.learning_rate * g
        return v, v

    return per_parameter(recurrence, values, slots=["velocity"])


def nesterov(learning_rate: Hyperparameter, decay: Hyperparameter = 0.9) -> Optimizer:
    """Nesterov's momentum: the gradient is taken where the velocity is about to lead.

        v' = m v - lr g(w + m v)           w' = w + v'

    The parameters that are trained are the points p = w + m v at which gradients are taken, since those are
    what the training step has in its hands. Put into the equations, with m' for the decay of the next step:

        v' = m v - lr g(p)                 p' = w' + m' v' = p - lr g(p) + m' v'

    So p follows the method exactly, also while m changes, and w = p - m v is within one velocity of it, which
    vanishes as training converges. PyTorch, optax and Keras take the same form; Keras writes it as v = m v - lr g,
    w += m v - lr g. Some courses apply it to w, with a gradient taken at w, which is another method.

    Args:
        learning_rate: lr >= 0.
        decay: m in [0, 1).

    Raises:
        InputError: for a learning rate or a decay outside its range.

    Source:
        Nesterov (1983), in the form of Sutskever, Martens, Dahl and Hinton, "On the importance of initialization
        and momentum in deep learning" (2013), equations 3 and 4.

    Example:
        >>> import jax.numpy as jnp
        >>> opt, g = nesterov(1.0, decay=0.5), jnp.array(1.0)
        >>> first, opt_state = opt.update(g, opt.init(g))
        >>> second, opt_state = opt.update(g, opt_state)
        >>> float(first), float(second)
        (-1.5, -1.75)
    """
    values = Hyperparameters("nesterov", learning_rate=(learning_rate, NOT_NEGATIVE), decay=(decay, DECAY))

    def recurrence(h: Any, g: Any, w: Any, v: Any) -> tuple[Any, Any]:
        v = h.decay * v - h.learning_rate * g
        return h.next_decay * v - h.learning_rate * g, v

    return per_parameter(recurrence, values, slots=["velocity"], upcoming=["decay"])
