"""Text as characters: a vocabulary, ids, and windows whose targets are the next characters.

A language model reads x_1 ... x_T and is asked for x_2 ... x_{T+1}:

    inputs = ids[i : i + T],    targets = ids[i + 1 : i + T + 1]

The windows are views: each character is in memory once, however many windows it is in.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fdl.counts import check_count
from fdl.data.dataset import Folder, first_that_exists, missing
from fdl.data.download import download_all
from fdl.data.sources import TINY_SHAKESPEARE
from fdl.errors import InputError


@dataclass(frozen=True)
class Vocabulary:
    """Characters and their ids: the id of a character is its place.

    Args:
        characters: each once, in the order of their code points. `vocabulary` collects them from a text.

    Raises:
        InputError: for characters in another order, or more than once.

    Example:
        >>> letters = Vocabulary("abn")
        >>> ids = letters.encode("banana")
        >>> ids, letters.decode(ids), len(letters)
        (array([1, 0, 2, 0, 2, 0], dtype=int32), 'banana', 3)
    """

    characters: str

    def __post_init__(self):
        if list(self.characters) != sorted(set(self.characters)):
            raise InputError(f"a vocabulary has every character once, in order; got {self.characters!r}")

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> np.ndarray:
        """The ids of a text's characters: [T], int32.

        Raises:
            InputError: for a character that the vocabulary does not have, with its place.
        """
        points, known = _code_points(text), _code_points(self.characters)
        ids = np.searchsorted(known, points)
        strange = np.append(known, 0)[ids] != points
        if strange.any():
            place = int(strange.argmax())
            raise InputError(
                f"character {place} of the text, {text[place]!r}, is not in the vocabulary of {len(self)}: make the "
                "vocabulary of all of the text, before it is split"
            )
        return ids.astype(np.int32)

    def decode(self, ids: np.ndarray) -> str:
        """The text of these ids, an array or sequence of integers [T].

        Raises:
            InputError: for ids that the vocabulary does not have.
        """
        ids = np.asarray(ids, np.int64)
        if ids.size and not 0 <= ids.min() <= ids.max() < len(self):
            raise InputError(f"ids of this vocabulary are in [0, {len(self)}), got {ids.min()} to {ids.max()}")
        return _code_points(self.characters)[ids].astype("<u4").tobytes().decode("utf-32-le")


def vocabulary(text: str) -> Vocabulary:
    """The characters of a text.

    Example:
        >>> vocabulary("banana")
        Vocabulary(characters='abn')
    """
    return Vocabulary("".join(sorted(set(text))))


def next_character_windows(ids: np.ndarray, length: int, *, stride: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """All windows of a length, each with the characters that come next: a data set for `fdl.data.Batches`.

    Windows overlap when the stride is less than their length, so split the text first, and then make windows of
    each part: windows that are dealt out at random would share text between training and validation.

    Args:
        ids: [n], in memory or a memory map.
        length: T, of each window.
        stride: how far the next window starts from the last one; ``length`` uses every character once an epoch.

    Returns:
        (inputs, targets): both [N, T] with N = 1 + (n - 1 - T) // stride; views of ``ids`` that cannot be written
        to. Targets are the inputs one place later.

    Raises:
        InputError: for a text that is too short for one window, and for a length or stride that is not positive.

    Example:
        >>> inputs, targets = next_character_windows(np.arange(6), 3)
        >>> inputs.tolist(), targets.tolist()
        ([[0, 1, 2], [1, 2, 3], [2, 3, 4]], [[1, 2, 3], [2, 3, 4], [3, 4, 5]])
    """
    check_count("next_character_windows", "length", length)
    check_count("next_character_windows", "stride", stride)
    if np.ndim(ids) != 1 or len(ids) <= length:
        raise InputError(
            f"windows of {length} need ids [n] with n > {length}, for the last target; got {list(np.shape(ids))}"
        )
    windows = np.lib.stride_tricks.sliding_window_view
    return windows(ids[:-1], length)[::stride], windows(ids[1:], length)[::stride]


def read_text(path: str | os.PathLike[str]) -> str:
    """A text file in UTF-8, every line end as a single newline.

    Raises:
        InputError: for a file in another encoding, with its path and the place.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8: byte {error.start} is {error.object[error.start]:02x}. Convert it (iconv does)"
        ) from error


def tiny_shakespeare(folder: Folder, *, download: bool = False) -> str:
    """1.1 million characters of Shakespeare's plays; usually the first 90 % are for training.

    Args:
        folder: has tinyshakespeare.txt.
        download: whether to download it into the folder when it is not there.

    Raises:
        InputError: when it is not there.
        DownloadError: when the download fails.

    Source: Karpathy, "The unreasonable effectiveness of recurrent neural networks" (2015).
    """
    if download:
        download_all([TINY_SHAKESPEARE], folder)
    path = first_that_exists(folder, TINY_SHAKESPEARE.name)
    if path is None:
        raise missing("tiny Shakespeare", folder, TINY_SHAKESPEARE.name)
    return read_text(path)


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
