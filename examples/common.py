"""What all examples do: read their options, find their data, and write down what they reached.

Each leaves ``result.json`` beside its picture; `examples/measure.py` makes the table in README.md of them.
"""

import argparse
import json
import pydoc_data.topics
import sys
import time
from pathlib import Path

import numpy as np

from fdl.data import Dataset, DownloadError, digits, split, standardise
from fdl.layers import network

STARTED = time.perf_counter()


def options(description, **settings):
    """The options of an example: those that all have, and its own settings, each (value, value in a quick run)."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("build/data"), help="directory that has or gets the data")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random")
    parser.add_argument("--quick", action="store_true", help="show in seconds that it runs, on data that are at hand")
    parser.add_argument("--output", type=Path, help="directory for pictures (default: build/NAME)")
    for name, (value, quick) in settings.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=type(value), help=f"default: {value}, in a quick run {quick}")
    chosen = parser.parse_args()
    for name, values in settings.items():
        if getattr(chosen, name) is None:
            setattr(chosen, name, values[chosen.quick])
    chosen.stands_in = chosen.quick  # whether something smaller is in the place of the data
    chosen.output = chosen.output or Path("build", Path(sys.argv[0]).stem)
    chosen.output.mkdir(parents=True, exist_ok=True)
    return chosen


def load(options, read, folder, at_hand):
    """What ``read`` finds in a folder of the data directory, or downloads to it; offline, what is at hand."""
    if options.quick:
        return at_hand()
    try:
        return read(options.data / folder, download=True)
    except DownloadError as error:
        print(f"{error}\nSo this runs on something smaller: {at_hand.__doc__}\n", file=sys.stderr)
        options.stands_in = True
        return at_hand()


def small_mnist():
    """the 1,797 digits of scikit-learn, enlarged from 8 x 8 to 28 x 28 pixels."""
    images, labels = digits()
    return _dataset(np.pad(np.kron(images[..., None], np.ones((1, 3, 3, 1))), ((0, 0), (2, 2), (2, 2), (0, 0))), labels)


def small_cifar10():
    """the 1,797 digits of scikit-learn, enlarged from 8 x 8 to 32 x 32 pixels, in grey."""
    images, labels = digits()
    return _dataset(np.kron(images[..., None], np.ones((1, 4, 4, 3))), labels)


def small_text():
    """the manual of Python's statements and expressions, which comes with Python."""
    return "\n".join(pydoc_data.topics.topics.values())


def _dataset(images, labels):
    images = np.round(255 * images).astype(np.uint8)
    return Dataset(*split((images, labels), (0.8, 0.2), seed=0, stratify=labels), tuple(map(str, range(10))))


def standardised(body, moments):
    """A network that takes images as they are in the files, and first the mean of the training images out of them."""

    @network(body=body)
    def standardised(net, images):
        return net.body(standardise(images, moments))

    return standardised


def finish(options, metric, value, goal, *, higher=True, show="{:.2%}", picture=None):
    """Says what was reached, how long it took and where the picture is.

    There is a goal if it is known what to expect (otherwise None), and it counts for the data that it was set for.
    """
    seconds = time.perf_counter() - STARTED
    result = {"metric": metric, "value": float(value), "goal": goal, "higher": higher, "show": show}
    result |= {"seed": options.seed, "seconds": round(seconds, 1), "stands_in": options.stands_in}
    (options.output / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    drawn = f" Picture: {picture}" if picture else ""
    print(f"\n{metric[0].upper() + metric[1:]}: {show.format(value)}, after {seconds:.0f} s.{drawn}")
    if goal is not None and not options.stands_in and (value < goal if higher else value > goal):
        print(f"That misses the goal: {'at least' if higher else 'at most'} {show.format(goal)}.")


def save_grid(path, rows, title):
    """Saves rows of grey images [N, H, W] or [N, H, W, 1], from 0, paper, to 1, ink, as one picture; gives its path."""
    from matplotlib.figure import Figure

    sheet = np.concatenate([np.concatenate(np.asarray(row).reshape(len(row), *row.shape[1:3]), axis=1) for row in rows])
    height, width = sheet.shape
    figure = Figure(figsize=(10, 10 * height / width + 0.4), layout="constrained")
    axes = figure.subplots()
    axes.imshow(sheet, cmap="gray_r", vmin=0, vmax=1)
    axes.set_title(title)
    axes.axis("off")
    figure.savefig(path, dpi=120)
    return path


def save_training(path, history, images, labels, scores, names):
    """Saves a picture of how a classifier came to be and of where it is wrong; gives its path.

    Above are its curves, below the test images [N, H, W, C] that it is most certainly wrong about.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(3, 2))
    for axes, name in zip(above.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for kind, part in (("training", ""), ("validation", "validation_")):
            axes.plot([record["epoch"] for record in history], [record[part + name] for record in history], label=kind)
        axes.set(title=name.capitalize(), xlabel="epoch")
        axes.grid(alpha=0.3)
        axes.legend()

    said = scores.argmax(axis=1)
    margin = scores.max(axis=1) - scores[np.arange(len(labels)), labels]
    below.suptitle(f"{np.sum(said != labels):,} of {len(labels):,} test images are taken for something else")
    for axes, i in zip(below.subplots(2, 10).flat, (-margin).argsort(), strict=False):
        axes.axis("off")
        if said[i] != labels[i]:
            axes.imshow(images[i], cmap="gray_r")
            axes.set_title(f"{names[labels[i]]},\nnot {names[said[i]]}", fontsize=8)
    figure.savefig(path, dpi=120)
    return path
