"""Runs that are killed, or asked to stop, end with the very arrays of runs that were not."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import jax
import numpy as np
import pytest

from fdl import InputError
from fdl.data import Batches
from fdl.layers import Affine
from fdl.losses import squared_error
from fdl.optim import adam
from fdl.train import Checkpoints, fit, init_train_state, make_train_step, stop_on_signal, supervised
from fdl.train.search import Choice, Results, grid

ROOT = Path(__file__).parents[1]


def begin(folder, record_every):
    """Starts tests/resumable.py on the checkpoints in a folder."""
    command = [sys.executable, "tests/resumable.py", str(folder / "checkpoints"), str(record_every)]
    cache = {"JAX_COMPILATION_CACHE_DIR": str(folder / "cache"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    environment = {**os.environ, **cache, "PYTHONPATH": str(ROOT), "JAX_DISABLE_MOST_OPTIMIZATIONS": "true"}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)


def named(folder):
    try:
        return set(os.listdir(folder / "checkpoints"))
    except FileNotFoundError:
        return set()


def wait_for(moment, process, folder):
    """Watches the process until something happens: no clock is involved, so that it is the same on any machine."""
    if moment == "recorded":  # the line has been printed, and a save begins
        process.stdout.readline()
    while moment == "writing" and process.poll() is None and not any("tmp" in name for name in named(folder)):
        pass
    before = {name for name in named(folder) if "tmp" not in name}
    while moment == "written" and process.poll() is None and before >= {n for n in named(folder) if "tmp" not in n}:
        pass  # a checkpoint has got its name, and an old one is about to be deleted


def stopped(folder, record_every, moment, records, by):
    """Starts a run, lets it make some records, and sends it a signal at the moment. Returns what came of it."""
    process = begin(folder, record_every)
    while not (line := process.stdout.readline()).startswith("from step"):
        assert line, process.stderr.read()
    for _ in range(records):
        process.stdout.readline()
    wait_for(moment, process, folder)
    process.send_signal(by)
    output, _ = process.communicate()
    return process.returncode, output


def finished(folder, record_every):
    """Starts a run and lets it end: the steps of its records, and its checksums and those of a run in one piece."""
    process = begin(folder, record_every)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    words = dict(line.split(": ", 1) for line in output.splitlines() if ": " in line)
    return json.loads(words["steps"]), words["in the end"], words["never interrupted"]


def test_killed_and_asked_to_stop_a_run_ends_as_if_nothing_had_happened(tmp_path):
    for moment, records in ("writing", 1), ("written", 1), ("recorded", 2):
        code, output = stopped(tmp_path, 5, moment, records, by=signal.SIGKILL)
        assert code == -signal.SIGKILL, output
    code, output = stopped(tmp_path, 5, "at once", 0, by=signal.SIGTERM)
    assert code == 128 + signal.SIGTERM
    assert output.count("epoch") == 1  # the last record
    assert "in the end" not in output
    steps, resumed, whole = finished(tmp_path, 5)
    assert resumed == whole
    assert set(steps) >= set(range(5, 55, 5))
    assert len(steps) <= 11
    assert not any("tmp" in name for name in named(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "record_every"), [(0, 1), (1, 2), (2, 3)])
def test_killed_at_many_moments(tmp_path, seed, record_every):
    chance = random.Random(seed)
    for _ in range(9):
        moment, records = chance.choice(["writing", "written", "recorded"]), chance.randrange(5)
        if stopped(tmp_path, record_every, moment, records, by=signal.SIGKILL)[0] == 0:
            break  # it was faster
    _, resumed, whole = finished(tmp_path, record_every)
    assert resumed == whole


# In one process.

NET, OPTIMIZER = Affine(1), adam(1e-2)
X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
BATCHES = Batches((X, X @ np.array([[1.0], [2.0], [3.0]], np.float32)), 8, seed=0)
STEP = make_train_step(supervised(NET, lambda y, t: squared_error(y, t).sum(-1)), OPTIMIZER)


def start():
    return init_train_state(NET, OPTIMIZER, jax.random.key(0), X)


def until_signal_at(steps):
    """The same batches, with a signal to this process when that many have been taken."""

    def batches(epoch):
        for i, batch in enumerate(BATCHES(epoch)):
            if epoch * BATCHES.per_epoch + i == steps:
                signal.raise_signal(signal.SIGTERM)
            yield batch

    return batches


def test_the_step_under_way_is_the_last(tmp_path):
    whole = fit(STEP, start(), BATCHES, epochs=3, progress=None)
    with pytest.raises(SystemExit, match="143"), stop_on_signal() as stop, Checkpoints(tmp_path) as checkpoints:
        run = fit(STEP, start(), until_signal_at(6), epochs=3, callbacks=[checkpoints], stop=stop, progress=None)
    assert run.stopped == "SIGTERM"
    assert (run.history[-1]["step"], run.position) == (7, (1, 2))
    with Checkpoints(tmp_path) as checkpoints:
        run = checkpoints.resume(start())
    rest = fit(STEP, run.train_state, BATCHES, epochs=3, history=run.history, position=run.position, progress=None)
    assert [record["step"] for record in rest.history] == [5, 7, 10, 15]
    jax.tree.map(np.testing.assert_array_equal, rest.train_state._replace(key=0), whole.train_state._replace(key=0))


def test_a_run_of_a_search_that_was_cut_short_is_no_trial(tmp_path):
    space, file, seen = {"number": Choice(1, 2, 3)}, tmp_path / "search.jsonl", []

    def search(signal_in):
        results = Results.load(file) if file.exists() else Results(space, "loss")
        for config in results.untried(grid(space)):
            with stop_on_signal() as stop:
                seen.append(config["number"])
                batches = until_signal_at(6) if config["number"] == signal_in else BATCHES
                run = fit(STEP, start(), batches, epochs=2, stop=stop, progress=None)
            results = results.add(config, run)
            results.save(file)
        return [trial.metrics["step"] for trial in results.trials]

    with pytest.raises(SystemExit, match="143"):
        search(signal_in=2)
    assert search(signal_in=None) == [10, 10, 10]
    assert seen == [1, 2, 2, 3]


def test_without_a_signal_nothing_happens():
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signal() as stop:
        run = fit(STEP, start(), BATCHES, epochs=1, stop=stop, progress=None)
        assert signal.getsignal(signal.SIGTERM) != before
    assert run.stopped is None
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.fixture
def usual_interrupt():
    """Ctrl-C as at a terminal: a program that a shell starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("usual_interrupt")
