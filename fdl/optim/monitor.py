"""What to watch while training: how far each layer moves in one step, measured by its own size."""

from typing import Any

import jax
import jax.numpy as jnp

from fdl.optim.clip import global_norm
from fdl.optim.trees import check_gradients
from fdl.paths import by_layer


def update_ratio(updates: Any, params: Any) -> dict[str, jax.Array]:
    """The length of each layer's update over the length of its parameters, |u| / |w|.

    About 1e-3 is healthy; much less is a layer that hardly learns, much more one whose learning rate is too high.

    Args:
        updates: from an optimizer.
        params: the parameters that they are for.

    Returns:
        A dict from the path of a layer, such as "encoder.affine1", to a scalar for all arrays in it together; a layer
        is what holds arrays directly. A layer of zeros has the ratio 0 if it does not move, and infinity if it does.

    Raises:
        InputError: for trees that do not fit each other.

    Example:
        >>> params = {"affine1": {"w": jnp.array([3.0, 0.0]), "b": jnp.array(4.0)}}
        >>> updates = {"affine1": {"w": jnp.array([0.0, 0.3]), "b": jnp.array(0.4)}}
        >>> {path: round(float(ratio), 4) for path, ratio in update_ratio(updates, params).items()}
        {'affine1': 0.1}
    """
    check_gradients("update_ratio", updates, params)
    weights = by_layer(params)

    def ratio(u: jax.Array, w: jax.Array) -> jax.Array:
        return jnp.where(u == 0, 0, u / w)

    return {path: ratio(global_norm(us), global_norm(weights[path])) for path, us in by_layer(updates).items()}
