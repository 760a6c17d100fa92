"""The protocol of layers, the wiring of layers made of layers, and the messages for what does not fit."""

import jax
import jax.numpy as jnp
import pytest

import fdl
from fdl.layers import (
    Affine,
    BatchNorm,
    Concat,
    DecoderBlock,
    Dropout,
    Flatten,
    MultiHeadAttention,
    Relu,
    Remat,
    Residual,
    Serial,
    affine,
    network,
    relu,
)

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (8, 3))

NET = Serial(Affine(5), BatchNorm(), Relu(), Dropout(0.5), Residual(Serial(Affine(5), Relu())), scores=Affine(2))
DECODER = DecoderBlock(MultiHeadAttention(1), MultiHeadAttention(1), Affine(3))


@network(embed=Affine(4), body=Affine(4))
def tied(net, x):
    x = net.body(net.body(net.embed(x)))
    return affine(x, net.embed.params["w"].T)


@network(norm=BatchNorm())
def twice(net, x):
    net.norm(x)
    return net.norm(x)


def test_init_reads_shapes_only():
    params, state = NET.init(KEY, jax.ShapeDtypeStruct((8, 3), jnp.float32))
    same_params, _ = NET.init(KEY, X)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), params, same_params))
    abstract, _ = jax.eval_shape(NET.init, KEY, X)
    assert jax.tree.map(jnp.shape, abstract) == jax.tree.map(jnp.shape, params)
    assert set(state) == set(params) == {"affine1", "batch_norm1", "relu1", "dropout1", "residual1", "scores"}


def test_init_runs_every_wiring_once_however_deep_it_is():
    runs = []

    def around(inside):
        @network(inside=inside)
        def wiring(net, x):
            runs.append(x.shape)
            return net.inside(x)

        return wiring

    around(around(around(Affine(3)))).init(KEY, X)
    assert runs == [X.shape] * 3


def test_init_and_apply_work_inside_jit():
    params, state = jax.jit(NET.init)(KEY, X)
    y, _ = jax.jit(NET.apply)(params, state, X)
    assert y.shape == (8, 2)


def test_apply_is_pure():
    params, state = NET.init(KEY, X)
    first, new = NET.apply(params, state, X, key=KEY, train=True)
    second, _ = NET.apply(params, state, X, key=KEY, train=True)
    assert (first == second).all()
    assert (state["batch_norm1"]["mean"] == 0).all()
    assert (new["batch_norm1"]["mean"] != 0).any()


def test_layers_are_values():
    assert Affine(5) == Affine(5) != Affine(6)
    assert len({NET, eval(repr(NET)), NET.children["affine1"]}) == 2
    assert repr(NET) == (
        "Serial(Affine(5), BatchNorm(), Relu(), Dropout(0.5), Residual(Serial(Affine(5), Relu())), scores=Affine(2))"
    )
    assert repr(Affine(3, bias=False)) == "Affine(3, bias=False)"
    assert jax.tree.leaves(NET) == [NET]
    with pytest.raises(AttributeError):
        NET.members = ()


def test_names_are_the_kind_and_its_number():
    assert list(Serial(Affine(1), Relu(), Affine(1), last=Relu()).children) == ["affine1", "relu1", "affine2", "last"]
    assert BatchNorm().name == "batch_norm"
    assert tied.name == "tied"


def test_every_layer_draws_its_own_numbers():
    params, _ = Serial(Affine(3), Affine(3)).init(KEY, X)
    assert (params["affine1"]["w"] != params["affine2"]["w"]).any()
    net = Serial(Dropout(0.5), Dropout(0.5))
    y, _ = net.apply(*net.init(KEY, X), jnp.ones((50, 50)), key=KEY, train=True)
    assert 0.2 < (y > 0).mean() < 0.3  # half of a half: the same mask twice would leave half


def test_a_network_is_wired_once_and_shares_what_it_calls_twice():
    params, state = tied.init(KEY, X)
    assert jax.tree.map(jnp.shape, params) == {
        name: {"w": (n, 4), "b": (4,)} for name, n in [("embed", 3), ("body", 4)]
    }
    y, _ = tied.apply(params, state, X)
    h = X @ params["embed"]["w"] + params["embed"]["b"]
    for _ in range(2):
        h = h @ params["body"]["w"] + params["body"]["b"]
    assert jnp.allclose(y, h @ params["embed"]["w"].T, atol=1e-5)


def test_state_goes_from_call_to_call():
    params, state = twice.init(KEY, X)
    _, once = BatchNorm().apply(params["norm"], state["norm"], X, train=True)
    _, expected = BatchNorm().apply(params["norm"], once, X, train=True)
    _, new = twice.apply(params, state, X, train=True)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), new["norm"], expected))


def test_a_wiring_knows_key_and_train():
    @network(body=Affine(2), auxiliary=Affine(1))
    def with_head(net, x):
        y = net.body(x)
        return (y, net.auxiliary(y), net.key) if net.train else y

    params, state = with_head.init(KEY, X)
    assert set(params) == {"body", "auxiliary"}
    assert with_head.apply(params, state, X)[0].shape == (8, 2)
    (_, head, key), _ = with_head.apply(params, state, X, key=KEY, train=True)
    assert head.shape == (8, 1)
    assert key is KEY


def test_deep_nesting_stays_cheap():
    calls = []

    class Counting(fdl.Layer):
        def init(self, key, x):
            calls.append("init")
            return {}, {}

        def apply(self, params, state, x, *, key=None, train=False):
            return x, state

    net = Counting()
    for _ in range(10):
        net = Residual(net)
    net.init(KEY, X)
    assert len(calls) <= 11  # once for each level, not twice as often for each level


