"""The training step: from one train state and a batch to the next train state.

    (params, state, opt_state, key, step), batch  ->  (params', state', opt_state', key, step + 1), metrics

Everything that training changes is in the train state, so the step is a pure function: the same state
and batch give the same result, and a run that continues from a saved state is the run that was saved.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.errors import InputError
from fdl.keys import split_key
from fdl.layer import Layer
from fdl.optim import Optimizer, apply_updates, loss_scale, skipped_in_a_row, update_with
from fdl.optim.optimizer import check_optimizer
from fdl.paths import path_of
from fdl.train.by_path import check_kinds, kind_of, leaves_by_path
from fdl.train.check_train_state import check_single
from fdl.train.kept import made_once
from fdl.train.objective import Objective
from fdl.train.unread import SKIPPED


class TrainState(NamedTuple):
    """All that a training run carries from one step to the next; a pytree of arrays.

    ``params`` and ``state`` are the network's, ``opt_state`` is the optimizer's. ``key`` stays as it
    is; the randomness of a step comes from ``key`` and ``step``, the number of steps that were taken.
    """

    params: Any
    state: Any
    opt_state: Any
    key: jax.Array
    step: jax.Array


def init_train_state(
    net: Layer, optimizer: Optimizer, key: jax.Array, *inputs: Any, params: Any = None, state: Any = None
) -> TrainState:
    """Makes the train state that a run starts from.

    Args:
        net: the network.
        optimizer: what `make_train_step` will be given.
        key: a JAX random key, for the initial parameters and for all that is drawn at random in training.
        inputs: one batch of what goes into the network, or its shapes (`jax.ShapeDtypeStruct`).
        params, state: where to start instead of where ``net.init`` does, such as what `load_parameters` gives; they
            are copied. The optimizer's state is made of these parameters, as masters and averages of them have to be:
            in a train state whose ``params`` are replaced later, they would still be those of the others. Floats may
            be wider or narrower than those of ``net.init``, such as bfloat16 for `fdl.optim.float32_masters`.

    Raises:
        InputError: when the inputs do not fit the network, with the path of the layer, and for what is no optimizer;
            for parameters or a state of other paths, shapes or kinds of numbers than ``net.init`` makes, with the path.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Affine
        >>> from fdl.optim import adam
        >>> train_state = init_train_state(Affine(10), adam(1e-3), jax.random.key(0), jnp.ones((32, 64)))
        >>> jax.tree.map(jnp.shape, train_state.params), int(train_state.step)
        ({'b': (10,), 'w': (64, 10)}, 0)
        >>> trained = {"w": jnp.ones((64, 10)), "b": jnp.zeros(10)}
        >>> train_state = init_train_state(
        ...     Affine(10), adam(1e-3), jax.random.key(0), jnp.ones((32, 64)), params=trained
        ... )
        >>> bool((train_state.params["w"] == 1).all())
        True
    """
    check_optimizer("init_train_state", optimizer)
    if wrong := next((given for given in inputs if type(given) in (list, tuple) and not _has_arrays(given)), None):
        raise InputError(
            f"init_train_state takes inputs as arrays or their shapes, got a {type(wrong).__name__} of numbers: "
            "jnp.array(...) makes an array of it"
        )
    init_key, key = split_key("init_train_state", key)
    fresh_params, fresh_state = net.init(init_key, *inputs)
    params = fresh_params if params is None else _filled("params", fresh_params, params)
    state = fresh_state if state is None else _filled("state", fresh_state, state)
    # Optimizers may start from the parameters themselves (an average of them does), and a training step
    # that donates its train state may not be given the same buffer twice.
    opt_state = jax.tree.map(jnp.copy, optimizer.init(params))
    return TrainState(params, state, opt_state, key, jnp.zeros((), jnp.int32))


def _has_arrays(tree: Any) -> bool:
    return any(hasattr(leaf, "shape") for leaf in jax.tree.leaves(tree)) or not jax.tree.leaves(tree)


def _filled(name: str, fresh: Any, given: Any) -> Any:
    """The tree that was made, with copies of the arrays that were given."""
    arrays = leaves_by_path(given)
    expected = {path: kind_of(_as_wide(a, arrays.get(path))) for path, a in leaves_by_path(fresh).items()}
    found = {path: kind_of(a) for path, a in arrays.items()}
    check_kinds(expected, found, f"what init_train_state was given as {name}")
    return jax.tree.map_with_path(lambda keys, _: jnp.copy(jnp.asarray(arrays[path_of(keys)])), fresh)


def _as_wide(array: Any, given: Any) -> Any:
    """The array, in the dtype of what was given if both are floats."""
    are_floats = given is not None and all(jnp.issubdtype(jnp.result_type(a), jnp.floating) for a in (array, given))
    return array.astype(jnp.result_type(given)) if are_floats else array


def make_train_step(
    objective: Objective, optimizer: Optimizer
) -> Callable[[TrainState, Any], tuple[TrainState, dict[str, jax.Array]]]:
    """Makes the compiled step: the objective's gradient, handed to the optimizer, added to the parameters.

    Args:
        objective: what to minimise, from `supervised` or of that form.
        optimizer: from `fdl.optim`, or optax. Where it stands in `fdl.optim.scale_loss`, the loss is scaled for it.
            Where it leaves out a step whose gradients are not finite, the network's state stays as it was too: running
            statistics would never forget a NaN.

    Returns:
        A pure, jitted function train_step(train_state, batch) -> (train_state, metrics). It takes over
        the buffers of the train state that it is given, which cannot be used afterwards (pass a copy,
        ``jax.tree.map(jnp.copy, train_state)``, to keep it). The metrics are the objective's and its
        value as "loss", scalars that stay on the device; of an optimizer that leaves steps out also
        "skipped_in_a_row", how many it has just left out (`fdl.optim.skipped_in_a_row`).

    Raises:
        InputError: for what is no objective and no optimizer; from the step, before compilation, when a batch does not
            fit the network or the loss.
            The values of a batch cannot be seen there: class ids that do not exist give a loss of NaN,
            unless `check_batch`, which `fit` calls, looked at them first.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Affine
        >>> from fdl.losses import softmax_cross_entropy
        >>> from fdl.optim import sgd
        >>> from fdl.train import supervised
        >>> net, optimizer, x = Affine(3), sgd(0.1), jnp.eye(4)
        >>> train_step = make_train_step(supervised(net, softmax_cross_entropy), optimizer)
        >>> train_state = init_train_state(net, optimizer, jax.random.key(0), x)
        >>> train_state, before = train_step(train_state, (x, jnp.array([0, 1, 2, 0])))
        >>> train_state, after = train_step(train_state, (x, jnp.array([0, 1, 2, 0])))
        >>> int(train_state.step), bool(after["loss"] < before["loss"])
        (2, True)
    """
    if isinstance(objective, Layer) or not callable(objective):
        raise InputError(
            f"make_train_step takes an objective, such as supervised(net, loss) makes it, got {objective!r}"
        )
    check_optimizer("make_train_step", optimizer)

    def train_step(train_state: TrainState, batch: Any) -> tuple[TrainState, dict[str, jax.Array]]:
        check_single("train_step", train_state, "vmap_steps(train_step) makes a step of all")
        params, state, opt_state, key, step = train_state

        def scaled(params: Any) -> Any:
            value, after = objective(params, state, batch, step_key(train_state))
            return value * loss_scale(opt_state).astype(jnp.result_type(value)), (value, after)

        grads, (value, (after, metrics)) = jax.grad(scaled, has_aux=True)(params)
        updates, opt_state = update_with(optimizer, grads, opt_state, params, value=value)
        params = apply_updates(params, updates)
        if (skipped := skipped_in_a_row(opt_state)) is not None:
            after = jax.tree.map(lambda old, new: jnp.where(skipped > 0, old, new), state, after)
            metrics = {**metrics, SKIPPED: skipped}
        return TrainState(params, after, opt_state, key, step + 1), {"loss": value, **metrics}

    return jax.jit(train_step, donate_argnames="train_state")


def scan_steps(train_step: Callable[[Any, Any], tuple[Any, Any]]) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Makes one call of several steps: a compiled loop over batches that are stacked along a first axis.

    Args:
        train_step: (train_state, batch) -> (train_state, metrics).

    Returns:
        A compiled function (train_state, batches) -> (train_state, metrics), with the metrics of each step along a
        first axis. It takes over the buffers of the train state that it is given, and is compiled once for each
        train_step, however often it is made, and forgotten when that is.

    Example:
        >>> import jax.numpy as jnp
        >>> add = lambda total, batch: (total + batch, {"loss": total})
        >>> total, metrics = scan_steps(add)(jnp.array(0.0), jnp.array([1.0, 2.0, 3.0]))
        >>> float(total), metrics["loss"].tolist()
        (6.0, [0.0, 1.0, 3.0])
    """

    def several_steps(train_state: Any, batches: Any) -> tuple[Any, Any]:
        result: tuple[Any, Any] = made_once(train_step, "scanned", _scan_of)(train_state, batches)
        return result

    return several_steps


def _scan_of(train_step: Callable[[], Any]) -> Callable[[Any, Any], tuple[Any, Any]]:
    def _scanned(train_state: Any, batches: Any) -> Any:
        return jax.lax.scan(functools.partial(stepped, train_step()), train_state, batches)

    return jax.jit(_scanned, donate_argnums=0)


def stepped(train_step: Callable[[Any, Any], Any], train_state: Any, batch: Any) -> tuple[Any, Any]:
    """What a training step gives: (train_state, metrics).

    Raises:
        InputError: for what gives something else, as the step of an evaluation does.
    """
    result = train_step(train_state, batch)
    if not isinstance(result, tuple) or len(result) != 2:
        raise InputError(
            f"a training step gives (train_state, metrics), got one that gives a {type(result).__name__}, as the step "
            "of an evaluation does: make_train_step(objective, optimizer) makes one"
        )
    return result


def step_key(train_state: TrainState) -> jax.Array:
    """The key of the step that comes next: another one for every step, the same one when it is repeated."""
    return jax.random.fold_in(train_state.key, train_state.step)
