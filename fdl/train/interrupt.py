"""Signals as a reason to stop: a run that is asked to end does so between two steps, with everything saved.

Schedulers and clouds send SIGTERM some seconds before they take a machine away; Ctrl-C on a terminal sends SIGINT.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from fdl.errors import InputError


@contextlib.contextmanager
def stop_on_signal(*signals: signal.Signals) -> Iterator[Callable[[], str | None]]:
    """Turns a signal into a reason for `fit` to stop, and into the end of the process when the block is left.

        with stop_on_signal() as stop, Checkpoints("runs/digits") as checkpoints:
            run = checkpoints.resume(train_state)
            run = fit(..., stop=stop, callbacks=[checkpoints])

    When the signal comes, `fit` finishes the step that it is in and adds a last record, which the checkpoints save.
    Leaving the block waits until that is written (the block of `Checkpoints` is the inner one), and exits with the
    status that the signal would have given, 128 + its number; nothing behind the block is run. A second signal acts as
    if there were no such block, for whoever does not want to wait.

    The next process goes on from the very step, so its parameters are those of a run that was never stopped. Its
    history has one record more, of the steps between the one before and the signal, and `early_stopping`, which counts
    records, counts this one too.

    In a search each run has a block of its own. With one block around them all, the run that was cut short and one step
    of each configuration that is left would count as trials, and nothing would be left for the next process to try:

        for config in results.untried(configs):
            with stop_on_signal() as stop:
                run = fit(..., stop=stop)
            results = results.add(config, run)  # not if a signal came
            results.save("search.jsonl")

    Args:
        signals: which ones; SIGTERM if none is named. ``stop_on_signal(signal.SIGTERM, signal.SIGINT)`` stops by
            Ctrl-C too.

    Returns:
        A context manager, which gives a function without arguments: the name of the signal if one came, else None.

    Raises:
        InputError: outside the main thread, where Python has no signals.
        SystemExit: at the end of the block, if a signal came.

    Example:
        >>> with stop_on_signal() as stop:
        ...     print(stop())
        ...     signal.raise_signal(signal.SIGTERM)
        ...     print(stop())
        Traceback (most recent call last):
            ...
        SystemExit: 143
    """
    if threading.current_thread() is not threading.main_thread():
        raise InputError("stop_on_signal works in the main thread only, where Python gets its signals")
    came: list[signal.Signals] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(signal.Signals(number))
        restore()

    def restore() -> None:
        for one, handler in before.items():
            signal.signal(one, handler)

    before = {one: signal.getsignal(one) for one in signals or (signal.SIGTERM,)}
    for one in before:
        signal.signal(one, note)
    try:
        yield lambda: came[0].name if came else None
    finally:
        restore()
    if came:
        raise SystemExit(128 + came[0])
