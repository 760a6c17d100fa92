"""Flax NNX: `nnx.Module`s and `nnx.Optimizer`, split outside of the step and merged in it.

So NNX's guide to performance recommends: the step is plain `jax.jit` and no graph of objects is walked in each.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from peers.program import Program, count
from peers.workloads import PIXELS, Workload


class FullyConnected(nnx.Module):
    def __init__(self, work: Workload, rngs: nnx.Rngs):
        sizes = [PIXELS[work.network] * work.size**2] + [work.width] * (work.depth - 1)
        precision = work.precision
        self.maps = nnx.List(nnx.Linear(n, work.width, use_bias=False, dtype=precision, rngs=rngs) for n in sizes[:-1])
        self.norms = nnx.List(nnx.BatchNorm(n, momentum=0.9, dtype=precision, rngs=rngs) for n in sizes[1:])
        self.dropouts = nnx.List(nnx.Dropout(0.2, rngs=rngs) for _ in sizes[1:])
        self.scores = nnx.Linear(sizes[-1], work.classes, dtype=precision, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        x = x.reshape(len(x), -1)
        for linear, norm, dropout in zip(self.maps, self.norms, self.dropouts, strict=True):
            x = dropout(nnx.relu(norm(linear(x))))
        return self.scores(x)


class LeNet(nnx.Module):
    def __init__(self, work: Workload, rngs: nnx.Rngs):
        channels, side, precision = PIXELS[work.network], work.size, work.precision
        self.convolutions, self.maps = nnx.List(), nnx.List()
        for wider in (6, 16):
            self.convolutions.append(nnx.Conv(channels, wider, (5, 5), padding="VALID", dtype=precision, rngs=rngs))
            channels, side = wider, (side - 4) // 2
        units = channels * side**2
        for fewer in (120, 84):
            self.maps.append(nnx.Linear(units, fewer, dtype=precision, rngs=rngs))
            units = fewer
        self.scores = nnx.Linear(units, work.classes, dtype=precision, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        for convolution in self.convolutions:
            x = nnx.avg_pool(nnx.tanh(convolution(x)), (2, 2), strides=(2, 2))
        x = x.reshape(len(x), -1)
        for linear in self.maps:
            x = nnx.tanh(linear(x))
        return self.scores(x)


class ConvNorm(nnx.Module):
    def __init__(self, before: int, channels: int, kernel: int, precision: str, rngs: nnx.Rngs, stride: int = 1):
        sides, strides = (kernel, kernel), (stride, stride)
        self.convolution = nnx.Conv(
            before, channels, sides, strides, padding=kernel // 2, use_bias=False, dtype=precision, rngs=rngs
        )
        self.norm = nnx.BatchNorm(channels, momentum=0.9, dtype=precision, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.norm(self.convolution(x))


class VGG(nnx.Module):
    def __init__(self, work: Workload, rngs: nnx.Rngs):
        before, self.stages = PIXELS[work.network], nnx.List()
        for stage in range(work.depth):
            channels = work.width << stage
            first = ConvNorm(before, channels, 3, work.precision, rngs)
            self.stages.append(nnx.List([first, ConvNorm(channels, channels, 3, work.precision, rngs)]))
            before = channels
        features = before * (work.size >> work.depth) ** 2
        self.scores = nnx.Linear(features, work.classes, dtype=work.precision, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        for first, second in self.stages:
            x = nnx.relu(second(nnx.relu(first(x))))
            x = nnx.max_pool(x, (2, 2), strides=(2, 2))
        return self.scores(x.reshape(len(x), -1))


class BasicBlock(nnx.Module):
    def __init__(self, before: int, channels: int, stride: int, precision: str, rngs: nnx.Rngs):
        self.first = ConvNorm(before, channels, 3, precision, rngs, stride)
        self.second = ConvNorm(channels, channels, 3, precision, rngs)
        changes = stride != 1 or before != channels
        self.shortcut = ConvNorm(before, channels, 1, precision, rngs, stride) if changes else None

    def __call__(self, x: Any) -> Any:
        y = self.second(nnx.relu(self.first(x)))
        return nnx.relu(y + (self.shortcut(x) if self.shortcut else x))


class ResNet(nnx.Module):
    def __init__(self, work: Workload, rngs: nnx.Rngs):
        precision, before = work.precision, 64
        self.stem, self.blocks = ConvNorm(PIXELS[work.network], 64, 3, precision, rngs), nnx.List()
        for stage in range(4):
            channels = 64 << stage
            self.blocks.append(BasicBlock(before, channels, 2 if stage else 1, precision, rngs))
            self.blocks.append(BasicBlock(channels, channels, 1, precision, rngs))
            before = channels
        self.scores = nnx.Linear(before, work.classes, dtype=precision, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        x = nnx.relu(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return self.scores(x.mean((1, 2)))


class LSTM(nnx.Module):
    def __init__(self, work: Workload, rngs: nnx.Rngs):
        width, precision = work.width, work.precision
        self.embed = nnx.Embed(work.classes, width, dtype=precision, rngs=rngs)
        self.layers = nnx.List(
            nnx.RNN(nnx.OptimizedLSTMCell(width, width, dtype=precision, rngs=rngs)) for _ in range(work.depth)
        )
        self.scores = nnx.Linear(width, work.classes, dtype=precision, rngs=rngs)

    def __call__(self, ids: Any) -> Any:
        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x)
        return self.scores(x)


class Block(nnx.Module):
    def __init__(self, work: Workload, rngs: nnx.Rngs):
        width, precision = work.width, work.precision
        self.norms = nnx.List(nnx.LayerNorm(width, dtype=precision, rngs=rngs) for _ in range(2))
        self.attention = nnx.MultiHeadAttention(width // 32, width, dtype=precision, decode=False, rngs=rngs)
        self.hidden = nnx.Linear(width, 4 * width, dtype=precision, rngs=rngs)
        self.out = nnx.Linear(4 * width, width, dtype=precision, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        x = x + self.attention(self.norms[0](x), is_causal=True)
        return x + self.out(nnx.gelu(self.hidden(self.norms[1](x))))


class GPT(nnx.Module):
    def __init__(self, work: Workload, rngs: nnx.Rngs):
        self.embed = nnx.Embed(work.classes, work.width, dtype=work.precision, rngs=rngs)
        self.positions = nnx.Param(nnx.initializers.normal(0.02)(rngs.params(), (work.size, work.width)))
        self.blocks = nnx.List(Block(work, rngs) for _ in range(work.depth))
        self.norm = nnx.LayerNorm(work.width, dtype=work.precision, rngs=rngs)

    def __call__(self, ids: Any) -> Any:
        x = self.embed(ids)
        x = x + self.positions.astype(x.dtype)
        for block in self.blocks:
            x = block(x)
        return self.embed.attend(self.norm(x))


class Convolutions(nnx.Module):
    def __init__(self, before: int, channels: int, precision: str, rngs: nnx.Rngs):
        self.first = nnx.Conv(before, channels, (3, 3), dtype=precision, rngs=rngs)
        self.second = nnx.Conv(channels, channels, (3, 3), dtype=precision, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return nnx.relu(self.second(nnx.relu(self.first(x))))


class UNet(nnx.Module):
    def __init__(self, work: Workload, rngs: nnx.Rngs):
        before, precision = PIXELS[work.network], work.precision
        self.down, self.ups, self.joins = nnx.List(), nnx.List(), nnx.List()
        for level in range(work.depth):
            self.down.append(Convolutions(before, work.width << level, precision, rngs))
            before = work.width << level
        self.bottom = Convolutions(before, 2 * before, precision, rngs)
        for level in reversed(range(work.depth)):
            channels = work.width << level
            up = nnx.ConvTranspose(2 * channels, channels, (2, 2), strides=(2, 2), dtype=precision, rngs=rngs)
            self.ups.append(up)
            self.joins.append(Convolutions(2 * channels, channels, precision, rngs))
        self.scores = nnx.Conv(work.width, work.classes, (1, 1), dtype=precision, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        fine = []
        for convolutions in self.down:
            fine.append(convolutions(x))
            x = nnx.max_pool(fine[-1], (2, 2), strides=(2, 2))
        x = self.bottom(x)
        for up, join in zip(self.ups, self.joins, strict=True):
            x = join(jnp.concatenate([fine.pop(), up(x)], axis=-1))
        return self.scores(x)


class Head(nnx.Module):
    def __init__(self, work: Workload, rngs: nnx.Rngs):
        self.norm = nnx.LayerNorm(work.width, dtype=work.precision, rngs=rngs)
        self.scores = nnx.Linear(work.width, work.classes, use_bias=False, dtype=work.precision, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.scores(self.norm(x))


NETWORKS: dict[str, Callable[[Workload, nnx.Rngs], nnx.Module]] = {
    "fully_connected": FullyConnected,
    "lenet": LeNet,
    "vgg": VGG,
    "resnet": ResNet,
    "lstm": LSTM,
    "gpt": GPT,
    "unet": UNet,
    "head": Head,
}
OPTIMIZERS = {"adam": optax.adam(1e-3), "momentum": optax.sgd(0.01, 0.9)}


def build(work: Workload, inputs: Any, labels: Any) -> Program:
    model = NETWORKS[work.network](work, nnx.Rngs(0))
    graph, carry = nnx.split((model, nnx.Optimizer(model, OPTIMIZERS[work.optimizer], wrt=nnx.Param)))

    def step(carry: Any, batch: Any) -> Any:
        model, optimizer = nnx.merge(graph, carry)

        def loss(model: Any) -> Any:
            scores = model(batch[0]).astype(jnp.float32)
            return optax.softmax_cross_entropy_with_integer_labels(scores, batch[1]).mean()

        value, grads = nnx.value_and_grad(loss)(model)
        optimizer.update(model, grads)
        return nnx.state((model, optimizer)), value

    return Program(jax.jit(step, donate_argnums=0), carry, count(nnx.state(model, nnx.Param)))
