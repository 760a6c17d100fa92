"""Telling photographs apart: a small residual network on CIFAR-10, for two cores or, with more of everything, a GPU.

Eight convolutions, four of them in two residual blocks, and every trick that costs next to nothing: a rate that
rises and falls once, smoothed labels, weight decay, and photographs that are mirrored, moved by up to four pixels, and
have a square cut out of them. The picture shows how training went, and what is still mistaken for something else.

    --recipe cpu    16 channels to begin with (the default)
    --recipe gpu    64 channels, bfloat16 and larger batches: as in Page's, who reports 94 % after 24 epochs

Sources: He et al., "Deep residual learning for image recognition" (2016); Page, "How to train your ResNet" (2018).
"""

import sys
from functools import partial
from typing import NamedTuple

import jax
from common import finish, load, options, save_training, small_cifar10, standardised

from fdl import optim
from fdl.augment import chain, cutout, on_images, random_crop, random_flip
from fdl.data import Batches, channel_moments, cifar10, ordered_batches, split
from fdl.initializers import normal
from fdl.layers import Affine, Cast, ConvNormRelu, GlobalMaxPool, MaxPool, Residual, Serial
from fdl.losses import softmax_cross_entropy
from fdl.paths import is_weight
from fdl.train import accuracy, evaluate, fit, init_train_state, make_eval_step, make_train_step, predict, supervised


class Recipe(NamedTuple):
    width: int  # channels of the first layer
    epochs: int
    batch: int
    rate: float  # the largest
    dtype: str  # of what is computed; parameters stay in float32


GOAL = {"cpu": 0.85, "gpu": 0.94, "quick": 0.0}
RECIPES = {  # two epochs of "cpu" reach 70 %; that of "gpu" was not measured here
    "cpu": Recipe(width=16, epochs=20, batch=128, rate=0.1, dtype="float32"),
    "gpu": Recipe(width=64, epochs=30, batch=512, rate=0.4, dtype="bfloat16"),
    "quick": Recipe(width=4, epochs=2, batch=32, rate=0.05, dtype="float32"),
}
AUGMENT = chain(random_flip, partial(random_crop, padding=4, mode="reflect"), partial(cutout, size=8, fill=127))
SMOOTHING, DECAY = 0.1, 5e-4


def resnet9(width, classes):
    """32 x 32 pixels -> 16 x 16 -> 8 x 8 -> 4 x 4, while channels double each time."""
    return Serial(
        stem=conv(width),
        stage1=Serial(conv(2 * width), MaxPool(2), block(2 * width)),
        stage2=Serial(conv(4 * width), MaxPool(2)),
        stage3=Serial(conv(8 * width), MaxPool(2), block(8 * width)),
        head=Serial(GlobalMaxPool(), Affine(classes, w_init=normal(0.01))),
    )


def conv(channels):
    return ConvNormRelu(channels, 3)


def block(channels):
    return Residual(Serial(conv(channels), conv(channels)))


def loss(scores, labels):
    return softmax_cross_entropy(scores, labels, label_smoothing=SMOOTHING)


def main():
    chosen = options(__doc__, recipe=("cpu", "quick"))
    if chosen.recipe not in RECIPES:
        sys.exit(f"There are recipes for {', '.join(RECIPES)}, not for {chosen.recipe!r}.")
    recipe = RECIPES[chosen.recipe]
    training, test, names = load(chosen, cifar10, ".", small_cifar10)
    training, validation = split(training, (0.96, 0.04), seed=chosen.seed)

    net = standardised(Cast(resnet9(recipe.width, len(names)), recipe.dtype), channel_moments(training[0]))
    batches = Batches(training, recipe.batch, seed=chosen.seed)
    rate = optim.one_cycle(recipe.rate, recipe.epochs * batches.per_epoch, rise=0.2)
    optimizer = optim.chain(optim.add_l2(DECAY, keep=is_weight), optim.nesterov(rate))
    objective = supervised(net, loss, metrics={"accuracy": accuracy}, augment=on_images(AUGMENT))
    train_state = init_train_state(net, optimizer, jax.random.key(chosen.seed), training[0][:1])
    eval_step = make_eval_step(objective)

    train_state, history, *_ = fit(
        make_train_step(objective, optimizer),
        train_state,
        batches,
        epochs=recipe.epochs,
        validate=lambda train_state: evaluate(eval_step, train_state, ordered_batches(validation, 500)),
    )

    scores = predict(net, train_state.params, train_state.state, test[0], batch_size=500)
    reached = accuracy(scores, test[1]).mean()
    picture = save_training(chosen.output / "cifar.png", history, *test, scores, names)
    finish(chosen, "test accuracy", reached, GOAL[chosen.recipe], picture=picture)


if __name__ == "__main__":
    main()
