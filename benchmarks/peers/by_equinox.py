"""Equinox: models of one example as PyTrees, `vmap` over the batch, `eqx.nn.State` for the statistics, and optax.

What is not an array is kept out of the step by `eqx.partition`, which is what `eqx.filter_jit` does at each call.
"""

from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from peers.program import Program, count
from peers.workloads import PIXELS, Workload

Keys = Iterator[jax.Array]


def keys_from(key: jax.Array) -> Keys:
    while True:
        key, next_key = jax.random.split(key)
        yield next_key


def batch_norm(channels: int) -> eqx.nn.BatchNorm:
    return eqx.nn.BatchNorm(channels, axis_name="batch", momentum=0.9, mode="batch")


def normalize(norm: eqx.nn.BatchNorm, x: Any, state: eqx.nn.State) -> tuple[Any, eqx.nn.State]:
    """As `eqx.nn.LayerNorm` does by itself: computed in float32."""
    y, state = norm(x.astype(jnp.float32), state)
    return y.astype(x.dtype), state


class FullyConnected(eqx.Module):
    maps: list[eqx.nn.Linear]
    norms: list[eqx.nn.BatchNorm]
    dropout: eqx.nn.Dropout
    scores: eqx.nn.Linear

    def __init__(self, work: Workload, keys: Keys):
        sizes = [PIXELS[work.network] * work.size**2] + [work.width] * (work.depth - 1)
        self.maps = [eqx.nn.Linear(n, work.width, use_bias=False, key=next(keys)) for n in sizes[:-1]]
        self.norms = [batch_norm(n) for n in sizes[1:]]
        self.dropout = eqx.nn.Dropout(0.2)
        self.scores = eqx.nn.Linear(sizes[-1], work.classes, key=next(keys))

    def __call__(self, x: Any, state: eqx.nn.State, key: jax.Array) -> tuple[Any, eqx.nn.State]:
        x, keys = x.reshape(-1), jax.random.split(key, len(self.maps))
        for linear, norm, dropout_key in zip(self.maps, self.norms, keys, strict=True):
            x, state = normalize(norm, linear(x), state)
            x = self.dropout(jax.nn.relu(x), key=dropout_key)
        return self.scores(x), state


class LeNet(eqx.Module):
    convolutions: list[eqx.nn.Conv2d]
    pool: eqx.nn.AvgPool2d
    maps: list[eqx.nn.Linear]
    scores: eqx.nn.Linear

    def __init__(self, work: Workload, keys: Keys):
        channels, side = PIXELS[work.network], work.size
        self.convolutions, self.pool, self.maps = [], eqx.nn.AvgPool2d(2, 2), []
        for wider in (6, 16):
            self.convolutions.append(eqx.nn.Conv2d(channels, wider, 5, key=next(keys)))
            channels, side = wider, (side - 4) // 2
        units = channels * side**2
        for fewer in (120, 84):
            self.maps.append(eqx.nn.Linear(units, fewer, key=next(keys)))
            units = fewer
        self.scores = eqx.nn.Linear(units, work.classes, key=next(keys))

    def __call__(self, x: Any, state: eqx.nn.State, key: jax.Array) -> tuple[Any, eqx.nn.State]:
        for convolution in self.convolutions:
            x = self.pool(jnp.tanh(convolution(x)))
        x = x.reshape(-1)
        for linear in self.maps:
            x = jnp.tanh(linear(x))
        return self.scores(x), state


class ConvNorm(eqx.Module):
    convolution: eqx.nn.Conv2d
    norm: eqx.nn.BatchNorm

    def __init__(self, before: int, channels: int, kernel: int, keys: Keys, stride: int = 1):
        self.convolution = eqx.nn.Conv2d(
            before, channels, kernel, stride, padding=kernel // 2, use_bias=False, key=next(keys)
        )
        self.norm = batch_norm(channels)

    def __call__(self, x: Any, state: eqx.nn.State) -> tuple[Any, eqx.nn.State]:
        return normalize(self.norm, self.convolution(x), state)


class VGG(eqx.Module):
    stages: list[tuple[ConvNorm, ConvNorm]]
    pool: eqx.nn.MaxPool2d
    scores: eqx.nn.Linear

    def __init__(self, work: Workload, keys: Keys):
        before, self.stages, self.pool = PIXELS[work.network], [], eqx.nn.MaxPool2d(2, 2)
        for stage in range(work.depth):
            channels = work.width << stage
            self.stages.append((ConvNorm(before, channels, 3, keys), ConvNorm(channels, channels, 3, keys)))
            before = channels
        self.scores = eqx.nn.Linear(before * (work.size >> work.depth) ** 2, work.classes, key=next(keys))

    def __call__(self, x: Any, state: eqx.nn.State, key: jax.Array) -> tuple[Any, eqx.nn.State]:
        for stage in self.stages:
            for conv_norm in stage:
                x, state = conv_norm(x, state)
                x = jax.nn.relu(x)
            x = self.pool(x)
        return self.scores(x.reshape(-1)), state


