"""What is where: a U-Net on scenes, MNIST's digits scattered over an image, with the digit to be told of every pixel.

In each scene a few digits lie at random, one beside the other or into the other's corners, but never over it, and there
is noise over all. A pixel's class is the digit whose ink it is, or the background: eleven in all. To answer, a network
must see a whole digit to know which it is, and single pixels to know where it ends: the two halves of a U-Net. Test
scenes are made of test digits.
"""

import jax
import jax.numpy as jnp
import numpy as np
from common import finish, load, options, small_mnist

from fdl.augment import gaussian_noise, on_images
from fdl.data import Batches, mnist
from fdl.layers import BatchNorm
from fdl.losses import softmax_cross_entropy
from fdl.models import unet
from fdl.optim import adam, cosine
from fdl.train import (
    accuracy,
    confusion_matrix,
    fit,
    init_train_state,
    iou,
    make_train_step,
    mean_iou,
    predict,
    supervised,
)

GOAL = 0.9  # mean intersection over union
SIZE, TRIES, INK, NOISE = 48, 12, 128, 0.1
BATCH, RATE = 16, 3e-3


def compose(images, labels, count, seed):
    """Scenes [count, 48, 48, 1] in [0, 1], and the class of every pixel: 0 for the background, 1 + digit for ink."""
    rng = np.random.default_rng(seed)
    scenes, classes = np.zeros((count, SIZE, SIZE), np.uint8), np.zeros((count, SIZE, SIZE), np.int32)
    for scene, of_pixels in zip(scenes, classes, strict=True):
        for _ in range(TRIES):
            digit, (row, column) = rng.integers(len(images)), rng.integers(0, SIZE - 28 + 1, 2)
            place, image = (slice(row, row + 28), slice(column, column + 28)), images[digit, ..., 0]
            if not np.any((scene[place] > 0) & (image > 0)):
                scene[place] += image
                of_pixels[place] += np.where(image >= INK, 1 + labels[digit], 0)
    return np.float32(scenes[..., None]) / 255, classes


def noisy(key, scenes):
    """The scenes under noise, which is another one in every step."""
    return gaussian_noise(key, scenes, NOISE)


def draw(scenes, classes, said, path):
    """Saves some test scenes with the classes of their pixels, true and said."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6.4), layout="constrained")
    rows = ("scene", scenes[..., 0], "gray_r", 1), ("true", classes, "tab20", 10), ("said", said, "tab20", 10)
    for axes, (title, pictures, colours, largest) in zip(figure.subplots(3, 6), rows, strict=True):
        for axis, picture, true in zip(axes, pictures, classes, strict=False):
            axis.imshow(np.where(picture == 0, np.nan, picture), cmap=colours, vmin=0, vmax=largest)
            digits = " ".join(str(one - 1) for one in np.unique(true)[1:])
            axis.set_title(f"{title}: {digits}" if title == "true" else title)
            axis.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=100)
    return path


def main():
    chosen = options(__doc__, steps=(3000, 40), width=(16, 8), depth=(3, 1), scenes=(10_000, 300))
    (images, labels), (test_images, test_labels), _ = load(chosen, mnist, "mnist", small_mnist)
    training = compose(images, labels, chosen.scenes, chosen.seed)
    scenes, classes = compose(test_images, test_labels, chosen.scenes // 10, 0)
    scenes = np.asarray(noisy(jax.random.key(0), scenes))

    net = unet(11, depth=chosen.depth, width=chosen.width, padding="SAME", norm=BatchNorm())
    objective = supervised(net, softmax_cross_entropy, metrics={"accuracy": accuracy}, augment=on_images(noisy))
    optimizer = adam(cosine(RATE, chosen.steps))
    train_state = init_train_state(net, optimizer, jax.random.key(chosen.seed), scenes[:1])
    train_state, *_ = fit(
        make_train_step(objective, optimizer),
        train_state,
        Batches(training, BATCH, seed=chosen.seed),
        steps=chosen.steps,
        record_every=max(1, chosen.steps // 10),
    )

    scores = predict(net, train_state.params, train_state.state, scenes, batch_size=50)
    confusion = confusion_matrix(jnp.asarray(scores), classes)
    print("\nIntersection over union:")
    print(
        "  ".join(f"{name} {value:.1%}" for name, value in zip(["background", *range(10)], iou(confusion), strict=True))
    )
    picture = draw(scenes, classes, scores.argmax(-1), chosen.output / "scenes.png")
    finish(chosen, "mean IoU of 11 classes on test scenes", mean_iou(confusion), GOAL, picture=picture)


if __name__ == "__main__":
    main()
