"""What goes on inside a network while it learns, layer by layer, on one batch.

    gradient norm     |dw|                  0 at the first layers: it vanishes; growing from layer to layer: it explodes
    update ratio      |u| / |w|             about 1e-3 is healthy
    activations       y, as a histogram     all at the ends of tanh: saturated; always 0 behind relu: dead

This is a compiled step of its own, so that training steps compute nothing but the training. It costs about as
much as two of them, whenever it is called: `fdl.train.RunLog` does so once per record.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from fdl.layer import Layer, Tree, walk_by_path
from fdl.optim import Optimizer, global_norm, hyperparameters, loss_scale, update_ratio, update_with
from fdl.paths import Keep, by_layer, matcher
from fdl.rule import wide
from fdl.train.fit import Fitted
from fdl.train.objective import Objective, inputs_of
from fdl.train.step import TrainState, step_key

BINS = 50
ALL_LAYERS = "(all)"  # the name of the gradient norm of all layers together; no layer can be called so


def make_monitor_step(
    net: Layer,
    objective: Objective,
    optimizer: Optimizer,
    *,
    layers: Keep = "*",
    inputs: Callable[[Any], tuple[Any, ...]] = lambda batch: inputs_of(batch[0]),
) -> Callable[[TrainState, Any], dict[str, Any]]:
    """Makes the compiled step that measures gradients, updates and activations instead of training.

    It is about the step that training would take next from this train state on this batch, with the same random
    numbers. Give it the same batch every time: then only the network changes from one time to the next.

    Args:
        net: the network whose activations are measured.
        objective, optimizer: as for `make_train_step`.
        layers: whose activations: a function from a path to a bool, or a pattern such as ``"relu*"``.
        inputs: what the network is called with, from a batch; by default the inputs of the pair (inputs, targets),
            several if they are a tuple.

    Returns:
        A pure, jitted function monitor_step(train_state, batch) -> measurements, which does not take over any
        buffer. The measurements are dicts of arrays, with layers in the order of their calls:

        - "gradient_norm": by path of a layer, the length of the gradient of all arrays in it; "(all)" is that of all.
        - "update_ratio": by path of a layer, as `fdl.optim.update_ratio`.
        - "activations": by path of a layer, the "mean" and the standard deviation "std" of its output, a histogram as
          50 "counts" between "low" and "high", and "dead", the share of units (the last axis) that are 0 for all
          examples and positions. Layers inside of others have no row for what contains them.

    Raises:
        InputError: from the step, for a batch that does not fit, and for a pattern that fits no layer.

    Example:
        >>> from fdl.layers import Affine, Relu, Serial
        >>> from fdl.losses import softmax_cross_entropy
        >>> from fdl.optim import sgd
        >>> from fdl.train import init_train_state, supervised
        >>> net, optimizer, x = Serial(Affine(4), Relu(), Affine(3)), sgd(0.1), jnp.ones((2, 5))
        >>> train_state = init_train_state(net, optimizer, jax.random.key(0), x)
        >>> monitor_step = make_monitor_step(net, supervised(net, softmax_cross_entropy), optimizer)
        >>> measurements = monitor_step(train_state, (x, jnp.array([1, 2])))
        >>> list(measurements["gradient_norm"]), list(measurements["update_ratio"])
        (['(all)', 'affine1', 'affine2'], ['affine1', 'affine2'])
        >>> list(measurements["activations"]), int(measurements["activations"]["relu1"]["counts"].sum())
        (['affine1', 'relu1', 'affine2'], 8)
    """

    def monitor_step(train_state: TrainState, batch: Any) -> dict[str, Any]:
        params, state, opt_state, _, _ = train_state
        key, scale = step_key(train_state), loss_scale(opt_state)

        def scaled(params: Any) -> Any:
            value, _ = objective(params, state, batch, key)
            return value * scale.astype(jnp.result_type(value)), value

        grads, value = jax.grad(scaled, has_aux=True)(params)
        updates, _ = update_with(optimizer, grads, opt_state, params, value=value)
        outputs = layer_outputs(net, params, state, *inputs(batch), key=key, train=True)
        keeps = matcher(outputs, layers)
        norms = {path: norm / scale for path, norm in _norms(grads).items()}
        return {
            "gradient_norm": OrderedDict({ALL_LAYERS: global_norm(grads) / scale, **_in_order(norms, outputs)}),
            "update_ratio": _in_order(update_ratio(updates, params), outputs),
            "activations": OrderedDict({path: _statistics(y) for path, y in outputs.items() if keeps(path)}),
        }

    return jax.jit(monitor_step)


def layer_outputs(net: Layer, params: Tree, state: Tree, *inputs: Any, **options: Any) -> OrderedDict[str, jax.Array]:
    """What each layer gives in one pass, of those that are not made of others.

    These are the features that a style or another network is compared in. Gradients go through them, to the inputs
    and to the parameters, and inside jit only what leads to those that are used is computed.

    Args:
        net: any network.
        params, state, inputs, options: as for its ``apply``.

    Returns:
        From the path of each layer, in the order of the calls, to its output; of several outputs the first, and only
        outputs of floats. What a layer gives when it is called again is under "path (2)", and so on.

    Example:
        >>> from fdl.layers import Affine, Relu, Residual, Serial
        >>> net = Serial(Residual(Serial(Affine(4), Relu())), Affine(3))
        >>> outputs = jax.eval_shape(lambda x: layer_outputs(net, *net.init(jax.random.key(0), x), x), jnp.ones((2, 4)))
        >>> [(path, y.shape) for path, y in outputs.items()]
        [('residual1.body.affine1', (2, 4)), ('residual1.body.relu1', (2, 4)), ('affine1', (2, 3))]
    """
    outputs: OrderedDict[str, jax.Array] = OrderedDict()

    def at(path: tuple[str, ...], layer: Layer, walk: Any, *args: Any, **options: Any) -> Any:
        output, params, state = walk(*args, **options)
        if not layer.children and jnp.issubdtype((first := jax.tree.leaves(output)[0]).dtype, jnp.floating):
            name, calls = ".".join(path), 1
            while (call := name if calls == 1 else f"{name} ({calls})") in outputs:
                calls += 1
            outputs[call] = first
        return output, params, state

    walk_by_path(net, at, params, state, *inputs, **options)
    return outputs


def measured(run: Fitted, measure: Callable[[Any], Mapping[str, Any]] | None) -> dict[str, Any]:
    """What is known of a run beside its records, on the host: "hyperparameters", and what ``measure`` gives.

    The hyperparameters are those of the optimizer's last update, if its state tells them. A run that broke down is
    not measured.
    """
    train_state = run.train_state
    values = {"hyperparameters": hyperparameters(getattr(train_state, "opt_state", train_state))}
    more = measure(train_state) if measure is not None and run.stopped is None else {}
    return jax.device_get({**values, **more})


def _norms(grads: Any) -> dict[str, jax.Array]:
    """The length of the gradient of each layer."""
    return {path: global_norm(of_layer) for path, of_layer in by_layer(grads).items()}


def _in_order(values: dict[str, Any], calls: Iterable[str]) -> OrderedDict[str, Any]:
    """The values by layer in the order in which layers are called, which JAX keeps of an OrderedDict alone."""
    place = {path: i for i, path in enumerate(calls)}
    return OrderedDict(sorted(values.items(), key=lambda item: place.get(item[0], len(place))))


def _statistics(y: jax.Array) -> dict[str, jax.Array]:
    y = y.astype(wide(y))
    low, high = y.min(), y.max()
    room = jnp.where(low == high, 0.5, 0)
    low, high = low - room, high + room
    # jnp.histogram searches each value's bin among the edges, which takes several times as long.
    bins = jnp.clip(((y - low) / (high - low) * BINS).astype(jnp.int32), 0, BINS - 1)
    return {
        "mean": y.mean(),
        "std": y.std(),
        "dead": jnp.mean(jnp.all(y == 0, axis=tuple(range(y.ndim - 1)))),
        "low": low,
        "high": high,
        "counts": jnp.zeros(BINS, jnp.int32).at[bins].add(1),
    }