class BasicBlock(eqx.Module):
    first: ConvNorm
    second: ConvNorm
    shortcut: ConvNorm | None

    def __init__(self, before: int, channels: int, stride: int, keys: Keys):
        self.first = ConvNorm(before, channels, 3, keys, stride)
        self.second = ConvNorm(channels, channels, 3, keys)
        changes = stride != 1 or before != channels
        self.shortcut = ConvNorm(before, channels, 1, keys, stride) if changes else None

    def __call__(self, x: Any, state: eqx.nn.State) -> tuple[Any, eqx.nn.State]:
        y, state = self.first(x, state)
        y, state = self.second(jax.nn.relu(y), state)
        if self.shortcut is not None:
            x, state = self.shortcut(x, state)
        return jax.nn.relu(x + y), state


class ResNet(eqx.Module):
    stem: ConvNorm
    blocks: list[BasicBlock]
    scores: eqx.nn.Linear

    def __init__(self, work: Workload, keys: Keys):
        before, self.stem, self.blocks = 64, ConvNorm(PIXELS[work.network], 64, 3, keys), []
        for stage in range(4):
            channels = 64 << stage
            self.blocks.append(BasicBlock(before, channels, 2 if stage else 1, keys))
            self.blocks.append(BasicBlock(channels, channels, 1, keys))
            before = channels
        self.scores = eqx.nn.Linear(before, work.classes, key=next(keys))

    def __call__(self, x: Any, state: eqx.nn.State, key: jax.Array) -> tuple[Any, eqx.nn.State]:
        x, state = self.stem(x, state)
        x = jax.nn.relu(x)
        for block in self.blocks:
            x, state = block(x, state)
        return self.scores(x.mean((1, 2))), state


def unroll(cell: eqx.nn.LSTMCell, x: Any) -> Any:
    """The hidden states of a cell that goes over [T, C]."""

    def step(carry: Any, x: Any) -> Any:
        hidden, memory = cell(x, carry)
        return (hidden, memory), hidden

    zeros = jnp.zeros(cell.hidden_size, x.dtype)
    return jax.lax.scan(step, (zeros, zeros), x)[1]


class LSTM(eqx.Module):
    embed: eqx.nn.Embedding
    cells: list[eqx.nn.LSTMCell]
    scores: eqx.nn.Linear

    def __init__(self, work: Workload, keys: Keys):
        self.embed = eqx.nn.Embedding(work.classes, work.width, key=next(keys))
        self.cells = [eqx.nn.LSTMCell(work.width, work.width, key=next(keys)) for _ in range(work.depth)]
        self.scores = eqx.nn.Linear(work.width, work.classes, key=next(keys))

    def __call__(self, ids: Any, state: eqx.nn.State, key: jax.Array) -> tuple[Any, eqx.nn.State]:
        x = jax.vmap(self.embed)(ids)
        for cell in self.cells:
            x = unroll(cell, x)
        return jax.vmap(self.scores)(x), state


