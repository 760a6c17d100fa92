"""Digits that nobody wrote: a DCGAN on MNIST, and a classifier that looks for all ten digits among what it makes.

Two networks, two train states, one step: the discriminator learns from real images and from as many made ones, then the
generator learns to be taken for real by the new discriminator. The step is a pure function like any other, so `fit`
drives it. A generator that finds one digit which passes and makes nothing else ("mode collapse") would be found out at
the end: the classifier, trained on real digits, says what is in a thousand samples.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from common import finish, load, options, save_grid, small_mnist

from fdl.data import Batches, mnist
from fdl.layers import Affine, Conv, Flatten, Relu, Serial
from fdl.losses import softmax_cross_entropy
from fdl.models import dcgan_discriminator, dcgan_generator, non_saturating
from fdl.optim import adam, averaged, chain, ema
from fdl.train import (
    TrainState,
    accuracy,
    evaluate,
    fit,
    init_train_state,
    make_eval_step,
    make_train_step,
    predict,
    supervised,
)

LATENT, BATCH, SAMPLES = 64, 64, 1000
CERTAIN, ENOUGH = 0.9, 10  # a digit is found when this many samples have it with so much probability

GENERATOR = dcgan_generator((28, 28, 1), depth=2, width=32, kernel=4)
DISCRIMINATOR = dcgan_discriminator(depth=2, width=32, kernel=4)
OPTIMIZER = adam(5e-4, b1=0.5)
# The generator's weights go round in circles, their mean stands still: of a tenth of all steps, then of the last 1000.
AVERAGING = chain(OPTIMIZER, ema(lambda step: jnp.minimum(0.999, (1 + step) / (10 + step))))


class Game(NamedTuple):
    """Both players."""

    generator: TrainState
    discriminator: TrainState


def tell(params, state, batch, key, train=True):
    """The discriminator's objective, on a batch (real images, made ones). Each half has its own batch statistics."""
    real, made = batch
    of_real, state = DISCRIMINATOR.apply(params, state, real, train=train)
    of_made, state = DISCRIMINATOR.apply(params, state, made, train=train)
    return non_saturating.discriminator(of_real, of_made).mean(), (state, {})


def pass_for_real(params, state, batch, key, train=True):
    """The generator's objective, on a batch (what to start from, the discriminator that judges)."""
    z, judge = batch
    made, state = GENERATOR.apply(params, state, z, train=train)
    logits, _ = DISCRIMINATOR.apply(judge.params, judge.state, made, train=True)
    return non_saturating.generator(logits).mean(), (state, {})


learn_to_tell, learn_to_pass = make_train_step(tell, OPTIMIZER), make_train_step(pass_for_real, AVERAGING)


@jax.jit(donate_argnums=0)
def play(game, images):
    """One step of each."""
    generator, discriminator = game
    z = draws(jax.random.fold_in(generator.key, generator.step), len(images))
    made, _ = GENERATOR.apply(generator.params, generator.state, z, train=True)
    discriminator, of_discriminator = learn_to_tell(discriminator, (images / 127.5 - 1, made))
    generator, of_generator = learn_to_pass(generator, (z, discriminator))
    return Game(generator, discriminator), {"tell": of_discriminator["loss"], "pass": of_generator["loss"]}


def draws(key, n):
    """Where images start from: n points of the standard normal distribution."""
    return jax.random.normal(key, (n, LATENT))


def train_classifier(images, labels, test, epochs, seed):
    """A small convolutional network that reads digits, as a function from images in [-1, 1] to probabilities."""
    net = Serial(Conv(16, 5, 2), Relu(), Conv(32, 5, 2), Relu(), Flatten(), Affine(10))
    objective, optimizer = supervised(net, softmax_cross_entropy, metrics={"accuracy": accuracy}), adam(1e-3)
    train_state = init_train_state(net, optimizer, jax.random.key(seed), images[:1])
    train_state, *_ = fit(
        make_train_step(objective, optimizer), train_state, Batches((images, labels), BATCH, seed=seed), epochs=epochs
    )
    reached = evaluate(make_eval_step(objective), train_state, [test])["accuracy"]
    print(f"The classifier reads {reached:.1%} of the test images.\n")
    return lambda images: jax.nn.softmax(predict(net, train_state.params, train_state.state, images))


def main():
    chosen = options(__doc__, epochs=(8, 2), classifier_epochs=(3, 3))
    (images, labels), (test_images, test_labels), _ = load(chosen, mnist, "mnist", small_mnist)
    scaled, test_scaled = (np.float32(part) / 127.5 - 1 for part in (images, test_images))
    read = train_classifier(scaled, labels, (test_scaled, test_labels), chosen.classifier_epochs, chosen.seed)

    generator_key, discriminator_key, sample_key = jax.random.split(jax.random.key(chosen.seed), 3)
    game = Game(
        init_train_state(GENERATOR, AVERAGING, generator_key, draws(sample_key, 2)),
        init_train_state(DISCRIMINATOR, OPTIMIZER, discriminator_key, scaled[:2]),
    )
    game, *_ = fit(play, game, Batches(images, BATCH, seed=chosen.seed), epochs=chosen.epochs)

    z, mean = draws(sample_key, SAMPLES), averaged(game.generator.opt_state)
    # With train=True they are normalised by their own statistics: those that were kept belong to other weights.
    samples, _ = GENERATOR.apply(mean, game.generator.state, z, train=True)
    probabilities = np.asarray(read(samples))
    certain = probabilities.max(axis=1) > CERTAIN
    counts = np.bincount(probabilities.argmax(axis=1)[certain], minlength=10)
    print(f"\nOf {SAMPLES} samples, {certain.mean():.0%} are some digit with a probability above {CERTAIN}:")
    print("  ".join(f"{digit}: {count}" for digit, count in enumerate(counts)))

    rows = samples[:160].reshape(8, 20, 28, 28) / 2 + 0.5
    picture = save_grid(chosen.output / "digits.png", rows, "Digits that nobody wrote")
    finish(chosen, "digits among the samples", np.sum(counts >= ENOUGH), 10, show="{:.0f}", picture=picture)


if __name__ == "__main__":
    main()
