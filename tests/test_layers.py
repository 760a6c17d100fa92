"""What single layers do beyond the table of cases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl import InputError
from fdl.layers import (
    GRU,
    LSTM,
    RNN,
    AdditiveAttention,
    Affine,
    AffineNormRelu,
    BatchNorm,
    Conv,
    ConvLSTM,
    ConvNormRelu,
    ConvTranspose,
    DepthwiseConv,
    Dropout,
    Embedding,
    GraphAttention,
    GraphConv,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LearnedPositions,
    MultiHeadAttention,
    PositionalEncoding,
    Prelu,
    RMSNorm,
    SeparableConv,
    affine,
    batch_norm,
    batch_norm_inference,
    dropout,
    group_norm,
    layer_norm,
    log_softmax,
    rms_norm,
    softmax,
)

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LayerNorm(64),
        lambda: LayerNorm((64,)),
        lambda: RMSNorm(64),
        lambda: RMSNorm([64]),
        lambda: InstanceNorm(64),
        lambda: GroupNorm(8, 64),
    ],
)
def test_a_norm_reads_the_number_of_features_off_its_input(make):
    with pytest.raises(InputError, match=r"an eps between 0 and 1, got .?64.*: the number of features is read off x"):
        make()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Affine(8, w_init=16), "w_init"),
        (lambda: Conv(8, 3, b_init=16), "b_init"),
        (lambda: DepthwiseConv(3, w_init=16), "w_init"),
        (lambda: SeparableConv(8, 3, w_init=16), "w_init"),
        (lambda: ConvTranspose(8, 3, w_init=16), "w_init"),
        (lambda: ConvNormRelu(8, 3, w_init=16), "w_init"),
        (lambda: AffineNormRelu(8, w_init=16), "w_init"),
        (lambda: Embedding(10, 4, 16), "w_init"),
        (lambda: LearnedPositions(10, 16), "w_init"),
        (lambda: MultiHeadAttention(2, out_init=16), "out_init"),
        (lambda: AdditiveAttention(8, 16), "w_init"),
        (lambda: GraphConv(8, w_init=16), "w_init"),
        (lambda: GraphAttention(8, heads=2, w_init=16), "w_init"),
        (lambda: RNN(8, 16), "wx_init"),
        (lambda: LSTM(8, 16), "wx_init"),
        (lambda: GRU(8, 16), "wx_init"),
        (lambda: ConvLSTM(8, kernel=3, wh_init=16), "wh_init"),
    ],
)
def test_what_is_no_initializer_is_refused_at_once(make, name):
    with pytest.raises(InputError, match=rf"needs an initializer as {name}, such as he_normal\(\), got 16"):
        make()


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_drops_its_rate_and_keeps_the_mean(rate):
    y = dropout(jnp.ones(100_000), KEY, rate)
    assert (y == 0).mean() == pytest.approx(rate, abs=0.01)
    assert y.mean() == pytest.approx(1, abs=0.05)


def test_dropout_is_the_identity_in_inference():
    x = jax.random.normal(KEY, (3, 4))
    assert Dropout(0.5).apply({}, {}, x)[0] is x


def test_batch_norm_survives_a_large_mean_in_float32():
    x = np.random.default_rng(0).normal(1e4, 1.0, size=(4096, 3))
    y, _, var = batch_norm(jnp.asarray(x, jnp.float32), jnp.ones(3), jnp.zeros(3))
    np.testing.assert_allclose(var, x.var(0), rtol=1e-3)
    np.testing.assert_allclose(y.std(0), 1, rtol=1e-3)


def test_one_training_step_of_batch_norm_gives_a_sane_inference():
    x = 3 + 2 * jax.random.normal(KEY, (256, 4))
    layer = BatchNorm(momentum=0.0)
    params, state = layer.init(KEY, x)
    trained, state = layer.apply(params, state, x, train=True)
    inferred, same = layer.apply(params, state, x)
    np.testing.assert_allclose(inferred, trained, atol=1e-5)
    assert same is state


def test_running_statistics_keep_their_share_of_the_old_value():
    x = 3 + 2 * jax.random.normal(KEY, (256, 1))
    params, state = BatchNorm().init(KEY, x)
    _, state = BatchNorm().apply(params, state, x, train=True)
    np.testing.assert_allclose(state["mean"], 0.1 * x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(state["var"], 0.9 + 0.1 * x.var(0), rtol=1e-5)  # biased, as in the normalisation


def test_running_statistics_keep_their_dtype():
    with jax.enable_x64(True):
        x = jnp.ones((4, 2), jnp.float64)
        params, state = jax.tree.map(lambda a: a.astype(jnp.float32), BatchNorm().init(KEY, x))
        _, new = BatchNorm().apply(params, state, x, train=True)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(new)} == {"float32"}


@pytest.mark.parametrize(
    "layer",
    [BatchNorm(), LayerNorm(), RMSNorm(), GroupNorm(2), InstanceNorm(), Prelu(), RNN(3), LSTM(3), GRU(3), Conv(3, 3)],
    ids=repr,
)
def test_what_init_makes_is_float32_where_jax_has_float64_too(layer):
    with jax.enable_x64(True):
        made = layer.init(KEY, jnp.ones((2, 5, 4), jnp.float64))
    assert {leaf.dtype.name for leaf in jax.tree.leaves(made)} == {"float32"}


NORMS = [BatchNorm(), AffineNormRelu(3), ConvNormRelu(3, 1)]


@pytest.mark.parametrize("layer", NORMS)
def test_an_empty_batch_would_poison_the_running_statistics(layer):
    x = jnp.ones((0, 3, 2))
    params, state = layer.init(KEY, x)
    with pytest.raises(fdl.InputError, match=f"{type(layer).__name__} cannot take statistics of an empty batch"):
        layer.apply(params, state, x, train=True)
    assert layer.apply(params, state, x)[0].shape[0] == 0


def test_group_norm_of_no_positions_has_no_gradient():
    gradients = jax.grad(lambda *gb: group_norm(jnp.ones((2, 0, 2)), *gb, groups=1).sum(), (0, 1))(
        jnp.ones(2), jnp.ones(2)
    )
    assert all((gradient == 0).all() for gradient in gradients)


@pytest.mark.parametrize("rule", [softmax, log_softmax])
def test_a_softmax_of_nothing_is_nothing(rule):
    y, pull_back = jax.vjp(rule, jnp.zeros((3, 0)))
    assert y.shape == pull_back(y)[0].shape == (3, 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LayerNorm((8, 8)), r"LayerNorm needs an eps between 0 and 1, got \(8, 8\): the number of features"),
        (lambda: RMSNorm(None), "RMSNorm needs an eps between 0 and 1, got None"),
        (lambda: LayerNorm(1e-40), "LayerNorm needs an eps that is positive in float32 as well, got 1e-40: 1e-12 is"),
        (lambda: BatchNorm(momentum=None), r"BatchNorm needs a momentum in \[0, 1\), got None"),
        (lambda: Dropout("0.5"), r"Dropout needs a rate in \[0, 1\), the probability to drop, got '0.5'"),
    ],
)
def test_what_is_no_number_is_refused_as_one_out_of_range(make, message):
    with pytest.raises(fdl.InputError, match=message):
        make()


LOGITS = jnp.zeros((2, 3))
X, W = jnp.ones((1, 2, 3)), jnp.ones((3, 3))
NORMED = {"w": W, "gamma": W[0], "beta": W[0]}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: affine(jnp.ones((2, 3)), jnp.ones((4, 5))), r"\[\.\.\., 4\] for w of shape \[4, 5\], got \[2, 3\]"),
        (lambda: affine(jnp.ones((2, 3)), jnp.ones(3)), r"expects w of shape \[in, out\], got \[3\]"),
        (lambda: affine(jnp.ones((2, 3)), jnp.ones((3, 5)), jnp.ones(3)), r"expects b of shape \[5\], got \[3\]"),
        (lambda: batch_norm(LOGITS, jnp.ones(2), jnp.ones(3)), r"batch_norm expects gamma of shape \[3\] .* got \[2\]"),
        (lambda: batch_norm(jnp.ones(3), jnp.ones(3), jnp.ones(3)), "at least one axis before C"),
        (
            lambda: batch_norm_inference(LOGITS, jnp.ones(3), jnp.ones(3), jnp.ones(3), jnp.ones(1)),
            r"batch_norm_inference expects var of shape \[3\]",
        ),
        (lambda: batch_norm(jnp.ones((2, 3), int), jnp.ones(3), jnp.ones(3)), "batch_norm expects floats, got int32"),
        (lambda: layer_norm(jnp.ones((2, 3), "uint8"), jnp.ones(3), jnp.ones(3)), "expects floats, got uint8"),
        (lambda: rms_norm(jnp.ones((2, 3), int), jnp.ones(3)), "rms_norm expects floats"),
        (lambda: group_norm(jnp.ones((2, 3), int), jnp.ones(3), jnp.ones(3), groups=1), "group_norm expects floats"),
        (lambda: PositionalEncoding().apply({}, {}, jnp.ones((2, 3, 4), int)), "PositionalEncoding expects floats"),
        (lambda: affine(jnp.ones((2, 3), int), jnp.ones((3, 5), int), jnp.ones(5)), "affine expects floats, got int32"),
        (lambda: Affine(3, 4), "given its outputs alone, .* got bias=4"),
        (lambda: Affine(3, bias=False).apply({"w": LOGITS.T, "b": jnp.ones(2)}, {}, LOGITS), "called w, got b, w"),
        (lambda: RMSNorm().apply({"gamma": jnp.ones(3), "beta": jnp.ones(3)}, {}, LOGITS), "called gamma, got beta, g"),
        (lambda: LayerNorm().apply({"weight": jnp.ones(3)}, {}, LOGITS), "called beta and gamma, got weight"),
        (lambda: BatchNorm().apply({"weight": jnp.ones(3)}, {}, LOGITS), "called beta and gamma, got weight"),
        (lambda: GroupNorm(1).apply({}, {}, LOGITS), "called beta and gamma, got none"),
        (lambda: InstanceNorm().apply({}, {}, LOGITS), "called beta and gamma, got none"),
        (lambda: Embedding(3, 2).apply({"weight": LOGITS}, {}, jnp.zeros(2, int)), "called table, got weight"),
        (lambda: ConvNormRelu(3, 1).apply(NORMED | {"b": W[0]}, {}, X), "called beta, gamma and w, got b, beta, gamma"),
        (lambda: AffineNormRelu(3).apply(NORMED | {"b": W[0]}, {}, X), "called beta, gamma and w, got b, beta, gamma"),
        (
            lambda: MultiHeadAttention(1).apply({n: {"w": W} for n in "qkv"}, {}, X),
            "^q: .* called b and w, got w",
        ),
        (lambda: MultiHeadAttention(1).apply({}, {}, X[0]), r"expects inputs of shape \[N, T, C\], got \[\["),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(fdl.InputError, match=message):
        call()
