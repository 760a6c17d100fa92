"""Translates dates as people write them, such as "Tuesday, 3 March 1998", to 1998-03-03, one character at a time.

Two networks can do it (--model): LSTMs with attention, and a Transformer. The days that they are tested on are not
among those that they learn from. The picture shows, for one of them, where in the source the network looks for each
character that it writes. Nobody tells it that.
"""

import calendar
import datetime
import sys

import common
import jax
import numpy as np

from fdl.data import Batches, vocabulary
from fdl.layers import attention_maps
from fdl.losses import softmax_cross_entropy
from fdl.models import seq2seq, transformer
from fdl.optim import adam, chain, clip_by_global_norm, warmup_cosine
from fdl.train import evaluate, fit, init_train_state, make_eval_step, make_train_step

GOAL = 0.95  # of dates that are right in every character
FORMS = ("{d} {B} {Y}", "{B} {d}, {Y}", "{A}, {d} {B} {Y}", "{d}.{m}.{Y}", "{d} {b} {Y}", "{A} {b} {d} {Y}")
FIRST, LAST = datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)
START, STOP = "\t", "\n"
PEAK = {"lstm": 5e-3, "transformer": 2e-3}


def write_date(day, form):
    """A date in one of the forms."""
    month = calendar.month_name[day.month]
    weekday = calendar.day_name[day.weekday()]
    return form.format(d=day.day, m=day.month, Y=day.year, B=month, b=month[:3], A=weekday)


def make_pairs(number, seed):
    """Pairs (as people write it, ISO 8601), of which no two have the same day."""
    random = np.random.default_rng(seed)
    days = random.choice((LAST - FIRST).days + 1, number, replace=False)
    dates = [FIRST + datetime.timedelta(int(day)) for day in days]
    return [(write_date(day, FORMS[random.integers(len(FORMS))]), day.isoformat()) for day in dates]


def encode(pairs, letters):
    """(sources [N, S], their lengths [N], targets [N, T] from START to STOP), as ids."""
    longest = max(len(source) for source, _ in pairs)
    sources = np.stack([letters.encode(source.ljust(longest, STOP)) for source, _ in pairs])
    lengths = np.array([len(source) for source, _ in pairs], np.int32)
    return sources, lengths, np.stack([letters.encode(START + target + STOP) for _, target in pairs])


def draw(weights, source, written, path):
    """Saves a picture of the weights [T, S] with which the network looked at a source while it wrote."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    axes.imshow(weights[: len(written), : len(source)], cmap="Blues", vmin=0)
    axes.set_xticks(range(len(source)), source)
    axes.set_yticks(range(len(written)), written)
    axes.set(xlabel="what it read", ylabel="what it wrote", title="Where the network looked")
    axes.xaxis.set_ticks_position("top")
    axes.xaxis.set_label_position("top")
    figure.savefig(path, dpi=120)
    return path


def main():
    options = common.options(__doc__, model=("transformer", "transformer"), epochs=(10, 1), pairs=(10_000, 1_000))
    if options.model not in PEAK:
        sys.exit(f"--model is {' or '.join(PEAK)}, got {options.model}")
    pairs = make_pairs(options.pairs + 1000, options.seed)
    letters = vocabulary("".join(source + target for source, target in pairs) + START + STOP)
    data = encode(pairs, letters)
    held_out, training = (tuple(array[part] for array in data) for part in (slice(1000), slice(1000, None)))

    if options.model == "lstm":
        net = seq2seq(len(letters), len(letters), hidden=64, features=32, readout=64)
    else:
        net = transformer(len(letters), features=64, heads=4, hidden=128, depth=2, dropout=0.0)

    def objective(params, state, batch, key, train=True):
        source, lengths, target = batch
        scores, state = net.apply(params, state, source, target[:, :-1], lengths, key=key, train=train)
        return softmax_cross_entropy(scores, target[:, 1:]).mean(), (state, {})

    batches = Batches(training, 64, seed=options.seed)
    steps = options.epochs * batches.per_epoch
    rate = warmup_cosine(PEAK[options.model], warmup=steps // 10, steps=steps)
    optimizer = chain(clip_by_global_norm(1.0), adam(rate, b2=0.98))
    train_state = init_train_state(net, optimizer, jax.random.key(options.seed), data[0], data[2][:, :-1], data[1])
    eval_step = make_eval_step(objective)
    train_state, *_ = fit(
        make_train_step(objective, optimizer),
        train_state,
        batches,
        epochs=options.epochs,
        validate=lambda train_state: evaluate(eval_step, train_state, [held_out]),
    )

    params, state = train_state.params, train_state.state
    first, stop = letters.encode(START + STOP)
    length = held_out[2].shape[1] - 1

    @jax.jit
    def translate(params, source, lengths):
        return net.generate(params, state, source, lengths, first=first, stop=stop, length=length)

    written = np.asarray(translate(params, *held_out[:2]))
    right = (written == held_out[2][:, 1:]).all(axis=1)
    print()
    for i in [*np.flatnonzero(~right)[:3], *range(5)]:
        print(f"{pairs[i][0]:>28} -> {letters.decode(written[i]).strip()}{'' if right[i] else f', not {pairs[i][1]}'}")

    i = max(range(20), key=lambda i: len(pairs[i][0]))
    so_far = np.append(first, written[i, :-1])[None]
    maps = jax.jit(attention_maps, static_argnums=0)(net, params, state, held_out[0][[i]], so_far, held_out[1][[i]])
    last = maps["decoder"] if options.model == "lstm" else maps["decoder.1.cross_attention"].mean(axis=1)
    text = letters.decode(written[i]).strip()
    picture = draw(last[0], pairs[i][0], text, options.output / f"attention_{options.model}.png")
    common.finish(options, "dates translated without a mistake", right.mean(), GOAL, picture=picture)


if __name__ == "__main__":
    main()
