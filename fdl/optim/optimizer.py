"""What an optimizer is: two pure functions, and how their updates reach the parameters.

    opt.init(params)                              -> opt_state
    opt.update(grads, opt_state, params, **extra) -> (updates, opt_state)
    apply_updates(params, updates)                -> params

optax's transformations have the same form, so either library's can stand in the other's training step.
Updates of narrow parameters (bfloat16, float16) are float32, as are the averages that they are made of.
"""

import inspect
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from fdl.errors import InputError


class Init(Protocol):
    """Makes the state that an optimizer keeps, from the parameters that it will update."""

    def __call__(self, params: Any, /) -> Any: ...


class Update(Protocol):
    """Makes an update to be added to the parameters, and the next state."""

    def __call__(self, grads: Any, opt_state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]: ...


class Optimizer(NamedTuple):
    """A pair of pure functions over pytrees; ``extra`` carries what some updates need besides gradients."""

    init: Init
    update: Update


def check_optimizer(who: str, optimizer: Any) -> None:
    """Refuses what is no optimizer: a learning rate, or the function that would make one.

    Example:
        >>> check_optimizer("make_train_step", 0.1)
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: make_train_step takes an optimizer, such as adam(1e-3), got 0.1
    """
    if not (callable(getattr(optimizer, "init", None)) and callable(getattr(optimizer, "update", None))):
        name = getattr(optimizer, "__name__", None)
        hint = f": call it first, {name}(...)" if callable(optimizer) and name else ""
        raise InputError(f"{who} takes an optimizer, such as adam(1e-3), got {optimizer!r}{hint}")


def apply_updates(params: Any, updates: Any) -> Any:
    """Adds the updates to the parameters, which keep their dtypes.

    The sum is taken in the wider dtype of the two and rounded once. In bfloat16 that loses every update that
    is smaller than 1/512 of its parameter, which then never moves: wrap the optimizer of bfloat16 parameters
    in `float32_masters`, or in `stochastic_rounding`, which needs no memory.

    Example:
        >>> import jax.numpy as jnp
        >>> apply_updates({"w": jnp.array([1.0, 2.0])}, {"w": jnp.array([0.5, -0.5])})["w"].tolist()
        [1.5, 1.5]
    """
    return jax.tree.map(lambda w, update: jnp.asarray(w + update, jnp.result_type(w)), params, updates)


def update_with(optimizer: Optimizer, grads: Any, opt_state: Any, params: Any, **extra: Any) -> tuple[Any, Any]:
    """One update that is handed those of the extra arguments that it can take.

    fdl's optimizers take any; most of optax's take none, and would refuse the ``value`` of the loss that another
    one in the same chain needs.

    Example:
        >>> without_extra = Optimizer(lambda params: (), lambda grads, opt_state, params=None: (grads, opt_state))
        >>> update_with(without_extra, 2.0, (), 1.0, value=0.5)
        (2.0, ())
    """
    parameters = inspect.signature(optimizer.update).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        extra = {name: value for name, value in extra.items() if name in parameters}
    return optimizer.update(grads, opt_state, params, **extra)
