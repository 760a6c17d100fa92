"""Adam and its family: momentum, with a step size for each parameter from the running size of its gradient.

    m = b1 m + (1 - b1) g              v = b2 v + (1 - b2) g^2
    mhat = m / c1                      vhat = v / c2

Both averages start from zero, and c1 and c2 undo that: they are the same averages taken of ones,
c = b c + (1 - b), which is 1 - b^t after t steps while b is constant, and right as well while it is not.

In every recurrence w are the parameters, g their gradient, and lr the learning rate. Each hyperparameter is a
number or a schedule. All of this is computed in float32 or wider, where eps is not zero; and eps stands outside
the root, where PyTorch, optax and the paper's algorithm have it. (The paper's faster form, and TensorFlow, add it
to the root of the v that is not corrected yet, which is larger by 1 / sqrt(c2) in the first steps.)
"""

from typing import Any

import jax.numpy as jnp

from fdl.optim.hyperparameters import DECAY, NOT_NEGATIVE, POSITIVE, Hyperparameter, Hyperparameters
from fdl.optim.optimizer import Optimizer
from fdl.optim.recurrence import decayed, per_parameter
from fdl.paths import Keep

ONES = {"c1": "b1", "c2": "b2"}


def adam(
    learning_rate: Hyperparameter = 1e-3,
    b1: Hyperparameter = 0.9,
    b2: Hyperparameter = 0.999,
    eps: Hyperparameter = 1e-8,
) -> Optimizer:
    """Adam: w += -lr mhat / (sqrt(vhat) + eps).

    A penalty in the loss (L2) is divided by sqrt(vhat) like the rest of the gradient, so that weights with large
    gradients hardly feel it: `adamw` decays all alike.

    Args:
        learning_rate: lr >= 0, about the size of each early step.
        b1, b2: decay rates in [0, 1).
        eps: positive, outside the root.

    Raises:
        InputError: for a hyperparameter outside its range.

    Source:
        Kingma and Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1.

    Example:
        >>> import jax.numpy as jnp
        >>> opt, g = adam(0.1), jnp.array([5.0, -0.01])
        >>> updates, _ = opt.update(g, opt.init(g))
        >>> updates.round(4).tolist()
        [-0.1, 0.1]
    """
    values = Hyperparameters("adam", **_common(learning_rate, b1, b2, eps))

    def recurrence(h: Any, g: Any, w: Any, m: Any, v: Any) -> tuple[Any, Any, Any]:
        m, v = averages(h, g, m, v)
        return -h.learning_rate * adam_direction(h, m, v), m, v

    return per_parameter(recurrence, values, slots=["mean", "square"], ones=ONES)


def adamw(
    learning_rate: Hyperparameter = 1e-3,
    b1: Hyperparameter = 0.9,
    b2: Hyperparameter = 0.999,
    eps: Hyperparameter = 1e-8,
    weight_decay: Hyperparameter = 1e-2,
    *,
    keep: Keep | None = None,
) -> Optimizer:
    """Adam with decoupled weight decay: w += -lr (mhat / (sqrt(vhat) + eps) + weight_decay w).

    The decay is multiplied by lr, as in PyTorch and optax; in the paper, by the schedule's multiple of lr only, so
    that its weight decay is this one times the largest lr. The default is PyTorch's; optax's is 1e-4.

    Args:
        learning_rate: lr >= 0.
        b1, b2: decay rates in [0, 1).
        eps: positive, outside the root.
        weight_decay: not negative.
        keep: which paths decay, as in `fdl.paths.select`; all, unless told otherwise. `fdl.paths.is_weight` spares
            biases, normalisations and embeddings, as is usual.

    Raises:
        InputError: for a hyperparameter outside its range, for a pattern that fits no path, and for an update
            without parameters.

    Source:
        Loshchilov and Hutter, "Decoupled weight decay regularization" (2019), algorithm 2.

    Example:
        >>> import jax.numpy as jnp
        >>> opt, w = adamw(0.1, weight_decay=0.5), jnp.array([2.0, -2.0])
        >>> updates, _ = opt.update(jnp.zeros(2), opt.init(w), w)
        >>> updates.round(4).tolist()
        [-0.1, 0.1]
    """
    common = _common(learning_rate, b1, b2, eps)
    values = Hyperparameters("adamw", **common, weight_decay=(weight_decay, NOT_NEGATIVE))

    def recurrence(h: Any, g: Any, w: Any, m: Any, v: Any) -> tuple[Any, Any, Any]:
        m, v = averages(h, g, m, v)
        return -h.learning_rate * decayed(h, adam_direction(h, m, v), w), m, v

    return per_parameter(recurrence, values, slots=["mean", "square"], ones=ONES, uses_params=True, keep=keep)


