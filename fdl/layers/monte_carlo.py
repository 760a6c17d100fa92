"""Monte Carlo dropout: how sure a network is, from passes that drop different units.

A network trained with dropout is an average over many thinned networks. Drawing T of them at the time of
prediction, y_t = net(x, mask_t), gives

    mean = 1/T sum_t y_t            spread = sqrt(1/T sum_t (y_t - mean)^2)

and where the thinned networks disagree, for inputs unlike those of training, the spread is large. Only what
draws random numbers does what it does in training: batch norm still uses its running statistics.

The passes are one pass vectorised over keys: what comes before the first dropout is computed once, and what
comes after it needs the memory of a batch that is T times as large.

Source: Gal and Ghahramani, "Dropout as a Bayesian approximation: representing model uncertainty in deep
learning" (2016).
"""

from typing import Any

import jax

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.keys import split_key
from fdl.layer import Layer, Tree, rebuilt
from fdl.layers.dropout import Dropout
from fdl.layers.ensemble import mean_and_spread


def monte_carlo(
    net: Layer,
    params: Tree,
    state: Tree,
    *inputs: Any,
    key: jax.Array,
    samples: int,
    random: tuple[type[Layer], ...] = (Dropout,),
) -> tuple[Any, Any]:
    """The mean and the standard deviation of the outputs of a network over passes that drop at random.

    Args:
        net: a network with dropout in it.
        params, state: as for ``net.apply``; the state is read and not changed.
        inputs: what goes into the network.
        key: a JAX random key; every pass gets its own from it.
        samples: how many passes, T.
        random: the kinds of layers that are applied as in training; `SpatialDropout` and `DropPath` are kinds
            of `Dropout`. Random numbers that a wiring draws by itself while ``net.train`` are not drawn.

    Returns:
        (mean, spread), each of the form, shapes and dtypes of the output. The spread divides by T, not by T - 1,
        and both are computed in float32 or wider.

    Raises:
        InputError: when ``net`` is no layer or has none of these kinds in it, and for less than one sample.

    Source:
        Gal and Ghahramani (2016).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Affine, Dropout, Serial
        >>> net, x = Serial(Dropout(0.5), Affine(2)), jnp.ones((3, 100))
        >>> params, state = net.init(jax.random.key(0), x)
        >>> mean, spread = monte_carlo(net, params, state, x, key=jax.random.key(1), samples=50)
        >>> mean.shape, bool((spread > 0).all())
        ((3, 2), True)
    """
    if not isinstance(net, Layer):
        raise InputError(f"monte_carlo expects a layer, got {net!r}: it decides which of the layers inside are random")
    check_count("monte_carlo", "samples", samples)
    found: list[Layer] = []

    def as_in_training(layer: Layer) -> Layer:
        if not isinstance(layer, random):
            return layer
        found.append(layer)
        return _InTraining(layer)

    sampled = rebuilt(net, as_in_training)
    if not found:
        kinds = ", ".join(kind.__name__ for kind in random)
        raise InputError(f"monte_carlo found no {kinds} in {net!r}, so every pass would give the same")

    def one_pass(key: jax.Array) -> Any:
        return sampled.apply(params, state, *inputs, key=key)[0]

    return mean_and_spread(jax.vmap(one_pass)(split_key("monte_carlo", key, samples)))


class _InTraining(Layer):
    """A layer as it is while training, whatever the pass is for; its parameters and state are its own."""

    layer: Layer

    def init(self, key: jax.Array, *inputs: Any) -> tuple[Tree, Tree]:
        return self.layer.init(key, *inputs)

    def apply(self, params: Tree, state: Tree, *inputs: Any, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        return self.layer.apply(params, state, *inputs, key=key, train=True)
