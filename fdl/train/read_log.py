"""Reading what `fdl.train.RunLog` wrote: the same numbers as in the history, and all that was kept with them."""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from fdl.errors import InputError
from fdl.train.json_lines import number_of, read_lines
from fdl.train.pictures import read_images

PLACE = ("epoch", "step", "seconds")  # what in a record says where it is


class Log(NamedTuple):
    """What the directory of a `RunLog` has.

    Attributes:
        name: of the directory.
        run: its run.json: "config", "versions", "device", "processes" (when each "started", and from which "step"),
            when the run "ended", None as long as that is not known, and why it "stopped" if before all its steps.
        records: the history.
        measurements: dicts of the "step", the "hyperparameters" that the optimizer used last, and what was measured;
            what was not finite is None.
        images: by name, pairs of a PNG file's bytes and its caption.
    """

    name: str
    run: dict[str, Any]
    records: list[dict[str, float]]
    measurements: list[dict[str, Any]]
    images: dict[str, list[tuple[bytes, str]]]

    @property
    def metrics(self) -> list[str]:
        """The names of the loss and the metrics, without "validation_"."""
        names = [name.removeprefix("validation_") for record in self.records for name in record if name not in PLACE]
        return list(dict.fromkeys(names))

    def points(self, name: str) -> list[tuple[int, float]]:
        """(step, value) of one name in the records, such as "validation_loss"."""
        return [(int(record["step"]), record[name]) for record in self.records if name in record]

    def measured(self, kind: str) -> dict[str, list[tuple[int, Any]]]:
        """(step, value) by name of one kind of measurements, such as "gradient_norm"; NaN for what was not finite."""
        found: dict[str, list[tuple[int, Any]]] = {}
        for line in self.measurements:
            for name, value in line.get(kind, {}).items():
                found.setdefault(name, []).append((line["step"], number_of(value)))
        return found


def read_log(directory: str | os.PathLike[str]) -> Log:
    """Reads the log of a run that is over, or of one that goes on.

    Args:
        directory: that of its `RunLog`.

    Raises:
        InputError: for a directory without a log.

    Example:
        >>> read_log("runs/digitss")
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: runs/digitss has no run.json: it is not the directory of a RunLog, or its run has no \
record yet
    """
    folder = Path(directory)
    if not (folder / "run.json").exists():
        raise InputError(f"{folder} has no run.json: it is not the directory of a RunLog, or its run has no record yet")
    lines = read_lines(folder / "records.jsonl")
    records = [{name: number_of(value) for name, value in line.items()} for line in lines]
    images = sorted(path.parent for path in folder.glob("images/[!.]*/captions.json"))
    return Log(
        folder.absolute().name,
        json.loads((folder / "run.json").read_text(encoding="utf-8")),
        records,
        read_lines(folder / "measurements.jsonl"),
        {path.name: read_images(path) for path in images},
    )
