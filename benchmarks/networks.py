"""Whole training steps by hand-written gradients against automatic differentiation: time and memory, in one run.

    make bench WHAT=networks                        all networks
    make bench WHAT=networks ARGS="resnet"          those whose name contains a word
    make bench WHAT=networks ARGS="--quick"         small and short, to see that it works

A step is forward, loss, backward and update, compiled as one, once with fdl's rules and once under
``differentiation("autodiff")``. Both go on from step to step in turn, so that a noisy machine hurts both alike.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from comparison import Measured, chosen, measure, options, report, show

import fdl
from fdl.layers import (
    LSTM,
    Affine,
    Embedding,
    EncoderBlock,
    LayerNorm,
    LearnedPositions,
    MultiHeadAttention,
    Repeat,
    Serial,
    feed_forward,
)
from fdl.losses import softmax_cross_entropy
from fdl.models import resnet
from fdl.optim import adam, momentum
from fdl.train import init_train_state, make_train_step, supervised

Workload = tuple[fdl.Layer, fdl.optim.Optimizer, tuple[np.ndarray, np.ndarray]]


def images(scale: int) -> Workload:
    """ResNet-18 for small images, on 64 of them."""
    rng, n = np.random.default_rng(0), 64 // scale
    batch = rng.normal(size=(n, 32, 32, 3)).astype(np.float32), rng.integers(10, size=n)
    return resnet(18, 10, small_images=True), momentum(0.01, 0.9), batch


def characters(scale: int) -> tuple[np.ndarray, np.ndarray]:
    """32 windows of 128 characters, and what comes next."""
    ids = np.random.default_rng(0).integers(65, size=(32 // scale, 129))
    return ids[:, :-1], ids[:, 1:]


def lstm(scale: int) -> Workload:
    """A character model of two LSTM layers."""
    return Serial(Embedding(65, 128), LSTM(256), LSTM(256), Affine(65)), adam(1e-3), characters(scale)


def gpt(scale: int) -> Workload:
    """A character model of four transformer blocks."""
    block = EncoderBlock(MultiHeadAttention(4, causal=True), feed_forward(128, 512))
    net = Serial(Embedding(65, 128), LearnedPositions(128), Repeat(block, 4), LayerNorm(), Affine(65))
    return net, adam(1e-3), characters(scale)


NETWORKS: dict[str, Callable[[int], Workload]] = {
    "resnet18": images,
    "lstm, 2 x 256": lstm,
    "gpt, 4 x 128": gpt,
}


def compare(name: str, workload: Workload, seconds: float) -> Measured:
    """Both ways in turn, each going on from its own last step."""
    net, optimizer, batch = workload
    batch = jax.device_put(batch)
    train_step = make_train_step(supervised(net, softmax_cross_entropy), optimizer)
    state = init_train_state(net, optimizer, jax.random.key(0), batch[0])

    def compile_by(how: Literal["rules", "autodiff"]) -> jax.stages.Compiled:
        with fdl.differentiation(how):
            return train_step.lower(state, batch).compile()

    both, states = (compile_by("rules"), compile_by("autodiff")), [jax.tree.map(jnp.copy, state) for _ in range(2)]

    def run(which: int) -> Any:
        states[which], metrics = both[which](states[which], batch)
        return states[which], metrics

    size = "x".join(map(str, batch[0].shape))
    return measure(f"{name}, {size}", both, run, seconds)


def main() -> None:
    """Measures, prints, and writes the table and its plot."""
    asked = options("Time and memory of training steps against autodiff.", "networks")
    results = []
    for name, workload in NETWORKS.items():
        if chosen(name, asked.words):
            results.append(compare(name, workload(16 if asked.quick else 1), 0.2 if asked.quick else 40.0))
            show(results[-1])
    report("networks", results, asked.output)


if __name__ == "__main__":
    main()
