"""Where the networks with two large affine maps drop: the units of both, as their papers say."""

import jax
import jax.numpy as jnp
import pytest

from fdl.models import alexnet, vgg

KEY = jax.random.key(0)


@pytest.mark.parametrize("net", [alexnet(width=1 / 16), vgg(11, width=4, hidden=256)], ids=["alexnet", "vgg"])
def test_half_of_the_units_in_front_of_the_scores_are_dropped_and_no_pixel_is(net):
    head, pooled = net.children["head"], jnp.ones((2, 2, 2, 4))
    params, state = head.init(KEY, pooled)

    def drawn(params):
        return head.apply(params, state, pooled, key=KEY, train=True)[0]

    of_one = jax.tree.map(jnp.zeros_like, params) | {"affine_relu2": {"w": jnp.zeros((256, 256)), "b": jnp.ones(256)}}
    assert set(drawn(of_one).ravel().tolist()) == {0.0, 2.0}
    assert drawn(of_one).mean() == pytest.approx(1, abs=0.15)
    of_pixels = jax.tree.map(jnp.ones_like, params)
    of_pixels["affine_relu2"] = {"w": jnp.eye(256), "b": jnp.zeros(256)}  # two draws for each unit of the first map
    assert set(drawn(of_pixels).ravel().tolist()) == {0.0, 4.0 * (2 * 2 * 4 + 1)}
