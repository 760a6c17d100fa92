"""MNIST, and the idx format that it comes in.

An idx file starts with two zero bytes, one that says the type and one that says the number of axes. The length of
each axis follows, then the numbers, the last axis running fastest; all are big-endian.

Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits" (1998).
"""

import gzip
import math
import os
import zlib
from pathlib import Path

import numpy as np

from fdl.data.dataset import Dataset, Examples, Folder, first_that_exists, missing
from fdl.data.download import download_all
from fdl.data.sources import MNIST
from fdl.errors import InputError

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def mnist(folder: Folder, *, download: bool = False) -> Dataset:
    """70,000 handwritten digits of 28 x 28 pixels, 60,000 of them for training; Fashion-MNIST and others like it.

    Args:
        folder: has the four files train-images-idx3-ubyte, train-labels-idx1-ubyte and the same with t10k, each
            as it is or compressed, with .gz at the end of its name.
        download: whether to download what is missing into the folder (12 MB).

    Returns:
        A `Dataset`: images [N, 28, 28, 1], uint8 from 0 (paper) to 255 (ink); class ids, int32.

    Raises:
        InputError: for files that are missing, damaged, or of something else, with their path.
        DownloadError: when the download fails.

    Source: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition" (1998).
    """
    names = [remote.name.removesuffix(".gz") for remote in MNIST]
    paths = [first_that_exists(folder, name, f"{name}.gz") for name in names]
    if download:
        absent = [remote for remote, path in zip(MNIST, paths, strict=True) if path is None]
        download_all(absent, folder)
        paths = [path or Path(folder, remote.name) for remote, path in zip(MNIST, paths, strict=True)]
    for name, path in zip(names, paths, strict=True):
        if path is None:
            raise missing("MNIST", folder, f"{name} or {name}.gz")
    train_images, train_labels, test_images, test_labels = (path for path in paths if path is not None)
    return Dataset(
        _examples(train_images, train_labels), _examples(test_images, test_labels), tuple(map(str, range(10)))
    )


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """The array in an idx file, compressed with gzip or not.

    Raises:
        InputError: for a file that is damaged, or of something else, with its path.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "labels")
        >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]))  # uint8, one axis of length 3
        >>> read_idx(path)
        array([5, 0, 4], dtype=uint8)
    """
    content = _decompressed(Path(path))
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _TYPES:
        raise InputError(
            f"{path} is no idx file: one starts with 00 00, a type from 08 to 0e and the number of axes, "
            f"this with {content[:4].hex(' ') or 'nothing, it is empty'}"
        )
    dtype, axes = np.dtype(_TYPES[content[2]]), content[3]
    start = 4 + 4 * axes
    shape = np.frombuffer(content[4:start], ">u4").tolist() if len(content) >= start else None
    if shape is None:
        raise InputError(f"{path} is cut off: it ends at byte {len(content)}, within the lengths of its {axes} axes")
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        what = "is cut off" if len(content) < expected else "has bytes left over"
        raise InputError(f"{path} {what}: {shape} of {dtype.name} take {expected:,} bytes, it has {len(content):,}")
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def _decompressed(path: Path) -> bytes:
    content = path.read_bytes()
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path} is damaged: gzip says: {error}") from error


def _examples(images_path: Path, labels_path: Path) -> Examples:
    images, labels = read_idx(images_path), read_idx(labels_path)
    for path, array, axes, what in ((images_path, images, 3, "images"), (labels_path, labels, 1, "labels")):
        if array.ndim != axes or array.dtype != np.uint8:
            raise InputError(f"{path} should have {what}, uint8 with {axes} axes; it has {array.dtype} {array.shape}")
    if len(images) != len(labels):
        raise InputError(f"{images_path} has {len(images)} images, but {labels_path} has {len(labels)} labels")
    return images[..., None], labels.astype(np.int32)
