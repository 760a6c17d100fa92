"""What dropout is for: few examples, many weights. Accuracy on both sides of the fence, by how much is dropped.

A network with two hidden layers of 500 units learns 500 digits by heart, whatever they have in common. Dropping hidden
units at random while it learns keeps it from relying on any few of them: it then knows the 500 less well, and others
better, up to a point. The picture shows accuracy on training and validation images by the rate of dropout, as the mean
over several draws of the images, and how both go with the epochs without dropout and at the best rate.
"""

import sys

import jax
import numpy as np
from common import finish, load, options, small_mnist

from fdl.data import Batches, mnist
from fdl.layers import Affine, AffineRelu, Dropout, Serial
from fdl.losses import softmax_cross_entropy
from fdl.optim import adam
from fdl.train import accuracy, evaluate, fit, init_train_state, make_eval_step, make_train_step, supervised

try:
    from matplotlib.figure import Figure
except ImportError:
    sys.exit('The picture is drawn by matplotlib: pip install "fdl[train,data]"')

EXAMPLES, VALIDATION, BATCH = 500, 5000, 50


def train(rate, training, validation, epochs, seed):
    """The accuracy after each epoch: on the training images, with nothing dropped, and on the validation images."""
    net = Serial(AffineRelu(500), Dropout(rate), AffineRelu(500), Dropout(rate), scores=Affine(10))
    objective, optimizer = supervised(net, softmax_cross_entropy, metrics={"accuracy": accuracy}), adam(1e-3)
    train_state = init_train_state(net, optimizer, jax.random.key(seed), training[0][:1])
    eval_step = make_eval_step(objective)
    _, history, *_ = fit(
        make_train_step(objective, optimizer),
        train_state,
        Batches(training, BATCH, seed=seed),
        epochs=epochs,
        validate=lambda train_state: {
            "seen": evaluate(eval_step, train_state, [training])["accuracy"],
            "new": evaluate(eval_step, train_state, [validation])["accuracy"],
        },
        progress=None,
    )
    return [[record[f"validation_{which}"] for record in history] for which in ("seen", "new")]


def draw(rates, curves, best, path):
    """``curves`` is [rate, draw, seen or new, epoch]."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    epochs = np.arange(1, curves.shape[-1] + 1)
    for which, name in enumerate(("training images", "validation images")):
        last = curves[:, :, which, -1]
        left.errorbar(rates, last.mean(axis=1), last.std(axis=1), fmt="o-", capsize=3, label=name)
        for i, style in (0, "--"), (best, "-"):
            label = f"{name}, rate {rates[i]:g}"
            right.plot(epochs, curves[i, :, which].mean(axis=0), style, color=f"C{which}", label=label)
    left.set(title="In the end, with the spread over draws", xlabel="rate of dropout", ylabel="accuracy")
    right.set(title="On the way", xlabel="epoch")
    for axes in left, right:
        axes.grid(alpha=0.3)
        axes.legend(fontsize=9)
    figure.savefig(path, dpi=120)


def main():
    chosen = options(__doc__, epochs=(40, 15), draws=(3, 1))
    (images, labels), *_ = load(chosen, mnist, "mnist", small_mnist)
    images = (images.reshape(len(images), -1) / 255).astype(np.float32)
    rates = [0.0, 0.5] if chosen.quick else [0.0, 0.15, 0.3, 0.45, 0.6, 0.75]

    curves = []
    for rate in rates:
        of_rate = []
        for seed in range(chosen.seed, chosen.seed + chosen.draws):
            order = np.random.default_rng(seed).permutation(len(images))
            seen, new = order[:EXAMPLES], order[EXAMPLES : EXAMPLES + VALIDATION]
            of_rate.append(train(rate, (images[seen], labels[seen]), (images[new], labels[new]), chosen.epochs, seed))
        curves.append(of_rate)
        seen, new = np.mean(of_rate, axis=0)[:, -1]
        print(f"rate {rate:4}  training images {seen:.1%}  validation images {new:.1%}", flush=True)

    curves = np.array(curves)
    last = curves[:, :, 1, -1].mean(axis=1)  # of the validation images
    best = 1 + int(np.argmax(last[1:]))  # of those that drop anything
    picture = chosen.output / "dropout.png"
    draw(rates, curves, best, picture)
    print(f"\nThe best rate is {rates[best]}.")
    metric = "gain in validation accuracy by dropout, at the best rate"
    finish(chosen, metric, last[best] - last[0], None, show="{:+.2%}", picture=picture)


if __name__ == "__main__":
    main()
