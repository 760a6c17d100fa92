"""Loops over groups of examples: what is made of all at once, and the sizes at which layers go over to them."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl.layers import rms_norm
from fdl.layers.in_groups import divisor, in_groups, interleaved


@pytest.mark.parametrize("size", [1, 2, 6])
@pytest.mark.parametrize(
    "groups", [lambda *arguments: in_groups(arguments[0], arguments[1], 6, *arguments[2:]), interleaved]
)
def test_groups_make_what_all_examples_at_once_make(groups, size):
    examples = {"a": jnp.arange(12.0).reshape(6, 2), "b": jnp.arange(6)}

    def function(group):
        return group["a"] * group["b"][:, None], group["a"].sum(0)

    made, total = jax.jit(lambda examples: groups(function, size, examples, jnp.zeros(2)))(examples)
    np.testing.assert_array_equal(made, function(examples)[0])
    np.testing.assert_array_equal(total, function(examples)[1])


def test_interleaved_groups_of_spread_examples_stay_where_they_are():
    mesh = jax.make_mesh((8,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    a = jnp.arange(64.0 * 6).reshape(64, 6)
    spread = jax.device_put(a, jax.sharding.NamedSharding(mesh, jax.P("d")))
    compiled = jax.jit(lambda a: interleaved(lambda a: (jnp.sin(a) * a, ()), 16, a)[0]).lower(spread).compile()
    np.testing.assert_allclose(compiled(spread), jnp.sin(a) * a, rtol=1e-6)
    assert not re.findall("all-gather|all-to-all|all-reduce|collective-permute", compiled.as_text())


@pytest.mark.parametrize(("n", "most", "expected"), [(16, 5, 4), (16, 16, 16), (7, 3, 1), (0, 3, 0), (5, 0, 1)])
def test_groups_divide_what_there_is(n, most, expected):
    assert divisor(n, most) == expected


def loops(function, *arguments):
    """How many there are in what is compiled for a CPU."""
    return jax.jit(function).lower(*arguments).as_text().count("stablehlo.while")


@pytest.mark.parametrize(("rows", "expected"), [(4096, 1), (4099, 0), (1024, 0)])  # 4099 is a prime number
def test_rms_norm_of_many_rows_has_the_gradients_of_autodiff(rows, expected):
    rng = np.random.default_rng(0)
    x, dy = jnp.asarray(rng.normal(loc=3, size=(2, rows, 512)), jnp.float32)
    gamma = jnp.asarray(rng.normal(size=512), jnp.float32)

    def gradients(x, gamma):
        return jax.vjp(rms_norm, x, gamma)[1](dy)

    assert loops(gradients, x, gamma) == expected
    with fdl.differentiation("autodiff"):
        of_jax = jax.jit(gradients)(x, gamma)
    for ours, theirs in zip(jax.jit(gradients)(x, gamma), of_jax, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-6 * rows)
