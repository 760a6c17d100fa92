"""Language models, encoder-decoders and attention: piece by piece, with tied heads, and what is padding."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import InputError
from fdl.layers import GRU, LSTM, Bidirectional, ConvLSTM, Dropout, Gelu, attention_maps
from fdl.losses import linear_softmax_cross_entropy, softmax_cross_entropy
from fdl.models import bert, bert_masked, captioner, char_rnn, gpt, mask_words, seq2seq, tagger, transformer, vit
from fdl.models.recurrent_stack import DropInputs
from fdl.optim import sgd
from fdl.train import init_train_state, make_train_step, supervised

KEY = jax.random.key(0)
IDS = jax.random.randint(KEY, (2, 6), 0, 9)
SOURCE, LENGTHS = jax.random.randint(jax.random.key(1), (2, 5), 0, 9), jnp.array([5, 3])
FEATURES = jax.random.normal(KEY, (2, 3))

LANGUAGE_MODELS = {"lstm": char_rnn(9, 4), "gru": char_rnn(9, 4, 1, cell=GRU), "gpt": gpt(9, 6, 8, 2, 2)}
ENCODER_DECODERS = {
    "transformer": (transformer(9, 8, 2, 12, 1), (SOURCE,), LENGTHS),
    "seq2seq": (seq2seq(9, 9, 4, features=3, readout=2), (SOURCE,), LENGTHS),
    "captioner": (captioner(9, 4, features=3), (FEATURES,), None),
}


def started(net, *inputs):
    """Parameters that are nowhere zero, and state."""
    params, state = jax.eval_shape(net.init, KEY, *inputs)
    draw = np.random.default_rng(0).normal
    return jax.tree.map(lambda w: jnp.asarray(0.5 * draw(size=w.shape), w.dtype), params), state


@functools.partial(jax.jit, static_argnums=0)
def run(net, params, state, *inputs):
    return net.apply(params, state, *inputs)


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_a_language_model_says_piece_by_piece_what_it_says_at_once(name):
    net = LANGUAGE_MODELS[name]
    params, state = started(net, IDS)
    stream = net.begin_stream(params, state, batch=2, length=6)
    first, stream = run(net, params, stream, IDS[:, :3])
    last, _ = run(net, params, stream, IDS[:, 3:])
    np.testing.assert_allclose(jnp.concatenate([first, last], 1), run(net, params, state, IDS)[0], atol=1e-5)


@pytest.mark.parametrize("name", ENCODER_DECODERS)
def test_a_decoder_writes_word_by_word_what_the_whole_network_says(name):
    net, source, lengths = ENCODER_DECODERS[name]
    params, state = started(net, *source, IDS)
    words = jax.jit(lambda: net.generate(params, state, *source, lengths, first=3, length=6))()
    target = jnp.concatenate([jnp.full((2, 1), 3), words[:, :-1]], axis=1)
    scores, _ = run(net, params, state, *source, target, lengths)
    np.testing.assert_array_equal(words, scores.argmax(-1))
    hidden, _ = run(net.hidden, params, state, *source, target, lengths)
    assert hidden.shape[:2] == scores.shape[:2]


@pytest.mark.parametrize("name", ["transformer", "seq2seq"])
def test_padding_of_the_source_and_later_words_of_the_target_are_not_seen(name):
    net, _, _ = ENCODER_DECODERS[name]
    params, state = started(net, SOURCE, IDS)
    scores, _ = run(net, params, state, SOURCE, IDS, LENGTHS)
    other = jnp.where(jnp.arange(5) < LENGTHS[:, None], SOURCE, 8 - SOURCE)
    changed, _ = run(net, params, state, other, IDS.at[:, 4:].set(8 - IDS[:, 4:]), LENGTHS)
    np.testing.assert_array_equal(scores[:, :4], changed[:, :4])
    assert not np.allclose(scores[:, 4:], changed[:, 4:])


def test_where_a_network_looks():
    for name, path, shape in (
        ("transformer", "decoder.0.cross_attention", (2, 2, 6, 5)),
        ("seq2seq", "decoder", (2, 6, 5)),
    ):
        net, _, _ = ENCODER_DECODERS[name]
        params, state = started(net, SOURCE, IDS)
        weights = jax.jit(attention_maps, static_argnums=0)(net, params, state, SOURCE, IDS, LENGTHS)[path]
        assert weights.shape == shape
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
        assert (weights[1, ..., 3:] == 0).all()


def test_the_loss_of_a_gpt_without_its_scores_is_the_loss_with_them():
    net, targets = LANGUAGE_MODELS["gpt"], jnp.roll(IDS, 1, axis=1)
    params, state = started(net, IDS)

    def without(params):
        hidden, _ = net.hidden.apply(params, state, IDS)
        table = params["embedding"]["table"]
        return linear_softmax_cross_entropy(hidden, table.T, None, targets, block=4).mean()

    def directly(params):
        return softmax_cross_entropy(net.apply(params, state, IDS)[0], targets).mean()

    ours, theirs = jax.jit(lambda params: [jax.grad(f)(params) for f in (without, directly)])(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), ours, theirs)
    assert "2,6,9]" not in str(jax.make_jaxpr(jax.grad(without))(params))
    assert "2,6,9]" in str(jax.make_jaxpr(jax.grad(directly))(params))


def test_what_a_gpt_adds_to_its_sum_starts_small():
    params, _ = jax.jit(gpt(9, 6, 64, 2, 8).init)(KEY, IDS)
    blocks = params["blocks"]
    for w, stddev in (
        (blocks["attention"]["q"]["w"], 0.02),
        (blocks["attention"]["out"]["w"], 0.02 / math.sqrt(16)),
        (blocks["feed_forward"]["affine1"]["w"], 0.02),
        (blocks["feed_forward"]["affine2"]["w"], 0.02 / math.sqrt(16)),
    ):
        np.testing.assert_allclose(w.std(), stddev, rtol=0.03)


def test_training_on_windows_of_a_stream_remembers_what_was_before_them():
    net, optimizer = char_rnn(9, 4, 1), sgd(0.0)
    train_step = make_train_step(supervised(net, softmax_cross_entropy), optimizer)
    train_state = init_train_state(net, optimizer, KEY, IDS[:, :3])
    params = jax.tree.map(jnp.copy, train_state.params)
    train_state = train_state._replace(state=net.begin_stream(params, train_state.state, batch=2, length=6))
    losses = []
    for piece in (IDS[:, :3], IDS[:, 3:]):
        train_state, metrics = train_step(train_state, (piece, piece))
        losses.append(metrics["loss"])
    whole = softmax_cross_entropy(run(net, params, net.init(KEY, IDS)[1], IDS)[0], IDS).mean()
    np.testing.assert_allclose(np.mean(losses), whole, rtol=1e-6)


def test_what_cannot_be_read_piece_by_piece():
    layer = Bidirectional(LSTM(3))
    params, state = started(layer, jnp.ones((2, 4, 5)))
    assert layer.begin_stream(params, state, 2, 4) == state
    layer, xs = ConvLSTM(2), jnp.ones((1, 2, 4, 4, 1))
    with pytest.raises(InputError, match="cannot begin a stream without images"):
        layer.begin_stream(*started(layer, xs), 1, 2)
    layer, xs = LSTM(3), jnp.ones((2, 4, 5))
    params, state = started(layer, xs)
    with pytest.raises(InputError, match="began a stream of 3 sequences, and is given 2"):
        layer.apply(params, layer.begin_stream(params, state, 3, 4), xs)


def test_inputs_of_a_recurrent_layer_drop_and_its_state_does_not():
    layer, xs = DropInputs(LSTM(3), 0.5), jnp.ones((2, 4, 5))
    params, state = started(layer, xs)
    assert jax.tree.structure(params) == jax.tree.structure(started(LSTM(3), xs)[0])
    dropped, _ = Dropout(0.5).apply({}, {}, xs, key=jax.random.split(KEY)[0], train=True)
    ours = layer.apply(params, state, xs, key=KEY, train=True)[0]
    np.testing.assert_array_equal(ours, LSTM(3).apply(params, state, dropped)[0])
    np.testing.assert_array_equal(layer.apply(params, state, xs)[0], LSTM(3).apply(params, state, xs)[0])
    walked, _, _ = layer.walk(None, params, state, xs, key=KEY, train=True)
    np.testing.assert_array_equal(ours, walked)


def masked_bert(**activation):
    return bert_masked(bert(9, 6, 8, 2, 1, **activation), 9, 8, **activation)


@pytest.mark.parametrize("make", [masked_bert, functools.partial(vit, 3, 4, 2, 8, 2, 1)], ids=["bert", "vit"])
def test_the_gelu_is_the_authors_or_pytorch_s(make):
    assert "Gelu(approximate=False)" not in repr(make())
    exact = repr(make(activation=Gelu(approximate=False)))
    assert "Gelu(approximate=False)" in exact
    assert "Gelu()" not in exact


def test_bert_refuses_lengths_in_the_place_of_segments():
    net, ids = bert(9, 6, 8, 2, 1), jnp.zeros((6, 6), jnp.int32)
    with pytest.raises(InputError, match=r"segments of the shape \[6, 6\] of ids, got \[6\]: lengths come behind"):
        net.init(KEY, ids, jnp.full(6, 3))


def test_a_tagger_and_bert_see_both_sides_and_no_padding():
    for net, others in ((tagger(9, 3, 4, features=3), ()), (bert(9, 6, 8, 2, 1), (None,))):
        params, state = started(net, IDS)
        lengths = jnp.array([6, 4])
        y = run(net, params, state, IDS, *others, lengths)[0]
        later = run(net, params, state, IDS.at[:, 5].set(8 - IDS[:, 5]), *others, lengths)[0]
        assert not np.allclose(y[0, 0], later[0, 0])
        np.testing.assert_array_equal(y[1, :4], later[1, :4])


def test_words_that_are_hidden():
    ids = jnp.tile(jnp.arange(10), 2000)
    hidden, picked = mask_words(KEY, ids, 11, 10, rate=0.2)
    np.testing.assert_array_equal(hidden[~picked], ids[~picked])
    gaps, same = hidden[picked] == 10, hidden[picked] == ids[picked]
    others = 0.1 * np.array([1 / 11, 1 / 11])  # any word may be the gap, or the same
    np.testing.assert_allclose(
        [picked.mean(), gaps.mean(), same.mean()], [0.2, 0.8 + others[0], 0.1 + others[1]], atol=0.02
    )


def test_words_that_may_not_be_picked_stay():
    ids = jnp.full((200, 9), 4).at[:, 6:].set(-1)  # -1 is padding
    where = (jnp.arange(9) > 0) & (ids >= 0)
    hidden, picked = mask_words(KEY, ids, 7, 6, rate=1.0, where=where)
    np.testing.assert_array_equal(picked, where)
    np.testing.assert_array_equal(hidden[~where], ids[~where])


def test_bytes_are_hidden_by_a_word_behind_them():
    ids = jnp.arange(256, dtype=jnp.uint8)
    hidden, picked = mask_words(KEY, ids, 257, 256, rate=0.5)
    np.testing.assert_array_equal(hidden[~picked], ids[~picked])
    assert 0.3 < (hidden == 256).mean() < 0.5


def test_a_vit_takes_a_batch_without_images():
    net, images = vit(3, 4, 2, 4, 2, 1), jnp.zeros((0, 4, 4, 1))
    assert net.apply(*net.init(KEY, images), images)[0].shape == (0, 3)


def test_patches_of_an_image_come_row_by_row():
    patches = vit(3, 4, 2, 4, 2, 1).children["patches"]
    image = jnp.arange(16.0).reshape(1, 4, 4, 1)
    params, state = patches.init(KEY, image)
    params = {"conv": {"w": jnp.eye(4).reshape(2, 2, 1, 4), "b": jnp.zeros(4)}}
    y, _ = patches.apply(params, state, image)
    np.testing.assert_array_equal(y[0], [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]])
