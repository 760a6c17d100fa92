"""The driver: training steps over the epochs of a data set, what they gave, and what watches meanwhile.

A step costs no more here than in a bare loop: the metrics of steps stay on the device and are read many at a time,
so that the device goes on from step to step without waiting for Python.

A run has its whole past in four values: the train state, the position in the data, the history, and why it stopped.
`fit` starts from such values and returns such values, so a run in two parts is the run in one.
"""

import inspect
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fdl.counts import check_count
from fdl.data import Position
from fdl.errors import InputError
from fdl.train.check_batch import check_batch, check_train_state
from fdl.train.metrics import examples_in, mean_over_examples, read
from fdl.train.progress import shown
from fdl.train.step import scan_steps

Record = dict[str, float]

READ_EVERY = 50  # calls: each reading of metrics waits for the device


class Fitted(NamedTuple):
    """Where a run is: what `fit` returns, and what it shows to callbacks.

    ``stopped`` says why a run ended early; it is None at the end of all epochs or steps, and as long as it runs.
    """

    train_state: Any
    history: tuple[Record, ...] = ()
    position: Position = Position()
    stopped: str | None = None


Callback = Callable[[Fitted], str | None]


def fit(
    train_step: Callable[[Any, Any], tuple[Any, dict[str, jax.Array]]],
    train_state: Any,
    batches: Callable[[int], Iterable[Any]],
    *,
    epochs: int | None = None,
    steps: int | None = None,
    record_every: int | None = None,
    validate: Callable[[Any], Mapping[str, float]] | None = None,
    callbacks: Sequence[Callback] = (),
    stop: Callable[[], str | None] | None = None,
    diverged: float = 3.0,
    steps_per_call: int = 1,
    history: Sequence[Record] = (),
    position: tuple[int, int] = (0, 0),
    progress: Literal["auto", "lines"] | None = "auto",
) -> Fitted:
    """Trains for a number of epochs or of steps.

    The first batch is looked at with `check_batch`.

    Args:
        train_step: (train_state, batch) -> (train_state, metrics), as `make_train_step` makes it.
        train_state: where to start. Its buffers are taken over by the first step, as by all of them.
        batches: gives the batches of epoch 0, 1, ..., such as ``Batches(data, 32, seed=0)`` of `fdl.data`, or
            ``lambda epoch: loader`` for any loader that can be iterated again for each epoch.
        epochs, steps: how often to go through the data, or how many steps to take, whichever comes first; both
            count from the beginning of the run, with the part before ``history`` and ``position``.
        record_every: adds a record to the history every so many steps; at the end of each epoch if None.
        validate: called with the train state for each record, it gives more numbers for it, such as
            ``lambda train_state: evaluate(eval_step, train_state, validation_batches)``.
        callbacks: functions of the run so far (a `Fitted`), called in turn after each record. One that returns a
            reason stops the run. The train state that they see is taken over by the next step: copy what shall stay.
        stop: asked after each call of the training step, it ends the run by giving a reason; there is a last record
            first. See `stop_on_signal`.
        diverged: stops the run when the loss is NaN or infinite, and when the mean loss of a record is more than
            so many times the run's first loss; infinity looks for NaN alone.
        steps_per_call: takes so many steps in one call of the compiled step, which saves the time between calls where
            steps are short. A record then comes at the end of the call in which it is due.
        history, position: of an earlier `Fitted`, to go on from there.
        progress: "auto" shows a progress bar on a terminal and prints a line per record elsewhere, "lines"
            prints lines anyway, None shows nothing.

    Returns:
        A `Fitted`. Its history has one dict per record: "epoch" and "step", how many were begun and taken,
        "seconds" since the record before, the means of the metrics over the examples since then under
        their names, and what `validate` gave under "validation_" and its names.

    Raises:
        InputError: for batches that do not fit, for epochs without any, and for settings outside their range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.layers import Affine
        >>> from fdl.losses import softmax_cross_entropy
        >>> from fdl.optim import sgd
        >>> from fdl.train import init_train_state, make_train_step, supervised
        >>> net, optimizer, x = Affine(3), sgd(0.1), jnp.eye(4)
        >>> train_step = make_train_step(supervised(net, softmax_cross_entropy), optimizer)
        >>> train_state = init_train_state(net, optimizer, jax.random.key(0), x)
        >>> every_epoch_the_same = lambda epoch: [(x, jnp.array([0, 1, 2, 0]))]
        >>> train_state, history, *_ = fit(train_step, train_state, every_epoch_the_same, epochs=20, progress=None)
        >>> len(history), history[-1]["step"], history[-1]["loss"] < history[0]["loss"]
        (20, 20, True)
    """
    _check(batches, {"epochs": epochs, "steps": steps}, record_every=record_every, steps_per_call=steps_per_call)
    _check_watchers(validate, callbacks)
    check_train_state("fit", train_state)
    run = Fitted(train_state, tuple(history), Position(*map(int, position)))
    step = first_step = int(run.history[-1]["step"]) if run.history else 0
    unread = Unread(diverged, run.history[0].get("loss") if run.history else None)
    several_steps = scan_steps(train_step)

    def recorded(run: Fitted) -> Fitted:
        means, trouble = unread.means()
        record = {"epoch": run.position.epoch + (run.position.batch > 0), "step": step, **means}
        if validate is not None and trouble is None:
            record |= {f"validation_{name}": value for name, value in validate(run.train_state).items()}
        run = run._replace(history=(*run.history, record), stopped=trouble)
        display.record(record)
        said = [_reason(callback, callback(run)) for callback in callbacks]
        reasons = [trouble, *said, stop() if stop is not None else None]
        return run._replace(stopped=next((reason for reason in reasons if reason is not None), None))

    with shown(progress, epochs, steps) as display:
        while run.stopped is None and _before(run.position.epoch, epochs) and _before(step, steps):
            epoch, begun = run.position
            of_epoch = batches(epoch)
            for group in _groups(of_epoch, begun, steps_per_call, None if steps is None else steps - step):
                if step == first_step:
                    check_batch(train_step, run.train_state, group[0])
                if len(group) == 1:
                    train_state, metrics = train_step(run.train_state, group[0])
                else:
                    train_state, metrics = several_steps(run.train_state, _stacked(group))
                due = record_every is not None and (step + len(group)) // record_every > step // record_every
                step, begun = step + len(group), begun + len(group)
                run = run._replace(train_state=train_state, position=Position(epoch, begun))
                examples = sum(map(examples_in, group))
                unread.add(metrics, examples)
                display.step(epoch, step, begun, _length(of_epoch), examples, metrics)
                if due or unread.look() or (stop is not None and stop() is not None):
                    run = recorded(run)
                    if run.stopped is not None:
                        break
            else:
                if not begun:
                    raise InputError(
                        f"batches({epoch}) gave no batch: it must give a new iterable for every epoch, not one "
                        "generator that the first epoch uses up"
                    )
                if _before(step, steps):
                    run = run._replace(position=Position(epoch + 1, 0))
                if record_every is None and unread:
                    run = recorded(run)
        if unread:
            run = recorded(run)
    return run


