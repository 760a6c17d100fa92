"""Residual networks: what goes through the shortcuts."""

import jax
import numpy as np
import pytest

from fdl.models import resnet, resnet_cifar

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    "net", [resnet_cifar(14, preactivation=True), resnet(50, preactivation=True)], ids=["basic", "bottleneck"]
)
@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_the_first_block_of_a_stage_has_its_norm_in_front_of_the_shortcut_too(net, stage):
    first, second, *_ = net.children[stage].children.values()
    x = jax.random.normal(KEY, (2, 4, 4, 16))
    assert not knows_how_large_its_input_is(first, x)  # the norm takes it away
    assert knows_how_large_its_input_is(second, apply(first, x))  # x + ... is what a shortcut is for


def knows_how_large_its_input_is(block, x):
    return not np.allclose(apply(block, 100 * x), apply(block, 1000 * x), atol=1e-2)


def apply(block, x):
    params, state = block.init(KEY, x)
    return jax.jit(lambda x: block.apply(params, state, x, train=True)[0])(x)
