"""Lion: the sign of a momentum, so that every parameter moves by the same amount."""

from typing import Any

import jax.numpy as jnp

from fdl.optim.hyperparameters import DECAY, NOT_NEGATIVE, SHARE, Hyperparameter, Hyperparameters
from fdl.optim.optimizer import Optimizer
from fdl.optim.recurrence import decayed, per_parameter
from fdl.paths import Keep


def lion(
    learning_rate: Hyperparameter = 1e-4,
    b1: Hyperparameter = 0.9,
    b2: Hyperparameter = 0.99,
    weight_decay: Hyperparameter = 0.0,
    *,
    keep: Keep | None = None,
) -> Optimizer:
    """Lion: one average, read with one decay rate and kept with another.

        w += -lr (sign(b1 m + (1 - b1) g) + weight_decay w)
        m = b2 m + (1 - b2) g

    Every step has the length lr in every parameter, so lr is to be three to ten times smaller than Adam's, and
    the weight decay, which is decoupled and multiplied by lr, as much larger. sign(0) = 0. The default weight
    decay in optax is 1e-3.

    Args:
        learning_rate: lr >= 0.
        b1: in [0, 1), the decay rate that the average is read with.
        b2: between 0 and 1, the one that it is kept with.
        weight_decay: not negative.
        keep: which paths decay, as in `fdl.paths.select`; all, unless told otherwise.

    Raises:
        InputError: for a hyperparameter outside its range, for a pattern that fits no path, and for an update
            without parameters.

    Source:
        Chen et al., "Symbolic discovery of optimization algorithms" (2023), algorithm 2.

    Example:
        >>> import jax.numpy as jnp
        >>> opt, g = lion(0.1), jnp.array([5.0, -0.01, 0.0])
        >>> updates, _ = opt.update(g, opt.init(g), jnp.ones(3))
        >>> updates.round(4).tolist()
        [-0.1, 0.1, 0.0]
    """
    values = Hyperparameters(
        "lion",
        learning_rate=(learning_rate, NOT_NEGATIVE),
        b1=(b1, DECAY),
        b2=(b2, SHARE),
        weight_decay=(weight_decay, NOT_NEGATIVE),
    )

    def recurrence(h: Any, g: Any, w: Any, m: Any) -> tuple[Any, Any]:
        m = h.b2 * m + (1 - h.b2) * g
        share = h.b1 / h.b2
        now = share * m + (1 - share) * g  # by the new m, not the old one: XLA would keep a copy of an array read twice
        direction = jnp.where(now > 0, 1, jnp.where(now < 0, -1, now))  # jnp.sign is slow on CPU; NaN stays NaN
        return -h.learning_rate * decayed(h, direction, w), m

    return per_parameter(recurrence, values, slots=["mean"], uses_params=True, keep=keep)
