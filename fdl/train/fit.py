"""The driver: training steps over the epochs of a data set, what they gave, and what watches meanwhile.

A step costs no more here than in a bare loop: the metrics of steps stay on the device and are read many at a time,
so that the device goes on from step to step without waiting for Python.

A run has its whole past in four values: the train state, the position in the data, the history, and why it stopped.
`fit` starts from such values and returns such values, so a run in two parts is the run in one.
"""

import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np

from fdl.counts import check_count
from fdl.data import Position
from fdl.errors import InputError
from fdl.layer import Layer
from fdl.train.check_batch import check_batch
from fdl.train.check_train_state import check_train_state
from fdl.train.groups import behind, groups, place, stacked
from fdl.train.metrics import examples_in
from fdl.train.progress import shown
from fdl.train.step import scan_steps, stepped
from fdl.train.unread import Record, Unread


class Fitted(NamedTuple):
    """Where a run is: what `fit` returns, and what it shows to callbacks.

    ``stopped`` says why a run ended early; it is None at the end of all epochs or steps, and as long as it runs.
    """

    train_state: Any
    history: tuple[Record, ...] = ()
    position: Position = Position()
    stopped: str | None = None


Callback = Callable[[Fitted], str | None]


@runtime_checkable
class Ending(Protocol):
    """A callback that knows from the history alone whether a run is over, such as `early_stopping`.

    `fit` asks it before the first step of a run that goes on: one that was over stays over, and gets no other record.
    """

    def __call__(self, run: Fitted) -> str | None: ...

    def over(self, history: Sequence[Record]) -> str | None:
        """Why a run with these records is over, or None; to ask leaves nothing behind."""


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
    diverged: float | None = 3.0,
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
        validate: called with the train state for each record, it gives more numbers for it, by name, such as
            ``lambda train_state: evaluate(eval_step, train_state, validation_batches)``.
        callbacks: functions of the run so far (a `Fitted`), called in turn after each record. One that returns a
            reason stops the run; an `Ending` is asked before the first step of one that goes on, too. The train state
            that they see is taken over by the next step: copy what shall stay.
        stop: asked once after each call of the training step, after the record if one was due, and after that of an
            epoch. It ends the run by giving a reason; there is a last record first. See `stop_on_signal`.
        diverged: stops the run when the loss is NaN or infinite, and when the mean loss of a record is more than
            so many times that of the run's first record, or, in this one, of its first batch; infinity looks for
            NaN alone, and None for nothing. A step that the optimizer leaves out (`fdl.optim.skip_nonfinite`,
            `fdl.optim.scale_loss`) may have a loss of NaN, but not 50 steps in a row.
        steps_per_call: takes so many steps in one call of the compiled step, which saves the time between calls where
            steps are short. A record then comes at the end of the call in which it is due.
        history, position: of an earlier `Fitted`, to go on from there.
        progress: "auto" shows a progress bar on a terminal and prints a line per record elsewhere, "lines"
            prints lines anyway, None shows nothing.

    Returns:
        A `Fitted`. Its history has one dict per record: "epoch" and "step", how many were begun and taken,
        "seconds" since the record before, the means of the metrics over the examples since then under
        their names, and what `validate` gave under "validation_" and its names. Of an optimizer that leaves steps
        out, "skipped" is the share of those; what is not finite of them is left out of the means.

    Raises:
        InputError: for batches that do not fit, for epochs without any, for a position that the data do not have, for
            what validate gives beside single numbers by name, and for settings outside their range.

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
    _check_step(train_step)
    _check_watchers(validate, callbacks)
    check_train_state("fit", train_state)
    run = Fitted(train_state, tuple(history), place(position))
    step = first_step = int(run.history[-1]["step"]) if run.history else 0
    unread = Unread(diverged, run.history)
    several_steps = scan_steps(train_step)

    def asked() -> str | None:
        return None if stop is None else _reason("stop", stop, stop())

    def recorded(run: Fitted, reason: str | None = None) -> Fitted:
        means, trouble = unread.means()
        record = {"epoch": run.position.epoch + (run.position.batch > 0), "step": step, **means}
        if validate is not None and trouble is None:
            record |= _validated(validate(run.train_state))
        run = run._replace(history=(*run.history, record), stopped=trouble)
        display.record(record)
        said = [_reason("a callback", callback, callback(run)) for callback in callbacks]
        return run._replace(stopped=_first([trouble, *said, asked() if reason is None else reason]))

    if run.history:
        said = [_reason("a callback", one, one.over(run.history)) for one in callbacks if isinstance(one, Ending)]
        run = run._replace(stopped=_first(said))

    with shown(progress, epochs, steps) as display:
        while run.stopped is None and _before(run.position.epoch, epochs) and _before(step, steps):
            epoch, begun = run.position
            of_epoch = batches(epoch)
            rest = itertools.islice(behind(of_epoch, run.position), None if steps is None else steps - step)
            for group in groups(rest, steps_per_call):
                if step == first_step:
                    check_batch(train_step, run.train_state, group[0])
                if len(group) == 1:
                    train_state, metrics = stepped(train_step, run.train_state, group[0])
                else:
                    train_state, metrics = several_steps(run.train_state, stacked(group))
                due = record_every is not None and (step + len(group)) // record_every > step // record_every
                step, begun = step + len(group), begun + len(group)
                run = run._replace(train_state=train_state, position=Position(epoch, begun))
                examples = sum(map(examples_in, group))
                unread.add(metrics, examples)
                display.step(epoch, step, begun, _length(of_epoch), examples, metrics)
                if due or unread.look():
                    run = recorded(run)
                elif (reason := asked()) is not None:
                    run = recorded(run, reason)
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