class Block(eqx.Module):
    norms: list[eqx.nn.LayerNorm]
    attention: eqx.nn.MultiheadAttention
    hidden: eqx.nn.Linear
    out: eqx.nn.Linear

    def __init__(self, width: int, keys: Keys):
        self.norms = [eqx.nn.LayerNorm(width) for _ in range(2)]
        biases = {f"use_{name}_bias": True for name in ("query", "key", "value", "output")}
        self.attention = eqx.nn.MultiheadAttention(width // 32, width, **biases, key=next(keys))
        self.hidden = eqx.nn.Linear(width, 4 * width, key=next(keys))
        self.out = eqx.nn.Linear(4 * width, width, key=next(keys))

    def __call__(self, x: Any, mask: Any) -> Any:
        y = jax.vmap(self.norms[0])(x)
        x = x + self.attention(y, y, y, mask)
        y = jax.nn.gelu(jax.vmap(self.hidden)(jax.vmap(self.norms[1])(x)))
        return x + jax.vmap(self.out)(y)


class GPT(eqx.Module):
    embed: eqx.nn.Embedding
    positions: jax.Array
    blocks: list[Block]
    norm: eqx.nn.LayerNorm

    def __init__(self, work: Workload, keys: Keys):
        # Embedding's own deviation of 1 is too much for a table that also makes the scores.
        table = 0.02 * jax.random.normal(next(keys), (work.classes, work.width))
        self.embed = eqx.nn.Embedding(weight=table)
        self.positions = 0.02 * jax.random.normal(next(keys), (work.size, work.width))
        self.blocks = [Block(work.width, keys) for _ in range(work.depth)]
        self.norm = eqx.nn.LayerNorm(work.width)

    def __call__(self, ids: Any, state: eqx.nn.State, key: jax.Array) -> tuple[Any, eqx.nn.State]:
        x, mask = jax.vmap(self.embed)(ids) + self.positions, jnp.tril(jnp.ones((len(ids), len(ids)), bool))
        for block in self.blocks:
            x = block(x, mask)
        return jax.vmap(self.norm)(x) @ self.embed.weight.T, state


class Convolutions(eqx.Module):
    first: eqx.nn.Conv2d
    second: eqx.nn.Conv2d

    def __init__(self, before: int, channels: int, keys: Keys):
        self.first = eqx.nn.Conv2d(before, channels, 3, padding=1, key=next(keys))
        self.second = eqx.nn.Conv2d(channels, channels, 3, padding=1, key=next(keys))

    def __call__(self, x: Any) -> Any:
        return jax.nn.relu(self.second(jax.nn.relu(self.first(x))))


class UNet(eqx.Module):
    down: list[Convolutions]
    pool: eqx.nn.MaxPool2d
    bottom: Convolutions
    ups: list[eqx.nn.ConvTranspose2d]
    joins: list[Convolutions]
    scores: eqx.nn.Conv2d

    def __init__(self, work: Workload, keys: Keys):
        before, self.pool = PIXELS[work.network], eqx.nn.MaxPool2d(2, 2)
        self.down, self.ups, self.joins = [], [], []
        for level in range(work.depth):
            self.down.append(Convolutions(before, work.width << level, keys))
            before = work.width << level
        self.bottom = Convolutions(before, 2 * before, keys)
        for level in reversed(range(work.depth)):
            channels = work.width << level
            self.ups.append(eqx.nn.ConvTranspose2d(2 * channels, channels, 2, 2, key=next(keys)))
            self.joins.append(Convolutions(2 * channels, channels, keys))
        self.scores = eqx.nn.Conv2d(work.width, work.classes, 1, key=next(keys))

    def __call__(self, x: Any, state: eqx.nn.State, key: jax.Array) -> tuple[Any, eqx.nn.State]:
        fine = []
        for convolutions in self.down:
            fine.append(convolutions(x))
            x = self.pool(fine[-1])
        x = self.bottom(x)
        for up, join in zip(self.ups, self.joins, strict=True):
            x = join(jnp.concatenate([fine.pop(), up(x)]))
        return jnp.moveaxis(self.scores(x), 0, -1), state


class Head(eqx.Module):
    norm: eqx.nn.LayerNorm
    scores: eqx.nn.Linear

    def __init__(self, work: Workload, keys: Keys):
        self.norm = eqx.nn.LayerNorm(work.width)
        self.scores = eqx.nn.Linear(work.width, work.classes, use_bias=False, key=next(keys))

    def __call__(self, x: Any, state: eqx.nn.State, key: jax.Array) -> tuple[Any, eqx.nn.State]:
        return jax.vmap(self.scores)(jax.vmap(self.norm)(x)), state


NETWORKS: dict[str, Callable[[Workload, Keys], eqx.Module]] = {
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
    key, init_key = jax.random.split(jax.random.key(0))
    model, state = eqx.nn.make_with_state(NETWORKS[work.network])(work, keys_from(init_key))
    params, static = eqx.partition(model, eqx.is_inexact_array)
    optimizer = OPTIMIZERS[work.optimizer]

    def cast(tree: Any) -> Any:
        return jax.tree.map(lambda x: x.astype(work.precision) if eqx.is_inexact_array(x) else x, tree)

    def step(carry: Any, batch: Any) -> Any:
        params, state, opt_state, key = carry
        key, dropout_key = jax.random.split(key)
        inputs, labels = batch
        if work.network in PIXELS:
            inputs = jnp.moveaxis(inputs, -1, 1)

        def loss(params: Any) -> Any:
            model, keys = eqx.combine(cast(params), static), jax.random.split(dropout_key, len(inputs))
            batched = jax.vmap(model, in_axes=(0, None, 0), out_axes=(0, None), axis_name="batch")
            scores, changed = batched(cast(inputs), state, keys)
            losses = optax.softmax_cross_entropy_with_integer_labels(scores.astype(jnp.float32), labels)
            return losses.mean(), changed

        (value, state), grads = jax.value_and_grad(loss, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (eqx.apply_updates(params, updates), state, opt_state, key), value

    carry = params, state, optimizer.init(params), key
    return Program(jax.jit(step, donate_argnums=0), carry, count(params))
