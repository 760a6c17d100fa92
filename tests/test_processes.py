"""Two processes, each with devices and a part of every batch of its own, train what one trains, and save it."""

import socket
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import functools
import sys

import jax
from jaxlib import _jax

# Gloo would look the machine's own name up, which not every machine can.
_jax.make_gloo_tcp_collectives = functools.partial(_jax.make_gloo_tcp_collectives, hostname="localhost")
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_cpu_collectives_implementation", "gloo")
process, port, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
jax.distributed.initialize(f"localhost:{port}", 2, process)

import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from fdl.data import Batches, prefetch
from fdl.layers import Affine, BatchNorm, Embedding, Flatten, Serial
from fdl.losses import softmax_cross_entropy
from fdl.optim import adam, chain, clip_by_global_norm
from fdl.train import Checkpoints, evaluate, fit, init_train_state, make_eval_step, make_train_step, supervised

net, optimizer = Serial(Embedding(7, 4), Flatten(), BatchNorm(), Affine(3)), chain(clip_by_global_norm(1.0), adam(0.01))
objective = supervised(net, softmax_cross_entropy)
train_step, eval_step = make_train_step(objective, optimizer), make_eval_step(objective)
rng = np.random.default_rng(0)
data = rng.integers(0, 7, (32, 5)), rng.integers(0, 3, 32)
batches = Batches(data, 8, seed=0)


def begin():
    return init_train_state(net, optimizer, jax.random.key(0), data[0])


def losses(train_state, batches, everything):
    run = fit(train_step, train_state, batches, epochs=2, progress=None)
    return [record["loss"] for record in run.history] + [evaluate(eval_step, run.train_state, [everything])["loss"]]


mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
everywhere, by_example = (NamedSharding(mesh, spec) for spec in (PartitionSpec(), PartitionSpec("data")))


def of_all(batch):
    half = len(batch[0]) // 2
    mine = slice(process * half, (process + 1) * half)
    return tuple(jax.make_array_from_process_local_data(by_example, part[mine]) for part in batch)


alone = losses(begin(), batches, data)
for spread in (
    lambda epoch: map(of_all, batches(epoch)),
    lambda epoch: prefetch(map(of_all, batches(epoch))),
    lambda epoch: prefetch(batches(epoch), device=by_example),
):
    train_state = jax.jit(begin, out_shardings=everywhere)()
    np.testing.assert_allclose(losses(train_state, spread, of_all(data)), alone, rtol=1e-4)

run = fit(train_step, jax.jit(begin, out_shardings=everywhere)(), batches, epochs=1, progress=None)
with Checkpoints(folder) as checkpoints:
    checkpoints(run)
    restored = checkpoints.restore(run.train_state).train_state
for saved, read in zip(jax.tree.leaves(run.train_state), jax.tree.leaves(restored), strict=True):
    assert read.sharding == saved.sharding
    assert (read == saved).all()
"""


def test_processes_that_share_batches_train_what_one_trains(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", PROGRAM]
    processes = [
        subprocess.Popen(
            [*command, str(i), str(port), str(tmp_path)],
            cwd=Path(__file__).parents[1],
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]
    try:
        errors = [process.communicate(timeout=120)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
