"""The log of a run: a directory with everything that one wants to know of it later, in files that anything can read.

    runs/digits/
        run.json               configuration, versions, device, when it started, was resumed and ended, and why
        records.jsonl          the history, one record per line
        measurements.jsonl     for each record, the learning rate and what else was measured
        images/NAME/           pictures, PNG

`fdl.train.report` makes one page of it, `read_log` gives it back.
"""

import datetime
import importlib.metadata
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from fdl.errors import InputError
from fdl.train.fit import Fitted
from fdl.train.json_lines import append_line, plain, read_lines, write_lines
from fdl.train.monitor import measured
from fdl.train.pictures import write_images
from fdl.train.whole_file import whole_file

DIGITS = 6  # of a measurement


class RunLog:
    """A callback of `fit` that writes each record to a directory, as soon as there is one.

    The log is always that of the history: a run that goes on from a checkpoint goes on in its directory, and what was
    logged after that checkpoint is dropped. So a run that starts anew replaces the log of the one before it.

    Args:
        directory: where; it is made as needed. One run has one directory.
        config: what the run is made of, for whoever looks at it later, such as {"learning_rate": 1e-3, "net": net}.
        measure: called with the train state for each record, it gives more to write down, as nested dicts of
            arrays, such as ``lambda train_state: monitor_step(train_state, batch)`` with `make_monitor_step`.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from fdl.data import Batches
        >>> from fdl.layers import Affine
        >>> from fdl.losses import squared_error
        >>> from fdl.optim import cosine, sgd
        >>> from fdl.train import fit, init_train_state, make_train_step, read_log, supervised
        >>> x = np.linspace(-1, 1, 32, dtype=np.float32)[:, None]
        >>> net, optimizer = Affine(1), sgd(cosine(0.1, steps=12))
        >>> train_step = make_train_step(supervised(net, lambda y, t: squared_error(y, t).sum(-1)), optimizer)
        >>> train_state = init_train_state(net, optimizer, jax.random.key(0), x)
        >>> folder = tempfile.TemporaryDirectory()
        >>> log = RunLog(folder.name, config={"net": net, "batch size": 8})
        >>> run = fit(train_step, train_state, Batches((x, 3 * x), 8, seed=0), epochs=3, callbacks=[log], progress=None)
        >>> log.end(run)
        >>> found = read_log(folder.name)
        >>> found.run["config"], [record["step"] for record in found.records]
        ({'net': 'Affine(1)', 'batch size': 8}, [4, 8, 12])
        >>> found.measurements[0]
        {'step': 4, 'hyperparameters': {'learning_rate': 0.0853553}}
        >>> folder.cleanup()
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        config: Mapping[str, Any] | None = None,
        measure: Callable[[Any], Mapping[str, Any]] | None = None,
    ):
        self._directory = Path(directory).absolute()
        self._config = plain(config or {})
        self._measure = measure
        self._started = _now()
        self._run: dict[str, Any] | None = None  # what run.json says; None before the first record
        self._records = 0  # how many are written

    def __call__(self, run: Fitted) -> None:
        """Writes the last record."""
        record = {name: value if isinstance(value, int) else float(value) for name, value in run.history[-1].items()}
        if self._run is None or len(run.history) != self._records + 1:
            self._begin([plain(earlier) for earlier in run.history[:-1]])
        self._records = len(run.history)
        append_line(self._directory / "records.jsonl", plain(record))
        found = {kind: values for kind, values in plain(measured(run, self._measure), DIGITS).items() if values}
        if found:
            append_line(self._directory / "measurements.jsonl", {"step": record["step"], **found})
        if run.stopped is not None:
            self.end(run)

    def end(self, run: Fitted) -> None:
        """Writes down when and why a run ended: give it what `fit` returned, which alone knows about the end."""
        if self._run is None:
            self._begin([plain(record) for record in run.history])
        self._write_run({"ended": _now(), "stopped": run.stopped})

    def images(self, name: str, images: Any, captions: Sequence[str] = ()) -> None:
        """Keeps pictures, such as those of `filters` and `mistakes`.

        Args:
            name: what they show; pictures that were kept under this name are replaced.
            images: [N, height, width], or [N, height, width, 1 or 3]. uint8 as it is; of floats the smallest
                becomes black and the largest white.
            captions: one text per image, or none.

        Raises:
            InputError: for a name that cannot be the name of a folder, and for images of another form.
            ImportError: without Pillow.

        Example:
            >>> import tempfile
            >>> import numpy as np
            >>> with tempfile.TemporaryDirectory() as directory:
            ...     RunLog(directory).images("worst mistakes", np.zeros((2, 8, 8)), ["3, read as 8", "1, read as 7"])
            ...     sorted(path.name for path in Path(directory, "images", "worst mistakes").iterdir())
            ['000.png', '001.png', 'captions.json']
        """
        if name in ("", ".", "..") or Path(name).name != name:
            raise InputError(f"the name of images is the name of a folder as well, which {name!r} cannot be")
        write_images(self._directory / "images" / name, images, captions)

    def _begin(self, history: list[Any]) -> None:
        """Makes the log that of the run so far, whatever was there."""
        step = history[-1]["step"] if history else 0
        measurements = self._directory / "measurements.jsonl"
        write_lines(self._directory / "records.jsonl", history)
        write_lines(measurements, [line for line in read_lines(measurements) if line.get("step", step + 1) <= step])
        file = self._directory / "run.json"
        before = json.loads(file.read_text(encoding="utf-8")).get("processes", []) if history and file.exists() else []
        started = self._started if self._run is None else _now()  # a log that is used again is older than its run
        self._run = {
            "config": self._config,
            "versions": _versions(),
            "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
            "processes": [*before, {"started": started, "step": step}],
        }
        self._write_run({"ended": None, "stopped": None})

    def _write_run(self, end: dict[str, Any]) -> None:
        text = json.dumps({**(self._run or {}), **end}, indent=2, ensure_ascii=False)
        with whole_file(self._directory / "run.json") as part:
            part.write_text(f"{text}\n", encoding="utf-8")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    return {name: _version(name) for name in ("fdl", "jax", "jaxlib", "numpy")} | {"python": platform.python_version()}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"  # but found on the path, as in a checkout
