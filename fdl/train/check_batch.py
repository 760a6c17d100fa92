"""A look at what a run begins with, for mistakes that a compiled step cannot see, or cannot name."""

import inspect
from collections.abc import Callable
from typing import Any

import jax


def check_batch(step: Callable[[Any, Any], Any], train_state: Any, batch: Any) -> None:
    """Looks at a batch before anything is compiled: a step on shapes alone, but with the batch's values in sight.

    In a jitted function arrays have shapes and no values, so a loss cannot see there that a class id
    does not exist. Here the batch stays concrete, and the loss says so.

    Args:
        step: a jitted function of (train_state, batch), from `make_train_step` or `make_eval_step`. One
            that is not jitted sees its batches anyway, and is left alone.
        train_state: what the step would be given; only shapes and dtypes are read.
        batch: the batch to look at.

    Raises:
        InputError: what the network, the loss or a metric finds wrong.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.errors import InputError
        >>> from fdl.layers import Affine
        >>> from fdl.losses import softmax_cross_entropy
        >>> from fdl.optim import sgd
        >>> from fdl.train import init_train_state, make_train_step, supervised
        >>> net, optimizer, x = Affine(3), sgd(0.1), jnp.ones((2, 4))
        >>> train_step = make_train_step(supervised(net, softmax_cross_entropy), optimizer)
        >>> train_state = init_train_state(net, optimizer, jax.random.key(0), x)
        >>> try:
        ...     check_batch(train_step, train_state, (x, jnp.array([1, 3])))
        ... except InputError as error:
        ...     print(error)  # doctest: +ELLIPSIS
        softmax_cross_entropy expects class ids in [0, 3), the number of classes, got 3: ...
    """
    if isinstance(step, jax.stages.Wrapped):
        python_step = inspect.unwrap(step)
        jax.eval_shape(lambda train_state: python_step(train_state, batch), train_state)
