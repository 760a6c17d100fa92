"""Data-dependent initialization: measure how large the signals are, instead of assuming it.

The formulas of `fdl.initializers.variance_scaling` know their activation; a network of other activations,
shortcuts and poolings has no formula. But it has data. One batch goes through the network, and every
layer with a weight ``w`` is scaled on the way such that its output has unit variance,

    w <- w / sqrt(Var(y))

before the next layer sees that output. Where y is linear in w one step is exact. A bias or an activation
inside the layer makes it an iteration, which goes on while it comes closer. Weights start orthogonal, so
that the scale is all there is left to set.

Source: Mishkin and Matas, "All you need is a good init" (2016), called LSUV there: layer-sequential unit
variance.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.initializers.initializer import Initializer
from fdl.initializers.orthogonal import orthogonal
from fdl.keys import split_key
from fdl.layer import Layer, Tree, walk_by_path
from fdl.rule import wide

_ORTHOGONAL = orthogonal()


def data_dependent(
    layer: Layer,
    params: Tree,
    state: Tree,
    *batch: Any,
    key: jax.Array,
    start: Initializer | None = _ORTHOGONAL,
    tolerance: float = 0.01,
    steps: int = 10,
) -> Tree:
    """Parameters with which the output of every layer that has a ``w`` has unit variance on a batch (LSUV).

    Layers are visited in the order in which any wiring calls them, with ``train=True``. Each sees what the
    ones before it give after they were scaled. A layer that is called twice is scaled for its first call.
    Everything but ``w`` (biases, norms, embeddings) stays as it is, and so does a layer whose output is constant.

    Args:
        layer: any network.
        params, state: as ``layer.init`` made them.
        batch: what the network is called with: real data, a few hundred examples.
        key: for the new weights, and for layers that draw random numbers.
        start: how weights are drawn before they are scaled; None keeps those of params.
        tolerance: how far from one the variance may be.
        steps: how often a weight is scaled at most.

    Returns:
        New parameters, of the same structure, shapes and dtypes.

    Raises:
        InputError: for a tolerance that is not positive or fewer than one step.

    Source: Mishkin and Matas, "All you need is a good init" (2016).

    Example:
        >>> import jax
        >>> from fdl.layers import Affine, Relu, Serial
        >>> net, x = Serial(Affine(50), Relu(), Affine(50)), 7 * jax.random.normal(jax.random.key(0), (200, 20))
        >>> params, state = net.init(jax.random.key(1), x)
        >>> params = data_dependent(net, params, state, x, key=jax.random.key(2))
        >>> y, _ = net.apply(params, state, x)
        >>> round(float(y.var()), 2)
        1.0
    """
    check_count("data_dependent", "steps", steps)
    if not tolerance > 0:
        raise InputError(f"data_dependent needs a positive tolerance, got {tolerance}")
    start_key, pass_key = split_key("data_dependent", key)
    done: set[tuple[str, ...]] = set()

    def at(path: Any, child: Layer, walk: Any, params: Tree, state: Tree, *inputs: Any, **options: Any) -> Any:
        if not child.children and "w" in params and path not in done:

            def variance(w: jax.Array) -> jax.Array:
                y, _ = child.apply(params | {"w": w}, state, *inputs, **options)
                return jnp.var(y.astype(wide(y)))

            w = params["w"]
            if start is not None:
                w = start(jax.random.fold_in(start_key, len(done)), w.shape, w.dtype)
            params = params | {"w": _with_unit_variance(variance, w, tolerance, steps)}
            done.add(path)
        return walk(params, state, *inputs, **options)

    _, params, _ = walk_by_path(layer, at, params, state, *batch, key=pass_key, train=True)
    return params


class _Search(NamedTuple):
    w: jax.Array
    variance: jax.Array
    improved: jax.Array
    step: jax.Array


def _with_unit_variance(
    variance: Callable[[jax.Array], jax.Array], w: jax.Array, tolerance: float, steps: int
) -> jax.Array:
    """Scales w until variance(w) is one, as long as that brings it closer."""

    def goes_on(now: _Search) -> jax.Array:
        return now.improved & (now.step < steps) & (jnp.abs(now.variance - 1) > tolerance)

    def scale(now: _Search) -> _Search:
        w = (now.w / jnp.sqrt(now.variance)).astype(now.w.dtype)
        var = variance(w)
        improved = jnp.abs(var - 1) < jnp.abs(now.variance - 1)  # and False for what a variance of zero gives
        return _Search(jnp.where(improved, w, now.w), jnp.where(improved, var, now.variance), improved, now.step + 1)

    start = _Search(w, variance(w), jnp.array(True), jnp.array(0))
    return jax.lax.while_loop(goes_on, scale, start).w
