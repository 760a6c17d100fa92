"""What the activations do beyond the table of cases: layers, bad input, the digits of small numbers."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl import layers
from fdl.layers.rule_layer import RuleLayer
from fdl.losses import huber

KEY = jax.random.key(0)
X = jnp.linspace(-3, 3, 24).reshape(2, 3, 4)

FAMILIES = ["activation", "gated", "hard_activation", "maxout", "saturating", "self_gated", "softmax"]
LAYERS = [
    layer(2) if name == "Maxout" else layer()
    for name, layer in inspect.getmembers(layers, inspect.isclass)
    if issubclass(layer, RuleLayer) and layer.__module__.removeprefix("fdl.layers.") in FAMILIES
]
by_layer = pytest.mark.parametrize("layer", LAYERS, ids=repr)


@by_layer
def test_a_layer_is_called_like_its_rule_and_computes_it(layer):
    assert layer.name == type(layer).rule.__name__
    params, state = layer.init(KEY, X)
    y, same = layer.apply(params, state, X, key=KEY, train=True)
    choices = {"pieces": 2} if layer.name == "maxout" else {}
    np.testing.assert_array_equal(y, type(layer).rule(X, **params, **choices))
    assert same is state


@by_layer
def test_a_layer_is_a_value_whose_repr_makes_it_again(layer):
    again = eval(repr(layer), vars(layers))
    assert again == layer
    assert hash(again) == hash(layer)


@pytest.mark.parametrize(
    ("layer", "text", "expected"),
    [
        (layers.LeakyRelu(0.5), "LeakyRelu(alpha=0.5)", lambda x: layers.leaky_relu(x, 0.5)),
        (layers.Elu(0.5), "Elu(alpha=0.5)", lambda x: layers.elu(x, 0.5)),
        (layers.Gelu(approximate=False), "Gelu(approximate=False)", lambda x: layers.gelu(x, False)),
        (layers.Geglu(approximate=False), "Geglu(approximate=False)", lambda x: layers.geglu(x, False)),
        (layers.Softmax((1, 2)), "Softmax(axis=(1, 2))", lambda x: layers.softmax(x, (1, 2))),
        (layers.LogSoftmax(0), "LogSoftmax(axis=0)", lambda x: layers.log_softmax(x, 0)),
        (layers.Maxout(4), "Maxout(4)", lambda x: layers.maxout(x, 4)),
    ],
)
def test_a_layer_hands_its_choices_to_its_rule(layer, text, expected):
    assert repr(layer) == text
    np.testing.assert_array_equal(layer.apply({}, {}, X)[0], expected(X))


@pytest.mark.parametrize(("layer", "name"), [(layers.Prelu, "alpha"), (layers.Swish, "beta")])
def test_learned_parameters_are_one_per_feature_or_shared(layer, name):
    assert layer(start=0.5).init(KEY, X)[0][name].tolist() == [0.5] * 4
    assert layer(start=0.5, shared=True).init(KEY, X)[0][name].tolist() == 0.5
    network = layers.Serial(affine=layers.Affine(3), bend=layer())
    assert network.init(KEY, X)[0]["bend"][name].shape == (3,)


SMOOTH = ["sigmoid", "tanh", "softplus", "elu", "selu", "silu", "gelu", "mish", "softmax", "log_softmax"]
GATED = ["glu", "swiglu", "geglu"]


@pytest.mark.parametrize("name", [*SMOOTH, *GATED, "leaky_relu", "hard_sigmoid", "hard_swish"])
def test_integers_are_refused(name):
    with pytest.raises(fdl.InputError, match=f"^{name} expects floats, got int32"):
        getattr(layers, name)(jnp.arange(4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: layers.prelu(jnp.arange(4), 0.1), "prelu expects floats"),
        (lambda: layers.swish(jnp.arange(4), 0.1), "swish expects floats"),
        (lambda: layers.prelu(X, jnp.ones(3)), r"alpha as a scalar or of shape \[4\] for x of shape \[2, 3, 4\]"),
        (lambda: layers.swish(X, jnp.ones((3, 4))), r"beta as a scalar or of shape \[4\] .* got \[3, 4\]"),
        (lambda: layers.Prelu().init(KEY, jnp.ones(())), "got a scalar: use shared=True"),
        (lambda: layers.Prelu(64), "a slope between -1 and 1, got 64: the number of features is read off x"),
        (lambda: layers.relu(1j * X), "relu expects real numbers, got complex64: give it real and imaginary parts"),
        (lambda: layers.affine_relu(X, 1j * jnp.ones((4, 2)), None), "affine_relu expects real numbers"),
        (lambda: layers.maxout(1j * X, 2), "maxout expects real numbers"),
        (lambda: layers.elu(X, -1.0), "alpha of at least 0, got -1.0"),
        (lambda: layers.elu(X, alpha=jnp.float32(1)), "needs alpha as a fixed Python value"),
        (lambda: layers.maxout(X, 3), r"\[\.\.\., features \* 3\], got \[2, 3, 4\]"),
        (lambda: layers.maxout(X, 0), "maxout needs pieces as a whole number of at least 1, got 0"),
        (lambda: layers.maxout(jnp.ones(()), 1), r"got \[\]"),
        (lambda: layers.Maxout(0), "Maxout needs pieces as a whole number of at least 1, got 0"),
        (lambda: layers.softmax(X, 3), r"softmax was asked for axis 3 of x of shape \[2, 3, 4\], which has 3 axes"),
        (lambda: layers.log_softmax(X, (0, -4)), r"log_softmax was asked for axis \(0, -4\)"),
        (lambda: layers.gelu(X, "none"), "gelu needs approximate as True, .* or False, .* got 'none'"),
        (lambda: layers.Gelu("none").apply({}, {}, X), "gelu needs approximate as True"),
        (lambda: layers.geglu(X, "none"), "geglu needs approximate as True"),
        *[(lambda name=name: getattr(layers, name)(X[..., :3]), f"{name} expects x of shape") for name in GATED],
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(fdl.InputError, match=message):
        call()


@pytest.mark.parametrize("name", [*SMOOTH[:8], "relu", "leaky_relu", "hard_sigmoid", "hard_swish"])
def test_python_numbers_are_scalars(name):
    rule = getattr(layers, name)
    value, slope = jax.value_and_grad(rule)(0.5)
    np.testing.assert_allclose(value, rule(jnp.float32(0.5)), rtol=1e-6)
    np.testing.assert_allclose(slope, jax.grad(rule)(jnp.float32(0.5)), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "x", "y", "slope"),
    [
        ("softplus", -50.0, np.exp(-50.0), np.exp(-50.0)),
        ("softplus", -12.0, np.log1p(np.exp(-12.0)), 1 / (1 + np.exp(12.0))),
        ("elu", -1e-6, np.expm1(-1e-6), np.exp(-1e-6)),
        ("selu", -1e-6, 1.7580993408473766 * np.expm1(-1e-6), 1.7580993408473766 * np.exp(-1e-6)),
        ("mish", -20.0, -20.0 * np.tanh(np.log1p(np.exp(-20.0))), -19.0 * np.exp(-20.0)),
        ("silu", -20.0, -20.0 * np.exp(-20.0), -19.0 * np.exp(-20.0)),
    ],
)
def test_small_values_keep_their_digits_in_float32(name, x, y, slope):
    """Relative to themselves: the digits that 1 + e would round away."""
    value, pull_back = jax.vjp(getattr(layers, name), jnp.float32(x))
    np.testing.assert_allclose(value, y, rtol=1e-6)
    np.testing.assert_allclose(pull_back(jnp.float32(1))[0], slope, rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("name", SMOOTH[:8])
def test_narrow_values_are_those_of_float32_rounded_once(name, dtype):
    x = jnp.linspace(-16, 16, 1001, dtype=dtype)
    exact = getattr(layers, name)(x.astype(jnp.float32))
    error = jnp.abs(getattr(layers, name)(x).astype(jnp.float32) - exact)
    assert (error <= 0.51 * jnp.finfo(dtype).eps * jnp.abs(exact) + 1e-6).all()  # which is float32's rounding of 16


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_selu_has_no_slope_where_it_has_come_to_its_limit(dtype):
    assert jax.grad(lambda x: layers.selu(x).astype(jnp.float32))(dtype(-30)) == 0


@pytest.mark.parametrize("size", [1e4, 1e10])
@pytest.mark.parametrize("name", [*SMOOTH[:8], "hard_sigmoid", "hard_swish", "relu"])
def test_huge_arguments_give_ordinary_second_derivatives(name, size):
    bend = jax.vmap(jax.grad(jax.grad(getattr(layers, name))))(jnp.array([-size, size]))
    assert bend.tolist() == [0, 0]


KINKS = {
    "prelu": (lambda x, alpha: layers.prelu(x, alpha), (0.0, 0.25)),
    "elu": (lambda x: layers.elu(x, 0.5), (0.0,)),
    "selu": (layers.selu, (0.0,)),
    "softplus": (layers.softplus, (0.0,)),
    "huber": (lambda x: huber(x, jnp.zeros(()), delta=0.5), (0.5,)),
    "huber, below": (lambda x: huber(x, jnp.zeros(()), delta=0.5), (-0.5,)),
}


@pytest.mark.parametrize("name", KINKS)
def test_higher_derivatives_are_jax_s_where_branches_meet(name):
    function, point = KINKS[name]
    point = tuple(map(jnp.float32, point))
    which = tuple(range(len(point)))

    def derivatives(order):
        f = function
        for _ in range(order):
            f = jax.jacrev(f, which)
        return f(*point)

    for order in (1, 2, 3):
        ours = derivatives(order)
        with fdl.differentiation("autodiff"):
            theirs = derivatives(order)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), ours, theirs)


def test_selu_keeps_mean_0_and_variance_1():
    layer = layers.Serial(*[layers.Affine(256, w_init=fdl.initializers.lecun_normal()), layers.Selu()] * 5)
    x = jax.random.normal(KEY, (1024, 256))
    params, state = layer.init(KEY, x)
    y, _ = layer.apply(params, state, x)
    assert y.mean() == pytest.approx(0, abs=0.1)
    assert y.var() == pytest.approx(1, abs=0.1)
