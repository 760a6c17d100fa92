"""Architectures: shapes and numbers of parameters as in the papers, and gradients of whole networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl import InputError
from fdl.losses import softmax_cross_entropy
from fdl.models import resnet, resnet_cifar
from fdl.optim import apply_updates, sgd

KEY = jax.random.key(0)


def shapes(net, *inputs):
    """(outputs, parameters) as shapes, nothing computed."""

    def run(key, *inputs):
        params, state = net.init(key, *inputs)
        return net.apply(params, state, *inputs)[0], params

    return jax.eval_shape(run, KEY, *inputs)


def image(size, n=2):
    return jax.ShapeDtypeStruct((n, size, size, 3), jnp.float32)


@pytest.mark.parametrize(
    ("net", "size", "classes", "parameters"),
    [
        (resnet(18), 224, 1000, 11_689_512),
        pytest.param(resnet(34), 224, 1000, 21_797_672, marks=pytest.mark.slow),
        pytest.param(resnet(50), 224, 1000, 25_557_032, marks=pytest.mark.slow),
        pytest.param(resnet(101), 224, 1000, 44_549_160, marks=pytest.mark.slow),
        pytest.param(resnet(152), 224, 1000, 60_192_808, marks=pytest.mark.slow),
        (resnet(18, 10, small_images=True), 32, 10, 11_173_962),
        (resnet(18, preactivation=True), 224, 1000, 11_687_720),
        (resnet_cifar(20), 32, 10, 269_722),
        pytest.param(resnet_cifar(110), 32, 10, 1_727_962, marks=pytest.mark.slow),
    ],
    ids=["18", "34", "50", "101", "152", "18-small", "18-preactivation", "cifar-20", "cifar-110"],
)
def test_sizes_are_those_of_the_paper(net, size, classes, parameters):
    scores, params = shapes(net, image(size))
    assert scores.shape == (2, classes)
    assert sum(w.size for w in jax.tree.leaves(params)) == parameters


PRE = pytest.param(resnet_cifar(8, preactivation=True), marks=pytest.mark.slow)


@pytest.mark.parametrize("net", [resnet_cifar(8), PRE], ids=["post", "pre"])
def test_gradients_of_a_whole_network_are_jax_s_and_a_step_along_them_lowers_the_loss(net):
    with jax.enable_x64(True):
        x, labels = jax.random.normal(KEY, (4, 8, 8, 3), jnp.float64), jnp.arange(4)
        params, state = jax.tree.map(lambda a: a.astype(jnp.float64), net.init(KEY, x))

        def loss(params):
            return softmax_cross_entropy(net.apply(params, state, x, train=True)[0], labels).mean()

        @jax.jit
        def compare(params):
            value, ours = jax.value_and_grad(loss)(params)
            with fdl.differentiation("autodiff"):
                theirs = jax.grad(loss)(params)
            updates, _ = sgd(1e-3).update(ours, sgd(1e-3).init(params), params)
            return value, ours, theirs, loss(apply_updates(params, updates))

        before, ours, theirs, after = compare(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9), ours, theirs)
    assert after < before


@pytest.mark.parametrize(("make", "message"), [(lambda: resnet(20), "18, 34"), (lambda: resnet_cifar(18), "6 n")])
def test_depths_that_do_not_exist(make, message):
    with pytest.raises(InputError, match=message):
        make()
