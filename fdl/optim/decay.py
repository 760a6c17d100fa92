"""Weight decay: weights are drawn towards zero, by their gradient (L2) or past it (decoupled).

    coupled:      g + rate w  goes into the optimizer        chain(add_l2(rate), optimizer)
    decoupled:    -rate w  is added to what comes out        chain(optimizer, add_decoupled_weight_decay(rate))

For plain gradient descent both are the same, with rates that differ by the factor lr:

    w - lr (g + rate w)  =  (w - lr g) - (lr rate) w

For a method that divides by the size of its gradients, such as Adam, they are not: there, coupled decay is divided
as well, so that weights with large gradients hardly decay.
"""

from typing import Any, NamedTuple

from fdl.errors import InputError
from fdl.optim.hyperparameters import NOT_NEGATIVE, Hyperparameter, Hyperparameters
from fdl.optim.optimizer import Optimizer
from fdl.optim.recurrence import per_parameter
from fdl.paths import Keep


class L2State(NamedTuple):
    """``inner`` is a `FirstOrderState`; by the type, a `chain` knows that it belongs in front of a descent."""

    inner: Any


class DecayState(NamedTuple):
    """``inner`` is a `FirstOrderState`; by the type, a `chain` knows that it belongs behind a descent."""

    inner: Any


def add_l2(rate: Hyperparameter, keep: Keep | None = None) -> Optimizer:
    """Adds the gradient of a penalty rate / 2 |w|^2 to the gradient: g + rate w.

    Stands in front of an optimizer in a `chain`. `fdl.losses.l2` is the sum of squares without the half: a penalty of
    1e-4 l2(params) in the loss is add_l2(2e-4).

    Args:
        rate: not negative.
        keep: which paths it is for, as in `fdl.paths.select`; all, unless told otherwise. Usual is
            `fdl.paths.is_weight`.

    Raises:
        InputError: for a rate outside its range, for a pattern that fits no path, and for an update without parameters.

    Example:
        >>> import jax.numpy as jnp
        >>> opt, w = add_l2(0.1), jnp.array(2.0)
        >>> round(float(opt.update(jnp.array(1.0), opt.init(w), w)[0]), 4)
        1.2
    """
    return _shrink("add_l2", rate, 1.0, keep, L2State)


def add_decoupled_weight_decay(rate: Hyperparameter, keep: Keep | None = None) -> Optimizer:
    """Lets weights decay besides the update: u - rate w.

    Stands after an optimizer in a `chain`. The rate is not multiplied by a learning rate, as in the paper; in
    `adamw`, and in PyTorch's and optax's, it is.

    Args:
        rate: not negative: the share of itself that a weight loses in each step.
        keep: which paths it is for, as in `fdl.paths.select`; all, unless told otherwise. Usual is
            `fdl.paths.is_weight`.

    Raises:
        InputError: for a rate outside its range, for a pattern that fits no path, and for an update without parameters.

    Source:
        Hanson and Pratt (1988); Loshchilov and Hutter, "Decoupled weight decay regularization" (2019).

    Example:
        >>> import jax.numpy as jnp
        >>> opt, w = add_decoupled_weight_decay(0.1), jnp.array(2.0)
        >>> round(float(opt.update(jnp.array(-1.0), opt.init(w), w)[0]), 4)
        -1.2
    """
    return _shrink("add_decoupled_weight_decay", rate, -1.0, keep, DecayState)


def _shrink(
    who: str, rate: Hyperparameter, sign: float, keep: Keep | None, kind: type[L2State] | type[DecayState]
) -> Optimizer:
    def recurrence(h: Any, g: Any, w: Any) -> tuple[Any]:
        return (g + sign * h.rate * w if h.kept else g,)

    inner = per_parameter(recurrence, Hyperparameters(who, rate=(rate, NOT_NEGATIVE)), uses_params=True, keep=keep)

    def init(params: Any) -> Any:
        return kind(inner.init(params))

    def update(grads: Any, opt_state: Any, params: Any = None, **_: Any) -> tuple[Any, Any]:
        if not isinstance(opt_state, kind):
            raise InputError(f"{who} goes on from what its init(params) made, got a {type(opt_state).__name__}")
        updates, state = inner.update(grads, opt_state.inner, params)
        return updates, kind(state)

    return Optimizer(init, update)
