"""An LSTM learns to write like Shakespeare, character by character.

It reads 32 places of the text at the same time, each from where it stopped in the step before: its state goes from
batch to batch and remembers what was there, while gradients reach back 64 characters (truncated backpropagation).
The program shows the loss on the last tenth of the text, from which the network does not learn, and what it writes.
"""

import common
import jax
import jax.numpy as jnp

from fdl.data import tiny_shakespeare, vocabulary
from fdl.losses import softmax_cross_entropy
from fdl.models import char_rnn
from fdl.optim import adamw, chain, clip_by_global_norm, warmup_cosine
from fdl.paths import is_weight
from fdl.sampling import generate, sample, stream_step, temperature
from fdl.train import evaluate, fit, init_train_state, make_eval_step, make_train_step, supervised

GOAL = 1.75  # nats for each character
STREAMS, LENGTH = 32, 64  # places of the text that are read at once, and characters of each step
PEAK = 4e-3
WRITTEN = 500  # characters


def streams(ids, number, length):
    """A text as a number of long texts side by side, in windows that follow each other: (ids, what comes next)."""
    steps = (len(ids) - 1) // number // length
    inputs, targets = (text[: number * steps * length].reshape(number, steps, length) for text in (ids[:-1], ids[1:]))
    return [(inputs[:, step], targets[:, step]) for step in range(steps)]


def main():
    options = common.options(__doc__, epochs=(3, 1), hidden=(256, 32))
    text = common.load(options, tiny_shakespeare, "text", common.small_text)
    letters = vocabulary(text)
    ids = letters.encode(text)
    training, held_out = ids[: len(ids) * 9 // 10], ids[len(ids) * 9 // 10 :]
    if options.quick:
        training, held_out = training[:60_000], held_out[:10_000]
    batches = streams(training, STREAMS, LENGTH)
    validation = streams(held_out, STREAMS, (len(held_out) - 1) // STREAMS)  # in one piece

    net = char_rnn(len(letters), options.hidden, depth=1, features=64)
    objective = supervised(net, softmax_cross_entropy)
    steps = options.epochs * len(batches)
    optimizer = chain(
        clip_by_global_norm(1.0), adamw(warmup_cosine(PEAK, warmup=steps // 20, steps=steps), keep=is_weight)
    )
    train_state = init_train_state(net, optimizer, jax.random.key(options.seed), batches[0][0])
    without = train_state.state  # what a text begins with that is not the end of another
    stream = net.begin_stream(train_state.params, without, STREAMS, len(training))
    train_state = train_state._replace(state=stream)
    parameters = sum(w.size for w in jax.tree.leaves(train_state.params))
    print(f"{len(text):,} characters, {len(letters)} different ones; {parameters:,} parameters\n")

    eval_step = make_eval_step(objective)
    train_state, history, *_ = fit(
        make_train_step(objective, optimizer),
        train_state,
        lambda epoch: batches,
        epochs=options.epochs,
        validate=lambda train_state: evaluate(eval_step, train_state._replace(state=without), validation),
    )

    def choose(key, scores):
        return sample(key, temperature(scores, 0.8))

    @jax.jit
    def write(params, key):
        stream = net.begin_stream(params, without, 1, WRITTEN)
        first = jnp.asarray(letters.encode("\n"))
        return generate(stream_step(net, params), stream, first, WRITTEN, key=key, choose=choose)[0][0]

    print("\n" + letters.decode(write(train_state.params, jax.random.key(options.seed))))
    common.finish(options, "validation loss", history[-1]["validation_loss"], GOAL, higher=False, show="{:.3f} nats")


if __name__ == "__main__":
    main()
