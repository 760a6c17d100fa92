"""Learning from few labels: what a network gains that has seen many images before it is told what some of them are.

A denoising autoencoder learns from all images and from no label: half of the pixels are blotted out, and it restores
them. Its weights are saved. A classifier with the same encoder and a new head then starts from that file, by the names
of the weights, and learns from ten labelled images of each digit: once with the encoder frozen, once with an encoder
that moves ten times more slowly than the head, and, to compare, from scratch. Each is tried with several draws of the
labelled images, and the differences are taken draw by draw.
"""

from functools import partial

import jax
import numpy as np
from common import finish, load, options, small_mnist

from fdl.augment import masking_noise, on_images
from fdl.data import Batches, mnist
from fdl.layers import Affine, Relu, Serial
from fdl.losses import sigmoid_cross_entropy, softmax_cross_entropy
from fdl.models import autoencoder
from fdl.optim import adam, freeze, partition
from fdl.train import (
    accuracy,
    evaluate,
    fit,
    init_train_state,
    load_parameters,
    make_eval_step,
    make_train_step,
    save_parameters,
    supervised,
)

GOAL = 0.02  # of all test images, so many more are read
BATCH = 20
AUTOENCODER = autoencoder((28, 28, 1), hidden=(500, 250), code=64)
CLASSIFIER = Serial(encoder=AUTOENCODER.children["encoder"], relu=Relu(), head=Affine(10))
RATE = 1e-3
OPTIMIZERS = {
    "from scratch": adam(RATE),
    "frozen encoder": freeze(adam(10 * RATE), "encoder.*"),
    "slow encoder": partition(adam(10 * RATE), body=("encoder.*", adam(RATE))),
}


def pretrain(images, file, epochs, seed):
    """Learns to restore images, and saves what it learnt."""
    damage = on_images(partial(masking_noise, rate=0.5))  # inputs only: targets stay as they are
    objective, optimizer = supervised(AUTOENCODER, sigmoid_cross_entropy, augment=damage), adam(RATE)
    train_state = init_train_state(AUTOENCODER, optimizer, jax.random.key(seed), images[:1])
    batches = Batches((images, images), 128, seed=seed)
    train_state, *_ = fit(make_train_step(objective, optimizer), train_state, batches, epochs=epochs)
    save_parameters(file, train_state.params)


def labelled(images, labels, per_class, seed):
    """A draw of labelled images, as many of each class."""
    rng = np.random.default_rng(seed)
    chosen = np.concatenate([rng.choice(np.flatnonzero(labels == digit), per_class, False) for digit in range(10)])
    return images[chosen], labels[chosen]


def classify(how, train_step, eval_step, few, test, file, epochs, seed):
    """The test accuracy of a classifier that learnt from a few labelled images in one of the three ways."""
    start = partial(init_train_state, CLASSIFIER, OPTIMIZERS[how], jax.random.key(seed), few[0])
    train_state = start()
    if how != "from scratch":
        train_state = start(params=load_parameters(file, like=train_state.params, select="encoder.*"))  # a new head
    train_state, *_ = fit(train_step, train_state, Batches(few, BATCH, seed=seed), epochs=epochs, progress=None)
    return evaluate(eval_step, train_state, [test])["accuracy"]


def main():
    chosen = options(__doc__, pretraining_epochs=(8, 10), per_class=(10, 3), epochs=(60, 40), draws=(5, 3))
    (images, labels), (test_images, test_labels), _ = load(chosen, mnist, "mnist", small_mnist)
    images, test = np.float32(images) / 255, (np.float32(test_images) / 255, test_labels)
    file = chosen.output / "autoencoder.safetensors"
    pretrain(images, file, chosen.pretraining_epochs, chosen.seed)

    objective = supervised(CLASSIFIER, softmax_cross_entropy, metrics={"accuracy": accuracy})
    eval_step = make_eval_step(objective)
    reached = {}
    print(f"\nTest accuracy after {10 * chosen.per_class} labelled images, for {chosen.draws} draws of them:")
    for how, optimizer in OPTIMIZERS.items():
        train_step = make_train_step(objective, optimizer)
        seeds = [chosen.draws * chosen.seed + draw for draw in range(chosen.draws)]
        draws = [labelled(images, labels, chosen.per_class, seed) for seed in seeds]
        reached[how] = np.array(
            [
                classify(how, train_step, eval_step, few, test, file, chosen.epochs, seed)
                for few, seed in zip(draws, seeds, strict=True)
            ]
        )
        print(f"{how:15}" + "".join(f"{value:8.1%}" for value in reached[how]) + f"   mean {reached[how].mean():.1%}")

    print("\nMore than from scratch, with the same images (mean, and standard deviation over draws):")
    for how in ("frozen encoder", "slow encoder"):
        gain = reached[how] - reached["from scratch"]
        print(f"{how:15}  {gain.mean():+.1%} +- {gain.std(ddof=1):.1%}")
    finish(chosen, "gain in test accuracy by a pretrained, slow encoder", gain.mean(), GOAL, show="{:+.1%}")


if __name__ == "__main__":
    main()
