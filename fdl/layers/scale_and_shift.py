"""What norms learn, since they take it away: a scale and a shift of every feature."""

from typing import Any

import jax
import jax.numpy as jnp


def scale_and_shift(x: Any) -> dict[str, jax.Array]:
    """The parameters ``gamma`` [C], ones, and ``beta`` [C], zeros, of a layer on x [..., C], in float32.

    Example:
        >>> {name: a.tolist() for name, a in scale_and_shift(jnp.ones((5, 2))).items()}
        {'gamma': [1.0, 1.0], 'beta': [0.0, 0.0]}
    """
    features = x.shape[-1:]
    return {"gamma": jnp.ones(features, jnp.float32), "beta": jnp.zeros(features, jnp.float32)}
