"""Learning to see without labels: contrastive pretraining (SimCLR) on MNIST, and then ten labels for each digit.

An encoder sees each image twice, turned, sheared, moved, zoomed and partly covered at random, and learns to tell which
views show the same image. Nobody tells it what the images are. It is then left as it is, and a linear classifier learns
from ten labelled images of each digit to name them by its features. The same network, trained on those labels from
scratch and with the same changes of the images, shows what the pretraining is worth. Both are tried with several draws
of the labelled images. The picture shows pairs of views, and test images by the features of the encoder.
"""

import sys
from functools import partial

import jax
import numpy as np
from common import finish, load, options, small_mnist

from fdl.augment import chain, cutout, on_images, random_affine
from fdl.data import Batches, fit_pca, mnist, project
from fdl.layers import Affine, ConvNormRelu, GlobalAvgPool, Serial
from fdl.losses import l2, nt_xent, softmax_cross_entropy
from fdl.models import simclr
from fdl.optim import adam, cosine
from fdl.train import accuracy, evaluate, fit, init_train_state, make_eval_step, make_train_step, predict, supervised

try:
    from matplotlib.figure import Figure
except ImportError:
    sys.exit('The picture is drawn by matplotlib: pip install "fdl[train,data]"')

GOAL = 0.05  # of all test images, more that are read
BATCH, TEMPERATURE, PER_CLASS = 256, 0.2, 10
ENCODER = Serial(ConvNormRelu(32, 3, 2), ConvNormRelu(64, 3, 2), ConvNormRelu(128, 3, 2), mean=GlobalAvgPool())
NETWORK = simclr(ENCODER, hidden=128, features=64)
change = chain(
    partial(random_affine, max_degrees=20, max_shift=0.1, max_slope=0.3, zoom=(0.7, 1.3)), partial(cutout, size=10)
)


def contrast(params, state, images, key, train=True):
    """The objective: which two views are of the same image?"""
    keys = jax.random.split(key)
    views = [change(key, images) for key in keys]
    projections, state = NETWORK.apply(params, state, *views, train=train)
    return nt_xent(*projections, temperature=TEMPERATURE).mean(), (state, {})


def pretrain(images, epochs, seed):
    """The encoder's params and state, from images alone."""
    optimizer = adam(cosine(2e-3, epochs * (len(images) // BATCH)))
    train_state = init_train_state(NETWORK, optimizer, jax.random.key(seed), images[:1], images[:1])
    batches = Batches(images, BATCH, seed=seed, drop_last=True)  # fewer others are an easier question
    train_state, *_ = fit(make_train_step(contrast, optimizer), train_state, batches, epochs=epochs)
    return train_state.params["encoder"], train_state.state["encoder"]


def classify(net, training, test, epochs, rate, seed, **options):
    """The share of the test images that a network reads which learns from some labelled ones."""
    objective, optimizer = supervised(net, softmax_cross_entropy, metrics={"accuracy": accuracy}, **options), adam(rate)
    train_state = init_train_state(net, optimizer, jax.random.key(seed), training[0][:1])
    batches = Batches(training, 50, seed=seed)
    train_state, *_ = fit(make_train_step(objective, optimizer), train_state, batches, epochs=epochs, progress=None)
    return evaluate(make_eval_step(objective), train_state, [test])["accuracy"]


def labelled(labels, seed):
    """A draw of images to be labelled: as many of each class."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.choice(np.flatnonzero(labels == digit), PER_CLASS, False) for digit in range(10)])


def draw(images, features, labels, path):
    figure = Figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    views = [np.asarray(change(jax.random.key(i), images[:10]))[..., 0] for i in range(2)]
    left.imshow(
        np.concatenate([np.concatenate(view[i : i + 5], axis=1) for i in (0, 5) for view in views]), cmap="gray_r"
    )
    left.set(title="Which belong together? Each is above its partner", xticks=[], yticks=[])
    x, y = project(features, fit_pca(features, 2)).T
    points = right.scatter(x, y, c=labels, cmap="tab10", s=6)
    right.set(title="Test images by the features, coloured by what nobody told", xticks=[], yticks=[])
    figure.colorbar(points, ticks=range(10))
    figure.savefig(path, dpi=120)


def main():
    chosen = options(__doc__, epochs=(5, 2), draws=(5, 1), fine_tuning=(200, 20))
    (images, labels), (test_images, test_labels), _ = load(chosen, mnist, "mnist", small_mnist)
    images, test_images = ((part / 255).astype(np.float32) for part in (images, test_images))

    params, state = pretrain(images, chosen.epochs, chosen.seed)
    features, test_features = (
        np.asarray(predict(ENCODER, params, state, part, batch_size=500)) for part in (images, test_images)
    )
    mean, std = features.mean(axis=0), features.std(axis=0) + 1e-6
    features, test_features = (features - mean) / std, (test_features - mean) / std

    gains = []
    for seed in range(chosen.seed, chosen.seed + chosen.draws):
        few = labelled(labels, seed)
        told = labels[few]
        probe = classify(
            Affine(10), (features[few], told), (test_features, test_labels), chosen.fine_tuning, 1e-2, seed,
            penalty=lambda params: 1e-3 * l2(params["w"]),
        )  # fmt: skip
        scratch = classify(
            Serial(encoder=ENCODER, scores=Affine(10)), (images[few], told), (test_images, test_labels),
            chosen.fine_tuning, 2e-3, seed, augment=on_images(change),
        )  # fmt: skip
        gains.append(probe - scratch)
        print(f"draw {seed}: features and a linear classifier {probe:.1%}, from scratch {scratch:.1%}", flush=True)
    print(f"\nThe features are worth {np.mean(gains):.1%} of the test images, +- {np.std(gains):.1%} over draws.")
    picture = chosen.output / "features.png"
    draw(test_images, test_features[:2000], test_labels[:2000], picture)
    finish(chosen, "more test images read than from scratch", np.mean(gains), GOAL, picture=picture)


if __name__ == "__main__":
    main()
