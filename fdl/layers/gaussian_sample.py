"""A draw from a normal distribution whose mean and variance a network computed, with gradients for both.

    z = mean + e^(v / 2) eps        eps ~ N(0, 1),  v = log_var

A draw by itself has no derivative. But all that is random is eps, which does not depend on the network: for the eps
that was drawn, z is a function of mean and v like any other (the reparametrisation trick), and

    dmean = dz          dv = 1/2 e^(v / 2) eps dz

is in expectation over eps the gradient of E[L(z)]. The second factor is what was added to the mean, one number per
element, and it is all there is to remember.

Sources: Kingma and Welling, "Auto-encoding variational Bayes" (2013), section 2.4; Rezende, Mohamed and Wierstra,
"Stochastic backpropagation and approximate inference in deep generative models" (2014).
"""

from typing import Any

import jax
import jax.numpy as jnp

from fdl.errors import InputError
from fdl.keys import check_key
from fdl.layer import Layer, Tree
from fdl.layers.checks import check_floats
from fdl.rule import rule, wide


@rule
def gaussian_sample(mean: jax.Array, log_var: jax.Array, key: jax.Array) -> jax.Array:
    """A draw z = mean + exp(log_var / 2) eps from N(mean, exp(log_var)), with eps from the standard normal.

    Args:
        mean, log_var: floats of one shape.
        key: a JAX random key. The same key draws the same eps.

    Returns:
        z, of the shape and dtype of the mean.

    Raises:
        InputError: for arguments of different shapes, for integers, and for what is no random key.

    Remembers:
        what was added to the mean, of the shape of z.

    Source:
        Kingma and Welling (2013).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> z = gaussian_sample(jnp.full(10_000, 5.0), jnp.full(10_000, jnp.log(4.0)), jax.random.key(0))
        >>> round(float(z.mean()), 1), round(float(z.std()), 1)
        (5.0, 2.0)
    """
    return (mean + _added(mean, log_var, key)).astype(jnp.result_type(mean))


@gaussian_sample.validate
def _(mean, log_var, key):
    for value in (mean, log_var):
        check_floats("gaussian_sample", value)
    check_key("gaussian_sample", key)
    if jnp.shape(mean) != jnp.shape(log_var):
        raise InputError(
            f"gaussian_sample expects a log_var for each mean, got {list(jnp.shape(log_var))} for "
            f"{list(jnp.shape(mean))}"
        )


@gaussian_sample.forward
def _(mean, log_var, key):
    added = _added(mean, log_var, key)
    return (mean + added).astype(mean.dtype), added


@gaussian_sample.backward
def _(added, dz):
    # z = mean + added      added = exp(log_var / 2) eps
    return dz, 0.5 * added * dz, None


def _added(mean, log_var, key):
    """exp(log_var / 2) eps, in float32 or wider."""
    eps = jax.random.normal(key, jnp.shape(mean), wide(mean, log_var))
    return jnp.exp(0.5 * jnp.asarray(log_var, eps.dtype)) * eps


class GaussianSample(Layer):
    """The layer of `gaussian_sample`: from (mean, log_var) to a draw, and without a key to the mean.

    A draw is what the layer computes, in training and after it: where `apply` has a key, it draws. So a variational
    bound can be estimated on test data, and `fdl.train.predict`, which passes no key, goes by the means.

    Raises:
        InputError: when ``train=True`` comes without a ``key``.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer, mean = GaussianSample(), jnp.array([1.0, 2.0])
        >>> layer.apply({}, {}, mean, jnp.zeros(2))[0].tolist()
        [1.0, 2.0]
        >>> z, _ = layer.apply({}, {}, mean, jnp.zeros(2), key=jax.random.key(0), train=True)
        >>> bool((z != mean).all())
        True
    """

    def apply(
        self, params: Tree, state: Tree, mean: Any, log_var: Any, *, key: Any = None, train: bool = False
    ) -> tuple[Any, Tree]:
        if key is not None:
            return gaussian_sample(mean, log_var, key), state
        if train:
            raise InputError(f"{self!r} draws random numbers: call apply with key=jax.random.key(...)")
        return mean, state
