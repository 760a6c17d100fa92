"""A small GPT learns to write like Shakespeare, character by character.

Four blocks of 128 features see 64 characters and are asked for the next one, at all 64 places at once. The program
shows the loss on the last tenth of the text, which the network does not learn from, and what it then writes.

Guessing among 65 characters costs log 65 = 4.17 nats each. Who knows how frequent each one is pays 3.3, and who also
knows which one often follows which, 2.5.
"""

import common
import jax
import jax.numpy as jnp

from fdl.data import Batches, next_character_windows, ordered_batches, tiny_shakespeare, vocabulary
from fdl.losses import softmax_cross_entropy
from fdl.models import gpt
from fdl.optim import adamw, chain, clip_by_global_norm, warmup_cosine
from fdl.paths import is_weight
from fdl.sampling import generate, sample, temperature
from fdl.train import evaluate, fit, init_train_state, make_eval_step, make_train_step, supervised

GOAL = 1.88  # nats for each character: what nanoGPT reaches on a CPU, with the same sizes and as many steps
LENGTH = 64  # characters that the network sees
PEAK = 3e-3  # 1.78 nats; nanoGPT takes 1e-3
WRITTEN = 500  # characters


def write(net, params, state, prompt, key):
    """Characters after a prompt [LENGTH], one after the other; the network always sees the last ones."""

    def step(seen, token):
        seen = jnp.append(seen[1:], token)
        scores, _ = net.apply(params, state, seen[None])
        return scores[0, -1], seen

    def choose(key, scores):
        return sample(key, temperature(scores, 0.8))

    seen = jnp.roll(prompt, 1)  # the step puts the last character where it belongs
    return generate(step, seen, prompt[-1], WRITTEN, key=key, choose=choose)[0]


def main():
    options = common.options(__doc__, steps=(2000, 60), width=(128, 32))
    text = common.load(options, tiny_shakespeare, "text", common.small_text)
    letters = vocabulary(text)
    ids = letters.encode(text)
    training, held_out = ids[: len(ids) * 9 // 10], ids[len(ids) * 9 // 10 :]
    validation = ordered_batches(next_character_windows(held_out, LENGTH, stride=LENGTH), 128)
    if options.quick:
        validation = validation[:2]

    net = gpt(len(letters), LENGTH, options.width, heads=4, depth=4, dropout=0.0)
    objective = supervised(net, softmax_cross_entropy)
    rate = warmup_cosine(PEAK, warmup=options.steps // 20, steps=options.steps, final=PEAK / 10)
    optimizer = chain(clip_by_global_norm(1.0), adamw(rate, b2=0.99, weight_decay=0.1, keep=is_weight))
    batches = Batches(next_character_windows(training, LENGTH), 12, seed=options.seed)
    train_state = init_train_state(net, optimizer, jax.random.key(options.seed), batches.at((0, 0))[0])
    parameters = sum(w.size for w in jax.tree.leaves(train_state.params))
    print(f"{len(text):,} characters, {len(letters)} different ones; {parameters:,} parameters\n")

    eval_step = make_eval_step(objective)
    train_state, history, *_ = fit(
        make_train_step(objective, optimizer),
        train_state,
        batches,
        steps=options.steps,
        record_every=max(options.steps // 4, 1),
        validate=lambda train_state: evaluate(eval_step, train_state, validation),
    )

    prompt = jnp.asarray(held_out[:LENGTH])
    write_once = jax.jit(write, static_argnums=0)
    written = write_once(net, train_state.params, train_state.state, prompt, jax.random.key(options.seed))
    print(f"\n{letters.decode(prompt)}|{letters.decode(written)}")
    common.finish(options, "validation loss", history[-1]["validation_loss"], GOAL, higher=False, show="{:.3f} nats")


if __name__ == "__main__":
    main()
