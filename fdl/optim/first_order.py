"""First-order methods: from the gradient of this step, and a memory of earlier ones, to an update.

In every recurrence w are the parameters, g their gradient, and lr the learning rate.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.errors import InputError
from fdl.optim.optimizer import Optimizer
from fdl.rule import wide


def sgd(learning_rate: float) -> Optimizer:
    """Stochastic gradient descent: w += -lr g.

    Args:
        learning_rate: lr >= 0.

    Raises:
        InputError: for a learning rate that is negative, infinite or NaN.

    Source: Robbins and Monro, "A stochastic approximation method" (1951).

    Example:
        >>> import jax.numpy as jnp
        >>> opt = sgd(0.5)
        >>> updates, _ = opt.update({"w": jnp.array(2.0)}, opt.init({"w": jnp.array(1.0)}))
        >>> float(updates["w"])
        -1.0
    """
    _check_step("sgd", learning_rate=learning_rate)

    def init(params: Any) -> Any:
        return ()

    def update(grads: Any, opt_state: Any, params: Any = None, **_: Any) -> tuple[Any, Any]:
        return jax.tree.map(lambda g: -learning_rate * g.astype(wide(g)), grads), opt_state

    return Optimizer(init, update)


def momentum(learning_rate: float, decay: float = 0.9) -> Optimizer:
    """Gradient descent with momentum: v = m v - lr g, then w += v.

    The velocity v has the size of an update. PyTorch and optax keep v = m v + g and multiply by lr
    afterwards, which is the same as long as lr does not change.

    Args:
        learning_rate: lr >= 0.
        decay: m in [0, 1), the share of the velocity that each step keeps.

    Raises:
        InputError: for a learning rate or a decay outside its range.

    Source: Polyak, "Some methods of speeding up the convergence of iteration methods" (1964).

    Example:
        >>> import jax.numpy as jnp
        >>> opt, g = momentum(1.0, decay=0.5), jnp.array(1.0)
        >>> v1, opt_state = opt.update(g, opt.init(g))
        >>> v2, opt_state = opt.update(g, opt_state)
        >>> float(v1), float(v2)
        (-1.0, -1.5)
    """
    _check_step("momentum", learning_rate=learning_rate)
    _check_decay("momentum", decay=decay)

    def init(params: Any) -> Any:
        return jax.tree.map(_zeros, params)

    def update(grads: Any, opt_state: Any, params: Any = None, **_: Any) -> tuple[Any, Any]:
        velocity = jax.tree.map(lambda v, g: decay * v - learning_rate * g.astype(v.dtype), opt_state, grads)
        return velocity, velocity

    return Optimizer(init, update)


class AdamState(NamedTuple):
    """``step`` counts updates; ``mean`` and ``square`` are running averages of g and g^2."""

    step: jax.Array
    mean: Any
    square: Any


def adam(learning_rate: float = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Optimizer:
    """Adam: momentum, with a step size for each parameter from the running size of its gradient.

        m = b1 m + (1 - b1) g              v = b2 v + (1 - b2) g^2
        w += -lr mhat / (sqrt(vhat) + eps)

    with mhat = m / (1 - b1^t) and vhat = v / (1 - b2^t) at step t = 1, 2, ..., which undo that both
    averages start from zero. The averages are kept in float32 or wider, where eps is not zero.

    Args:
        learning_rate: lr >= 0, about the size of each early step.
        b1, b2: decay rates in [0, 1).
        eps: stands outside the root.

    Raises:
        InputError: for a hyperparameter outside its range.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1.

    Example:
        >>> import jax.numpy as jnp
        >>> opt, g = adam(0.1), jnp.array([5.0, -0.01])
        >>> updates, _ = opt.update(g, opt.init(g))
        >>> updates.round(4).tolist()
        [-0.1, 0.1]
    """
    _check_step("adam", learning_rate=learning_rate, eps=eps)
    _check_decay("adam", b1=b1, b2=b2)

    def init(params: Any) -> AdamState:
        return AdamState(jnp.zeros((), jnp.int32), jax.tree.map(_zeros, params), jax.tree.map(_zeros, params))

    def update(grads: Any, opt_state: AdamState, params: Any = None, **_: Any) -> tuple[Any, AdamState]:
        step = opt_state.step + 1
        mean = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g.astype(m.dtype), opt_state.mean, grads)
        square = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * jnp.square(g.astype(v.dtype)), opt_state.square, grads)
        c1, c2 = _one_minus_power(b1, step), _one_minus_power(b2, step)
        updates = jax.tree.map(lambda m, v: -learning_rate * (m / c1) / (jnp.sqrt(v / c2) + eps), mean, square)
        return updates, AdamState(step, mean, square)

    return Optimizer(init, update)


def _zeros(w: Any) -> jax.Array:
    return jnp.zeros(jnp.shape(w), wide(w))


def _one_minus_power(decay: float, step: jax.Array) -> jax.Array:
    """1 - decay^step for step >= 1, without the cancellation of writing it so: 1 - 0.999 has 4 digits in float32."""
    return -jnp.expm1(step * (math.log(decay) if decay > 0 else -math.inf))


def _check_step(who: str, **values: Any) -> None:
    for name, value in values.items():
        if not isinstance(value, jax.core.Tracer) and not 0 <= value < math.inf:
            raise InputError(f"{who} needs a finite {name} that is not negative, got {value}")


def _check_decay(who: str, **values: Any) -> None:
    for name, value in values.items():
        if not isinstance(value, jax.core.Tracer) and not 0 <= value < 1:
            raise InputError(f"{who} needs {name} in [0, 1), got {value}")
