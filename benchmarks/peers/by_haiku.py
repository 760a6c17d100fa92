"""Haiku: networks as functions made pure by `hk.transform_with_state`, precision by policies of `jmp`, and optax."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import jmp
import optax
from haiku.mixed_precision import push_policy

from peers.program import Program, count
from peers.workloads import Workload


def batch_norm(x: Any) -> Any:
    return hk.BatchNorm(True, True, 0.9, eps=1e-5)(x, is_training=True)


def layer_norm(x: Any) -> Any:
    return hk.LayerNorm(-1, True, True)(x)


def max_pool(x: Any) -> Any:
    return hk.max_pool(x, (2, 2, 1), (2, 2, 1), "VALID")


def fully_connected(work: Workload, x: Any) -> Any:
    x = hk.Flatten()(x)
    for _ in range(work.depth - 1):
        x = jax.nn.relu(batch_norm(hk.Linear(work.width, with_bias=False)(x)))
        x = hk.dropout(hk.next_rng_key(), 0.2, x)
    return hk.Linear(work.classes)(x)


def lenet(work: Workload, x: Any) -> Any:
    for channels in (6, 16):
        x = jnp.tanh(hk.Conv2D(channels, 5, padding="VALID")(x))
        x = hk.avg_pool(x, (2, 2, 1), (2, 2, 1), "VALID")
    x = hk.Flatten()(x)
    for units in (120, 84):
        x = jnp.tanh(hk.Linear(units)(x))
    return hk.Linear(work.classes)(x)


def conv_norm(x: Any, channels: int, kernel: int, stride: int = 1) -> Any:
    padding = (kernel // 2, kernel // 2)
    return batch_norm(hk.Conv2D(channels, kernel, stride, padding=padding, with_bias=False)(x))


def vgg(work: Workload, x: Any) -> Any:
    for stage in range(work.depth):
        for _ in range(2):
            x = jax.nn.relu(conv_norm(x, work.width << stage, 3))
        x = max_pool(x)
    return hk.Linear(work.classes)(hk.Flatten()(x))


def basic_block(x: Any, channels: int, stride: int) -> Any:
    y = jax.nn.relu(conv_norm(x, channels, 3, stride))
    y = conv_norm(y, channels, 3)
    if x.shape != y.shape:
        x = conv_norm(x, channels, 1, stride)
    return jax.nn.relu(x + y)


def resnet(work: Workload, x: Any) -> Any:
    x = jax.nn.relu(conv_norm(x, 64, 3))
    for stage in range(4):
        x = basic_block(x, 64 << stage, 2 if stage else 1)
        x = basic_block(x, 64 << stage, 1)
    return hk.Linear(work.classes)(x.mean((1, 2)))


def lstm(work: Workload, ids: Any) -> Any:
    core = hk.DeepRNN([hk.LSTM(work.width) for _ in range(work.depth)])
    x = hk.Embed(work.classes, work.width)(ids)
    x, _ = hk.dynamic_unroll(core, x, core.initial_state(len(ids)), time_major=False)
    return hk.Linear(work.classes)(x)


def gpt(work: Workload, ids: Any) -> Any:
    width, small = work.width, hk.initializers.TruncatedNormal(0.02)
    embed = hk.Embed(work.classes, width, w_init=small)
    x = embed(ids) + hk.get_parameter("positions", [work.size, width], init=small)
    mask = jnp.tril(jnp.ones((1, 1, work.size, work.size), bool))
    for _ in range(work.depth):
        y = layer_norm(x)
        x += hk.MultiHeadAttention(width // 32, 32, w_init=hk.initializers.VarianceScaling())(y, y, y, mask)
        y = jax.nn.gelu(hk.Linear(4 * width)(layer_norm(x)))
        x += hk.Linear(width)(y)
    return layer_norm(x) @ embed.embeddings.T


def convolutions(x: Any, channels: int) -> Any:
    for _ in range(2):
        x = jax.nn.relu(hk.Conv2D(channels, 3)(x))
    return x


def unet(work: Workload, x: Any) -> Any:
    fine = []
    for level in range(work.depth):
        fine.append(convolutions(x, work.width << level))
        x = max_pool(fine[-1])
    x = convolutions(x, work.width << work.depth)
    for level in reversed(range(work.depth)):
        x = hk.Conv2DTranspose(work.width << level, 2, 2)(x)
        x = convolutions(jnp.concatenate([fine[level], x], axis=-1), work.width << level)
    return hk.Conv2D(work.classes, 1)(x)


def head(work: Workload, x: Any) -> Any:
    return hk.Linear(work.classes, with_bias=False)(layer_norm(x))


NETWORKS: dict[str, Callable[[Workload, Any], Any]] = {
    "fully_connected": fully_connected,
    "lenet": lenet,
    "vgg": vgg,
    "resnet": resnet,
    "lstm": lstm,
    "gpt": gpt,
    "unet": unet,
    "head": head,
}
OPTIMIZERS = {"adam": optax.adam(1e-3), "momentum": optax.sgd(0.01, 0.9)}


class Network(hk.Module):
    """What a policy of precision can be set for: all modules that it calls inherit it, but those with their own."""

    def __init__(self, work: Workload):
        super().__init__(work.network)
        self.work = work

    def __call__(self, x: Any) -> Any:
        return NETWORKS[self.work.network](self.work, x)


def policies(precision: str) -> dict[type[hk.Module], jmp.Policy]:
    """Norms compute in float32, as in Haiku's example of ImageNet; recurrent states are made in `precision`."""
    low = jmp.get_policy(f"params=float32,compute={precision},output={precision}")
    norm = jmp.get_policy(f"params=float32,compute=float32,output={precision}")
    return {Network: low, hk.DeepRNN: low, hk.BatchNorm: norm, hk.LayerNorm: norm}


def build(work: Workload, inputs: Any, labels: Any) -> Program:
    def forward(x: Any) -> Any:
        with ExitStack() as stack:
            if work.precision != "float32":
                for module, policy in policies(work.precision).items():
                    stack.enter_context(push_policy(module, policy))
            return Network(work)(x)

    net, optimizer = hk.transform_with_state(forward), OPTIMIZERS[work.optimizer]
    key, init_key = jax.random.split(jax.random.key(0))
    params, statistics = jax.jit(net.init)(init_key, inputs)

    def step(carry: Any, batch: Any) -> Any:
        params, statistics, opt_state, key = carry
        key, dropout_key = jax.random.split(key)

        def loss(params: Any) -> Any:
            scores, changed = net.apply(params, statistics, dropout_key, batch[0])
            losses = optax.softmax_cross_entropy_with_integer_labels(scores.astype(jnp.float32), batch[1])
            return losses.mean(), changed

        (value, statistics), grads = jax.value_and_grad(loss, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), statistics, opt_state, key), value

    carry = params, statistics, optimizer.init(params), key
    return Program(jax.jit(step, donate_argnums=0), carry, count(params))
