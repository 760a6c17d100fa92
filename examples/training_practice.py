"""Training as a careful practitioner does it: look at the data, check the network, search, train, look, keep.

One run on MNIST from beginning to end, in the order in which one does it, with what fdl.train has for each step:

    1  the data          data_report      ranges, balance, examples that are there twice
    2  the network       diagnose         gradients, the first loss, one batch by heart, learning rates
    3  a coarse search   random, fit_many  many settings side by side; then a finer one around the best
    4  the training      fit              augmentation, early stopping, checkpoints, a log of what went on
    5  the outcome       predict_views    test images, each seen from several places; the worst mistakes
    6  what is kept      report           a page about the run; export_model: the network in a file without fdl

Ctrl-C in step 4 ends the program, and the same command goes on with the very step that came next. What it left in the
directory of the pictures is what it goes on from: delete that to begin anew.
"""

import signal
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from common import finish, load, options, small_mnist

from fdl import train
from fdl.augment import on_images, random_crop
from fdl.data import Batches, data_report, mnist, ordered_batches, split
from fdl.layers import Affine, AffineNormRelu, Dropout, Flatten, Serial, softmax
from fdl.losses import l2, softmax_cross_entropy
from fdl.optim import adam, cosine
from fdl.train.search import LogUniform, Results, fit_many, init_many, narrow, random

GOAL = 0.985
BATCH = 128
NETWORK = Serial(Flatten(), AffineNormRelu(500), Dropout(0.2), scores=Affine(10))
SPACE = {"learning_rate": LogUniform(1e-4, 1e-1), "penalty": LogUniform(1e-7, 1e-3)}
moved = on_images(partial(random_crop, padding=2))  # by up to two pixels, there is paper beyond the rim


def make(config, augment=None, schedule=lambda rate: rate):
    """The objective and the optimizer of a configuration."""

    def penalty(params):
        return config["penalty"] * l2(params)

    objective = train.supervised(
        NETWORK, softmax_cross_entropy, penalty=penalty, metrics={"accuracy": train.accuracy}, augment=augment
    )
    return objective, adam(schedule(config["learning_rate"]))


def search(training, validation, trials, seed, file):
    """The best of some settings drawn from the whole space, and of as many drawn from where the good ones lay."""
    results = Results.load(file) if file.exists() else Results(SPACE, "validation_accuracy", "max")
    for stage, name in enumerate(("coarse", "fine")):
        if len(results) == stage * trials:
            configs = random(narrow(results) if stage else SPACE, trials, seed=seed + stage)
            runs = init_many(NETWORK, make, configs, jax.random.key(seed), training[0][:1])
            batches = Batches(training, BATCH, seed=seed)
            runs = fit_many(make, configs, runs, batches, epochs=1, validation=[validation])
            for config, run in zip(configs, runs, strict=True):
                results = results.add(config, run)
            results.save(file)
        print(f"After the {name} search: {results}\n")
    return results.best.config


def learn(config, training, validation, chosen):
    """The best parameters and state of a run, and its log. It goes on from the last checkpoint if there is one."""
    steps = chosen.epochs * (len(training[0]) // BATCH)
    objective, optimizer = make(config, moved, lambda rate: cosine(rate, steps))
    eval_step, monitor_step = train.make_eval_step(objective), train.make_monitor_step(NETWORK, objective, optimizer)
    watched = tuple(part[:256] for part in training)
    log = train.RunLog(
        chosen.output / "run",
        config={"net": NETWORK, "batch size": BATCH, **config},
        measure=lambda train_state: monitor_step(train_state, watched),
    )
    with (
        train.stop_on_signal(signal.SIGTERM, signal.SIGINT) as stop,
        train.Checkpoints(chosen.output / "checkpoints", best="validation_accuracy", mode="max") as checkpoints,
    ):
        run = checkpoints.resume(
            train.init_train_state(NETWORK, optimizer, jax.random.key(chosen.seed), training[0][:1])
        )
        run = train.fit(
            train.make_train_step(objective, optimizer),
            run.train_state,
            Batches(training, BATCH, seed=chosen.seed, drop_last=True),
            epochs=chosen.epochs,
            validate=lambda train_state: train.evaluate(eval_step, train_state, ordered_batches(validation, 500)),
            callbacks=[log, checkpoints, train.early_stopping("validation_accuracy", patience=4, mode="max")],
            stop=stop,
            history=run.history,
            position=run.position,
        )
        log.end(run)
        checkpoints.wait()
        best = checkpoints.restore(run.train_state, checkpoints.best).train_state
    return best.params, best.state, log


def seen_from_five_places(images):
    """Each image, and the same moved by a pixel to each side: [N, 5, H, W, C]."""
    moves = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]
    return jnp.stack([jnp.roll(images, move, axis=(1, 2)) for move in moves], axis=1)


def main():
    chosen = options(__doc__, epochs=(10, 3), trials=(12, 4), tried_on=(6000, 600))
    (images, labels), test, _ = load(chosen, mnist, "mnist", small_mnist)
    images, test = images / np.float32(255), (test[0] / np.float32(255), test[1])
    training, validation = split((images, labels), (0.9, 0.1), seed=chosen.seed, stratify=labels)

    print("1. The data\n")
    print(data_report({"training": training, "validation": validation, "test": test}))
    few = tuple(part[: chosen.tried_on] for part in training)

    print("\n2. The network\n")
    diagnosis = train.diagnose(NETWORK, softmax_cross_entropy, few, learning_rate=1e-3)
    diagnosis.plot(chosen.output / "diagnosis.png")

    print("\n3. The search\n")
    config = search(few, validation, chosen.trials, chosen.seed, chosen.output / "search.jsonl")

    print("4. The training\n")
    params, state, log = learn(config, training, validation, chosen)

    print("\n5. The outcome\n")
    probabilities = train.predict_views(NETWORK, params, state, test[0], seen_from_five_places, then=softmax)
    log.images("filters of the first layer", train.filters(params["affine_norm_relu1"]["w"], (28, 28)))
    log.images("worst mistakes", *train.mistakes(*test, np.log(probabilities + 1e-9)))

    is_read = probabilities.argmax(axis=1) == test[1]
    print(f"{np.sum(~is_read)} of {len(is_read)} test images are misread; the report shows the worst of them.")

    print("\n6. What is kept\n")
    page = train.report(chosen.output / "run")
    train.export_model(chosen.output / "digits.npz", NETWORK, params, state, test[0][:1], then=softmax)
    print(f"A page about the run: {page}\nThe network, for programs without fdl: {chosen.output / 'digits.npz'}")
    picture = chosen.output / "diagnosis.png"
    finish(chosen, "test accuracy, by the mean over five views", is_read.mean(), GOAL, picture=picture)


if __name__ == "__main__":
    main()
