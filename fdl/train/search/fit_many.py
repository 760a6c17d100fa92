"""Many configurations of one architecture, trained at once: one compiled step, vectorised over configurations.

    train_state_i  <-  step(train_state_i, batch; config_i)        for all i in one call

Numbers that differ from configuration to configuration (learning rate, penalty, momentum) are arguments of the compiled
step instead of constants in it, and `jax.vmap` does the rest. All of it is compiled once, and a call of the step costs
the same for many as for one: on two CPU cores, 16 networks with 64 hidden units took about twice the time of one.

Every run is the one that `fdl.train.fit` would have made of its configuration, up to rounding. A run whose loss
breaks down does not disturb the others: they share no number.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.data import Position
from fdl.errors import InputError
from fdl.keys import check_key
from fdl.layer import Layer
from fdl.optim import Optimizer
from fdl.train.check_batch import check_batch
from fdl.train.evaluate import make_eval_step
from fdl.train.fit import Fitted
from fdl.train.kept import made_once
from fdl.train.metrics import examples_in, mean_over_examples
from fdl.train.objective import Objective
from fdl.train.search.space import Config
from fdl.train.step import TrainState, init_train_state, make_train_step
from fdl.train.unread import Unread

Make = Callable[[Config], tuple[Objective, Optimizer]]
Values = tuple[tuple[str, Any], ...]  # a configuration that can be a key


def init_many(net: Layer, make: Make, configs: Sequence[Config], key: jax.Array, *inputs: Any) -> list[Fitted]:
    """Makes the runs that `fit_many` starts from, none of which has taken a step.

    Args:
        net: the network.
        make: from a configuration to its objective and its optimizer, as for `fit_many`.
        configs: the configurations.
        key: a JAX random key, from which all start alike, so that they differ by their configuration alone; or one
            for each, of shape [len(configs)].
        inputs: one batch of what goes into the network, or its shapes (`jax.ShapeDtypeStruct`).

    Raises:
        InputError: as `fit_many`, for another number of keys, and for inputs that do not fit the network.
    """
    same, differing = _split(configs)
    has_many = len(getattr(key, "shape", ())) == 1 and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    if has_many and key.shape != (len(configs),):
        raise InputError(f"init_many needs one key, or one for each of {len(configs)}, got {list(key.shape)}")
    if not has_many:
        check_key("init_many", key)

    def init(values: dict[str, jax.Array], key: jax.Array) -> TrainState:
        with _explained():
            return init_train_state(net, make({**dict(same), **values})[1], key, *inputs)

    in_axes = (0, 0 if has_many else None)
    train_states = jax.jit(jax.vmap(init, in_axes=in_axes, axis_size=len(configs)))(differing, key)
    return [Fitted(train_state) for train_state in _unstacked(train_states, len(configs))]


def fit_many(
    make: Make,
    configs: Sequence[Config],
    runs: Sequence[Fitted],
    batches: Callable[[int], Iterable[Any]],
    *,
    epochs: int,
    validation: Sequence[Any] = (),
    diverged: float | None = 3.0,
) -> list[Fitted]:
    """Trains one network with each of many configurations at once, all on the same batches.

    Args:
        make: from a configuration to its objective and its optimizer. Values that differ between configurations
            come as traced floats there: they go into formulas, not into ``if``, ``float`` or a layer's settings.
            It is compiled once as long as it is the same function, and forgotten when that is.
        configs: the configurations. What is not a float must be the same in all; `alike` sorts them by it.
        runs: where each one is, from `init_many` or from an earlier call; their arrays are copied. Those that were
            stopped stay as they are.
        batches: gives the batches of epoch 0, 1, ..., as for `fdl.train.fit`.
        epochs: how often to go through the data, counted from the beginning of the runs.
        validation: batches; the means of loss and metrics over them join each record as "validation_loss" and so on.
        diverged: as for `fdl.train.fit`, stops a run when its loss is not finite, or in the mean of an epoch more
            than so many times that of the first; None looks for nothing.

    Returns:
        The runs, with a record for each epoch. Of a run that broke down, ``stopped`` says why, and its arrays are of no
        use. "seconds" are those of all runs together.

    Raises:
        InputError: for configurations that differ in more than floats, for runs that are not equally far, and for
            batches that do not fit.

    Example:
        >>> from fdl.layers import Affine
        >>> from fdl.losses import squared_error
        >>> from fdl.optim import sgd
        >>> from fdl.train import supervised
        >>> net, x = Affine(1), jax.random.normal(jax.random.key(0), (64, 3))
        >>> y = x @ jnp.array([[1.0], [2.0], [3.0]])
        >>> def make(config):
        ...     return supervised(net, lambda y, t: squared_error(y, t).sum(-1)), sgd(config["learning_rate"])
        >>> configs = [{"learning_rate": rate} for rate in (0.001, 0.1, 10.0)]
        >>> runs = init_many(net, make, configs, jax.random.key(1), x)
        >>> runs = fit_many(make, configs, runs, lambda epoch: [(x, y)] * 10, epochs=2, validation=[(x, y)])
        >>> [len(run.history) for run in runs], runs[1].history[-1]["validation_loss"] < 0.01
        ([2, 2, 1], True)
        >>> runs[2].stopped
        'the loss is 6.64e+24, more than 3 times the 10.3 that it started from'
    """
    if len(runs) != len(configs):
        raise InputError(f"fit_many needs one run for each of {len(configs)} configurations, got {len(runs)}")
    _split(configs)  # which refuses what does not go together, of those that were stopped as well
    going = [i for i, run in enumerate(runs) if run.stopped is None]
    if not going:
        return list(runs)
    training = [runs[i] for i in going]
    first = _epochs_done(training)
    same, differing = _split([configs[i] for i in going])
    train_all, test_all = made_once(make, ("fit_many", same), lambda reference: _compiled(reference, same))
    train_states = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(run.train_state for run in training))
    unread = [Unread(diverged, run.history) for run in training]
    for epoch in range(first, epochs):
        if all(run.stopped is not None for run in training):
            break
        steps: list[Any] = []
        for batch in batches(epoch):
            if epoch == first and not steps:
                check_batch(make_train_step(*make(configs[going[0]])), training[0].train_state, batch)
            train_states, metrics = train_all(train_states, differing, batch)
            steps.append((metrics, examples_in(batch)))
        if not steps:
            raise InputError(f"batches({epoch}) gave no batch: it must give a new iterable for every epoch")
        tests = [(test_all(train_states, differing, one), examples_in(one)) for one in validation]
        steps, tests = jax.device_get((steps, tests))
        for i, run in enumerate(training):
            if run.stopped is None:
                training[i] = _recorded(run, epoch + 1, unread[i], _of_one(steps, i), _of_one(tests, i))
    result = list(runs)
    for i, run, train_state in zip(going, training, _unstacked(train_states, len(going)), strict=True):
        result[i] = run._replace(train_state=train_state)
    return result


def alike(configs: Iterable[Config]) -> list[list[Config]]:
    """Sorts configurations into groups that differ in floats alone, each of which can be trained at once.

    Example:
        >>> configs = [{"rate": 0.1, "width": 64}, {"rate": 0.2, "width": 128}, {"rate": 0.3, "width": 64}]
        >>> alike(configs)
        [[{'rate': 0.1, 'width': 64}, {'rate': 0.3, 'width': 64}], [{'rate': 0.2, 'width': 128}]]
    """
    groups: dict[str, list[Config]] = {}
    for config in configs:
        rest = sorted((name, None if _is_float(value) else value) for name, value in config.items())
        groups.setdefault(repr(rest), []).append(config)
    return list(groups.values())


def _compiled(reference: Callable[[], Any], same: Values) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The step of all, and the test of all, which refer to ``make`` weakly: ``reference`` gives it."""

    def made(values: dict[str, jax.Array]) -> tuple[Objective, Optimizer]:
        return reference()({**dict(same), **values})

    def train_one(train_state: TrainState, values: dict[str, jax.Array], batch: Any) -> Any:
        with _explained():
            return make_train_step(*made(values))(train_state, batch)

    def test_one(train_state: TrainState, values: dict[str, jax.Array], batch: Any) -> Any:
        with _explained():
            return make_eval_step(made(values)[0])(train_state, batch)

    train_all, test_all = (jax.vmap(one, in_axes=(0, 0, None)) for one in (train_one, test_one))
    return jax.jit(train_all, donate_argnums=0), jax.jit(test_all)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Says what is the matter where a traced value is used as a Python number."""
    try:
        yield
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError) as error:
        error.add_note(
            "Values that differ between configurations are arguments of the compiled step here: they go into formulas, "
            "not into if, float or a layer's settings. What decides those must be the same in all: one call for each."
        )
        raise


def _split(configs: Sequence[Config]) -> tuple[Values, dict[str, jax.Array]]:
    """What is the same in all configurations, as it is; and the floats that differ, as arrays."""
    if not configs or any(config.keys() != configs[0].keys() for config in configs):
        raise InputError(f"expected configurations, all with the same names; got {list(configs)}")
    same, differing = [], {}
    for name in configs[0]:
        values = [config[name] for config in configs]
        if len(set(map(repr, values))) == 1:
            _check_fixed(name, values[0])
            same.append((name, values[0]))
        elif all(map(_is_float, values)):
            differing[name] = jnp.array(values, jnp.result_type(float))
        else:
            raise InputError(
                f"configurations that are trained at once differ in floats alone, but these in {name}: {values[:8]}. "
                "`alike` sorts them into groups that can be"
            )
    return tuple(same), differing


def _is_float(value: Any) -> bool:
    return isinstance(value, float | np.floating)  # of which NumPy's float32 is no float of Python's


def _check_fixed(name: str, value: Any) -> None:
    try:
        hash(value)
    except TypeError as error:
        raise InputError(
            f"configurations are part of what is compiled, and cannot have {value!r} as {name}, which could change: "
            "make it a tuple, or a number"
        ) from error


def _epochs_done(runs: Sequence[Fitted]) -> int:
    positions = sorted({Position(*run.position) for run in runs})
    if len(positions) > 1 or positions[0].batch:
        raise InputError(f"fit_many needs runs that are equally far, at the end of an epoch, got {positions}")
    return positions[0].epoch


def _recorded(run: Fitted, epoch: int, unread: Unread, steps: list[Any], tests: list[Any]) -> Fitted:
    """The run with a record of an epoch, of which it gets the metrics on the training and the validation batches."""
    for metrics, examples in steps:
        unread.add(metrics, examples)
    means, trouble = unread.means()
    step = len(steps) + (run.history[-1]["step"] if run.history else 0)
    record = {"epoch": epoch, "step": step, **means}
    if tests and trouble is None:
        record |= {f"validation_{name}": value for name, value in mean_over_examples(*zip(*tests, strict=True)).items()}
    return run._replace(history=(*run.history, record), position=Position(epoch, 0), stopped=trouble)


def _of_one(metrics: list[Any], i: int) -> list[Any]:
    return [({name: values[i] for name, values in of_all.items()}, examples) for of_all, examples in metrics]


def _unstacked(tree: Any, count: int) -> list[Any]:
    return [jax.tree.map(lambda leaf: leaf[i], tree) for i in range(count)]  # noqa: B023
