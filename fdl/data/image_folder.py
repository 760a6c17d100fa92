"""Folders of images: the name of each directory is a class, and what is in it are its images.

    photos/cat/1.jpg  photos/cat/2.jpg  photos/dog/1.jpg  ...

The images stay in their files until a batch asks for them, so that a folder may be larger than memory; `prefetch`
reads the next batch while the present one is worked on.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fdl.counts import is_count
from fdl.errors import InputError
from fdl.extras import imported

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def image_folder(
    folder: str | os.PathLike[str],
    *,
    size: int | tuple[int, int] | None = None,
    mode: Literal["RGB", "L"] = "RGB",
    classes: Sequence[str] | None = None,
) -> tuple["ImageFiles", np.ndarray, tuple[str, ...]]:
    """The images of a folder that has one directory for each class, in the order of their names.

    Args:
        folder: its directories are the classes. Their images may be in directories of their own; files that are not
            called like an image (.jpg, .png, ...), and hidden ones (.name), are passed over.
        size: (height, width), or one number for both, to which images are brought: as large as covers it, and
            then the middle of that. None when all have one size anyway.
        mode: "RGB" for three channels, "L" for one of grey.
        classes: their names, in the order of their ids; those of the directories, sorted, if None. A folder of test
            images that lacks one would count the others in another way than the training folder does, whose classes
            belong here. Those that this folder lacks have no images.

    Returns:
        (images, labels, classes): `ImageFiles` [N, H, W, C], read when they are asked for, all at once with
        ``np.asarray(images)``; class ids, [N], int32; the names of the classes.

    Raises:
        InputError: for a folder without classes, a class without images, and one that is not among ``classes``; later,
            when they are read, for images that are damaged or of another size, with their path.
        ImportError: when Pillow is not installed.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{root} is no folder: expected one with a directory of images for each class")
    there = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not there:
        raise InputError(f"{root} has no directories: expected one for each class, with its images inside")
    names = there if classes is None else list(classes)
    ids = {name: label for label, name in enumerate(names)}
    if len(ids) < len(names):
        raise InputError(f"classes have one name each, got {', '.join(names)}")
    if unknown := [name for name in there if name not in ids]:
        raise InputError(f"{root} has the directory {unknown[0]}, which is none of the classes {', '.join(ids)}")
    files: list[Path] = []
    labels: list[int] = []
    for name in there:
        inside = sorted(path for path in Path(root, name).rglob("*") if _is_shown_image(path, root))
        if not inside:
            raise InputError(f"{root / name} has no images ({', '.join(sorted(SUFFIXES))}): is it a class?")
        files += inside
        labels += [ids[name]] * len(inside)
    if mode not in ("RGB", "L"):
        raise InputError(f'the mode of images is "RGB" or "L", got {mode!r}')
    wanted = _read(files[0], None, mode).shape[:2] if size is None else size
    height, width = wanted if isinstance(wanted, Sequence) and len(wanted) == 2 else (wanted, wanted)
    if not (is_count(height) and is_count(width)):
        raise InputError(f"the size of images is a positive whole number or (height, width), got {size!r}")
    images = ImageFiles(files, (int(height), int(width)), mode, size is not None)
    return images, np.array(labels, np.int32), tuple(ids)


def _is_shown_image(path: Path, root: Path) -> bool:
    """Whether a file is called like an image, and neither it nor a directory that it is in is hidden (.trash/1.jpg)."""
    is_hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return path.suffix.lower() in SUFFIXES and not is_hidden


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Images that are read when they are asked for: [N, H, W, C], uint8, as far as data sets are concerned an array.

    Args:
        paths: their files.
        size: (height, width).
        mode: "RGB" or "L".
        resized: whether to bring images to the size; otherwise they must have it.
    """

    paths: Sequence[Path]
    size: tuple[int, int]
    mode: str
    resized: bool

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, C)."""
        return len(self.paths), *self.size, len(self.mode)

    @property
    def dtype(self) -> np.dtype:
        """8 bits without sign, whatever the files have."""
        return np.dtype(np.uint8)

    @property
    def ndim(self) -> int:
        """Four."""
        return 4

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> np.ndarray:
        which = np.arange(len(self.paths))[index]
        images = np.empty((which.size, *self.shape[1:]), np.uint8)
        for i, file in enumerate(which.flat):
            images[i] = self._image(self.paths[file])
        return images.reshape(*which.shape, *self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def _image(self, path: Path) -> np.ndarray:
        image = _read(path, self.size if self.resized else None, self.mode)
        if image.shape[:2] != self.size:
            raise InputError(
                f"{path} is {image.shape[0]} x {image.shape[1]} pixels (height x width), {self.paths[0]} is "
                f"{self.size[0]} x {self.size[1]}: image_folder(..., size=...) brings all to one size"
            )
        return image


def _read(path: Path, size: tuple[int, int] | None, mode: str) -> np.ndarray:
    """One image, upright, in its own size or covering and cut to another: [H, W, C]."""
    Image, ImageOps = (imported(f"PIL.{part}", "images are read by Pillow", "data") for part in ("Image", "ImageOps"))
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise InputError(f"{path} has more than 8 bits per pixel, which would be cut off: convert it")
            upright = ImageOps.exif_transpose(image).convert(mode)
            if size is not None:
                upright = ImageOps.fit(upright, size[::-1], Image.Resampling.BILINEAR)
            return np.asarray(upright).reshape(upright.height, upright.width, len(mode))
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # Pillow's, for damaged files
        raise InputError(f"{path} cannot be read as an image: {error}") from error