class Unread:
    """The metrics of the steps since the last record: on the device, until many are read at once."""

    def __init__(self, diverged: float, first_loss: float | None):
        self._diverged = diverged
        self._first_loss = first_loss
        self._clear()

    def _clear(self) -> None:
        self._start = time.perf_counter()
        self._metrics: list[Any] = []  # on the device
        self._values: list[dict[str, Any]] = []  # read
        self._examples: list[int] = []
        self._is_finite = True

    def __bool__(self) -> bool:
        return bool(self._examples)

    def add(self, metrics: dict[str, jax.Array], examples: int) -> None:
        self._metrics.append(metrics)
        self._examples.append(examples)

    def look(self) -> bool:
        """Reads what has gathered, now and then, and says whether there is trouble in it.

        The newest stays, so that the device has something to do meanwhile.
        """
        if len(self._metrics) >= READ_EVERY:
            self._read(len(self._metrics) - 1)
        return not self._is_finite

    def means(self) -> tuple[Record, str | None]:
        """The seconds and the means over examples since the last call, and what is wrong with the loss, if anything."""
        self._read(len(self._metrics))
        means = mean_over_examples(self._values, self._examples)
        loss, first, trouble = means.get("loss"), self._first_loss, None
        if not self._is_finite:
            trouble = (
                "the loss is not finite any more: try a smaller learning rate, and look for bad data, "
                "such as class ids that do not exist"
            )
        elif loss is not None and first is not None and loss > self._diverged * first > 0:
            trouble = f"the loss is {loss:.3g}, more than {self._diverged:g} times the {first:.3g} that it started from"
        record = {"seconds": time.perf_counter() - self._start, **means}
        self._clear()
        return record, trouble

    def _read(self, number: int) -> None:
        values = read(self._metrics[:number])
        self._values += values
        del self._metrics[:number]
        losses = [float(loss) for one in values if "loss" in one for loss in np.ravel(one["loss"])]
        if self._first_loss is None and losses:
            self._first_loss = losses[0]
        self._is_finite &= all(map(math.isfinite, losses))