def amsgrad(
    learning_rate: Hyperparameter = 1e-3,
    b1: Hyperparameter = 0.9,
    b2: Hyperparameter = 0.999,
    eps: Hyperparameter = 1e-8,
) -> Optimizer:
    """AMSGrad: Adam whose step sizes never grow again, w += -lr mhat / (sqrt(r / c2) + eps) with r = max(r, v).

    The paper corrects neither average. Here both are, after the maximum, as in PyTorch. optax takes the maximum of
    the corrected v, in which the first gradients, then a large part of the average, count forever.

    Args:
        learning_rate: lr >= 0.
        b1, b2: decay rates in [0, 1).
        eps: positive, outside the root.

    Raises:
        InputError: for a hyperparameter outside its range.

    Source:
        Reddi, Kale and Kumar, "On the convergence of Adam and beyond" (2018), algorithm 2.

    Example:
        >>> import jax.numpy as jnp
        >>> opt, opt_state = amsgrad(0.1, b1=0.0, b2=0.0), amsgrad().init(jnp.array(0.0))
        >>> for g in (4.0, 1.0):
        ...     updates, opt_state = opt.update(jnp.array(g), opt_state)
        >>> round(float(updates), 4)  # a quarter of what Adam's would be
        -0.025
    """
    values = Hyperparameters("amsgrad", **_common(learning_rate, b1, b2, eps))

    def recurrence(h: Any, g: Any, w: Any, m: Any, v: Any, largest: Any) -> tuple[Any, Any, Any, Any]:
        m, v = averages(h, g, m, v)
        largest = jnp.maximum(largest, v)
        return -h.learning_rate * adam_direction(h, m, largest), m, v, largest

    return per_parameter(recurrence, values, slots=["mean", "square", "largest"], ones=ONES)


def nadam(
    learning_rate: Hyperparameter = 2e-3,
    b1: Hyperparameter = 0.9,
    b2: Hyperparameter = 0.999,
    eps: Hyperparameter = 1e-8,
) -> Optimizer:
    """Adam with Nesterov's momentum: the average of gradients is taken one decay ahead, with this one in it again.

        w += -lr (b1' m / c1' + (1 - b1) g / c1) / (sqrt(vhat) + eps)

    b1' is b1 in the next step, and c1' what c1 will be there. b1 is constant unless it is given as a schedule, like
    the paper's: ``lambda step: 0.9 * (1 - 0.5 * 0.96 ** (0.004 * (step + 1)))``. PyTorch always has that one, but in
    the step's formula alone: its m is averaged with a constant b1.

    Args:
        learning_rate: lr >= 0.
        b1, b2: decay rates in [0, 1).
        eps: positive, outside the root.

    Raises:
        InputError: for a hyperparameter outside its range.

    Source:
        Dozat, "Incorporating Nesterov momentum into Adam" (2016), algorithm 2.

    Example:
        >>> import jax.numpy as jnp
        >>> opt, g = nadam(0.1, b1=0.5), jnp.array([5.0, -0.01])
        >>> updates, _ = opt.update(g, opt.init(g))
        >>> updates.round(4).tolist()  # 0.5 * 0.5 / 0.75 + 0.5 / 0.5 = 4 / 3
        [-0.1333, 0.1333]
    """
    values = Hyperparameters("nadam", **_common(learning_rate, b1, b2, eps))

    def recurrence(h: Any, g: Any, w: Any, m: Any, v: Any) -> tuple[Any, Any, Any]:
        m, v = averages(h, g, m, v)
        next_c1 = h.next_b1 * h.c1 + (1 - h.next_b1)
        mean = (h.next_b1 / next_c1) * m + ((1 - h.b1) / h.c1) * g
        return -h.learning_rate * mean / (jnp.sqrt(v * (1 / h.c2)) + h.eps), m, v

    return per_parameter(recurrence, values, slots=["mean", "square"], ones=ONES, upcoming=["b1"])


def adamax(
    learning_rate: Hyperparameter = 2e-3,
    b1: Hyperparameter = 0.9,
    b2: Hyperparameter = 0.999,
    eps: Hyperparameter = 1e-8,
) -> Optimizer:
    """Adam with the maximum in the place of the root mean square.

        u = max(b2 u, |g|)                 w += -lr mhat / (u + eps)

    The paper has no eps, and divides zero by zero where a gradient is zero from the start. PyTorch takes the
    maximum with |g| + eps, which makes the same difference.

    Args:
        learning_rate: lr >= 0.
        b1, b2: decay rates in [0, 1).
        eps: positive.

    Raises:
        InputError: for a hyperparameter outside its range.

    Source:
        Kingma and Ba, "Adam: a method for stochastic optimization" (2015), algorithm 2.

    Example:
        >>> import jax.numpy as jnp
        >>> opt, g = adamax(0.1), jnp.array([5.0, -0.01])
        >>> updates, _ = opt.update(g, opt.init(g))
        >>> updates.round(4).tolist()
        [-0.1, 0.1]
    """
    values = Hyperparameters("adamax", **_common(learning_rate, b1, b2, eps))

    def recurrence(h: Any, g: Any, w: Any, m: Any, largest: Any) -> tuple[Any, Any, Any]:
        m = h.b1 * m + (1 - h.b1) * g
        largest = jnp.maximum(h.b2 * largest, jnp.abs(g))
        return -(h.learning_rate / h.c1) * m / (largest + h.eps), m, largest

    return per_parameter(recurrence, values, slots=["mean", "largest"], ones={"c1": "b1"})


def averages(h: Any, g: Any, m: Any, v: Any) -> tuple[Any, Any]:
    """The running averages of g and g^2, one step on."""
    return h.b1 * m + (1 - h.b1) * g, h.b2 * v + (1 - h.b2) * jnp.square(g)


def adam_direction(h: Any, m: Any, v: Any) -> Any:
    """mhat / (sqrt(vhat) + eps), the step of Adam before its learning rate."""
    # One division per parameter: those by c1 and c2 are one for all, and then a factor.
    return m * (1 / h.c1) / (jnp.sqrt(v * (1 / h.c2)) + h.eps)


def _common(learning_rate: Any, b1: Any, b2: Any, eps: Any) -> dict[str, Any]:
    return {
        "learning_rate": (learning_rate, NOT_NEGATIVE),
        "b1": (b1, DECAY),
        "b2": (b2, DECAY),
        "eps": (eps, POSITIVE),
    }
