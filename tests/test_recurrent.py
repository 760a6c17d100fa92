"""What recurrent layers do beyond the table of cases: combinations, states that are carried, and errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl.initializers import identity
from fdl.layers import (
    GRU,
    LSTM,
    RNN,
    Affine,
    Bidirectional,
    ConvLSTM,
    Serial,
    Stacked,
    conv_lstm,
    gru,
    gru_step,
    lstm,
    lstm_step,
    network,
    reverse_sequences,
    rnn,
    rnn_step,
)
from fdl.optim import adam, apply_updates

KEY = jax.random.key(0)
XS = jax.random.normal(KEY, (3, 4, 2))
LENGTHS = jnp.array([4, 0, 2])
PADDED = jnp.where(jnp.arange(4)[:, None] < LENGTHS[:, None, None], XS, jnp.nan)
LAYERS = [LSTM(3), Bidirectional(GRU(2)), Stacked(Bidirectional(LSTM(2)), RNN(3))]
every_layer = pytest.mark.parametrize("layer", LAYERS, ids=repr)


def started(layer, xs=XS):
    """Parameters away from their special starts, and a state that is not zero."""
    params, state = layer.init(KEY, xs)
    params = jax.tree.map(lambda w: jnp.sin(jnp.arange(1.0, w.size + 1)).reshape(w.shape), params)
    return params, state, jax.tree.map(lambda s: s + 0.5, layer.start(xs))


@functools.partial(jax.jit, static_argnums=0)
def run(layer, params, state, *inputs):
    return layer.apply(params, state, *inputs)[0]


def assert_trees_close(actual, expected, atol=1e-5):
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, atol=atol), actual, expected)


@every_layer
def test_padding_is_as_if_it_were_not_there(layer):
    params, state, start = started(layer)
    hs, final = run(layer, params, state, PADDED, LENGTHS, start)
    for n, length in enumerate(LENGTHS.tolist()):
        assert not hs[n, length:].any()
        if length:
            alone = jax.tree.map(lambda s, n=n: s[n : n + 1], start)
            expected = run(layer, params, state, XS[n : n + 1, :length], None, alone)
            actual = hs[n : n + 1, :length], jax.tree.map(lambda s, n=n: s[n : n + 1], final)
            assert_trees_close(actual, expected)
        else:
            jax.tree.map(lambda s, f, n=n: np.testing.assert_array_equal(s[n], f[n]), start, final)


@every_layer
def test_padding_has_no_gradient(layer):
    params, state, start = started(layer)

    def loss(xs):
        hs, _ = run(layer, params, state, xs, LENGTHS, start)
        return (hs**2).sum()

    dxs = jax.jit(jax.grad(loss))(PADDED)
    padding = np.arange(4) >= np.asarray(LENGTHS)[:, None]
    assert not dxs[padding].any()
    assert np.abs(dxs[~padding]).min() > 0


@pytest.mark.parametrize("layer", [LSTM(3), Stacked(RNN(3, activation="relu"), GRU(2))], ids=repr)
def test_the_whole_is_its_parts_with_the_state_carried(layer):
    params, state, start = started(layer)
    hs, final = run(layer, params, state, XS, None, start)
    first, carried = run(layer, params, state, XS[:, :1], None, start)
    second, last = run(layer, params, state, XS[:, 1:], None, carried)
    assert_trees_close((jnp.concatenate([first, second], 1), last), (hs, final))


@every_layer
def test_without_a_start_there_is_no_final_state_and_zeros_are_where_it_begins(layer):
    params, state, _ = started(layer)
    hs, _ = run(layer, params, state, XS, LENGTHS, layer.start(XS))
    np.testing.assert_array_equal(run(layer, params, state, XS, LENGTHS), hs)


def test_a_step_is_a_sequence_of_one():
    x, h, c = XS[:, 0], jnp.ones((3, 2)), jnp.full((3, 2), 0.5)
    w, b, bh = jnp.sin(jnp.arange(16.0)).reshape(2, 8), jnp.arange(8.0) / 8, jnp.ones(2)
    np.testing.assert_allclose(
        rnn_step(x, h, w[:, :2], w[:, 2:4], b[:2]), jnp.tanh(x @ w[:, :2] + h @ w[:, 2:4] + b[:2])
    )
    assert_trees_close(lstm_step(x, h, c, w, w, b), lstm(x[:, None], h, c, w, w, b)[1])
    expected = gru(x[:, None], h, w[:, :6], w[:, 2:], b[:6], bh=bh)[1]
    assert_trees_close(gru_step(x, h, w[:, :6], w[:, 2:], b[:6], bh=bh), expected)


@pytest.mark.parametrize(("size", "same"), [(2, False), (5, True)])
def test_truncated_backpropagation_through_time(size, same):
    """Windows of ``size`` steps have the full gradient exactly when no window ends before the sequence does."""
    layer = LSTM(3)
    params, state, start = started(layer)

    def loss(params, size):
        total, carried = 0.0, start
        for begin in range(0, XS.shape[1], size):
            hs, carried = run(layer, params, state, XS[:, begin : begin + size], None, carried)
            carried = jax.lax.stop_gradient(carried)
            total = total + (hs**2).sum()
        return total

    value_and_grad = jax.jit(jax.value_and_grad(loss), static_argnums=1)
    truncated, full = value_and_grad(params, size), value_and_grad(params, XS.shape[1])
    np.testing.assert_allclose(truncated[0], full[0], rtol=1e-5)
    close = jax.tree.map(lambda a, e: np.allclose(a, e, atol=1e-5), truncated[1], full[1])
    assert set(jax.tree.leaves(close)) == {same}


@pytest.mark.parametrize(("block", "remember"), [(1, "gates"), (4, "states")])
def test_choices_change_memory_and_never_the_result(block, remember):
    params, _, start = started(LSTM(3), xs := jnp.concatenate([XS, XS, XS[:, :3]], 1))

    def loss(params, xs, start, **choices):
        hs, (h, c) = lstm(xs, *start, **params, lengths=jnp.array([11, 0, 6]), **choices)
        return (hs**2).sum() + (h * c).sum()

    gradient = jax.jit(jax.grad(loss, (0, 1, 2)), static_argnames=["block", "remember"])
    assert_trees_close(gradient(params, xs, start, block=block, remember=remember), gradient(params, xs, start))


def test_the_batch_may_be_a_symbol():
    params, _, start = started(LSTM(3), XS)
    gradient = jax.jit(jax.grad(lambda params, xs, start: (lstm(xs, *start, **params)[0] ** 2).sum(), (0, 1, 2)))
    (n,) = jax.export.symbolic_shape("n")
    arguments = jax.tree.map(lambda a: jax.ShapeDtypeStruct((n, *a.shape[1:]), a.dtype), (XS, start))
    exported = jax.export.export(gradient)(params, *arguments)
    assert_trees_close(exported.call(params, XS, start), gradient(params, XS, start))


@pytest.mark.parametrize("wide", ["xs", "h0", "wx", "wh", "b"])
def test_one_argument_may_be_wider_than_the_others(wide):
    params, _, (h, c) = started(LSTM(3), XS)
    arguments = {"xs": XS, "h0": h, "c0": c, **params}

    def loss(arguments):
        hs, _ = lstm(**arguments)
        return (hs**2).sum()

    with jax.enable_x64(True):
        mixed = arguments | {wide: arguments[wide].astype(jnp.float64)}
        found = jax.grad(loss)(mixed)
        assert jax.tree.map(lambda a: a.dtype, found) == jax.tree.map(lambda a: a.dtype, mixed)
    assert_trees_close(found, jax.grad(loss)(arguments))


def test_lengths_may_be_traced():
    params, state, start = started(LSTM(3))
    expected, _ = LSTM(3).apply(params, state, PADDED, LENGTHS, start)
    assert_trees_close(run(LSTM(3), params, state, PADDED, LENGTHS, start), expected)
    too_long = run(LSTM(3), params, state, XS, LENGTHS + 9, start)
    assert_trees_close(too_long, run(LSTM(3), params, state, XS, None, start))


def test_a_length_beyond_the_end_is_the_end():
    reversed_by_jit = jax.jit(reverse_sequences)(XS, jnp.array([2, 4, 7]))
    np.testing.assert_array_equal(reversed_by_jit, reverse_sequences(XS, jnp.array([2, 4, 4])))


def test_layers_stand_in_serial_and_in_networks():
    net = Serial(LSTM(5), Bidirectional(GRU(3)), Affine(2))
    params, state = net.init(KEY, XS)
    assert run(net, params, state, XS).shape == (3, 4, 2)

    @network(encode=Bidirectional(LSTM(3)), decode=GRU(6), out=Affine(2))
    def translate(net, source, lengths, target):
        _, (there, _) = net.encode(source, lengths, Bidirectional(LSTM(3)).start(source))
        hs, _ = net.decode(target, None, jnp.concatenate(there, axis=-1))
        return net.out(hs)

    params, state = translate.init(KEY, XS, LENGTHS, XS)
    y = run(translate, params, state, PADDED, LENGTHS, XS)
    assert y.shape == (3, 4, 2)
    assert jnp.isfinite(y).all()


def test_bidirectional_sees_what_comes_after():
    layer = Bidirectional(RNN(3))
    params, state, _ = started(layer)

    def first(xs):
        return run(layer, params, state, xs, LENGTHS)[:, 0].sum()

    seen = jnp.abs(jax.jit(jax.grad(first))(XS)).sum(-1) > 0
    assert seen.tolist() == [[True] * 4, [False] * 4, [True, True, False, False]]


def test_lstm_learns_what_it_saw_first():
    xs = jax.random.normal(KEY, (64, 20, 1))
    net, optimizer = LSTM(8), adam(0.03)
    params, state = net.init(KEY, xs)
    params = {"lstm": params, "w": jnp.zeros(8)}

    def loss(params):
        return ((run(net, params["lstm"], state, xs)[:, -1] @ params["w"] - jnp.sign(xs[:, 0, 0])) ** 2).mean()

    def step(carry, _):
        params, opt_state = carry
        value, grads = jax.value_and_grad(loss)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (apply_updates(params, updates), opt_state), value

    _, losses = jax.lax.scan(step, (params, optimizer.init(params)), length=200)
    assert losses[0] == 1
    assert losses[-1] < 0.3


def test_how_parameters_start():
    params, _ = LSTM(3).init(KEY, XS)
    assert params["b"].tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    for gate in jnp.split(params["wh"], 4, axis=1):
        np.testing.assert_allclose(gate.T @ gate, np.eye(3), atol=1e-6)
    assert not LSTM(3, forget_bias=0.0).init(KEY, XS)[0]["b"].any()
    assert RNN(2, wh_init=identity()).init(KEY, XS)[0]["wh"].tolist() == [[1, 0], [0, 1]]
    assert jax.tree.map(jnp.shape, GRU(3).init(KEY, XS)[0]) == {"wx": (2, 9), "wh": (3, 9), "b": (9,), "bh": (3,)}


@pytest.mark.parametrize("layer", [RNN(3), LSTM(3), GRU(3)], ids=repr)
def test_narrow_types_go_in_and_come_out(layer):
    params, state, _ = jax.tree.map(lambda a: a.astype(jnp.bfloat16), started(layer))
    xs = XS.astype(jnp.bfloat16)
    output = run(layer, params, state, xs, LENGTHS, layer.start(xs))
    assert {leaf.dtype for leaf in jax.tree.leaves(output)} == {jnp.dtype(jnp.bfloat16)}


@pytest.mark.parametrize(("shape", "kernel"), [((4, 3), (1, 2)), ((3, 2, 2), 2)])
def test_conv_lstm_on_images_and_volumes(shape, kernel):
    layer, xs = ConvLSTM(2, kernel=kernel), jax.random.normal(KEY, (2, 3, *shape, 2))
    params, state, start = started(layer, xs)

    def loss(params, xs, start):
        hs, (h, c) = run(layer, params, state, xs, jnp.array([3, 1]), start)
        return (hs**2).sum() + (h * c).sum()

    gradient = jax.jit(jax.grad(loss, (0, 1, 2)))
    with fdl.differentiation("autodiff"):
        expected = gradient(params, xs, start)
    assert_trees_close(gradient(params, xs, start), expected, atol=1e-4)


def test_a_conv_lstm_with_a_kernel_of_one_is_an_lstm_at_every_position():
    xs = jax.random.normal(KEY, (2, 3, 5, 2))
    params, state = ConvLSTM(3, kernel=1).init(KEY, xs)
    hs = run(ConvLSTM(3, kernel=1), params, state, xs)
    dense = params | {name: params[name][0] for name in ("wx", "wh")}
    rows = xs.swapaxes(1, 2).reshape(10, 3, 2)
    np.testing.assert_allclose(hs.swapaxes(1, 2).reshape(10, 3, 3), run(LSTM(3), dense, state, rows), atol=1e-6)


ZERO, W, WB = jnp.zeros((3, 2)), jnp.zeros((2, 8)), jnp.zeros(8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lstm(XS[0], ZERO, ZERO, W, W, WB), r"lstm expects xs of shape \[N, T, 2\] .* got \[4, 2\]"),
        (lambda: lstm(XS[..., :1], ZERO, ZERO, W, W, WB), r"\[N, T, 2\] .* got \[3, 4, 1\]"),
        (lambda: lstm(XS[:, :0], ZERO, ZERO, W, W, WB), "at least one step"),
        (lambda: lstm(XS, ZERO, ZERO, W[:, :7], W, WB), r"wx of shape \[..., in, 4 hidden\], got \[2, 7\]"),
        (lambda: lstm(XS, ZERO, ZERO, W[0], W, WB), r"wx of shape \[..., in, 4 hidden\], got \[8\]"),
        (lambda: lstm(XS, ZERO, ZERO[:1], W, W, WB), r"c0 of shape \[3, 2\] .* got \[1, 2\]"),
        (lambda: lstm(XS, ZERO, ZERO, W, W[:1], WB), r"wh of shape \[2, 8\] .* got \[1, 8\]"),
        (lambda: gru(XS, ZERO, W[:, :6], W[:, :6], WB), r"b of shape \[6\] .* got \[8\]"),
        (lambda: gru(XS, ZERO, W[:, :6], W[:, :6], WB[:6], bh=WB), r"bh of shape \[2\], got \[8\]"),
        (lambda: lstm(XS, ZERO, ZERO, W, W, WB, lengths=jnp.array([1, 2])), r"integers of shape \[3\]"),
        (lambda: lstm(XS, ZERO, ZERO, W, W, WB, lengths=jnp.ones(3)), "got float32"),
        (lambda: lstm(XS, ZERO, ZERO, W, W, WB, lengths=jnp.array([0, 5, 1])), r"lengths in \[0, 4\], .* got 5"),
        (lambda: lstm(XS, ZERO, ZERO, W, W, WB, remember="nothing"), '"gates" or "states", got .nothing.'),
        (lambda: lstm(XS, ZERO, ZERO, W, W, WB, block=0), "lstm needs block as a whole number of at least 1, got 0"),
        (lambda: lstm(XS.astype(int), ZERO, ZERO, W, W, WB), "expects floats, got int32"),
        (lambda: rnn(XS, ZERO, W[:, :2], W[:, :2], WB[:2], activation="elu"), '"tanh" and "relu", got .elu.'),
        (lambda: RNN(3, activation="elu"), '"tanh" and "relu"'),
        (
            lambda: conv_lstm(
                XS[..., None], ZERO[..., None], ZERO[..., None], W[:1, None, :4], W[:1, None, :4], WB[:4], block=None
            ),
            "conv_lstm needs block as a whole number of at least 1, got None",
        ),
        (lambda: conv_lstm(XS, ZERO, ZERO, W, W, WB), r"\[\*kernel, C, 4 F\] for 1 to 3 axes, got \[2, 8\]"),
        (
            lambda: ConvLSTM(3, kernel=(3, 3)).init(KEY, XS[:, :, None]),
            "ConvLSTM needs a kernel of at least 1 for each of 1 spatial axes",
        ),
        (lambda: LSTM(0), "LSTM needs hidden as a whole number of at least 1, got 0"),
        (lambda: LSTM(3).init(KEY, XS[0]), r"xs of shape \[N, T, ..., D\], got \[4, 2\]"),
        (lambda: LSTM(2).apply({"wx": W, "wh": W, "b": WB}, {}, XS, None, ZERO), "starts from 2 arrays"),
        (lambda: GRU(2).apply({"wx": W, "wh": W, "b": WB}, {}, XS), "called b, bh, wh and wx, got b, wh, wx"),
        (lambda: Stacked(LSTM(3)).init(KEY, XS, None, ()), "1 layers"),
        (lambda: Stacked(LSTM(3), Affine(2)), r"Stacked is made of layers over sequences, got Affine\(2\)"),
        (lambda: Bidirectional(Affine(2)), r"Bidirectional is made of layers over sequences, got Affine\(2\)"),
        (lambda: reverse_sequences(XS[0, 0]), r"xs of shape \[N, T, ...\], got \[2\]"),
        (lambda: reverse_sequences(XS, jnp.array([5, 0, 0])), r"lengths in \[0, 4\], .* got 5"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(fdl.InputError, match=message):
        call()


@pytest.mark.parametrize("layer", [LSTM(8), GRU(8), RNN(8)])
def test_a_recurrence_of_spread_examples_gathers_nothing(layer):
    mesh = jax.make_mesh((8,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    xs = jax.device_put(jnp.ones((16, 20, 4)), jax.sharding.NamedSharding(mesh, jax.P("d")))
    params, state = layer.init(jax.random.key(0), xs)

    def loss(params, xs):
        return (layer.apply(params, state, xs)[0] ** 2).sum()

    compiled = jax.jit(jax.grad(loss, (0, 1))).lower(params, xs).compile().as_text()
    assert "all-reduce" in compiled
    assert "all-gather" not in compiled
