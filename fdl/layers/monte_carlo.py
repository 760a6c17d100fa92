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
from fdl.layers.ensemble import mean_and_spread
from fdl.layers.wrapper import Frozen, Wrapper

Kinds = tuple[type[Layer], ...]


def monte_carlo(
    net: Layer,
    params: Tree,
    state: Tree,
    *inputs: Any,
    key: jax.Array,
    samples: int,
    random: Kinds | None = None,
) -> tuple[Any, Any]:
    """The mean and the standard deviation of the outputs of a network over passes that drop at random.

    Args:
        net: a network with dropout in it.
        params, state: as for ``net.apply``; the state is read and not changed.
        inputs: what goes into the network.
        key: a JAX random key; every pass gets its own from it.
        samples: how many passes, T.
        random: the kinds of layers that are applied as in training, inside of a `Frozen` too. None is for all that
            drop by a rate of their own: `Dropout` and its kinds, wherever a network has them, and attention. Random
            numbers that a wiring draws by itself while ``net.train`` are not drawn.

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
    # Frozen would say train=False to what is inside, a random layer too.
    thawed = rebuilt(net, lambda layer: layer.layer if isinstance(layer, Frozen) else layer)
    found: list[Layer] = []

    def as_in_training(layer: Layer) -> Layer:
        if not _is_random(layer, random):
            return layer
        found.append(layer)
        return _InTraining(layer)

    def visit(name: str, layer: Layer, params: Tree, state: Tree, *inputs: Any, **options: Any) -> Any:
        if _is_random(layer, random):
            found.append(layer)
            options["train"] = True
        elif not layer.children:  # its own apply may call layers that it has in its fields
            layer = rebuilt(layer, as_in_training)
        return layer.walk(visit, params, state, *inputs, **options)

    def one_pass(key: jax.Array) -> Any:
        return visit(net.name, thawed, params, state, *inputs, key=key, train=False)[0]

    mean, spread = mean_and_spread(jax.vmap(one_pass)(split_key("monte_carlo", key, samples)))
    if not found:
        kinds = "layer that drops" if random is None else ", ".join(kind.__name__ for kind in random)
        raise InputError(f"monte_carlo found no {kinds} in {net!r}, so every pass would give the same")
    return mean, spread


class _InTraining(Wrapper):
    """A layer as it is while training, whatever the pass is for."""

    def apply(self, params: Tree, state: Tree, *inputs: Any, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        return self.layer.apply(params, state, *inputs, key=key, train=True)


def _is_random(layer: Layer, kinds: Kinds | None) -> bool:
    """Whether a layer, or a wrapper around it, is to be applied as in training."""
    if isinstance(layer, Wrapper) and _is_random(layer.layer, kinds):
        return True
    if kinds is not None:
        return isinstance(layer, kinds)
    # A rate of a layer with others inside, as of an EncoderBlock, is that of a Dropout among them.
    return bool(getattr(layer, "rate", 0)) and (isinstance(layer, Wrapper) or not layer.children)
