"""Sampling: distributions reshaped as the papers say, and beam search against trying everything."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import InputError
from fdl.layers import LSTM, Affine, Embedding, Serial
from fdl.models import gpt
from fdl.sampling import beam_search, generate, greedy, min_p, sample, stream_step, temperature, top_k, top_p

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def kept(logits):
    return np.isfinite(np.asarray(logits))


@pytest.mark.parametrize("k", [1, 3, 7])
def test_top_k_keeps_the_best(k):
    logits = RNG.normal(size=(5, 7)).astype(np.float32)
    ours = top_k(jnp.array(logits), k)
    np.testing.assert_array_equal(kept(ours), logits >= np.sort(logits, axis=-1)[:, -k, None])
    np.testing.assert_array_equal(np.asarray(ours)[kept(ours)], logits[kept(ours)])


def test_top_k_of_equal_logits_keeps_the_first():
    assert kept(top_k(jnp.zeros(4), 2)).tolist() == [True, True, False, False]


@pytest.mark.parametrize("p", [1e-9, 0.3, 0.6, 0.95, 1.0])
def test_top_p_keeps_the_fewest_that_have_probability_p(p):
    for logits in RNG.normal(size=(20, 9)):
        probability = np.exp(logits) / np.exp(logits).sum()
        best_first = np.argsort(-probability)
        number = next((n for n in range(1, 10) if probability[best_first[:n]].sum() >= p), 9)
        expected = np.isin(np.arange(9), best_first[:number])
        np.testing.assert_array_equal(kept(top_p(jnp.array(logits, jnp.float32), p)), expected)


@pytest.mark.parametrize("p", [0.01, 0.3, 0.99, 1.0])
def test_min_p_compares_with_the_best(p):
    for logits in np.random.default_rng(1).normal(size=(20, 30)) * 2:
        probabilities = np.exp(logits) / np.exp(logits).sum()
        expected = probabilities >= p * probabilities.max() * (1 - 1e-6)
        np.testing.assert_array_equal(kept(min_p(jnp.array(logits, jnp.float32), p)), expected)
    assert kept(min_p(jnp.array([2.0, 2.0, -jnp.inf], jnp.bfloat16), p)).tolist() == [True, True, False]


@pytest.mark.parametrize("reshape", [temperature, top_p, min_p])
def test_each_distribution_may_have_its_own_number(reshape):
    logits, each = jnp.array(RNG.normal(size=(2, 3, 5)), jnp.float32), jnp.linspace(0.2, 0.9, 6).reshape(2, 3, 1)
    alone = [[reshape(logits[i, j], float(each[i, j, 0])) for j in range(3)] for i in range(2)]
    np.testing.assert_allclose(reshape(logits, each), jnp.array(alone), rtol=1e-6)


def test_top_p_of_one_keeps_what_is_very_unlikely():
    assert kept(top_p(jnp.array([0.0, -60.0, -80.0]), 1.0)).all()


def test_sample_draws_from_the_softmax():
    logits = jnp.array([0.0, 1.0, 2.0])
    drawn = sample(KEY, jnp.broadcast_to(logits, (20000, 3)), reshape=lambda z: temperature(z, 2.0))
    expected = np.exp([0, 0.5, 1]) / np.exp([0, 0.5, 1]).sum()
    np.testing.assert_allclose(np.bincount(drawn) / 20000, expected, atol=0.015)


def test_sample_draws_from_the_softmax_of_narrow_floats():
    drawn = np.asarray(sample(KEY, jnp.zeros((5000, 1000), jnp.bfloat16)))
    assert abs((drawn < 100).mean() - 0.1) < 0.02  # 0.54 with noise of eight digits, since the first of equals wins


CHAIN = jnp.array(RNG.normal(size=(4, 4)), jnp.float32)


@pytest.mark.parametrize(("reshape", "number"), [(temperature, 0.7), (top_k, 2), (top_p, 0.6), (min_p, 0.4)])
def test_a_batch_is_reshaped_row_by_row(reshape, number):
    np.testing.assert_allclose(reshape(CHAIN, number), [reshape(row, number) for row in CHAIN], rtol=1e-6)


def step(carry, token):
    """A chain that also remembers how many tokens there were."""
    return CHAIN[token] * (1 + 0.1 * carry)[..., None], carry + 1


def test_generate_is_a_loop():
    tokens, carry = generate(step, jnp.zeros(2), jnp.array([0, 3]), 5)
    for first, row in zip([0, 3], tokens.tolist(), strict=True):
        token = first
        for position, following in enumerate(row):
            token = int(greedy(None, step(jnp.float32(position), token)[0]))
            assert token == following
    assert carry.tolist() == [5, 5]


def test_generate_draws_with_a_new_key_for_each_token():
    tokens, _ = jax.jit(lambda: generate(step, jnp.zeros(()), 0, 50, key=KEY, choose=sample))()
    assert len(set(np.asarray(tokens).tolist())) > 1


def test_generate_says_when_a_stream_is_too_short_or_none():
    net, ids = gpt(7, 6, features=8, heads=2, depth=1), jnp.array([[3], [5]])
    params, state = net.init(KEY, ids)
    of_stream = stream_step(net, params)
    tokens, _ = generate(of_stream, net.begin_stream(params, state, batch=2, length=6), ids[:, 0], 6)
    with pytest.raises(InputError, match="the scores for token 6 of 9 are NaN: a stream needs room"):
        generate(of_stream, net.begin_stream(params, state, batch=2, length=6), ids[:, 0], 9)
    too_many = jax.jit(lambda carry: generate(of_stream, carry, ids[:, 0], 9)[0])
    inside_jit = too_many(net.begin_stream(params, state, batch=2, length=6))
    assert inside_jit.tolist() == [[*row, -1, -1, -1] for row in tokens.tolist()]
    with pytest.raises(InputError, match="given a state that forgets every token"):
        generate(of_stream, state, ids[:, 0], 6)


def test_beam_search_says_when_a_stream_is_too_short():
    net, ids = gpt(7, 6, features=8, heads=2, depth=1), jnp.array([[3]])
    params, state = net.init(KEY, ids)
    of_stream, stream = stream_step(net, params), net.begin_stream(params, state, batch=1, length=6)
    with pytest.raises(InputError, match="the scores for token 6 of 9 are NaN: a stream needs room"):
        beam_search(of_stream, stream, 3, 9, beams=2)
    inside_jit = jax.jit(lambda stream: beam_search(of_stream, stream, 3, 9, beams=2).tokens)(stream)
    assert (inside_jit[:, 6:] == -1).all()
    np.testing.assert_array_equal(inside_jit[0, :6], beam_search(of_stream, stream, 3, 6, beams=2).tokens[0])


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16"])
def test_narrow_tokens_have_room_for_any_vocabulary(dtype):
    def count(carry, token):
        return jax.nn.one_hot(token + 1, 300), carry

    first = jnp.array([120, 123], dtype)
    tokens, _ = generate(count, (), first, 150, stop=256)
    np.testing.assert_array_equal(tokens, np.minimum(np.add.outer([120, 123], np.arange(1, 151)), 256))
    found = beam_search(lambda carry, token: (100 * count(carry, token)[0], carry), (), first[0], 150, beams=2)
    np.testing.assert_array_equal(found.tokens[0], np.arange(121, 271))


@pytest.mark.parametrize("net", [Serial(Embedding(7, 4), LSTM(5), Affine(7)), gpt(7, 6, features=8, heads=2, depth=2)])
def test_the_step_of_a_stream_is_compiled_once(net, caplog):
    def write(key):
        params, state = net.init(key, jnp.array([[3]]))
        of_stream, stream = stream_step(net, params), net.begin_stream(params, state, batch=1, length=5)
        found = beam_search(of_stream, stream, 3, 5, beams=1)
        np.testing.assert_array_equal(found.tokens, generate(of_stream, stream, jnp.array([3]), 5)[0])

    with jax.log_compiles():
        write(KEY)
        assert caplog.text.count("Finished XLA compilation of jit(_compiled)") == 2  # of each loop
        write(jax.random.key(1))
        assert caplog.text.count("Finished XLA compilation of jit(_compiled)") == 2


@pytest.mark.parametrize("net", [Serial(Embedding(7, 4), LSTM(5), Affine(7)), gpt(7, 12, features=8, heads=2, depth=2)])
@pytest.mark.parametrize("stop", [None, 3])
def test_prompts_of_different_lengths_go_on_as_each_does_alone(net, stop):
    prompts = [[2, 3], [1, 3, 6, 3, 5, 3], [4, 0, 3]]
    padded = jnp.array([prompt + [-1] * (6 - len(prompt)) for prompt in prompts])
    params, state = net.init(KEY, padded[:, :2])
    params = jax.tree.map(lambda w: 4 * w, params)  # so that texts are none that repeat one token
    of_stream, stream = stream_step(net, params), net.begin_stream(params, state, batch=3, length=12)
    _, stream = net.apply(params, stream, padded[:, :1])
    tokens, _ = generate(of_stream, stream, padded[:, 1], 10, stop=stop, given=padded[:, 2:])
    for prompt, row in zip(prompts, tokens.tolist(), strict=True):
        stream = net.begin_stream(params, state, batch=1, length=12)
        _, stream = net.apply(params, stream, jnp.array([prompt[:-1]]))
        alone, _ = generate(of_stream, stream, jnp.array(prompt[-1:]), 12 - len(prompt), stop=stop)
        assert row == prompt[2:] + alone[0].tolist()


def test_generate_stops_and_a_prompt_may_end_with_the_stop():
    def count(carry, token):
        return jax.nn.one_hot((token + 1) % 5, 5), carry

    assert generate(count, (), jnp.array([0, 3]), 4, stop=0)[0].tolist() == [[1, 2, 3, 4], [4, 0, 0, 0]]


def test_prompts_of_one_length_have_no_rest():
    def count(carry, token):
        return jax.nn.one_hot((token + 1) % 5, 5), carry

    assert generate(count, (), jnp.array([0, 3]), 3, given=jnp.zeros((2, 0), int))[0].tolist() == [[1, 2, 3], [4, 0, 1]]


def score_of(first, tokens, stop, penalty):
    """log-probability and score, one token at a time."""
    total, length, token = 0.0, 0, first
    for position, following in enumerate(tokens):
        if position and token == stop:
            if following != stop:
                return -np.inf, -np.inf
            continue
        logits = np.asarray(step(jnp.float32(position), token)[0], np.float64)
        total += logits[following] - np.log(np.exp(logits).sum())
        length, token = length + 1, following
    return total, total / ((5 + length) / 6) ** penalty


@pytest.mark.parametrize(("stop", "penalty"), [(None, 0.0), (2, 0.0), (2, 1.0)])
def test_beam_search_that_keeps_everything_finds_the_best(stop, penalty):
    found = beam_search(step, jnp.float32(0), 1, 3, beams=4**3, stop=stop, length_penalty=penalty)
    tried = sorted(
        ((score_of(1, tokens, stop, penalty)[::-1], tokens) for tokens in itertools.product(range(4), repeat=3)),
        reverse=True,
    )
    for i in range(5):
        (score, total), tokens = tried[i]
        assert tuple(found.tokens[i].tolist()) == tokens
        np.testing.assert_allclose([found.score[i], found.log_probability[i]], [score, total], rtol=1e-5)


def test_tokens_are_found_under_jax_s_strict_settings():
    model = gpt(7, 8, features=4, heads=2, depth=1)
    params, state = model.init(KEY, jnp.zeros((1, 8), jnp.int32))
    step, stream = stream_step(model, params), model.begin_stream(params, state, batch=1, length=8)
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        assert generate(step, stream, jnp.zeros(1, jnp.int32), 4)[0].shape == (1, 4)
        assert beam_search(step, stream, jnp.array(0), 4, beams=2, stop=6)[0].shape == (2, 4)


def test_no_tokens_are_found_where_none_are_asked_for():
    assert generate(step, jnp.zeros(3), jnp.zeros(3, int), 0)[0].shape == (3, 0)
    found = beam_search(step, jnp.zeros(()), 0, 0, beams=2)
    assert found.tokens.shape == (2, 0)
    assert found.log_probability[0] == 0


def test_one_beam_is_greedy_and_vmap_is_a_batch():
    firsts = jnp.arange(4)
    found = jax.jit(jax.vmap(lambda token: beam_search(step, jnp.float32(0), token, 6, beams=1)))(firsts)
    np.testing.assert_array_equal(found.tokens[:, 0], generate(step, jnp.zeros(4), firsts, 6)[0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: temperature(CHAIN, 0.0), "temperature needs a positive, finite t, got 0.0"),
        (lambda: top_k(CHAIN, 5), "top_k needs k as a whole number from 1 to 4, the number of tokens, got 5"),
        (lambda: top_k(CHAIN, 2.5), "got 2.5"),
        (lambda: top_k(CHAIN, True), "got True"),
        (lambda: generate(step, jnp.zeros(()), 0, -1), "generate needs length as a whole number of at least 0, got -1"),
        (lambda: beam_search(step, jnp.zeros(()), 0, 2.5, beams=1), "length as a whole number .* got 2.5"),
        (lambda: temperature(CHAIN, jnp.ones(4)), r"t as one number, or of shape \[4, 1\].*got shape \[4\]"),
        (lambda: jax.jit(temperature)(CHAIN, jnp.ones(4)), r"t as one number, or of shape \[4, 1\].*got shape \[4\]"),
        (lambda: temperature(CHAIN, jnp.array([[1.0], [0.0], [1.0], [1.0]])), "temperature needs a positive, finite t"),
        (lambda: top_p(CHAIN, np.full(4, 0.5)), r"p as one number, or of shape \[4, 1\]"),
        (lambda: min_p(CHAIN, np.full((1, 4), 0.5)), r"p as one number, or of shape \[4, 1\]"),
        (lambda: top_p(CHAIN, 1.5), r"top_p needs a p in \(0, 1\], got 1.5"),
        (lambda: min_p(CHAIN, 0), r"min_p needs a p in \(0, 1\], got 0"),
        (
            lambda: beam_search(step, jnp.zeros(()), 0, 3, beams=0),
            "beam_search needs beams as a whole number of at least 1, got 0",
        ),
        (
            lambda: beam_search(step, jnp.zeros(()), jnp.zeros(2, int), 3, beams=2),
            r"one sequence, .* got tokens of shape \[2\]: jax.vmap makes it a batch",
        ),
        (lambda: sample(None, CHAIN), "sample expects a JAX random key, .* got None"),
        (
            lambda: generate(step, jnp.zeros(2), jnp.zeros(2, int), 3, given=jnp.zeros((2, 4), int)),
            "here up to 3, got int",
        ),
        (lambda: generate(step, jnp.zeros(2), jnp.zeros(2, int), 3, given=jnp.zeros(2, int)), r"\[2, 'up to length'\]"),
        (
            lambda: generate(step, jnp.zeros(2), jnp.zeros(2, int), 3, given=jnp.zeros((2, 3))),
            "integers .* got float32",
        ),
        (lambda: generate(step, jnp.zeros(()), 0, 3, given=1), r"\['up to length'\], .* of shape \[\]"),
        (lambda: generate(step, jnp.zeros(2), jnp.zeros(2, int), 3, stop=[1, 2]), r"stop as one token, got \[1, 2\]"),
        (lambda: beam_search(step, jnp.zeros(()), 0, 3, beams=1, stop=jnp.array([1])), "beam_search needs stop as one"),
        (lambda: generate(step, jnp.zeros(()), 0, 3, choose=sample), "sample expects a JAX random key, .* got None"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