def _validated(values: Any) -> Record:
    """What validate gave, under the names that it has in a record."""
    if not isinstance(values, Mapping):
        raise InputError(f'validate gives numbers by name, such as {{"accuracy": 0.9}}, got {values!r}')
    for name, value in values.items():
        is_number = isinstance(value, float | int | np.number | np.ndarray | jax.Array)
        if not isinstance(name, str) or not is_number or np.shape(value) != () or np.iscomplexobj(value):
            what = f"an array of shape {list(np.shape(value))}" if np.shape(value) else repr(value)
            raise InputError(
                f"validate gives single numbers by name, got {what} as {name!r}: for several, one name each: "
                f"{name}_0, {name}_1, ..."
            )
    return {f"validation_{name}": float(value) for name, value in values.items()}


def _reason(who: str, asked: Any, said: Any) -> str | None:
    """What a callback returned, which False, or a number, cannot be: a run would stop at it."""
    if said is not None and not isinstance(said, str):
        raise InputError(
            f"{who} returns a reason to stop, as text, or None to go on, got {said!r} from {asked!r}: "
            "write 'good enough' if ... else None"
        )
    return said


def _first(reasons: Iterable[str | None]) -> str | None:
    return next((reason for reason in reasons if reason is not None), None)


def _before(count: int, end: int | None) -> bool:
    return end is None or count < end


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


def _check_step(train_step: Any) -> None:
    if isinstance(train_step, Layer) or not callable(train_step) or _needs_more_than(2, train_step):
        raise InputError(
            f"fit takes a training step, a function of (train_state, batch), got {train_step!r}: "
            "make_train_step(objective, optimizer) makes one"
        )


def _check_watchers(validate: Any, callbacks: Any) -> None:
    if callable(callbacks):
        raise InputError(f"fit takes a list of callbacks, got a function: write callbacks=[{callbacks!r}]")
    if validate is not None and _needs_more_than(1, validate):
        raise InputError(
            "fit takes validate as a function of the train state alone: "
            "lambda train_state: evaluate(eval_step, train_state, batches)"
        )


def _needs_more_than(number: int, function: Any) -> bool:
    """Whether a function cannot be called with so few arguments, as far as it tells."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.default is p.empty for p in parameters if p.kind in by_position) > number
