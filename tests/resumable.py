"""A training run that tests kill and start again: python tests/resumable.py DIRECTORY RECORD_EVERY.

It prints a line per record, in the end the names and checksums of all arrays, and beforehand those of a run without
checkpoints that nobody interrupts.
"""

import functools
import hashlib
import sys

import jax
import numpy as np

from fdl.data import Batches
from fdl.layers import Affine, BatchNorm, Dropout, Relu, Serial
from fdl.losses import softmax_cross_entropy
from fdl.optim import adam
from fdl.train import Checkpoints, fit, init_train_state, make_train_step, stop_on_signal, supervised
from fdl.train.by_path import leaves_by_path

EPOCHS = 10  # of 5 batches


def checksums(train_state):
    arrays = leaves_by_path(train_state._replace(key=jax.random.key_data(train_state.key)))
    return {path: hashlib.sha256(np.asarray(array).tobytes()).hexdigest()[:12] for path, array in arrays.items()}


def main():
    directory, record_every = sys.argv[1], int(sys.argv[2])
    generator = np.random.default_rng(0)
    images, labels = generator.integers(0, 17, (84, 64)).astype(np.float32) / 16, generator.integers(0, 10, 84)
    batches = Batches((images, labels), 16, seed=0)
    net, optimizer = Serial(Affine(16), BatchNorm(), Relu(), Dropout(0.2), Affine(10)), adam(1e-2)
    train_step = make_train_step(supervised(net, softmax_cross_entropy), optimizer)
    settings = {"epochs": EPOCHS, "record_every": record_every, "diverged": np.inf}
    start = functools.partial(jax.jit(lambda key: init_train_state(net, optimizer, key, images)), jax.random.key(1))

    print("never interrupted:", checksums(fit(train_step, start(), batches, **settings, progress=None).train_state))
    with stop_on_signal() as stop, Checkpoints(directory, keep=2, best="loss") as checkpoints:
        run = checkpoints.resume(start())
        print("from step", int(run.train_state.step), flush=True)
        rest = {"history": run.history, "position": run.position, "callbacks": [checkpoints], "stop": stop}
        run = fit(train_step, run.train_state, batches, **settings, **rest, progress="lines")
    print("steps:", [record["step"] for record in run.history])
    print("in the end:", checksums(run.train_state))


if __name__ == "__main__":
    main()
