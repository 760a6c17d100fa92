"""Contestants take turns: each is a process of its own, and only one of them works while anything is measured."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from peers.workloads import Workload

ROOT = Path(__file__).parents[2]
TURN = 1.5  # seconds


class Result(NamedTuple):
    """What one contestant took for one workload."""

    library: str
    work: Workload
    turns: list[float]  # the median seconds per step of each turn
    compilations: list[float]  # seconds
    temporary_bytes: int | None  # None where the library does not say
    peak_bytes: int
    parameters: int

    @property
    def seconds(self) -> float:
        """Per step: the median over turns."""
        return float(np.median(self.turns))


def run_module(module: str, *arguments: str) -> subprocess.Popen[str]:
    """Starts a module of this benchmark in a process that finds this fdl."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])
    # On a GPU, JAX would take most of its memory at once, and leave none to the others.
    environment = os.environ | {"PYTHONPATH": paths, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    command = [sys.executable, "-m", module, *arguments]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, **pipes)


class Contestant:
    """A library's process, which answers what it is asked."""

    def __init__(self, library: str, work: Workload):
        self.library, self.work = library, work
        self._process = run_module("peers.worker", library, json.dumps(work))
        self._turns: list[float] = []
        self._compiled: list[dict[str, Any]] = []

    def wait(self) -> None:
        """Until its network is made."""
        self._ask("ready")

    def compile(self) -> None:
        """Once more, from nothing."""
        self._compiled.append(self._ask("compile"))

    def take_turn(self, seconds: float) -> None:
        """Runs steps for about so long; the first steps of a turn find the caches full of somebody else's numbers."""
        per_step = self._turns[-1] if self._turns else float(np.median(self._ask("steps 3")["seconds"]))
        times = self._ask(f"steps {max(3, round(seconds / per_step))}")["seconds"]
        self._turns.append(float(np.median(times[1:])))

    def end(self) -> Result:
        """What it took; the process ends."""
        peak = self._ask("end")["peak_bytes"]
        self._process.communicate()
        seconds, last = [compiled["seconds"] for compiled in self._compiled], self._compiled[-1]
        return Result(self.library, self.work, self._turns, seconds, last["temporary_bytes"], peak, last["parameters"])

    def kill(self) -> None:
        """Ends the process whatever it does."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, words: str) -> dict[str, Any]:
        with contextlib.suppress(BrokenPipeError):  # it has ended, which the answer shows
            print(words, file=self._process.stdin, flush=True)
        if not (line := self._process.stdout.readline()):
            raise RuntimeError(f"{self.library} ended when it was asked for {words!r}, on {self.work}: see above")
        return json.loads(line)


def measure(work: Workload, libraries: list[str], turns: int, compilations: int, seconds: float = TURN) -> list[Result]:
    """All libraries on one workload, in turn, each turn beginning with another one."""
    contestants: list[Contestant] = []
    try:
        for library in libraries:
            contestants.append(Contestant(library, work))
        for contestant in contestants:  # making networks is not measured, and they may all do it at once
            contestant.wait()
        for again in range(compilations):
            for contestant in rotated(contestants, again):
                if not again or contestant.library != "torch_compiled":  # minutes
                    contestant.compile()
        for turn in range(turns):
            for contestant in rotated(contestants, turn):
                contestant.take_turn(seconds)
        return [contestant.end() for contestant in contestants]
    except BaseException:
        for contestant in contestants:
            contestant.kill()
        raise


def rotated(contestants: list[Contestant], by: int) -> list[Contestant]:
    """The same ones, beginning with another."""
    by %= len(contestants)
    return contestants[by:] + contestants[:by]


def limits(work: Workload) -> dict[str, float]:
    """What bare operations of the same sizes take, by `peers.limits`."""
    process = run_module("peers.limits", json.dumps(work))
    answer, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the limits of {work} could not be measured: see above")
    return json.loads(answer)
