"""A report: one HTML page about one run or several, from the directories of their `RunLog`."""

import os
from collections.abc import Sequence
from pathlib import Path

from fdl.errors import InputError
from fdl.train.read_log import read_log
from fdl.train.reporting.curves import activations, layers, metrics
from fdl.train.reporting.page import page
from fdl.train.reporting.tables import facts, images, overview, values
from fdl.train.whole_file import whole_file

Directory = str | os.PathLike[str]


def report(runs: Directory | Sequence[Directory], output: Directory | None = None) -> Path:
    """Writes one HTML page about a run, or about several that are compared.

    It has, of what the directories have: how each run ended; the last, lowest and highest values of each metric; curves
    of loss and metrics with training and validation in one chart; learning rate and what else changed of the
    hyperparameters; update ratios and gradient norms by layer; histograms of activations; pictures such as
    first-layer filters and worst mistakes; configuration and versions. The page is one file that needs no network.

    Args:
        runs: the directory of a `RunLog`, or several. A run that still goes on may be among them.
        output: the file to write; by default report.html in the directory; with several, next to the first.

    Returns:
        The file.

    Raises:
        InputError: for a directory without a log, and when there is none at all.

    Example:
        >>> import tempfile
        >>> from fdl.train import Fitted, RunLog
        >>> folder = tempfile.TemporaryDirectory()
        >>> history = ({"epoch": 1, "step": 10, "loss": 2.3}, {"epoch": 2, "step": 20, "loss": 0.4})
        >>> RunLog(f"{folder.name}/a", config={"learning rate": 0.1}).end(Fitted((), history))
        >>> RunLog(f"{folder.name}/b", config={"learning rate": 0.2}).end(Fitted((), history, stopped="enough"))
        >>> report([f"{folder.name}/a", f"{folder.name}/b"]).name
        'report.html'
        >>> folder.cleanup()
    """
    directories = [Path(runs)] if isinstance(runs, str | os.PathLike) else [Path(run) for run in runs]
    if not directories:
        raise InputError("report needs the directory of at least one run")
    logs = [read_log(directory) for directory in directories]
    if len({log.name for log in logs}) < len(logs):
        logs = [log._replace(name=str(directory)) for log, directory in zip(logs, directories, strict=True)]
    if output is None:
        output = directories[0].absolute() / ("report.html" if len(directories) == 1 else "../report.html")
    file = Path(os.path.normpath(output))
    title = f"Training: {', '.join(log.name for log in logs)}"
    sections = [make(logs) for make in (overview, values, metrics, layers, activations, images, facts)]
    with whole_file(file) as part:
        part.write_text(page(title, *sections), encoding="utf-8")
    return file
