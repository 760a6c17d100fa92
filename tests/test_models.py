"""Architectures: shapes and numbers of parameters as in the papers, and gradients of whole networks."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl import InputError
from fdl.layers import Serial
from fdl.optim import apply_updates, sgd
from tests.networks import PUBLISHED, REFUSED, SMALL

KEY = jax.random.key(0)


def params_of(rows):
    return [pytest.param(row, id=row.id, marks=[pytest.mark.slow] if row.slow else []) for row in rows]


@pytest.mark.parametrize("row", params_of(PUBLISHED))
def test_sizes_are_those_of_the_paper(row):
    def run(key, *inputs):
        params, state = row.net.init(key, *inputs)
        return row.net.apply(params, state, *inputs)[0], params

    output, params = jax.eval_shape(run, KEY, *row.inputs)
    assert jax.tree.map(jnp.shape, output) == row.output
    assert sum(w.size for w in jax.tree.leaves(params)) == row.parameters


@pytest.mark.parametrize("row", params_of(SMALL))
def test_gradients_of_a_whole_network_are_jax_s_and_a_step_along_them_lowers_the_loss(row):
    with jax.enable_x64(True):
        inputs, targets = row.batch(KEY)
        params, state = jax.tree.map(lambda a: a.astype(jnp.float64), row.net.init(KEY, *inputs))
        before, ours, theirs, after = compare(row, params, state, inputs, targets)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9), ours, theirs)
    assert after < before


@jax.jit(static_argnums=0)
def compare(row, params, state, inputs, targets):
    """(loss, gradients by rules, gradients by JAX, loss after one step)."""

    def loss(params):
        output, _ = row.net.apply(params, state, *inputs, key=KEY, train=True)
        return row.loss(output, targets).mean()

    value, ours = jax.value_and_grad(loss)(params)
    with fdl.differentiation("autodiff"):
        theirs = jax.grad(loss)(params)
    optimizer = sgd(row.rate)
    updates, _ = optimizer.update(ours, optimizer.init(params), params)
    return value, ours, theirs, loss(apply_updates(params, updates))


@pytest.mark.parametrize("row", params_of(SMALL))
def test_a_network_is_a_layer_like_any_other(row):
    with jax.enable_x64(True):
        inputs, _ = row.batch(KEY)
        expected, _ = jax.eval_shape(row.net.init, KEY, *inputs)
        params, _ = jax.eval_shape(Serial(row.net).init, KEY, *inputs)
    assert params == {f"{row.net.name}1": expected}


@pytest.mark.parametrize("row", params_of(SMALL))
def test_what_init_makes_is_float32_where_jax_has_float64_too(row):
    with jax.enable_x64(True):
        inputs, _ = row.batch(KEY)
        made = jax.eval_shape(row.net.init, KEY, *inputs)
    dtypes = {leaf.dtype for leaf in jax.tree.leaves(made)}
    assert {dtype.name for dtype in dtypes if jnp.issubdtype(dtype, jnp.floating)} <= {"float32"}


@pytest.mark.parametrize("row", params_of(SMALL))
def test_networks_run_where_jax_is_set_to_be_strict(row):
    with jax.enable_x64(True):
        inputs = jax.eval_shape(lambda: row.batch(KEY)[0])
    inputs = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, jax.dtypes.canonicalize_dtype(a.dtype)), inputs)

    def gradient(key, inputs):
        params, state = row.net.init(jax.random.fold_in(key, 0), *inputs)

        def total(params):
            output, _ = row.net.apply(params, state, *inputs, key=jax.random.fold_in(key, 1), train=True)
            return sum(jnp.sum(y) for y in jax.tree.leaves(output) if jnp.issubdtype(y.dtype, jnp.floating))

        return jax.grad(total)(params)

    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"), jax.debug_key_reuse(True):
        jax.eval_shape(gradient, KEY, inputs)


@pytest.mark.parametrize("row", params_of(SMALL))
def test_comes_back_from_a_pickle(row):
    """Which is how another process gets a network."""
    assert pickle.loads(pickle.dumps(row.net)) == row.net


@pytest.mark.parametrize("row", params_of(REFUSED))
def test_what_is_refused(row):
    with pytest.raises(InputError, match=row.message):
        row.make()
