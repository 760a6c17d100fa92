"""Translates captions of photographs from German to English with a small Transformer, and measures its BLEU.

Multi30k has 29,000 pairs for training and 1,000 for testing. The directory of --data needs a folder text/multi30k, with
train.de.gz, train.en.gz, test_2016_flickr.de.gz and test_2016_flickr.en.gz of github.com/multi30k/dataset, which are in
data/task1/raw there. Without them, and in a quick run, the sentences come from a grammar of a few words.

A word is known if it occurs three times; all others are one word, <unk>, in German and in English alike.
"""

import collections
import gzip
import itertools
import math
import re

import common
import jax
import jax.numpy as jnp
import numpy as np

from fdl.data import DownloadError
from fdl.losses import linear_softmax_cross_entropy
from fdl.models import transformer
from fdl.optim import adam, chain, clip_by_global_norm, warmup_cosine
from fdl.train import fit, in_batches, init_train_state, make_train_step

BATCH = 64
PEAK = 1.5e-3
SPECIAL = PAD, START, STOP, UNKNOWN = "<pad>", "<start>", "<stop>", "<unk>"
LONGEST = 40  # words of a translation


def words(line):
    return re.findall(r"\w+|[^\w\s]", line.lower())


def multi30k(folder, download):
    """(training, test): lists of pairs (German words, English words)."""
    if not folder.exists():
        raise DownloadError(f"{folder} is not there, and no address with a checksum is known for it: see --help.")

    def read(name):
        with gzip.open(folder / name, "rt", encoding="utf-8") as lines:
            return [words(line) for line in lines]

    def pairs(part):
        return list(zip(read(f"{part}.de.gz"), read(f"{part}.en.gz"), strict=True))

    return pairs("train"), pairs("test_2016_flickr")


def small_grammar():
    """sentences of a grammar of a few words."""
    who = [("ein mann", "a man"), ("eine frau", "a woman"), ("ein hund", "a dog"), ("ein kind", "a child")]
    does = [("lacht", "laughs"), ("wartet", "waits"), ("spielt ball", "plays ball"), ("liest ein buch", "reads a book")]
    where = [("im park", "in the park"), ("am strand", "at the beach"), ("vor einem haus", "in front of a house")]
    parts = itertools.product(who, does, where)
    every = [tuple(words(" ".join(part[language] for part in one)) for language in (0, 1)) for one in parts]
    shuffled = [every[i] for i in np.random.default_rng(0).permutation(len(every))]
    return 10 * shuffled[8:], shuffled[:8]


def encode(sentences, ids, length):
    """Sentences as ids [N, length] with START and STOP, and how many words each has with these."""
    table = np.full((len(sentences), length), ids[PAD], np.int32)
    for row, sentence in zip(table, sentences, strict=True):
        known = [ids.get(word, ids[UNKNOWN]) for word in [START, *sentence, STOP]]
        row[: len(known)] = known
    return table, np.array([len(sentence) + 2 for sentence in sentences], np.int32)


def batches_of(pairs, ids, seed):
    """Batches for each epoch, of sentences of similar length: 16, 24 or more places, for few shapes to compile."""
    longer = np.array([max(len(german), len(english)) for german, english in pairs])

    def batches(epoch):
        random = np.random.default_rng((seed, epoch))
        nearly = np.argsort(longer + random.uniform(0, 2, len(pairs)))
        groups = [nearly[i : i + BATCH] for i in range(0, len(pairs) - BATCH + 1, BATCH)]
        for group in random.permutation(groups):
            length = max(16, -(-(longer[group].max() + 2) // 8) * 8)
            german, english = zip(*(pairs[i] for i in group), strict=True)
            yield *encode(german, ids, length), *encode(english, ids, length)

    return batches


def bleu(written, references, longest=4):
    """BLEU of Papineni et al. (2002), in percent: how many runs of one to four words stand in the references too."""
    logs = []
    for n in range(1, longest + 1):
        found, number = 0, 0
        for ours, theirs in zip(written, references, strict=True):
            runs, right = (
                collections.Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1)) for text in (ours, theirs)
            )
            found, number = found + (runs & right).total(), number + runs.total()
        logs.append(math.log(found / number) if found else -math.inf)
    ours, theirs = (sum(map(len, texts)) for texts in (written, references))
    brevity = min(0.0, 1 - theirs / ours) if ours else -math.inf
    return 100 * math.exp(brevity + sum(logs) / longest)


def main():
    options = common.options(__doc__, epochs=(5, 12), features=(128, 64), depth=(2, 1))
    training, test = common.load(options, multi30k, "text/multi30k", small_grammar)
    counts = [collections.Counter(word for pair in training for word in pair[language]) for language in (0, 1)]
    known = sorted({word for count in counts for word, number in count.items() if number >= 3})
    vocabulary = [*SPECIAL, *known]
    ids = {word: i for i, word in enumerate(vocabulary)}

    net = transformer(len(vocabulary), options.features, 4, 4 * options.features, options.depth, dropout=0.1)

    def objective(params, state, batch, key, train=True):
        source, source_lengths, target, target_lengths = batch
        h, state = net.hidden.apply(params, state, source, target[:, :-1], source_lengths, key=key, train=train)
        there, table = jnp.arange(1, target.shape[1]) < target_lengths[:, None], params["embedding"]["table"]
        # The loss of all scores, which this way are never there at once: 0.36 s a step, with them 0.43 s.
        losses = linear_softmax_cross_entropy(h, table.T, None, target[:, 1:], where=there, label_smoothing=0.1)
        return losses.sum() / there.sum(), (state, {})

    steps = options.epochs * (len(training) // BATCH)
    optimizer = chain(clip_by_global_norm(1.0), adam(warmup_cosine(PEAK, warmup=steps // 10, steps=steps), b2=0.98))
    shape = jax.ShapeDtypeStruct((BATCH, 8), jnp.int32)
    train_state = init_train_state(net, optimizer, jax.random.key(options.seed), shape, shape)
    parameters = sum(w.size for w in jax.tree.leaves(train_state.params))
    print(f"{len(training):,} pairs, {len(vocabulary):,} words; {parameters:,} parameters\n")
    batches = batches_of(training, ids, options.seed)
    train_state, *_ = fit(make_train_step(objective, optimizer), train_state, batches, epochs=options.epochs)

    @jax.jit
    def translate(source, lengths):
        choices = {"first": ids[START], "stop": ids[STOP], "length": LONGEST}
        return net.generate(train_state.params, train_state.state, source, lengths, **choices)

    sources = encode([german for german, _ in test], ids, max(len(german) + 2 for german, _ in test))
    rows = in_batches(lambda source, _: translate(*source), sources, batch_size=100)
    written = [list(itertools.takewhile(lambda word: word != STOP, map(vocabulary.__getitem__, row))) for row in rows]
    references = [english for _, english in test]
    print()
    for i in range(5):
        print(f"{' '.join(test[i][0])}\n  {' '.join(written[i])}\n  {' '.join(references[i])} (by a person)")
    common.finish(options, "BLEU", bleu(written, references), None, show="{:.1f}")


if __name__ == "__main__":
    main()