def test_the_second_signal_acts_as_ever():
    said = []

    def twice():
        with stop_on_signal(signal.SIGTERM, signal.SIGINT) as stop:
            signal.raise_signal(signal.SIGINT)
            said.append(stop())
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        twice()
    assert said == ["SIGINT"]


def test_an_error_is_not_hidden():
    def wrong():
        with stop_on_signal():
            signal.raise_signal(signal.SIGTERM)
            return 1 / 0

    with pytest.raises(ZeroDivisionError):
        wrong()


def test_says_that_signals_need_the_main_thread():
    errors = []

    def elsewhere():
        try:
            with stop_on_signal():
                pass
        except InputError as error:
            errors.append(str(error))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert errors == ["stop_on_signal works in the main thread only, where Python gets its signals"]


@pytest.mark.parametrize("record_every", [None, 2, 3])
def test_any_reason_ends_a_run_and_is_given_once(record_every):
    answers = iter([None, None, "enough"])
    stop = lambda: next(answers)  # noqa: E731
    run = fit(STEP, start(), BATCHES, epochs=3, record_every=record_every, stop=stop, progress=None)
    assert (run.stopped, run.position) == ("enough", (0, 3))
    assert run.history[-1]["step"] == 3


def test_what_comes_while_an_epoch_is_recorded_ends_it_there():
    came = []
    stop = lambda: came[0] if came else None  # noqa: E731
    validate = lambda train_state: came.append("enough") or {}  # noqa: E731
    run = fit(STEP, start(), BATCHES, epochs=3, validate=validate, stop=stop, progress=None)
    assert (run.stopped, run.position) == ("enough", (1, 0))


def test_a_reason_is_a_text():
    with pytest.raises(InputError, match=r"^stop returns a reason to stop, as text, or None to go on, got False"):
        fit(STEP, start(), BATCHES, epochs=3, stop=lambda: False, progress=None)
