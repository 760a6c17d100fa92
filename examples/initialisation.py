"""How large should the first weights be? Activations and gradients, layer by layer, before anything is learnt.

Digits go through ten layers of 256 units, with tanh and with ReLU, whose weights are drawn with several standard
deviations and by the rules of Xavier and of He. Where signals shrink from layer to layer, the last layers see nothing
of the digits and the first ones nothing of the errors; where they grow, tanh saturates and ReLU overflows in the end.
The pictures show histograms of the activations, and how large activations and gradients are along the layers.
"""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from common import finish, load, options, small_mnist

from fdl.data import mnist
from fdl.initializers import he_normal, normal, xavier_normal
from fdl.layers import Affine, Relu, Serial, Tanh
from fdl.losses import softmax_cross_entropy

try:
    from matplotlib.figure import Figure
except ImportError:
    sys.exit('The picture is drawn by matplotlib: pip install "fdl[train,data]"')

DEPTH, WIDTH = 10, 256
ACTIVATIONS = {"tanh": Tanh(), "ReLU": Relu()}
INITIALIZERS = {
    "0.01": normal(stddev=0.01),
    "0.05": normal(stddev=0.05),
    "Xavier, 1/sqrt(256) = 0.0625": xavier_normal(),
    "He, sqrt(2/256) = 0.088": he_normal(),
    "0.2": normal(stddev=0.2),
}


def network(activation, w_init):
    layers = [Serial(Affine(WIDTH, w_init=w_init), activation) for _ in range(DEPTH)]
    return Serial(*layers, scores=Affine(10, w_init=w_init))


@partial(jax.jit, static_argnums=0)
def signals(activation, params, state, images, labels):
    """The activations of each hidden layer, and the gradients of the loss by them: two lists of [N, WIDTH]."""
    layers = network(activation, normal()).children

    def loss(nudges):
        """Of activations that are moved by nudges: the gradient by a nudge is that by its activation."""
        x, seen = images, []
        for (name, layer), nudge in zip(layers.items(), [*nudges, 0.0], strict=True):
            x = layer.apply(params[name], state[name], x)[0] + nudge
            seen.append(x)
        return softmax_cross_entropy(x, labels).sum(), seen[:-1]

    gradients, seen = jax.grad(loss, has_aux=True)([jnp.zeros((len(images), WIDTH))] * DEPTH)
    return seen, gradients


def draw_histograms(kind, activations, path):
    """A row for each way to draw the weights, a column for each of some layers."""
    figure = Figure(figsize=(12, 9), layout="constrained")
    shown = [0, 1, 3, 5, 7, 9]
    for row, (name, layers) in zip(figure.subplots(len(activations), len(shown)), activations.items(), strict=True):
        reach = 1.0 if kind == "tanh" else float(np.quantile(layers[0], 0.99))
        for axes, i in zip(row, shown, strict=True):
            counts, edges = np.histogram(layers[i], 40, (-reach if kind == "tanh" else 0, reach))
            axes.stairs(counts, edges, fill=True)
            axes.set(yticks=[])
            axes.set_title(f"layer {i + 1}, std {layers[i].std():.1e}", fontsize=9)
        row[0].set_ylabel(name.replace(", ", "\n"), fontsize=9)
    figure.suptitle(f"Activations of {kind} layers, by the standard deviation of their weights")
    figure.savefig(path, dpi=110)


def draw_sizes(results, path):
    """The root mean square of activations and of gradients, along the layers."""
    figure = Figure(figsize=(12, 8), layout="constrained")
    layers = np.arange(1, DEPTH + 1)
    for row, (kind, by_name) in zip(figure.subplots(2, 2), results.items(), strict=True):
        for axes, which, what in zip(row, (0, 1), ("Activations", "Gradients of the loss"), strict=True):
            for name, sizes in by_name.items():
                axes.semilogy(layers, np.maximum(sizes[which], 1e-12), "o-", label=name)
            axes.set(title=f"{what}, {kind}", xlabel="layer", ylabel="root mean square", xticks=layers)
            axes.grid(alpha=0.3)
    row[0].legend(title="weights", fontsize=8)
    figure.savefig(path, dpi=110)


def main():
    chosen = options(__doc__, images=(1000, 200))
    (images, labels), *_ = load(chosen, mnist, "mnist", small_mnist)
    images, labels = images[: chosen.images].reshape(chosen.images, -1) / 255.0, labels[: chosen.images]
    images = ((images - images.mean()) / images.std()).astype(np.float32)

    results = {}
    for kind, activation in ACTIVATIONS.items():
        both = {}
        for name, w_init in INITIALIZERS.items():
            params, state = network(activation, w_init).init(jax.random.key(chosen.seed), images)
            both[name] = jax.device_get(signals(activation, params, state, images, labels))
        draw_histograms(kind, {name: seen for name, (seen, _) in both.items()}, chosen.output / f"{kind.lower()}.png")
        results[kind] = {
            name: [[float(np.sqrt(np.mean(np.square(layer)))) for layer in layers] for layers in (seen, gradients)]
            for name, (seen, gradients) in both.items()
        }
        print(f"\n{kind}: root mean square in layers 1 and {DEPTH}")
        for name, (seen, gradients) in results[kind].items():
            print(
                f"{name:29} activations {seen[0]:.1e} {seen[-1]:.1e}   gradients {gradients[0]:.1e} {gradients[-1]:.1e}"
            )
    draw_sizes(results, chosen.output / "sizes.png")

    names = {"tanh": "Xavier, 1/sqrt(256) = 0.0625", "ReLU": "He, sqrt(2/256) = 0.088"}
    left = min(results[kind][name][0][-1] / results[kind][name][0][0] for kind, name in names.items())
    metric = "share of the activations left in the last layer, Xavier with tanh and He with ReLU"
    finish(chosen, metric, left, None, picture=chosen.output / "sizes.png")


if __name__ == "__main__":
    main()