def test_gradients_flow_through_every_wiring():
    net = Concat(NET, tied)
    params, state = net.init(KEY, X)

    def loss(params):
        return (net.apply(params, state, X, key=KEY, train=True)[0] ** 2).sum()

    gradient = jax.grad(loss)(params)
    assert jax.tree.structure(gradient) == jax.tree.structure(params)
    fdl.check.check_gradients(loss, params, samples=3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p, s: NET.apply(p, s, X[:, :2]), r"^affine1: affine expects x of shape \[\.\.\., 3\] .* got \[8, 2\]"),
        (lambda p, s: NET.apply(p, s, X, train=True), r"^dropout1: Dropout\(0.5\) draws random numbers .* key="),
        (lambda p, s: Serial(body=NET).apply({"body": p}, {"body": s}, X[:, :2]), r"^body\.affine1: "),
        (lambda p, s: jax.jit(NET.apply)(p, s, X[:, :2]), r"^affine1: "),
        (
            lambda p, s: NET.apply(p | {"scores": {"w": jnp.ones((7, 2)), "b": jnp.ones(2)}}, s, X),
            r"^scores: .* got \[8, 5\]",
        ),
        (lambda p, s: NET.apply({}, s, X), r"^serial is made of .* its params are for \[\]"),
        (lambda p, s: NET.apply(p, {}, X), r"^serial is made of .* its state are for \[\]"),
        (
            lambda p, s: NET.apply(p, X),
            r"expects state as the dict that its init made, got a .*apply\(params, state, x",
        ),
        (lambda p, s: Affine(4.0), "Affine needs features as a whole number of at least 1, got 4.0"),
        (lambda p, s: Serial(Flatten()).init(KEY, jnp.ones(3)), r"^flatten1: Flatten expects a batch .* got \[3\]"),
        (lambda p, s: Serial(BatchNorm()).init(KEY, jnp.ones(3)), r"^batch_norm1: batch_norm expects x of shape"),
        (lambda p, s: Serial(Residual(Affine(4))).init(KEY, X), r"^residual1: the body .* \[8, 4\], .* \[8, 3\]"),
        (lambda p, s: Concat(Affine(4), Serial(Flatten())).init(KEY, X[None]), r"differ in their last axis only"),
        (lambda p, s: Serial(Affine), r"did you mean Affine\(\)\?"),
        (lambda p, s: Serial(relu), r"is made of layers.*; rules have a layer"),
        (lambda p, s: Serial([Affine(4), Relu()]), r"is made of layers, got \[.*given one by one"),
        (lambda p, s: Serial(body=4), r"is made of layers, got 4 as 'body'$"),
        (lambda p, s: NET.init(KEY), r"^affine1: affine takes x, got 0 inputs: init\(key, x\)"),
        (lambda p, s: NET.init(KEY, (8, 3)), r'got \(8, 3\): if this is a shape, jax\.ShapeDtypeStruct\(\(8, 3\), "fl'),
        (
            lambda p, s: NET.apply(p, s, X, True),
            r"^affine1: affine takes x, got 2 inputs: .* apply\(params, state, x, k",
        ),
        (lambda p, s: Serial(Remat(tied)).init(KEY), r"^tied1: tied takes x, got 0 inputs"),
        (
            lambda p, s: Serial(DECODER, DECODER).init(KEY, X[None], X[None]),
            r"^decoder_block2: .* takes x, context, lengths=None, got 1",
        ),
        (lambda p, s: network(key=Relu())(lambda net, x: x), "that name is taken"),
        (lambda p, s: network(a=Relu())(lambda net, x: x).init(KEY, X), r"^a: .* never calls this layer"),
        (lambda p, s: network(a=Relu())(lambda net, x: net.a.params).init(KEY, X), r"^a: call this layer before"),
        (lambda p, s: Dropout(1.0), r"rate in \[0, 1\).* got 1.0"),
        (lambda p, s: Dropout(-0.1), r"rate in \[0, 1\).* got -0.1"),
        (lambda p, s: Dropout(float("nan")), r"rate in \[0, 1\).* got nan"),
        (lambda p, s: Affine(0), "Affine needs features as a whole number"),
        (lambda p, s: BatchNorm(momentum=1.5), r"momentum in \[0, 1\)"),
        (lambda p, s: BatchNorm(eps=0.0), "an eps between 0 and 1, got 0.0"),
    ],
)
def test_errors_say_where_and_what(call, message):
    params, state = NET.init(KEY, X)
    with pytest.raises(fdl.InputError, match=message):
        call(params, state)


def test_a_misspelt_child_is_named():
    with pytest.raises(AttributeError, match=r"has no layer 'out'; it has \['hidden'\]"):
        network(hidden=Affine(2))(lambda net, x: net.out(x)).init(KEY, X)


def test_a_wiring_returns_its_output():
    @network(hidden=Affine(2))
    def forgetful(net, x):
        net.hidden(x)

    with pytest.raises(fdl.InputError, match=r"^body: forgetful gives None: .* has to return its output"):
        Serial(body=forgetful).init(KEY, X)
    arrays = {"hidden": Affine(2).init(KEY, X)[0]}, {"hidden": {}}
    with pytest.raises(fdl.InputError, match=r"^forgetful gives None"):
        forgetful.apply(*arrays, X)


def test_foreign_errors_say_in_which_layer_they_happened():
    class Broken(fdl.Layer):
        def apply(self, params, state, x, *, key=None, train=False):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        Serial(body=Serial(Broken())).apply({"body": {"broken1": {}}}, {"body": {"broken1": {}}}, X)
    assert caught.value.__notes__ == ["in layer 'broken1'", "in layer 'body'"]
