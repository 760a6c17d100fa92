"""Monte Carlo dropout: its mean, its spread, and which layers are random in it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl.layers import (
    Affine,
    BatchNorm,
    Concat,
    Dropout,
    DropPath,
    Relu,
    Residual,
    Serial,
    SpatialDropout,
    monte_carlo,
    network,
)

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


def test_the_kinds_of_layers_that_are_random_can_be_chosen():
    net = Serial(Dropout(0.5), SpatialDropout(0.5))
    params, state = net.init(KEY, X)
    mean, _ = monte_carlo(net, params, state, X, key=KEY, samples=1, random=(SpatialDropout,))
    assert set(jnp.round(mean / X, 3).ravel().tolist()) == {0, 2}


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
        (Serial(Affine(2), Relu()), 10, r"found no Dropout in Serial\(Affine\(2\), Relu\(\)\)"),
        (Dropout(0.5), 0, "monte_carlo needs samples as a whole number of at least 1, got 0"),
        (Dropout(0.5), 1.5, "got 1.5"),
        (lambda params, state, x: x, 10, "expects a layer, got <function"),
    ],
)
def test_bad_input_is_refused(net, samples, message):
    with pytest.raises(fdl.InputError, match=message):
        monte_carlo(net, {}, {}, X, key=KEY, samples=samples)
