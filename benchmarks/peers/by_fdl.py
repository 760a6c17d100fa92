"""fdl: the networks of `fdl.models` where there are such, its losses, its optimizers, and `make_train_step`."""

from collections.abc import Callable
from typing import Any

import jax

import fdl
from fdl import optim
from fdl.layers import Affine, AvgPool, Cast, Conv, ConvNormRelu, Flatten, LayerNorm, MaxPool, Serial, Tanh
from fdl.losses import linear_softmax_cross_entropy, softmax_cross_entropy
from fdl.models import char_rnn, fully_connected_net, gpt, resnet, unet
from fdl.train import init_train_state, make_train_step, supervised
from peers.program import Program, count
from peers.workloads import Workload


def lenet(work: Workload) -> fdl.Layer:
    """As all libraries have it here; `fdl.models.lenet5` has the paper's scaled tanh, and a convolution for C5."""
    maps, units = [], []
    for channels in (6, 16):
        maps += [Conv(channels, 5, padding="VALID"), Tanh(), AvgPool(2)]
    for width in (120, 84):
        units += [Affine(width), Tanh()]
    return Serial(*maps, Flatten(), *units, Affine(work.classes))


def vgg(work: Workload) -> fdl.Layer:
    stages = []
    for stage in range(work.depth):
        channels = work.width << stage
        stages += [ConvNormRelu(channels, 3), ConvNormRelu(channels, 3), MaxPool(2)]
    return Serial(*stages, Flatten(), Affine(work.classes))


NETWORKS: dict[str, Callable[[Workload], fdl.Layer]] = {
    "fully_connected": lambda work: fully_connected_net(
        (work.width,) * (work.depth - 1), work.classes, normalization="batch", dropout=0.2
    ),
    "lenet": lenet,
    "vgg": vgg,
    "resnet": lambda work: resnet(18, work.classes, small_images=True),
    "lstm": lambda work: char_rnn(work.classes, work.width, work.depth),
    "gpt": lambda work: gpt(work.classes, work.size, work.width, work.width // 32, work.depth, dropout=0.0),
    "unet": lambda work: unet(work.classes, depth=work.depth, width=work.width, padding="SAME"),
    "head": lambda work: Serial(norm=LayerNorm(), scores=Affine(work.classes, bias=False)),
}
OPTIMIZERS = {"adam": optim.adam(1e-3), "momentum": optim.momentum(0.01, 0.9)}


def head_objective(net: fdl.Layer) -> Any:
    """The loss of a language model's head, which never has all scores at once."""

    def objective(params: Any, state: Any, batch: Any, key: Any) -> Any:
        hidden, labels = batch
        x, _ = net.children["norm"].apply(params["norm"], {}, hidden)
        loss = linear_softmax_cross_entropy(x, params["scores"]["w"], None, labels)
        return loss.mean(), (state, {})

    return objective


def step_and_carry(work: Workload, inputs: Any, labels: Any) -> tuple[Any, Any]:
    """The training step, and what it starts from."""
    net = NETWORKS[work.network](work)
    if work.precision != "float32":
        net = Cast(net, work.precision)
    optimizer = OPTIMIZERS[work.optimizer]
    objective = head_objective(net) if work.network == "head" else supervised(net, softmax_cross_entropy)
    return make_train_step(objective, optimizer), init_train_state(net, optimizer, jax.random.key(0), inputs)


def build(work: Workload, inputs: Any, labels: Any) -> Program:
    step, carry = step_and_carry(work, inputs, labels)
    return Program(step, carry, count(carry.params))
