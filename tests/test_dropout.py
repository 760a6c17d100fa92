"""What the dropouts draw, what their layers do, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl.layers import Dropout, DropPath, Serial, SpatialDropout, drop_path, dropout, spatial_dropout
from fdl.layers.random_bits import hash_key, random_bits, threefry

KEY = jax.random.key(0)
IMAGES = jnp.ones((200, 4, 4, 50))


@pytest.mark.parametrize("rate", [0.1, 0.8])
@pytest.mark.parametrize("rule", [dropout, spatial_dropout, drop_path])
def test_each_kind_drops_its_rate_and_keeps_the_mean(rule, rate):
    y = rule(jnp.ones((10_000, 1, 2)), KEY, rate)
    assert (y == 0).mean() == pytest.approx(rate, abs=0.02)
    assert y.mean() == pytest.approx(1, abs=0.1)


def test_what_is_drawn_once_is_dropped_together():
    by_channel, by_example = spatial_dropout(IMAGES, KEY, 0.5), drop_path(IMAGES, KEY, 0.5)
    assert (by_channel == by_channel[:, :1, :1]).all()
    assert (by_example == by_example[:, :1, :1, :1]).all()
    for draws in (by_channel[:, 0, 0], by_example[:, 0, 0, 0]):
        assert 0.4 < (draws == 0).mean() < 0.6
    for draws in (by_channel[0, 0, 0], by_channel[:, 0, 0, 0]):
        assert set(draws.tolist()) == {0, 2}


def test_elements_are_dropped_independently():
    dropped = np.asarray(dropout(jnp.ones((1000, 4, 4)), KEY, 0.5) == 0).reshape(1000, 16)
    assert np.abs(np.corrcoef(dropped, rowvar=False) - np.eye(16)).max() < 0.15
    assert np.abs(np.corrcoef(dropped[:-1].ravel(), dropped[1:].ravel())[0, 1]) < 0.03


def test_an_example_keeps_its_mask_in_a_larger_batch():
    x = jnp.ones((8, 3, 5))
    np.testing.assert_array_equal(dropout(x, KEY, 0.5)[:3], dropout(x[:3], KEY, 0.5))


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_other_keys_drop_other_elements(impl):
    x, (a, b) = jnp.ones(1000), jax.random.split(jax.random.key(0, impl=impl))
    assert 0.4 < (dropout(x, a, 0.5) == dropout(x, b, 0.5)).mean() < 0.6
    np.testing.assert_array_equal(dropout(x, a, 0.5), dropout(x, a, 0.5))


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_a_key_of_any_kind_is_two_words_of_the_hash(impl):
    words = [hash_key(key) for key in jax.random.split(jax.random.key(0, impl=impl), 50)]
    assert {(word.shape, word.dtype.name) for word in words} == {((2,), "uint32")}
    assert len({tuple(word.tolist()) for word in words}) == 50


def test_an_array_as_key_drops_what_its_key_does():
    x = jnp.ones(100)
    np.testing.assert_array_equal(dropout(x, jax.random.key_data(KEY), 0.5), dropout(x, KEY, 0.5))


def test_one_key_for_each_example_is_one_call_for_each_example():
    x, keys = jnp.ones((3, 50)), jax.random.split(KEY, 3)
    mapped = jax.vmap(lambda x, key: dropout(x, key, 0.5))(x, keys)
    np.testing.assert_array_equal(mapped, jnp.stack([dropout(*pair, 0.5) for pair in zip(x, keys, strict=True)]))


@pytest.mark.parametrize(
    ("key", "counter", "bits"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_the_hash_gives_the_published_words(key, counter, bits):
    words = threefry(np.array(key, np.uint32), *(np.array([c], np.uint32) for c in counter))
    assert tuple(int(word[0]) for word in words) == bits


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1, 1)])
def test_bits_come_in_any_shape(shape):
    assert random_bits(KEY, shape).shape == shape


def test_bits_of_an_array_differ():
    assert len(set(random_bits(KEY, (10, 3, 7)).ravel().tolist())) == 210


def test_a_scan_keeps_nothing_for_the_backward_pass_of_dropout():
    x = jnp.ones((1024, 64))

    def loss(x):
        def block(x, key):
            return dropout(jnp.sin(x), key, 0.5), None

        return jax.lax.scan(block, x, jax.random.split(KEY, 8))[0].sum()

    def temporary_bytes():
        return jax.jit(jax.grad(loss)).lower(x).compile().memory_analysis().temp_size_in_bytes

    ours = temporary_bytes()
    with fdl.differentiation("autodiff"):
        theirs = temporary_bytes()
    assert theirs - ours >= 8 * x.size  # one byte for every element of eight masks


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_what_is_kept_is_scaled_in_float32(dtype):
    assert dropout(jnp.full(100, 3, dtype), KEY, 0.1).max() == jnp.asarray(3 / 0.9, dtype)


@pytest.mark.parametrize("layer", [Dropout(0.5), SpatialDropout(0.5), DropPath(0.5)])
def test_layers_drop_in_training_only(layer):
    net = Serial(layer)
    params, state = net.init(KEY, IMAGES)
    assert net.apply(params, state, IMAGES)[0] is IMAGES
    y, same = net.apply(params, state, IMAGES, key=KEY, train=True)
    assert 0.3 < (y == 0).mean() < 0.7
    assert same == state
    assert eval(repr(layer)) == layer


@pytest.mark.parametrize("layer", [Dropout(0.0), SpatialDropout(0), DropPath(0.0)])
def test_a_rate_of_zero_draws_nothing(layer):
    assert layer.apply({}, {}, IMAGES, train=True)[0] is IMAGES


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dropout(IMAGES, KEY, 1.0), r"dropout needs a rate in \[0, 1\), the probability to drop, got 1.0"),
        (lambda: spatial_dropout(IMAGES, KEY, -0.1), r"spatial_dropout needs a rate .* got -0.1"),
        (lambda: drop_path(IMAGES, KEY, float("nan")), "drop_path needs a rate .* got nan"),
        (lambda: dropout(jnp.arange(3), KEY, 0.5), "dropout expects floats, got int32"),
        (lambda: spatial_dropout(jnp.ones((3, 2), int), KEY, 0.5), "spatial_dropout expects floats"),
        (lambda: drop_path(jnp.arange(3), KEY, 0.5), "drop_path expects floats"),
        (lambda: spatial_dropout(jnp.ones(3), KEY, 0.5), r"spatial_dropout expects x of .* got \[3\]"),
        (lambda: drop_path(jnp.ones(()), KEY, 0.5), r"drop_path expects x of shape \[N, \.\.\.\], got a scalar"),
        (
            lambda: dropout(IMAGES, None, 0.5),
            r"dropout expects a JAX random key, such as jax.random.key\(0\), got None",
        ),
        (lambda: spatial_dropout(IMAGES, 3, 0.5), "spatial_dropout expects a JAX random key, .* got 3"),
        (
            lambda: drop_path(IMAGES, jax.random.split(KEY, 4), 0.5),
            "drop_path expects one JAX random key, got 4 of them",
        ),
        (lambda: DropPath(2), "DropPath needs a rate .* got 2"),
        (lambda: SpatialDropout(0.5).apply({}, {}, IMAGES, train=True), r"SpatialDropout\(0.5\) draws .* key="),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(fdl.InputError, match=message):
        call()
