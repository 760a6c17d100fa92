"""Repeat, Remat, Cast, Frozen, Parallel and Reshape: the same function of the same parameters, in another form."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl import InputError
from fdl.initializers import data_dependent
from fdl.layers import (
    LSTM,
    Affine,
    BatchNorm,
    Cast,
    Concat,
    Dropout,
    Embedding,
    Frozen,
    LayerNorm,
    Parallel,
    Relu,
    Remat,
    Repeat,
    Reshape,
    Residual,
    Serial,
    monte_carlo,
    network,
)

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (4, 3))
BLOCK = Residual(Serial(Affine(5), BatchNorm(), Relu(), Dropout(0.5), Affine(3)))
XS, LENGTHS = jax.random.normal(jax.random.key(1), (2, 6, 3)), jnp.array([6, 4])
TWO, ADDED = network()(lambda net, x: (x, x)), network()(lambda net, pair: pair[0] + pair[1])


@functools.partial(jax.jit, static_argnames=["layer", "train"])
def gradient(layer, params, state, *inputs, key=None, train=False):
    def loss(params, inputs):
        y, new = layer.apply(params, state, *inputs, key=key, train=train)
        return sum(jnp.sum(jnp.sin(leaf.astype(jnp.float32))) for leaf in jax.tree.leaves(y)), new

    return jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(params, inputs)


def assert_equal(a, b, rtol=1e-5):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-6), a, b)


def test_repeat_is_a_loop_over_its_layers():
    layer = Repeat(BLOCK, 3)
    params, state = layer.init(KEY, X)
    y, new_state = layer.apply(params, state, X, key=KEY, train=True)
    x, states = X, []
    for i, key in enumerate(jax.random.split(KEY, 3)):
        x, s = BLOCK.apply(layer.part_of(params, str(i)), layer.part_of(state, str(i)), x, key=key, train=True)
        states.append(s)
    assert_equal(y, x)
    assert_equal(new_state, jax.tree.map(lambda *leaves: jnp.stack(leaves), *states))
    w = params["body"]["affine1"]["w"]
    assert w.shape == (3, 3, 5)
    assert not np.allclose(w[0], w[1])


def test_repeat_needs_no_parameters():
    layer = Repeat(Residual(Relu()), 3)
    y, _ = layer.apply(*layer.init(KEY, X), X)
    np.testing.assert_allclose(y, jnp.where(X > 0, 8 * X, X), rtol=1e-6)


def test_repeat_shares_its_other_inputs():
    @network(a=Affine(3))
    def with_context(net, x, context):
        return net.a(x) + context["c"]

    layer, context = Repeat(with_context, 2), {"c": jnp.arange(3.0)}
    params, state = layer.init(KEY, X, context)
    (_, _), (dparams, (_, dcontext)) = gradient(layer, params, state, X, context)
    assert dcontext["c"].shape == (3,)
    assert dparams["a"]["b"].shape == (2, 3)


def test_repeat_compiles_its_layer_once():
    counts = []
    for n in (2, 20):
        layer = Repeat(BLOCK, n)
        params, state = layer.init(KEY, X)
        text = jax.jit(lambda p, s, layer=layer: layer.apply(p, s, X)[0]).lower(params, state).as_text()
        counts.append(text.count("dot_general"))
    assert counts[0] == counts[1] > 0


def test_tools_look_into_repeat():
    layer = Repeat(BLOCK, 2)
    params, state = layer.init(KEY, X)
    table = fdl.summary(layer, X)
    assert table.parameters == sum(leaf.size for leaf in jax.tree.leaves(params))
    assert ("1", "body", "affine2") in {row.path for row in table.rows}
    scaled = data_dependent(layer, params, state, jax.random.normal(KEY, (64, 3)), key=KEY)
    assert jax.tree.map(jnp.shape, scaled) == jax.tree.map(jnp.shape, params)
    spread = monte_carlo(layer, params, state, X, key=KEY, samples=3)[1]
    assert (spread > 0).any()


@pytest.mark.parametrize("wrap", [Remat, lambda layer: Remat(layer, jax.checkpoint_policies.dots_saveable)])
def test_remat_changes_nothing_but_what_is_remembered(wrap):
    plain, layer = Serial(Affine(3), BLOCK), Serial(Affine(3), wrap(BLOCK))
    params, state = plain.init(KEY, X)
    assert_equal(layer.init(KEY, X), (params, state))
    options = {"key": KEY, "train": True}
    assert_equal(gradient(layer, params, state, X, **options), gradient(plain, params, state, X, **options))
    ours, theirs = fdl.summary(layer, X), fdl.summary(plain, X)
    assert [(row.path, row.parameters, row.flops) for row in ours.rows] == [
        (row.path, row.parameters, row.flops) for row in theirs.rows
    ]


def test_remat_needs_less_memory():
    def temporary(layer):
        x = jnp.ones((512, 64))
        params, state = layer.init(KEY, x)
        return gradient.lower(layer, params, state, x).compile().memory_analysis().temp_size_in_bytes

    block = Residual(Serial(Affine(256), Relu(), Affine(256), Relu(), Affine(64)))
    assert temporary(Repeat(Remat(block), 8)) < 0.5 * temporary(Repeat(block, 8))


@pytest.mark.parametrize("dtype", ["bfloat16", jnp.float16, jnp.dtype("float32")])
def test_cast_computes_in_its_dtype_and_learns_in_that_of_the_parameters(dtype):
    layer = Cast(BLOCK, dtype)
    params, state = layer.init(KEY, X)
    y, new_state = layer.apply(params, state, X, key=KEY, train=True)
    assert y.dtype == dtype
    assert {leaf.dtype for leaf in jax.tree.leaves((params, state, new_state))} == {jnp.dtype("float32")}
    (_, _), (dparams, _) = gradient(layer, params, state, X, key=KEY, train=True)
    assert {leaf.dtype for leaf in jax.tree.leaves(dparams)} == {jnp.dtype("float32")}
    assert hash(layer) == hash(Cast(BLOCK, jnp.dtype(dtype).name))
    assert fdl.summary(layer, X).parameters == fdl.summary(BLOCK, X).parameters


def test_cast_leaves_ids_alone():
    layer = Cast(Embedding(5, 2), "bfloat16")
    params, state = layer.init(KEY, jnp.array([1, 4]))
    assert layer.apply(params, state, jnp.array([1, 4]))[0].dtype == jnp.bfloat16


def test_a_network_in_narrow_floats_trains_where_jax_is_set_to_promote_nothing():
    net, x = Cast(Serial(Affine(4), BatchNorm(), Affine(2)), "bfloat16"), jnp.ones((3, 5))
    with jax.numpy_dtype_promotion("strict"):
        params, state = net.init(KEY, x)
        assert net.apply(params, state, x, train=True)[0].dtype == jnp.bfloat16


@pytest.mark.parametrize("layer", [Frozen(LSTM(3)), Cast(LSTM(3), "float32"), Repeat(LSTM(3), 2)])
def test_init_refuses_what_it_would_not_pass_on(layer):
    with pytest.raises(TypeError, match="unexpected keyword argument 'start'"):
        layer.init(KEY, X[None], start=X[:, :2])


def test_frozen_is_as_in_evaluation_and_gets_no_gradient():
    plain, layer = Serial(BLOCK, Affine(2)), Serial(Frozen(BLOCK), Affine(2))
    params, state = plain.init(KEY, X)
    state = jax.tree.map(lambda a: a + 0.5, state)
    assert_equal(layer.init(KEY, X)[0], params)
    (value, new_state), (dparams, dx) = gradient(layer, params, state, X, key=KEY, train=True)
    (expected, _), (expected_dparams, expected_dx) = gradient(plain, params, state, X)
    assert_equal((value, dx, dparams["affine1"]), (expected, expected_dx, expected_dparams["affine1"]))
    assert_equal(new_state, state)
    assert not any(leaf.any() for leaf in jax.tree.leaves(dparams["residual1"]))


def test_tools_look_into_frozen():
    layer = Frozen(BLOCK)
    params, state = layer.init(KEY, X)
    ours, theirs = fdl.summary(layer, X), fdl.summary(BLOCK, X)
    assert [(row.path, row.parameters) for row in ours.rows] == [(row.path, row.parameters) for row in theirs.rows]
    folded, *arrays = fdl.fold_batch_norm(layer, params, state)
    assert isinstance(folded, Frozen)
    assert_equal(folded.apply(*arrays, X)[0], BLOCK.apply(params, state, X)[0])
    assert (monte_carlo(layer, params, state, X, key=KEY, samples=3)[1] > 0).any()

    def visit(name, child, params, state, *inputs, **options):
        seen.append((name, options["train"]))
        return child.walk(visit, params, state, *inputs, **options)

    seen = []
    y, *after = layer.walk(visit, params, state, X, key=KEY, train=True)
    assert_equal((y, *after), (layer.apply(params, state, X)[0], params, state))
    assert ("affine1", False) in seen
    assert all(not train for _, train in seen)


def test_frozen_goes_on_with_a_stream():
    layer, xs = Serial(Frozen(LSTM(4)), Affine(2)), jnp.ones((2, 6, 3))
    params, state = layer.init(KEY, xs)
    stream, pieces = layer.begin_stream(params, state, 2, 6), []
    for piece in (xs[:, :4], xs[:, 4:]):
        y, stream = layer.apply(params, stream, piece, train=True)
        pieces.append(y)
    assert_equal(jnp.concatenate(pieces, axis=1), layer.apply(params, state, xs)[0])


def test_a_residual_of_several_inputs_adds_what_its_shortcut_says():
    first = network()(lambda net, xs, lengths: xs)
    layer = Residual(LSTM(3), first)
    params, state = layer.init(KEY, XS, LENGTHS)
    hs = LSTM(3).apply(params["body"], state["body"], XS, LENGTHS)[0]
    assert_equal(layer.apply(params, state, XS, LENGTHS)[0], XS + hs)


def test_parallel_in_a_chain():
    net = Serial(Parallel(Affine(2), Affine(2)), network(a=Affine(1))(lambda net, x, y: net.a(x * y)))
    params, state = net.init(KEY, X, X)
    assert net.apply(params, state, X, X)[0].shape == (4, 1)
    with pytest.raises(InputError, match="parallel1: Parallel has 2 branches with an input each, got 1 inputs"):
        net.init(KEY, X)


def test_reshape():
    assert Reshape(3).apply({}, {}, jnp.ones((2, 3)))[0].shape == (2, 3)
    assert Reshape((-1,)).apply({}, {}, jnp.ones((0, 3, 4)))[0].shape == (0, 12)
    assert repr(Reshape((1, 3))) == "Reshape((1, 3))"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Repeat(Affine, 3), "Repeat is made of a layer"),
        (lambda: Repeat(Affine(3), 0), "Repeat needs n as a whole number of at least 1, got 0"),
        (lambda: Repeat(Affine(4), 2).init(KEY, X), r"repeat hands the output .* like the input float32\[4, 3\]"),
        (lambda: Remat(Relu), "Remat goes around a layer"),
        (lambda: Cast(Relu(), "int8"), "Cast needs a dtype of floats, got 'int8'"),
        (lambda: Reshape((2, 2)).init(KEY, X), r"Reshape to \[2, 2\] does not fit examples of shape \[3\]"),
        (lambda: Reshape((2, -1)).init(KEY, X), r"Reshape to \[2, -1\] does not fit examples of shape \[3\]"),
        (lambda: Reshape((-1, -1)), "of which one may be -1"),
        (lambda: Reshape(2).init(KEY, jnp.ones(())), r"Reshape expects a batch"),
        (lambda: Serial(Affine(3), affine1=Affine(4)), "Serial has two layers called 'affine1'"),
        (lambda: Concat(Affine(3), affine1=Affine(4)), "Concat has two layers called 'affine1'"),
        (lambda: Residual(LSTM(3)).init(KEY, XS, LENGTHS), "only input, got 2 inputs: give it a shortcut"),
        (lambda: Residual(TWO).init(KEY, X), "Residual adds arrays, but its body gives a tuple"),
        (lambda: Residual(Relu(), TWO).init(KEY, X), "Residual adds arrays, but its shortcut gives a tuple"),
        (lambda: Residual(ADDED).init(KEY, (X, X)), "Residual adds arrays, but is given a tuple"),
        (lambda: Concat(Relu(), TWO).init(KEY, X), "Concat joins arrays, but its branch '.*1' gives a tuple"),
        (lambda: jax.jit(Serial(Relu()).apply)({"relu1": {}}, {"relu1": {}}, X, train=True), "train as a Python bool"),
        (lambda: Serial(Relu()).apply({"relu1": {}}, {"relu1": {}}, X, train="test"), "as True or False, got 'test'"),
        (lambda: Serial(Relu()).init(0, X), r"serial expects a JAX random key, such as jax.random.key\(0\), got 0"),
        (lambda: Serial(Relu()).init(X, KEY), r"serial expects a JAX random key, .* got float32 of shape \[4, 3\]"),
        (lambda: Serial(Relu()).apply({"relu1": {}}, {"relu1": {}}, X, key=7), "serial expects a JAX .* got 7"),
        (lambda: Serial(Affine(3)).apply({"affine1": {"w": jnp.ones((3, 3))}}, {"affine1": {}}, X), "b and w, got w"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    "layer", [Repeat(BLOCK, 2), Serial(LayerNorm(), Repeat(BLOCK, 2)), Repeat(Cast(BLOCK, "bfloat16"), 2)]
)
def test_cast_makes_parameters_for_layers_that_keep_their_input_s_dtype(layer):
    params, state = Cast(layer, "bfloat16").init(KEY, X)
    assert {w.dtype.name for w in jax.tree.leaves(params)} == {"float32"}
    assert Cast(layer, "bfloat16").apply(params, state, X)[0].dtype == jnp.bfloat16
