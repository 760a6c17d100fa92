"""Event files for TensorBoard, written by tensorboardX.

Training and validation are two runs there, DIRECTORY/train and DIRECTORY/validation, in which a metric has one name:
TensorBoard then draws both into one chart.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from fdl.extras import imported
from fdl.train.fit import Fitted
from fdl.train.json_lines import plain
from fdl.train.monitor import measured
from fdl.train.read_log import PLACE


class TensorBoard:
    """A callback of `fit` that writes each record for ``tensorboard --logdir DIRECTORY``.

    Written are the metrics, the optimizer's hyperparameters (the learning rate), and what `measure` gives: numbers by
    their names, as in "gradient_norm/affine1", and activations as histograms. A run that goes on from a checkpoint goes
    on here too: TensorBoard hides what was written after that checkpoint.

    Leaving the ``with`` block, or `close`, closes the files. Each record can be seen as soon as it is written.

    Args:
        directory: where; it is made as needed. It may be that of a `RunLog`.
        config: what the run is made of, shown as a text.
        measure: as for `RunLog`.

    Raises:
        ImportError: without tensorboardX.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     with TensorBoard(directory, config={"learning rate": 0.1}) as board:
        ...         board(Fitted((), ({"epoch": 1, "step": 10, "loss": 0.5, "validation_loss": 0.6},)))
        ...     sorted(path.name for path in Path(directory).iterdir())
        ['train', 'validation']
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        config: Mapping[str, Any] | None = None,
        measure: Callable[[Any], Mapping[str, Any]] | None = None,
    ):
        self._writer = imported("tensorboardX", "event files are written by tensorboardX", "train").SummaryWriter
        self._directory = Path(directory).absolute()
        self._config = config
        self._measure = measure
        self._writers: dict[str, Any] = {}
        self._step = 0  # of the record before

    def __call__(self, run: Fitted) -> None:
        """Writes the last record."""
        record = run.history[-1]
        step = int(record["step"])
        if step <= self._step:  # a run that starts anew, or goes on from before
            self.close()
        self._step = step
        after = int(run.history[-2]["step"]) if len(run.history) > 1 else 0
        for name, value in record.items():
            if name not in PLACE:
                part = "validation" if name.startswith("validation_") else "train"
                self._part(part, after).add_scalar(name.removeprefix("validation_"), float(value), step)
        found = measured(run, self._measure)
        for values in found.pop("hyperparameters"), found:
            _add(self._part("train", after), "", values, step)
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Closes the files; a later record would begin new ones."""
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def __enter__(self) -> "TensorBoard":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _part(self, part: str, after: int) -> Any:
        """The writer of one part; when it is made, it hides what is there of later steps than the run has come to."""
        if part not in self._writers:
            folder = self._directory / part
            number = len(list(folder.glob("*")))  # files of one second would have one name
            writer = self._writer(str(folder), purge_step=after + 1, filename_suffix=f".{number}")
            if self._config is not None and part == "train":
                text = json.dumps(plain(self._config), indent=4, ensure_ascii=False)
                writer.add_text("config", "\n".join(f"    {line}" for line in text.splitlines()), after)
            self._writers[part] = writer
        return self._writers[part]


def _add(writer: Any, name: str, value: Any, step: int) -> None:
    """Adds a number, a histogram as `make_monitor_step` gives it, or all that is in a dict."""
    if isinstance(value, Mapping) and {"counts", "low", "high"} <= value.keys():
        _add_histogram(writer, name, value, step)
        value = {key: number for key, number in value.items() if key not in ("counts", "low", "high")}
    if isinstance(value, Mapping):
        for key, one in value.items():
            _add(writer, f"{name}/{key}" if name else key, one, step)
    elif getattr(value, "size", 1) == 1:
        writer.add_scalar(name, float(value), step)


def _add_histogram(writer: Any, name: str, histogram: Mapping[str, Any], step: int) -> None:
    counts, low, high = (histogram[key] for key in ("counts", "low", "high"))
    number, mean, std = int(counts.sum()), float(histogram["mean"]), float(histogram["std"])
    writer.add_histogram_raw(
        name,
        min=float(low),
        max=float(high),
        num=number,
        sum=number * mean,
        sum_squares=number * (std**2 + mean**2),
        bucket_limits=[float(low) + (i + 1) / len(counts) * (float(high) - float(low)) for i in range(len(counts))],
        bucket_counts=counts.tolist(),
        global_step=step,
    )
