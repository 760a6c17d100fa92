"""CIFAR-10 and CIFAR-100, in either form that they are published in.

The binary form is a row of records: one byte for the class (CIFAR-100: one for the coarse class, one for the fine
one), then 1024 bytes of red, 1024 of green, 1024 of blue, each 32 rows of 32. The Python form is a pickle of a dict
with the same bytes in an array under "data" and the classes in a list under "labels" ("coarse_labels", "fine_labels").

A pickle is a program, and one from the web may do anything when it is loaded. These need three functions to rebuild
an array, so those three are all that the loader here lets a pickle call.

Source: Krizhevsky, "Learning multiple layers of features from tiny images" (2009).
"""

import pickle
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fdl.data.dataset import Dataset, Examples, Folder, first_that_exists, missing
from fdl.data.download import Remote, download_all
from fdl.data.sources import CIFAR10, CIFAR100
from fdl.errors import InputError

_PIXELS = 3 * 32 * 32


def cifar10(folder: Folder, *, download: bool = False) -> Dataset:
    """60,000 photographs of 32 x 32 pixels in 10 classes, 50,000 of them for training.

    Args:
        folder: has cifar-10-batches-bin or cifar-10-batches-py as the archives of these versions contain them, or
            is one of them.
        download: whether to download the binary version (170 MB) into the folder when there is neither.

    Returns:
        A `Dataset`: images [N, 32, 32, 3], uint8, red, green, blue; class ids, int32.

    Raises:
        InputError: for files that are missing, damaged, or of something else, with their path.
        DownloadError: when the download fails.
    """
    root = _root(folder, "CIFAR-10", "test_batch", ("cifar-10-batches-bin", "cifar-10-batches-py"), CIFAR10, download)
    training = [f"data_batch_{i}" for i in range(1, 6)]
    return Dataset(
        _examples(root, training, ("labels",), 0),
        _examples(root, ["test_batch"], ("labels",), 0),
        _classes(root, "batches.meta.txt", "batches.meta", "label_names"),
    )


def cifar100(folder: Folder, *, labels: Literal["fine", "coarse"] = "fine", download: bool = False) -> Dataset:
    """60,000 photographs of 32 x 32 pixels in 100 classes, or 20 coarse ones; 50,000 of them for training.

    Args:
        folder: has cifar-100-binary or cifar-100-python as the archives of these versions contain them, or is one
            of them.
        labels: "fine" for the 100 classes (apple, aquarium_fish, ...), "coarse" for the 20 that they belong to.
        download: whether to download the binary version (169 MB) into the folder when there is neither.

    Returns:
        A `Dataset`, as `cifar10` gives it.

    Raises:
        InputError: for files that are missing, damaged, or of something else, with their path; for other labels.
        DownloadError: when the download fails.
    """
    kinds = ("coarse", "fine")
    if labels not in kinds:
        raise InputError(f'the labels of CIFAR-100 are "fine" or "coarse", got {labels!r}')
    root = _root(folder, "CIFAR-100", "test", ("cifar-100-binary", "cifar-100-python"), CIFAR100, download)
    keys, which = tuple(f"{kind}_labels" for kind in kinds), kinds.index(labels)
    return Dataset(
        _examples(root, ["train"], keys, which),
        _examples(root, ["test"], keys, which),
        _classes(root, f"{labels}_label_names.txt", "meta", f"{labels}_label_names"),
    )


def _root(folder: Folder, what: str, test: str, names: tuple[str, str], remote: Remote, download: bool) -> Path:
    """The directory that has the files."""
    places = [Path(folder), *(Path(folder, name) for name in names)]
    root = next((place for place in places if first_that_exists(place, f"{test}.bin", test)), None)
    if root is not None and root.is_dir():
        return root
    if not download:
        raise missing(what, folder, f"{names[0]} or {names[1]}")
    download_all([remote], folder)
    return _unpack(Path(folder, remote.name), Path(folder, names[0]))


