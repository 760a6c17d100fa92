"""Monte Carlo dropout: its mean, its spread, and which layers are random in it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl.graphs import Graph
from fdl.layer import Layer
from fdl.layers import (
    LSTM,
    Affine,
    BatchNorm,
    Bidirectional,
    Cast,
    Concat,
    Dropout,
    DropPath,
    EncoderBlock,
    Frozen,
    GaussianSample,
    GraphAttention,
    MultiHeadAttention,
    NodeFeatures,
    Relu,
    Remat,
    Residual,
    Serial,
    SpatialDropout,
    feed_forward,
    monte_carlo,
    network,
)
from fdl.models import char_rnn, tagger, transformer
from fdl.models.recurrent_stack import DropInputs
from fdl.wiring import Combinator

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (6, 20))


def test_of_a_linear_network_mean_and_spread_are_known():
    """y = sum_i x_i m_i w_i / (1 - rate) has mean x w and variance rate / (1 - rate) sum_i (x_i w_i)^2."""
    net, rate = Serial(Dropout(0.2), Affine(3)), 0.2
    params, state = net.init(KEY, X)
    mean, spread = monte_carlo(net, params, state, X, key=KEY, samples=20_000)
    expected = np.sqrt(rate / (1 - rate) * np.square(X) @ np.square(params["affine1"]["w"]))
    np.testing.assert_allclose(mean, net.apply(params, state, X)[0], atol=5 * expected.max() / np.sqrt(20_000))
    np.testing.assert_allclose(spread, expected, rtol=0.05)


def test_batch_norm_uses_its_running_statistics():
    net = Serial(BatchNorm(), Relu(), Dropout(0.5))
    params, state = net.init(KEY, X)
    state["batch_norm1"] = {"mean": jnp.full(20, 0.3), "var": jnp.full(20, 4.0)}
    mean, spread = monte_carlo(net, params, state, X, key=KEY, samples=1)
    inferred = net.apply(params, state, X)[0]
    kept = mean != 0
    np.testing.assert_allclose(mean[kept], 2 * inferred[kept], rtol=1e-6)
    assert 0.3 < kept[inferred > 0].mean() < 0.7
    assert (spread == 0).all()  # of one sample


def test_layers_are_found_in_every_wiring():
    trunk = Serial(Affine(20), Residual(Serial(Affine(20), DropPath(0.5))))

    @network(trunk=trunk, head=Concat(Affine(2), Dropout(0.5)))
    def net(net, x):
        return {"head": net.head(net.trunk(x)), "x": x}

    params, state = net.init(KEY, X)
    _, spread = jax.jit(lambda x: monte_carlo(net, params, state, x, key=KEY, samples=10))(X)
    assert (spread["head"] > 0).all()
    assert (spread["x"] < 1e-6).all()


class Deep(Combinator):
    """Makes what drops of its rate, and not at once."""

    rate: float

    @property
    def children(self):
        return {"body": Residual(Serial(Affine(8), Dropout(self.rate)))}

    def wire(self, net, x):
        return net.body(x)


IDS, SEQUENCES = jnp.array([[1, 2, 3, 4]]), jax.random.normal(KEY, (2, 5, 8))
GRAPH = Graph(SEQUENCES[0], senders=jnp.array([0, 1, 2, 3]), receivers=jnp.array([1, 2, 3, 3]))
ATTENTION = MultiHeadAttention(2, rate=0.5)


@pytest.mark.parametrize(
    ("net", "inputs"),
    [
        (EncoderBlock(MultiHeadAttention(2), feed_forward(8, 16), rate=0.5), (SEQUENCES,)),
        (Serial(Dropout(0.1), EncoderBlock(ATTENTION, feed_forward(8, 16), rate=0.5)), (SEQUENCES,)),
        (ATTENTION, (SEQUENCES,)),
        (Serial(GraphAttention(3, 2, rate=0.5), NodeFeatures()), (GRAPH,)),
        (Deep(0.5), (SEQUENCES,)),
        (char_rnn(9, 8, dropout=0.5), (IDS,)),
        (tagger(9, 3, 8, dropout=0.5), (IDS,)),
        (transformer(9, 8, 2, 8, 1, dropout=0.5), (IDS, IDS)),
    ],
    ids=["block", "after dropout", "attention", "graph", "deep", "char_rnn", "tagger", "transformer"],
)
def test_what_drops_by_a_rate_of_its_own_drops_too(net, inputs):
    """Where nothing else differs in training, the passes are those of training."""
    params, state = net.init(KEY, *inputs)
    mean, spread = monte_carlo(net, params, state, *inputs, key=KEY, samples=5)
    ys = jax.vmap(lambda key: net.apply(params, state, *inputs, key=key, train=True)[0])(jax.random.split(KEY, 5))
    np.testing.assert_allclose(mean, ys.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(spread, ys.std(0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("wrap", [Frozen, Remat, lambda layer: Cast(Frozen(layer), "float32")])
def test_layers_are_found_in_wrappers(wrap):
    net = Serial(wrap(Serial(Dropout(0.5))), wrap(Dropout(0.5)))
    mean, _ = monte_carlo(net, *net.init(KEY, X), X, key=KEY, samples=1)
    assert set(jnp.round(mean / X, 3).ravel().tolist()) == {0, 4}


class Alone(Layer):
    """Calls a layer that it has in a field, and is no combinator."""

    dropout: Layer

    def apply(self, params, state, x, *, key=None, train=False):
        return self.dropout.apply({}, {}, x, key=key, train=train)[0], state


def test_layers_are_found_in_fields():
    net = Serial(Alone(Dropout(0.5)), Dropout(0.5))
    mean, _ = monte_carlo(net, *net.init(KEY, X), X, key=KEY, samples=1)
    assert set(jnp.round(mean / X, 3).ravel().tolist()) == {0, 4}


def test_a_network_is_searched_from_itself_on():
    net = DropInputs(Bidirectional(LSTM(3)), 0.5)
    _, spread = monte_carlo(net, *net.init(KEY, SEQUENCES), SEQUENCES, key=KEY, samples=4)
    assert (spread > 0).all()


def test_a_rate_of_zero_is_not_random():
    net = Serial(EncoderBlock(MultiHeadAttention(2), feed_forward(8, 16)))
    params, state = net.init(KEY, SEQUENCES)
    with pytest.raises(fdl.InputError, match=r"found no layer that drops in Serial\(EncoderBlock"):
        monte_carlo(net, params, state, SEQUENCES, key=KEY, samples=2)


def test_the_kinds_of_layers_that_are_random_can_be_chosen():
    net = Serial(Dropout(0.5), SpatialDropout(0.5))
    params, state = net.init(KEY, X)
    mean, _ = monte_carlo(net, params, state, X, key=KEY, samples=1, random=(SpatialDropout,))
    assert set(jnp.round(mean / X, 3).ravel().tolist()) == {0, 2}
    with pytest.raises(fdl.InputError, match=r"found no DropPath, GaussianSample in Serial\(Dropout"):
        monte_carlo(net, params, state, X, key=KEY, samples=1, random=(DropPath, GaussianSample))


def test_every_pass_draws_its_own_numbers_and_a_key_gives_them_again():
    params, state = Dropout(0.5).init(KEY, X)
    mean, _ = monte_carlo(Dropout(0.5), params, state, jnp.ones(1000), key=KEY, samples=4)
    assert set(mean.tolist()) == {0, 0.5, 1, 1.5, 2}
    again, _ = monte_carlo(Dropout(0.5), params, state, jnp.ones(1000), key=KEY, samples=4)
    np.testing.assert_array_equal(mean, again)


def test_outputs_keep_their_dtype_and_are_averaged_in_float32():
    x = jnp.full(100, 256, jnp.bfloat16)
    mean, spread = monte_carlo(Dropout(0.5), {}, {}, x, key=KEY, samples=1000)
    assert mean.dtype == spread.dtype == jnp.bfloat16
    np.testing.assert_allclose(mean.astype(jnp.float32), 256, rtol=0.2)


@pytest.mark.parametrize(
    ("net", "samples", "message"),
    [
        (Dropout(0.5), 0, "monte_carlo needs samples as a whole number of at least 1, got 0"),
        (Dropout(0.5), 1.5, "got 1.5"),
        (lambda params, state, x: x, 10, "expects a layer, got <function"),
    ],
)
def test_bad_input_is_refused(net, samples, message):
    with pytest.raises(fdl.InputError, match=message):
        monte_carlo(net, {}, {}, X, key=KEY, samples=samples)
