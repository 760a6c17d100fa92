"""Pictures of what a network sees: its first weights, and the examples that it gets most wrong."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fdl.errors import InputError
from fdl.extras import imported


def filters(w: Any, shape: Sequence[int] | None = None) -> np.ndarray:
    """The weights of a first layer as pictures, one for each of its units: grey is 0, white and black are large.

    Args:
        w: [height, width, 1 or 3, out], the weights of a convolution over images, or [in, out], those of an affine
            layer over images that were flattened.
        shape: (height, width) or (height, width, channels) of these images, for an affine layer.

    Returns:
        [out, height, width, 1 or 3] in uint8. The largest weight of each picture is 255 or 0.

    Raises:
        InputError: for weights that are not over images of one or three channels, and for a shape that does not fit.

    Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks" (2012),
        figure 3.

    Example:
        >>> filters(np.ones((64, 10)), shape=(8, 8)).shape, filters(np.ones((5, 5, 3, 16))).shape
        ((10, 8, 8, 1), (16, 5, 5, 3))
    """
    w = np.asarray(w, np.float64)
    if w.ndim == 2 and shape is None:
        raise InputError("filters needs the shape of the images that an affine layer sees, as in shape=(28, 28)")
    if shape is not None:
        height, width, channels = (*shape, 1)[:3] if len(shape) in (2, 3) else (0, 0, 0)
        if w.ndim != 2 or len(w) != height * width * channels:
            raise InputError(
                f"filters of images of shape {tuple(shape)} needs weights [height * width * channels, out], "
                f"got {list(w.shape)}"
            )
        w = w.reshape(height, width, channels, -1)
    if w.ndim != 4 or w.shape[2] not in (1, 3):
        raise InputError(
            f"filters needs weights [height, width, 1 or 3, out], got {list(w.shape)}: only those of a first layer "
            "over images can be seen as images"
        )
    w = np.nan_to_num(w, posinf=0, neginf=0)
    largest = np.abs(w).max(axis=(0, 1, 2), keepdims=True)
    return np.moveaxis(np.round(127.5 + 127.5 * w / np.where(largest == 0, 1, largest)), -1, 0).astype(np.uint8)


def mistakes(
    images: Any, labels: Any, logits: Any, *, count: int = 24, names: Sequence[str] | None = None
) -> tuple[np.ndarray, list[str]]:
    """The examples that a classifier gets most wrong: those with the largest cross-entropy among the misread ones.

    Args:
        images: [N, ...].
        labels: class ids, integers [N].
        logits: what the network gives for them, [N, C].
        count: how many to give at most; there are fewer if fewer are misread.
        names: what the classes are called; by their ids if None.

    Returns:
        (images, captions) of these, the worst first, as `RunLog.images` takes them.

    Raises:
        InputError: for shapes that do not fit each other.

    Example:
        >>> images, logits = np.zeros((3, 8, 8)), np.array([[5.0, 0.0], [1.0, 0.0], [0.0, 9.0]])
        >>> mistakes(images, np.array([1, 1, 1]), logits, names=["cat", "dog"])[1]
        ['dog, read as cat, loss 5.01', 'dog, read as cat, loss 1.31']
    """
    images, labels, logits = np.asarray(images), np.asarray(labels), np.asarray(logits, np.float64)
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or len(images) != len(labels):
        raise InputError(
            f"mistakes needs images [N, ...], labels [N] and logits [N, C], got {list(images.shape)}, "
            f"{list(labels.shape)} and {list(logits.shape)}"
        )
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]
    read = logits.argmax(axis=1)
    worst = [i for i in np.argsort(-losses, kind="stable") if read[i] != labels[i]][:count]
    name = str if names is None else names.__getitem__
    return images[worst], [f"{name(labels[i])}, read as {name(read[i])}, loss {losses[i]:.2f}" for i in worst]


def write_images(folder: Path, images: Any, captions: Sequence[str]) -> None:
    """Puts a folder of PNG files and their captions in the place of what was there.

    Args:
        folder: where.
        images, captions: as for `RunLog.images`.

    Raises:
        InputError: for what are not images, and for another number of captions.
        ImportError: without Pillow.
    """
    pixels = _pixels(images)
    if captions and len(captions) != len(pixels):
        raise InputError(f"{len(pixels)} images need as many captions, or none; got {len(captions)}")
    Image = imported("PIL.Image", "images are written by Pillow", "train")
    part = folder.with_name(f".{folder.name}.part")
    for earlier in (part, folder):
        if earlier.exists():
            shutil.rmtree(earlier)
    part.mkdir(parents=True)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(part / f"{i:03}.png")
    (part / "captions.json").write_text(json.dumps(list(captions), ensure_ascii=False), encoding="utf-8")
    part.rename(folder)


def read_images(folder: Path) -> list[tuple[bytes, str]]:
    """The PNG files of a folder with their captions, or with empty ones."""
    files = sorted(folder.glob("*.png"))
    captions = json.loads((folder / "captions.json").read_text(encoding="utf-8")) or [""] * len(files)
    return [(file.read_bytes(), caption) for file, caption in zip(files, captions, strict=True)]


def _pixels(images: Any) -> np.ndarray:
    """[N, height, width] or [N, height, width, 3] in uint8; floats are stretched to the range of all of them."""
    images = np.asarray(images)
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    if images.ndim != 3 and not (images.ndim == 4 and images.shape[-1] == 3):
        raise InputError(
            f"images have the shape [N, height, width], or [N, height, width, 1 or 3]; got {list(images.shape)}"
        )
    if images.dtype == np.uint8:
        return images
    images = np.nan_to_num(images.astype(np.float64), posinf=0, neginf=0)
    low, high = (images.min(), images.max()) if images.size else (0, 0)
    return np.round(255 * (images - low) / ((high - low) or 1)).astype(np.uint8)