def _reason(callback: Any, said: Any) -> str | None:
    """What a callback returned, which False, or a number, cannot be: a run would stop at it."""
    if said is not None and not isinstance(said, str):
        raise InputError(
            f"a callback returns a reason to stop, as text, or None to go on, got {said!r} from {callback!r}: "
            "early_stopping makes one, or write lambda run: 'good enough' if ... else None"
        )
    return said


def _before(count: int, end: int | None) -> bool:
    return end is None or count < end


def _groups(batches: Iterable[Any], begun: int, size: int, left: int | None) -> Iterator[list[Any]]:
    """The batches of an epoch behind those that it began with, no more than are left, ``size`` at a time."""
    if isinstance(batches, Sequence):
        rest: Iterator[Any] = (batches[i] for i in range(begun, len(batches)))
    else:
        rest = itertools.islice(batches, begun, None)
    rest = itertools.islice(rest, left)
    while group := list(itertools.islice(rest, size)):
        if len(group) == size and len(set(map(_form, group))) == 1:
            yield group
        else:
            yield from ([batch] for batch in group)


def _form(batch: Any) -> Any:
    leaves, tree = jax.tree.flatten(batch)
    return tree, tuple(np.shape(leaf) for leaf in leaves)


def _stacked(group: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: (jnp if isinstance(leaves[0], jax.Array) else np).stack(leaves), *group)


def _length(batches: Any) -> int | None:
    return len(batches) if hasattr(batches, "__len__") else None


def _check(batches: Any, ends: dict[str, int | None], **counts: int | None) -> None:
    if not callable(batches):
        raise InputError(
            f"fit takes batches as a function of the epoch, got a {type(batches).__name__}: "
            "for a list that every epoch goes through, write batches=lambda epoch: the_list"
        )
    if all(end is None for end in ends.values()):
        raise InputError("fit needs to know when to end: give it epochs, steps or both")
    for least, numbers in ((0, ends), (1, counts)):
        for name, number in numbers.items():
            if number is not None:
                check_count("fit", name, number, least)


def _check_watchers(validate: Any, callbacks: Any) -> None:
    if callable(callbacks):
        raise InputError(f"fit takes a list of callbacks, got a function: write callbacks=[{callbacks!r}]")
    if validate is not None and _takes_more_than_one(validate):
        raise InputError(
            "fit takes validate as a function of the train state alone: "
            "lambda train_state: evaluate(eval_step, train_state, batches)"
        )


def _takes_more_than_one(function: Any) -> bool:
    """Whether a function cannot be called with a single argument, as far as it tells."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.default is p.empty for p in parameters if p.kind in by_position) > 1
