"""Flax Linen: `nn.Module`s with setup and call in one, a `TrainState`-like tuple, and optax."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from peers.program import Program, count
from peers.workloads import Workload


class FullyConnected(nn.Module):
    work: Workload

    @nn.compact
    def __call__(self, x: Any) -> Any:
        work = self.work
        x = x.reshape(len(x), -1)
        for _ in range(work.depth - 1):
            x = nn.Dense(work.width, use_bias=False, dtype=work.precision)(x)
            x = nn.relu(nn.BatchNorm(use_running_average=False, momentum=0.9, dtype=work.precision)(x))
            x = nn.Dropout(0.2, deterministic=False)(x)
        return nn.Dense(work.classes, dtype=work.precision)(x)


class LeNet(nn.Module):
    work: Workload

    @nn.compact
    def __call__(self, x: Any) -> Any:
        work = self.work
        for channels in (6, 16):
            x = nn.tanh(nn.Conv(channels, (5, 5), padding="VALID", dtype=work.precision)(x))
            x = nn.avg_pool(x, (2, 2), strides=(2, 2))
        x = x.reshape(len(x), -1)
        for units in (120, 84):
            x = nn.tanh(nn.Dense(units, dtype=work.precision)(x))
        return nn.Dense(work.classes, dtype=work.precision)(x)


class ConvNorm(nn.Module):
    channels: int
    kernel: int
    precision: str
    stride: int = 1

    @nn.compact
    def __call__(self, x: Any) -> Any:
        sides = (self.kernel, self.kernel)
        strides, padding = (self.stride, self.stride), self.kernel // 2
        x = nn.Conv(self.channels, sides, strides, padding, use_bias=False, dtype=self.precision)(x)
        return nn.BatchNorm(use_running_average=False, momentum=0.9, dtype=self.precision)(x)


class VGG(nn.Module):
    work: Workload

    @nn.compact
    def __call__(self, x: Any) -> Any:
        work = self.work
        for stage in range(work.depth):
            for _ in range(2):
                x = nn.relu(ConvNorm(work.width << stage, 3, work.precision)(x))
            x = nn.max_pool(x, (2, 2), strides=(2, 2))
        return nn.Dense(work.classes, dtype=work.precision)(x.reshape(len(x), -1))


class BasicBlock(nn.Module):
    channels: int
    stride: int
    precision: str

    @nn.compact
    def __call__(self, x: Any) -> Any:
        y = nn.relu(ConvNorm(self.channels, 3, self.precision, self.stride)(x))
        y = ConvNorm(self.channels, 3, self.precision)(y)
        if x.shape != y.shape:
            x = ConvNorm(self.channels, 1, self.precision, self.stride)(x)
        return nn.relu(x + y)


class ResNet(nn.Module):
    work: Workload

    @nn.compact
    def __call__(self, x: Any) -> Any:
        work = self.work
        x = nn.relu(ConvNorm(64, 3, work.precision)(x))
        for stage in range(4):
            x = BasicBlock(64 << stage, 2 if stage else 1, work.precision)(x)
            x = BasicBlock(64 << stage, 1, work.precision)(x)
        return nn.Dense(work.classes, dtype=work.precision)(x.mean((1, 2)))


class LSTM(nn.Module):
    work: Workload

    @nn.compact
    def __call__(self, ids: Any) -> Any:
        work = self.work
        x = nn.Embed(work.classes, work.width, dtype=work.precision)(ids)
        for _ in range(work.depth):
            x = nn.RNN(nn.OptimizedLSTMCell(work.width, dtype=work.precision))(x)
        return nn.Dense(work.classes, dtype=work.precision)(x)


class Block(nn.Module):
    work: Workload

    @nn.compact
    def __call__(self, x: Any, mask: Any) -> Any:
        width, precision = self.work.width, self.work.precision
        attention = nn.MultiHeadDotProductAttention(width // 32, dtype=precision)
        x = x + attention(nn.LayerNorm(dtype=precision)(x), mask=mask)
        y = nn.Dense(4 * width, dtype=precision)(nn.LayerNorm(dtype=precision)(x))
        return x + nn.Dense(width, dtype=precision)(nn.gelu(y))


class GPT(nn.Module):
    work: Workload

    @nn.compact
    def __call__(self, ids: Any) -> Any:
        work = self.work
        embed = nn.Embed(work.classes, work.width, dtype=work.precision)
        positions = self.param("positions", nn.initializers.normal(0.02), (work.size, work.width))
        x, mask = embed(ids) + positions.astype(work.precision), nn.make_causal_mask(ids)
        for _ in range(work.depth):
            x = Block(work)(x, mask)
        return embed.attend(nn.LayerNorm(dtype=work.precision)(x))


class UNet(nn.Module):
    work: Workload

    def convolutions(self, x: Any, channels: int) -> Any:
        for _ in range(2):
            x = nn.relu(nn.Conv(channels, (3, 3), dtype=self.work.precision)(x))
        return x

    @nn.compact
    def __call__(self, x: Any) -> Any:
        work, fine = self.work, []
        for level in range(work.depth):
            fine.append(self.convolutions(x, work.width << level))
            x = nn.max_pool(fine[-1], (2, 2), strides=(2, 2))
        x = self.convolutions(x, work.width << work.depth)
        for level in reversed(range(work.depth)):
            x = nn.ConvTranspose(work.width << level, (2, 2), strides=(2, 2), dtype=work.precision)(x)
            x = self.convolutions(jnp.concatenate([fine[level], x], axis=-1), work.width << level)
        return nn.Conv(work.classes, (1, 1), dtype=work.precision)(x)


class Head(nn.Module):
    work: Workload

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.LayerNorm(dtype=self.work.precision)(x)
        return nn.Dense(self.work.classes, use_bias=False, dtype=self.work.precision)(x)


NETWORKS: dict[str, Callable[[Workload], nn.Module]] = {
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
    net, optimizer = NETWORKS[work.network](work), OPTIMIZERS[work.optimizer]
    key, init_key = jax.random.split(jax.random.key(0))
    variables = jax.jit(net.init)({"params": init_key, "dropout": init_key}, inputs)
    params, statistics = variables["params"], variables.get("batch_stats", {})

    def step(carry: Any, batch: Any) -> Any:
        params, statistics, opt_state, key = carry
        key, dropout_key = jax.random.split(key)

        def loss(params: Any) -> Any:
            variables, keys = {"params": params, "batch_stats": statistics}, {"dropout": dropout_key}
            scores, changed = net.apply(variables, batch[0], rngs=keys, mutable=["batch_stats"])
            losses = optax.softmax_cross_entropy_with_integer_labels(scores.astype(jnp.float32), batch[1])
            return losses.mean(), changed.get("batch_stats", {})

        (value, statistics), grads = jax.value_and_grad(loss, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), statistics, opt_state, key), value

    carry = params, statistics, optimizer.init(params), key
    return Program(jax.jit(step, donate_argnums=0), carry, count(params))
