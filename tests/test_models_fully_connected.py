"""The numbers that Stanford's course CS231n prints for its networks, with its weights in ours.

They are those of its first assignment (`two_layer_net.ipynb`) and its second (`FullyConnectedNets.ipynb`,
`BatchNormalization.ipynb`). There the weight decay is reg / 2 times the squares of all weights, and of no bias or norm.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.check import check_gradients
from fdl.losses import l2, softmax_cross_entropy
from fdl.models import fully_connected_net, two_layer_net


def loss(net, params, state, x, y, reg):
    scores, _ = net.apply(params, state, x, train=True)
    decay = 0.5 * reg * l2([w for path, w in jax.tree.leaves_with_path(params) if path[-1].key == "w"])
    return softmax_cross_entropy(scores, y).mean() + decay


def test_scores_and_losses_of_the_two_layer_net():
    with jax.enable_x64(True):
        x = np.linspace(-5.5, 4.5, num=15).reshape(5, 3).T
        hidden = np.linspace(-0.7, 0.3, num=250).reshape(5, 50), np.linspace(-0.1, 0.9, num=50)
        scores = np.linspace(-0.3, 0.4, num=350).reshape(50, 7), np.linspace(-0.9, 0.1, num=7)
        net = two_layer_net(50, 7)
        params, state = net.init(jax.random.key(0), x)
        params["hidden1"] = {"affine_relu1": dict(zip("wb", hidden, strict=True))}
        params["scores"] = dict(zip("wb", scores, strict=True))

        expected = [
            [11.53165108, 12.2917344, 13.05181771, 13.81190102, 14.57198434, 15.33206765, 16.09215096],
            [12.05769098, 12.74614105, 13.43459113, 14.1230412, 14.81149128, 15.49994135, 16.18839143],
            [12.58373087, 13.20054771, 13.81736455, 14.43418138, 15.05099822, 15.66781506, 16.2846319],
        ]
        np.testing.assert_allclose(net.apply(params, state, x)[0], expected, atol=1e-8)
        for reg, value in (0.0, 3.4702243556), (1.0, 26.5948426952):
            np.testing.assert_allclose(loss(net, params, state, x, np.array([0, 5, 1]), reg), value, rtol=1e-10)


@pytest.mark.parametrize(
    ("normalization", "expected"),
    [
        (None, {0.0: 2.3004790897684924, 3.14: 7.052114776533016}),
        ("batch", {0.0: 2.2611955101340957, 3.14: 6.996533220108303}),
    ],
)
def test_initial_losses_and_the_table_of_gradients_of_the_fully_connected_net(normalization, expected):
    rng = np.random.RandomState(231)  # the course's seed, so that its draws can be repeated
    x, y = rng.randn(2, 15), rng.randint(10, size=2)
    net = fully_connected_net((20, 30), 10, normalization=normalization)
    with jax.enable_x64(True):
        params, state = net.init(jax.random.key(0), x)
        for reg, value in expected.items():
            params = jax.tree.map_with_path(lambda path, w: drawn(rng, path, w), params)
            np.testing.assert_allclose(loss(net, params, state, x, y, reg), value, rtol=1e-10)
        check_gradients(lambda params: loss(net, params, state, x, y, reg), params, samples=20)


def drawn(rng, path, w):
    """Weights as the course draws them; they come in its order, and norms and biases stay as they are."""
    return jnp.asarray(5e-2 * rng.randn(*w.shape)) if path[-1].key == "w" else w.astype(jnp.float64)
