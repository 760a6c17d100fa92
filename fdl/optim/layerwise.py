"""Large batches: each array's step is measured by the length of its weights.

A learning rate that is right for one layer is far too large for another when batches are large and steps few.
Here an update u of an array w is made as long as a share of w itself: u |w| / |u|, where |.| is the length of the
whole array. Where |w| or |u| is zero, u is taken as it is.

The layers of a `Repeat` are stacked in one array, and share one length and one step size. `jax.vmap` over the first
axis gives each its own, here in `fdl.models.gpt`:

    one = lamb(1e-3)
    each = Optimizer(jax.vmap(one.init), lambda grads, state, params: jax.vmap(one.update)(grads, state, params))
    optimizer = partition(one, blocks=("blocks.*", each))
"""

from typing import Any

import jax.numpy as jnp

from fdl.optim.adam import ONES, adam_direction, averages
from fdl.optim.hyperparameters import DECAY, NOT_NEGATIVE, POSITIVE, Hyperparameter, Hyperparameters
from fdl.optim.optimizer import Optimizer
from fdl.optim.recurrence import decayed, per_parameter
from fdl.optim.trees import length
from fdl.paths import Keep


def lars(
    learning_rate: Hyperparameter,
    decay: Hyperparameter = 0.9,
    weight_decay: Hyperparameter = 0.0,
    trust: Hyperparameter = 1e-3,
    *,
    keep: Keep | None = None,
) -> Optimizer:
    """LARS: momentum with a learning rate for each array.

        r = trust |w| / (|g| + weight_decay |w|)
        v = m v - lr r (g + weight_decay w)
        w += v

    The weight decay is coupled: it is part of the gradient. optax divides by |g + weight_decay w|.

    Args:
        learning_rate: lr >= 0; with a trust of 0.001 values above 1 are usual.
        decay: m in [0, 1).
        weight_decay: not negative.
        trust: positive, how far an array may move in proportion to its length.
        keep: which paths this is for, as in `fdl.paths.select`; all, unless told otherwise. The others take steps
            of `momentum`, without decay: `fdl.paths.is_weight` leaves biases and normalisations out, as is usual.

    Raises:
        InputError: for a hyperparameter outside its range, for a pattern that fits no path, and for an update
            without parameters.

    Source:
        You, Gitman and Ginsburg, "Large batch training of convolutional networks" (2017), algorithm 1.

    Example:
        >>> import jax.numpy as jnp
        >>> opt, w = lars(1.0, trust=0.1), jnp.array([3.0, 4.0])
        >>> updates, _ = opt.update(jnp.array([0.0, 100.0]), opt.init(w), w)
        >>> updates.round(4).tolist()  # a tenth of |w| = 5
        [0.0, -0.5]
    """
    values = Hyperparameters(
        "lars",
        learning_rate=(learning_rate, NOT_NEGATIVE),
        decay=(decay, DECAY),
        weight_decay=(weight_decay, NOT_NEGATIVE),
        trust=(trust, POSITIVE),
    )

    def recurrence(h: Any, g: Any, w: Any, v: Any) -> tuple[Any, Any]:
        if h.kept:
            of_w, of_g = length(w), length(g)
            g = _as_long(decayed(h, g, w), of_g + h.weight_decay * of_w, h.trust * of_w)
        v = h.decay * v - h.learning_rate * g
        return v, v

    return per_parameter(recurrence, values, slots=["velocity"], uses_params=True, keep=keep)


def lamb(
    learning_rate: Hyperparameter = 1e-3,
    b1: Hyperparameter = 0.9,
    b2: Hyperparameter = 0.999,
    eps: Hyperparameter = 1e-6,
    weight_decay: Hyperparameter = 0.0,
    *,
    keep: Keep | None = None,
) -> Optimizer:
    """LAMB: Adam with decoupled weight decay, in steps as long as a share of each array.

        u = mhat / (sqrt(vhat) + eps) + weight_decay w
        w += -lr |w| / |u| u

    with the averages of `adam`. The function of |w| in the paper is the identity here, as in its experiments.

    Args:
        learning_rate: lr >= 0, the share of its length by which each array moves.
        b1, b2: decay rates in [0, 1).
        eps: positive, outside the root.
        weight_decay: not negative.
        keep: which paths this is for, as in `fdl.paths.select`; all, unless told otherwise. The others take steps
            of `adam`, without decay.

    Raises:
        InputError: for a hyperparameter outside its range, for a pattern that fits no path, and for an update
            without parameters.

    Source:
        You et al., "Large batch optimization for deep learning: training BERT in 76 minutes" (2020), algorithm 2.

    Example:
        >>> import jax.numpy as jnp
        >>> opt, w = lamb(0.1), jnp.array([3.0, 4.0])
        >>> updates, _ = opt.update(jnp.array([1.0, 1.0]), opt.init(w), w)
        >>> updates.round(4).tolist()  # of length 0.1 |w| = 0.5
        [-0.3536, -0.3536]
    """
    values = Hyperparameters(
        "lamb",
        learning_rate=(learning_rate, NOT_NEGATIVE),
        b1=(b1, DECAY),
        b2=(b2, DECAY),
        eps=(eps, POSITIVE),
        weight_decay=(weight_decay, NOT_NEGATIVE),
    )

    def recurrence(h: Any, g: Any, w: Any, m: Any, v: Any) -> tuple[Any, Any, Any]:
        m, v = averages(h, g, m, v)
        direction = decayed(h, adam_direction(h, m, v), w)
        if h.kept:
            direction = _as_long(direction, length(direction), length(w))
        return -h.learning_rate * direction, m, v

    return per_parameter(recurrence, values, slots=["mean", "square"], ones=ONES, uses_params=True, keep=keep)


def _as_long(step: Any, now: Any, wanted: Any) -> Any:
    """The step, made longer by wanted / now, which may be more than can be written: so it is divided first."""
    both = (now > 0) & (wanted > 0)
    return jnp.where(both, step / jnp.where(both, now, 1) * wanted, step)
