"""What every contestant trains: eight networks, each by four sizes, and one batch of data for it.

A contestant is a module `by_NAME` with a function ``build(work, inputs, labels)``, which makes the network as its
library's documentation recommends. What a network is made of, in the terms of `by_fdl`, is said here once:

    fully_connected   `depth` - 1 times [affine without bias, batch norm, ReLU, dropout 0.2] of `width` units, affine
    lenet             5x5 convolution to 6, tanh, mean pool 2, 5x5 to 16, tanh, mean pool 2, affine to 120, tanh,
                      84, tanh, classes; convolutions without padding
    vgg               `depth` stages of [3x3 convolution without bias, batch norm, ReLU] twice and max pool 2, with
                      `width` channels that double from stage to stage; affine to the classes
    resnet            ResNet-18 for small images: a 3x3 stem, four stages of two basic blocks, projections where the
                      shape changes, batch norm behind every convolution; the mean over positions, affine
    lstm              embedding of `width`, `depth` LSTMs of `width` units, affine to the vocabulary
    gpt               embedding and learned positions, `depth` blocks of [x + attention(norm x), x + mlp(norm x)] with
                      layer norms, causal attention of heads of 32 features, all maps with bias, and a hidden layer
                      of 4 `width` with GELU (by tanh); norm, scores by the embedding's table; no dropout
    unet              `depth` levels of two 3x3 convolutions with bias and ReLU, max pool 2 downwards, 2x2 transposed
                      convolution upwards, concatenation with the level's own map; a 1x1 convolution to the classes
    head              layer norm of hidden states of `width` features and an affine map without bias to a large
                      vocabulary: the end of a language model, where most of its numbers are

The loss is the mean cross-entropy over all labels.
"""

from typing import NamedTuple

import numpy as np


class Workload(NamedTuple):
    """The sizes of a network and of its batch; which of them a network has is said above."""

    network: str
    batch: int
    size: int  # pixels on a side, or words in a row
    width: int
    depth: int
    classes: int
    optimizer: str  # "adam" with a rate of 0.001, or "momentum" with one of 0.01 and 0.9 of the last step
    precision: str = "float32"  # or "bfloat16": of what is computed; parameters and their moments stay in float32

    def __str__(self) -> str:
        return f"{self.network} {self.batch}x{self.size}, width {self.width}, depth {self.depth}"


WORKLOADS = {
    work.network: work
    for work in (
        Workload("fully_connected", 128, 32, 512, 5, 10, "adam"),
        Workload("lenet", 128, 32, 6, 5, 10, "momentum"),
        Workload("vgg", 64, 32, 64, 3, 10, "momentum"),
        Workload("resnet", 64, 32, 64, 18, 10, "momentum"),
        Workload("lstm", 32, 100, 512, 2, 65, "adam"),
        Workload("gpt", 16, 256, 256, 4, 65, "adam"),
        Workload("unet", 8, 64, 32, 4, 2, "adam"),
        Workload("head", 16, 128, 512, 1, 32_768, "adam"),
    )
}

QUICK = {  # to see that it works
    "fully_connected": {"batch": 4, "width": 8},
    "lenet": {"batch": 2},
    "vgg": {"batch": 2, "width": 4},
    "resnet": {"batch": 2, "size": 8},
    "lstm": {"batch": 2, "size": 4, "width": 8},
    "gpt": {"batch": 2, "size": 8, "width": 32, "depth": 2},
    "unet": {"batch": 1, "size": 32, "width": 4},
    "head": {"batch": 2, "size": 4, "width": 8, "classes": 64},
}

# How cost grows: by network, the sizes that are varied and the factors on what WORKLOADS says.
SCALING = {
    "fully_connected": {"batch": (1, 4, 16), "width": (0.5, 1, 2, 4)},
    "vgg": {"batch": (0.25, 0.5, 1)},
    "gpt": {"depth": (0.5, 1, 2, 4), "size": (0.5, 1, 2, 4)},
    "lstm": {"size": (0.5, 1, 2, 4)},
}

PIXELS = {"fully_connected": 3, "lenet": 1, "vgg": 3, "resnet": 3, "unet": 3}  # channels of the images


def data(work: Workload) -> tuple[np.ndarray, np.ndarray]:
    """Images [N, H, W, C] in float32, ids [N, T] or hidden states [N, T, width], and labels, drawn at random."""
    rng, places = np.random.default_rng(0), (work.batch, work.size)
    if work.network in PIXELS:
        images = rng.normal(size=(*places, work.size, PIXELS[work.network])).astype(np.float32)
        shape = (*places, work.size) if work.network == "unet" else (work.batch,)
        return images, rng.integers(work.classes, size=shape, dtype=np.int32)
    if work.network == "head":
        hidden = rng.normal(size=(*places, work.width)).astype(np.float32)
        return hidden, rng.integers(work.classes, size=places, dtype=np.int32)
    ids = rng.integers(work.classes, size=(work.batch, work.size + 1), dtype=np.int32)
    return ids[:, :-1], ids[:, 1:]
