"""What an optimizer is: two pure functions, and how their updates reach the parameters.

    opt.init(params)                     -> opt_state
    opt.update(grads, opt_state, params) -> (updates, opt_state)
    apply_updates(params, updates)       -> params

optax's transformations have the same form, so either library's can stand in the other's training step.
"""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp


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


def apply_updates(params: Any, updates: Any) -> Any:
    """Adds the updates to the parameters, which keep their dtypes.

    Example:
        >>> import jax.numpy as jnp
        >>> apply_updates({"w": jnp.array([1.0, 2.0])}, {"w": jnp.array([0.5, -0.5])})["w"].tolist()
        [1.5, 1.5]
    """
    return jax.tree.map(lambda w, update: jnp.asarray(w + update, jnp.result_type(w)), params, updates)
