"""Whole training steps by hand-written gradients against automatic differentiation: time and memory, in one run.

    make bench WHAT=networks                        all networks
    make bench WHAT=networks ARGS="resnet"          those whose name contains a word
    make bench WHAT=networks ARGS="--quick"         small and short, to see that it works

A step is forward, loss, backward and update, compiled as one, once with fdl's rules and once under
``differentiation("autodiff")``. Both go on from step to step in turn, so that a noisy machine hurts both alike.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rules import Measured, plot, table

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

Workload = tuple[fdl.Layer, Any, tuple[np.ndarray, np.ndarray]]


def images(scale: int) -> Workload:
    """ResNet-18 for small images, on 64 of 32x32."""
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
    "resnet18, 64 x 32x32x3": images,
    "lstm, 2 x 256, 32 x 128": lstm,
    "gpt, 4 x 128, 32 x 128": gpt,
}


def mean_cross_entropy(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """One loss per example, whatever else there is one score for."""
    loss = softmax_cross_entropy(scores, labels)
    return loss.mean(range(1, loss.ndim))


def measure(name: str, workload: Workload, seconds: float) -> Measured:
    """Both ways in turn, for about so many seconds."""
    net, optimizer, batch = workload
    batch = jax.device_put(batch)
    train_step = make_train_step(supervised(net, mean_cross_entropy), optimizer)
    state = init_train_state(net, optimizer, jax.random.key(0), batch[0])
    states, steps = [jax.tree.map(jnp.copy, state) for _ in range(2)], []
    for how in ("rules", "autodiff"):
        with fdl.differentiation(how):
            steps.append(train_step.lower(state, batch).compile())
    times: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 4:
        for which in (0, 1) if len(times[0]) % 2 else (1, 0):
            start = time.perf_counter()
            states[which], _ = jax.block_until_ready(steps[which](states[which], batch))
            times[which].append(time.perf_counter() - start)
    ours, theirs = (float(np.median(t[1:])) for t in times)
    memory = [step.memory_analysis().temp_size_in_bytes for step in steps]
    return Measured(name, (ours, theirs), (memory[0], memory[1]))


def main() -> None:
    """Measures, prints, and writes the table and its plot."""
    parser = argparse.ArgumentParser(description="Time and memory of training steps against autodiff.")
    parser.add_argument("words", nargs="*", help="only networks whose name contains one of these words")
    parser.add_argument("--quick", action="store_true", help="small sizes and few repetitions")
    parser.add_argument("--output", type=Path, default=Path("build/benchmarks"), help="a directory for table and plot")
    options = parser.parse_args()
    results = []
    for name, workload in NETWORKS.items():
        if not options.words or any(word in name for word in options.words):
            results.append(measure(name, workload(16 if options.quick else 1), 0.2 if options.quick else 40.0))
            print(table(results[-1:]).splitlines()[1], flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    text = f"jax {jax.__version__} on {jax.devices()[0].device_kind}, {jax.default_backend()}\n\n{table(results)}\n"
    (options.output / "networks.txt").write_text(text)
    (options.output / "networks.json").write_text(json.dumps([r._asdict() for r in results], indent=1))
    plot(results, options.output / "networks.png")
    print(f"\n{text}\nwritten to {options.output}")


if __name__ == "__main__":
    main()
