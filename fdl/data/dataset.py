"""What the readers of published data sets have in common."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fdl.errors import InputError

Folder = str | os.PathLike[str]
Examples = tuple[np.ndarray, np.ndarray]


class Dataset(NamedTuple):
    """Images with their classes, split as published.

    ``train`` and ``test`` are pairs (images, labels): [N, H, W, C], uint8 from 0 to 255 as in the files, a quarter
    of what float32 would take in memory and on the way to the device; and class ids, [N], int32. ``classes`` has
    the name of each class.
    """

    train: Examples
    test: Examples
    classes: tuple[str, ...]


def first_that_exists(folder: Folder, *names: str) -> Path | None:
    """The path of the first of these names that the folder has."""
    return next((path for path in (Path(folder, name) for name in names) if path.exists()), None)


def missing(what: str, folder: Folder, names: str) -> InputError:
    """The error for data that is not where it was looked for."""
    return InputError(f"no {what} in {Path(folder)}, where {names} was expected: download=True gets it from the web")
