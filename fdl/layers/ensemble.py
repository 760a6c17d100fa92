"""Ensembles: several networks of one architecture, trained apart, that answer together.

    mean = 1/M sum_m y_m            spread = sqrt(1/M sum_m (y_m - mean)^2)            y_m = net(x; w_m)

Networks that began from different parameters, or saw different examples, make different mistakes, and the mean leaves
a part of them out: its squared error, and its cross-entropy if probabilities are averaged, is never larger than that of
its members on average. Where they disagree, for inputs unlike those of training, the spread is large.

The members' parameters are stacked along a first axis, and one vectorised pass computes all of them.

Source: Lakshminarayanan, Pritzel and Blundell, "Simple and scalable predictive uncertainty estimation using deep
ensembles" (2017).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fdl.layer import Layer, Tree, Visit
from fdl.layers.copies import Copies
from fdl.rule import wide


class Ensemble(Copies):
    """n networks of one architecture that get the same inputs; the output is the mean of theirs.

    Its parameters and state are those of n networks, stacked along a first axis, as `fdl.train.init_ensemble` makes
    them. With a random key each network draws for itself.

    Args:
        layer: the network.
        n: how many, at least 1.
        then: what is averaged: a function of a network's outputs, such as `fdl.layers.softmax` for probabilities; the
            outputs as they are if None.

    Raises:
        InputError: for what is no layer, and for an n below 1.

    Source: Lakshminarayanan et al. (2017).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Affine, softmax
        >>> net, x = Ensemble(Affine(3), 5, then=softmax), jnp.ones((2, 4))
        >>> params, state = net.init(jax.random.key(0), x)
        >>> probabilities, _ = net.apply(params, state, x)
        >>> params["w"].shape, probabilities.shape, bool(jnp.allclose(probabilities.sum(-1), 1))
        ((5, 4, 3), (2, 3), True)
    """

    then: Callable[[Any], Any] | None = None

    def apply(self, params: Tree, state: Tree, *inputs: Any, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        def one(params: Tree, state: Tree, key: Any) -> tuple[Any, Tree]:
            return self.layer.apply(params, state, *inputs, key=key, train=train)

        keys = None if key is None else jax.random.split(key, self.n)
        ys, state = jax.vmap(one, axis_size=self.n)(params, state, keys)
        return self._mean(ys), state

    def walk(
        self, visit: Visit, params: Tree, state: Tree, *inputs: Any, key: Any = None, train: bool = False
    ) -> tuple[Any, Tree, Tree]:
        keys = [None] * self.n if key is None else jax.random.split(key, self.n)
        visited = []
        for name, key in zip(self.children, keys, strict=True):
            own = self.part_of(params, name), self.part_of(state, name)
            visited.append(visit(name, self.layer, *own, *inputs, key=key, train=train))
        ys, params, state = jax.tree.map(lambda *leaves: jnp.stack(leaves), *visited)
        return self._mean(ys), params, state

    def _mean(self, ys: Any) -> Any:
        return mean_and_spread(ys if self.then is None else jax.vmap(self.then)(ys))[0]


def ensemble(
    net: Layer, params: Tree, state: Tree, *inputs: Any, then: Callable[[Any], Any] | None = None
) -> tuple[Any, Any]:
    """The mean and the standard deviation of what the members of an ensemble say.

    Args:
        net: the network that all members are.
        params, state: theirs, stacked along a first axis; the state is read and not changed.
        inputs: what goes into each.
        then: what is averaged, as for `Ensemble`.

    Returns:
        (mean, spread), each of the form, shapes and dtypes of one member's output. The spread divides by n, not by
        n - 1, and both are computed in float32 or wider.

    Source: Lakshminarayanan et al. (2017).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Affine
        >>> params = {"w": jnp.array([[[1.0]], [[3.0]]]), "b": jnp.zeros((2, 1))}  # two members
        >>> mean, spread = ensemble(Affine(1), params, {}, jnp.array([[10.0]]))
        >>> float(mean[0, 0]), float(spread[0, 0])
        (20.0, 10.0)
    """

    def one(params: Tree, state: Tree) -> Any:
        y = net.apply(params, state, *inputs)[0]
        return y if then is None else then(y)

    return mean_and_spread(jax.vmap(one)(params, state))


def mean_and_spread(ys: Any) -> tuple[Any, Any]:
    """The mean and the standard deviation over the first axis, computed in float32 or wider."""
    mean = jax.tree.map(lambda y: jnp.mean(y, axis=0, dtype=wide(y)).astype(y.dtype), ys)
    spread = jax.tree.map(lambda y: jnp.std(y, axis=0, dtype=wide(y)).astype(y.dtype), ys)
    return mean, spread