def _unpack(archive: Path, folder: Path) -> Path:
    """Unpacks the files of one directory of the archive, which appears when all of them are there."""
    unfinished = folder.with_name(f"{folder.name}.part")
    unfinished.mkdir(exist_ok=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            path = Path(member.name)
            if member.isfile() and path.parts[:-1] == (folder.name,):
                content = tar.extractfile(member)
                assert content is not None
                with content, Path(unfinished, path.name).open("wb") as file:
                    shutil.copyfileobj(content, file)
    unfinished.rename(folder)
    return folder


def _examples(root: Path, names: Sequence[str], keys: tuple[str, ...], which: int) -> Examples:
    """The examples of several files; ``keys`` are their kinds of classes, ``which`` the one that is wanted."""
    parts = []
    for name in names:
        path = first_that_exists(root, f"{name}.bin", name)
        if path is None:
            raise InputError(f"{root} is not complete: it has neither {name}.bin nor {name}")
        parts.append(_binary(path, len(keys), which) if path.suffix else _python(path, keys[which]))
    pixels = np.concatenate([pixels for pixels, _ in parts]).reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)), np.concatenate([labels for _, labels in parts])


def _binary(path: Path, label_bytes: int, which: int) -> Examples:
    size, record = path.stat().st_size, label_bytes + _PIXELS
    if size == 0 or size % record:
        raise InputError(f"{path} is cut off or something else: expected records of {record} bytes, got {size:,} bytes")
    records = np.fromfile(path, np.uint8).reshape(-1, record)
    return records[:, label_bytes:], records[:, which].astype(np.int32)


def _python(path: Path, key: str) -> Examples:
    content = _unpickled(path)
    pixels, labels = content.get(b"data"), content.get(key.encode())
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != _PIXELS:
        raise InputError(f'{path} should have "data", an array [N, {_PIXELS}]')
    if not isinstance(labels, list) or len(labels) != len(pixels):
        raise InputError(f'{path} should have "{key}", a list of {len(pixels)} classes')
    return pixels, np.array(labels, np.int32)


def _classes(root: Path, text: str, pickled: str, key: str) -> tuple[str, ...]:
    path = first_that_exists(root, text, pickled)
    if path is None:
        raise InputError(f"{root} is not complete: it has neither {text} nor {pickled}, with the names of the classes")
    if path.name == text:
        return tuple(path.read_text(encoding="utf-8").split())
    names = _unpickled(path).get(key.encode())
    if not isinstance(names, list):
        raise InputError(f'{path} should have "{key}", a list of names')
    return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names)


def _unpickled(path: Path) -> dict[bytes, Any]:
    """The dict in a pickle, with keys as bytes: as Python 2 wrote them, whatever wrote this one."""
    try:
        with path.open("rb") as file:
            content = _Unpickler(file, encoding="bytes").load()
        return {key if isinstance(key, bytes) else key.encode(): value for key, value in content.items()}
    except Exception as error:  # what a damaged pickle raises can be anything
        raise InputError(f"{path} is damaged, or no pickle of CIFAR: {type(error).__name__}: {error}") from error


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case "numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct":
                return _empty
            case "numpy", "ndarray":
                return "ndarray"  # what _empty is called with, and does not read
            case "numpy", "dtype":
                return _dtype
            case "_codecs", "encode":
                return _encoded
        raise pickle.UnpicklingError(f"it wants to call {module}.{name}, which reading CIFAR does not need")


def _empty(*_: Any) -> np.ndarray:
    return np.empty(0, np.uint8)


def _dtype(code: Any, *_: Any) -> np.dtype:
    if code not in (b"u1", "u1"):
        raise pickle.UnpicklingError(f"its arrays should be of bytes, u1, not {code!r}")
    return np.dtype("u1", copy=True)


def _encoded(text: str, _: str) -> bytes:
    return text.encode("latin-1")  # how Python 3 writes bytes where Python 2 is to read them
