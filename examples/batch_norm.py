"""What batch norm changes: weights may start at almost any scale, as long as batches are not too small.

Networks with five hidden layers learn from 2,000 digits for some epochs, with and without batch norm. First the scale
of their initial weights differs, then the size of the batches. All networks of one kind are trained side by side, in
one compiled step (`fdl.train.search.fit_many`), each scale with three learning rates, of which the best counts. The
picture shows how many validation images they read in the end.
"""

import sys

import jax
import numpy as np
from common import finish, load, options, small_mnist

from fdl.data import Batches, mnist
from fdl.initializers import normal
from fdl.layers import Affine, BatchNorm, Relu, Serial
from fdl.losses import softmax_cross_entropy
from fdl.optim import adam
from fdl.train import accuracy, supervised
from fdl.train.search import fit_many, init_many

try:
    from matplotlib.figure import Figure
except ImportError:
    sys.exit('The picture is drawn by matplotlib: pip install "fdl[train,data]"')

LEARNT = 0.85  # the validation accuracy that counts as having learnt
WIDTH, BATCH = 100, 50
RATES = 1e-3, 3e-3, 1e-2
KINDS = {"with batch norm": True, "without": False}


def network(has_norm, depth):
    """Hidden layers whose weights are drawn with a standard deviation of 1, to be scaled."""
    layers = []
    for _ in range(depth):
        layers += [Affine(WIDTH, w_init=normal(stddev=1.0)), *([BatchNorm()] if has_norm else []), Relu()]
    return Serial(*layers, scores=Affine(10, w_init=normal(stddev=1.0)))


def scaled(params, scale):
    """The weights times the scale. Biases, and what batch norms have, stay as they are."""
    return jax.tree.map(lambda w: scale * w if w.ndim == 2 else w, params)


def reached(net, scales, batch_size, training, validation, epochs, seed):
    """The validation accuracy of each scale, by the best learning rate."""

    def make(config):
        return supervised(net, softmax_cross_entropy, metrics={"accuracy": accuracy}), adam(config["learning_rate"])

    configs = [{"scale": float(scale), "learning_rate": rate} for scale in scales for rate in RATES]
    runs = [
        run._replace(train_state=run.train_state._replace(params=scaled(run.train_state.params, config["scale"])))
        for run, config in zip(
            init_many(net, make, configs, jax.random.key(seed), training[0][:1]), configs, strict=True
        )
    ]
    batches = Batches(training, batch_size, seed=seed)
    runs = fit_many(make, configs, runs, batches, epochs=epochs, validation=[validation], diverged=float("inf"))
    last = [run.history[-1].get("validation_accuracy", 0.1) for run in runs]  # one that broke down guesses
    return np.reshape(last, (len(scales), len(RATES))).max(axis=1)


def draw(scales, by_scale, sizes, by_size, path):
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for name in KINDS:
        left.semilogx(scales, by_scale[name], "o-", label=name)
        right.semilogx(sizes, by_size[name], "o-", label=name)
    left.set(title=f"Batches of {BATCH}", xlabel="standard deviation of the initial weights")
    left.set(ylabel="validation accuracy, by the best of three rates")
    right.set(title="Weights that start as He et al. have them", xlabel="size of the batches", xticks=sizes)
    right.set_xticklabels(sizes)
    for axes in left, right:
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)


def main():
    chosen = options(__doc__, depth=(5, 2), epochs=(10, 4), scales=(13, 3), examples=(2000, 600))
    (images, labels), *_ = load(chosen, mnist, "mnist", small_mnist)
    images = ((images.reshape(len(images), -1) - images.mean()) / images.std()).astype(np.float32)
    parts = slice(0, chosen.examples), slice(chosen.examples, 2 * chosen.examples)
    data = [(images[part], labels[part]) for part in parts]

    scales, sizes = np.geomspace(1e-3, 10, chosen.scales), ([10] if chosen.quick else [2, 5, 10, 20, 50, 100, 200])
    by_scale, by_size = {}, {}
    for name, has_norm in KINDS.items():
        net = network(has_norm, chosen.depth)
        by_scale[name] = reached(net, scales, BATCH, *data, chosen.epochs, chosen.seed)
        print(f"\nWeights that start at a scale, {name}:")
        print("\n".join(f"{scale:7.3f}  {share:.1%}" for scale, share in zip(scales, by_scale[name], strict=True)))
        he = [np.sqrt(2 / WIDTH)]
        by_size[name] = [reached(net, he, size, *data, chosen.epochs // 2, chosen.seed)[0] for size in sizes]
        print(f"\nBatches of a size, {name}:")
        print("\n".join(f"{size:7}  {share:.1%}" for size, share in zip(sizes, by_size[name], strict=True)))
    picture = chosen.output / "batch_norm.png"
    draw(scales, by_scale, sizes, by_size, picture)
    learnt = {name: int(np.sum(np.array(shares) > LEARNT)) for name, shares in by_scale.items()}
    print(f"\nOf {len(scales)} scales, these many were learnt at: {learnt}.")
    more = learnt["with batch norm"] / max(learnt["without"], 1)
    finish(chosen, "scales at which it learns, with batch norm per without", more, None, show="{:.1f}", picture=picture)


if __name__ == "__main__":
    main()
