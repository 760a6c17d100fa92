"""The moments of what initializers draw, the fans they use, and how they behave as values."""

import copy
import math
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl import initializers
from fdl.initializers import (
    Initializer,
    bilinear,
    constant,
    data_dependent,
    fans,
    glorot_normal,
    glorot_truncated_normal,
    glorot_uniform,
    he_normal,
    he_truncated_normal,
    he_uniform,
    identity,
    initializer,
    lecun_normal,
    lecun_truncated_normal,
    lecun_uniform,
    normal,
    ones,
    orthogonal,
    truncated_normal,
    uniform,
    zeros,
)
from fdl.layers import (
    Affine,
    BatchNorm,
    Concat,
    Dropout,
    Relu,
    Residual,
    Serial,
    affine,
    conv_transpose,
    network,
    resize,
)

KEY = jax.random.key(0)
NOT_INITIALIZERS = {"Initializer", "data_dependent", "fans", "initializer"}
LECUN, GLOROT, HE = 1 / 300, 2 / 700, 2 / 300


def convolve(x, w, stride=None, **options):
    spatial = "XYZ"[: x.ndim - 2]
    numbers = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
    stride = stride or (1,) * len(spatial)
    return jax.lax.conv_general_dilated(x, w, stride, "SAME", dimension_numbers=numbers, **options)


@pytest.mark.parametrize(
    ("initializer", "variance", "limit"),
    [
        (normal(0.3), 0.09, None),
        (uniform(0.3), 0.03, 0.3),
        (truncated_normal(0.3), 0.09 * 0.7737, 0.6),
        (lecun_normal(), LECUN, None),
        (lecun_uniform(), LECUN, (3 * LECUN) ** 0.5),
        (lecun_truncated_normal(), LECUN, 2 * (LECUN / 0.7737) ** 0.5),
        (glorot_normal(), GLOROT, None),
        (glorot_uniform(), GLOROT, (3 * GLOROT) ** 0.5),
        (glorot_truncated_normal(), GLOROT, 2 * (GLOROT / 0.7737) ** 0.5),
        (he_normal(), HE, None),
        (he_uniform(), HE, (3 * HE) ** 0.5),
        (he_truncated_normal(), HE, 2 * (HE / 0.7737) ** 0.5),
    ],
    ids=repr,
)
def test_mean_variance_and_limits(initializer, variance, limit):
    w = initializer(KEY, (300, 400))
    assert abs(w.mean()) < 5 * (variance / w.size) ** 0.5
    assert w.var() == pytest.approx(variance, rel=0.02)
    largest = abs(w).max()
    if limit is None:
        assert largest > 4 * variance**0.5  # a normal has its tails
    else:
        assert 0.99 * limit < largest <= 1.001 * limit


def test_a_variance_is_corrected_for_its_truncation():
    z = np.linspace(-2, 2, 100_001)
    density = np.exp(-(z**2) / 2)
    w = he_truncated_normal()(KEY, (2, 10**6))
    assert abs(w).max() == pytest.approx(2 / ((z**2 * density).sum() / density.sum()) ** 0.5, rel=1e-3)


def test_variance_through_a_deep_relu_network_stays():
    x = jax.random.normal(KEY, (200, 256))
    for key in jax.random.split(KEY, 20):
        x = jnp.maximum(x @ he_normal()(key, (256, 256)), 0)
    assert 0.3 < (x**2).mean() < 3


def test_both_names_of_a_person_are_the_same():
    for kind in ("normal", "uniform", "truncated_normal"):
        assert getattr(initializers, f"xavier_{kind}") is getattr(initializers, f"glorot_{kind}")
        assert getattr(initializers, f"kaiming_{kind}") is getattr(initializers, f"he_{kind}")


@pytest.mark.parametrize(
    ("kernel", "inputs", "outputs", "stride", "groups"),
    [((), 7, 11, 1, 1), ((3, 5), 6, 4, 1, 1), ((4, 6), 6, 4, (2, 3), 1), ((3,), 6, 4, 1, 2), ((4, 2), 2, 4, 2, 2)],
)
def test_fans_are_the_products_that_an_output_and_an_input_are_part_of(kernel, inputs, outputs, stride, groups):
    strides = (stride,) * len(kernel) if isinstance(stride, int) else stride
    x, w = jnp.ones((1, *(24,) * len(kernel), inputs)), jnp.ones((*kernel, inputs // groups, outputs))
    y, backward = jax.vjp(lambda x: convolve(x, w, stride=strides, feature_group_count=groups), x)
    (dx,) = backward(jnp.ones_like(y))  # with ones everywhere, what comes out counts what went in
    per_output, per_input = float(middle(y).mean()), float(middle(dx).mean())
    assert fans(w.shape, stride=stride, groups=groups) == pytest.approx((per_output, per_input))
    if groups == 1:  # the same connections walked the other way
        assert fans((*kernel, outputs, inputs), stride=stride, transposed=True) == pytest.approx(
            (per_input, per_output)
        )


def middle(x):
    """Away from the borders, where padding takes products away."""
    return x[:, *[slice(size // 4, size * 3 // 4) for size in x.shape[1:-1]]]


def test_a_layer_can_tell_its_fans():
    shape = (4, 4, 30, 40)
    told = fans(shape, stride=2, transposed=True)
    assert told == (4 * 30, 16 * 40)
    for drawn, variance in [(he_uniform(), 2 / 120), (glorot_normal(), 2 / 760), (lecun_truncated_normal(), 1 / 120)]:
        assert drawn(KEY, shape, fans=told).var() == pytest.approx(variance, rel=0.05)
    assert (normal()(KEY, shape, fans=told) == normal()(KEY, shape)).all()


def test_fixed_values():
    for fixed, value in [(zeros(), 0), (ones(), 1), (constant(0.5), 0.5)]:
        assert (fixed(KEY, (2, 3)) == value).all()


@pytest.mark.parametrize("name", sorted(set(initializers.__all__) - NOT_INITIALIZERS))
def test_every_initializer_keeps_to_shape_and_dtype(name):
    made = getattr(initializers, name)(*([0.5] if name == "constant" else []))
    with jax.enable_x64(True):
        for shape in [(2, 3), (3, 2), (3, 3, 2, 4), (0, 3), (3, 0), (0, 0)]:
            for dtype in (jnp.float64, jnp.float32, jnp.bfloat16, jnp.float16):
                w = jax.eval_shape(lambda key, shape=shape, dtype=dtype: made(key, shape, dtype), KEY)
                assert (w.shape, w.dtype) == (shape, dtype)


@pytest.mark.parametrize("drawn", [he_normal(), he_uniform(), he_truncated_normal(), orthogonal(2**0.5)], ids=repr)
def test_narrow_floats_are_drawn_well(drawn):
    w = drawn(KEY, (200, 200), jnp.bfloat16).astype(jnp.float32)
    assert w.var() == pytest.approx(0.01, rel=0.03)


@pytest.mark.parametrize("drawn", [he_normal(), he_uniform(), he_truncated_normal(), normal(), uniform()], ids=repr)
def test_narrow_floats_have_the_mean_and_the_tails_of_wide_ones(drawn):
    w, wide = (np.asarray(drawn(KEY, (1000, 1000), dtype), float) for dtype in (jnp.bfloat16, jnp.float32))
    assert abs(w.mean()) < 4 * w.std() / 1000  # standard errors: drawn in bfloat16 it is more than ten away
    assert abs(w).max() == pytest.approx(abs(wide).max(), rel=0.01)


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (3, 3, 2, 4), (2, 3, 8), (1, 1), (2, 1)])
def test_orthogonal(shape):
    w = orthogonal(scale=1.5)(KEY, shape).reshape(-1, shape[-1])
    gram = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    np.testing.assert_allclose(gram, 1.5**2 * np.eye(len(gram)), atol=1e-5)


def test_orthogonal_matrices_are_drawn_uniformly():
    ws = jax.vmap(lambda key: orthogonal()(key, (3, 3)))(jax.random.split(KEY, 4000))
    np.testing.assert_allclose(ws.mean(0), 0, atol=0.05)  # without the signs, the diagonal is biased
    np.testing.assert_allclose((ws**2).mean(0), 1 / 3, atol=0.03)
    assert abs((jnp.linalg.det(ws) > 0).mean() - 0.5) < 0.05  # as many reflections as rotations


def test_a_deep_linear_network_of_orthogonal_weights_keeps_lengths():
    x = y = jax.random.normal(KEY, (5, 32))
    for key in jax.random.split(KEY, 50):
        y = y @ orthogonal()(key, (32, 32))
    np.testing.assert_allclose(jnp.linalg.norm(y, axis=1), jnp.linalg.norm(x, axis=1), rtol=1e-3)


def test_identity_of_affine():
    x = jax.random.normal(KEY, (4, 3))
    assert (x @ identity()(KEY, (3, 3)) == x).all()
    assert (x @ identity(2.0)(KEY, (3, 2)) == 2 * x[:, :2]).all()
    assert (x @ identity()(KEY, (3, 5)) == jnp.pad(x, ((0, 0), (0, 2)))).all()


@pytest.mark.parametrize("kernel", [(1,), (3,), (4,), (3, 5), (2, 2), (3, 3, 3)])
def test_identity_of_convolution(kernel):
    x = jax.random.normal(KEY, (2, *(6,) * len(kernel), 4))
    np.testing.assert_allclose(convolve(x, identity()(KEY, (*kernel, 4, 4))), x, rtol=1e-6)
    for groups in (2, 4):
        w = identity(groups=groups)(KEY, (*kernel, 4 // groups, 4))
        np.testing.assert_allclose(convolve(x, w, feature_group_count=groups), x, rtol=1e-6)


def test_initializers_are_values():
    assert normal(0.1) == normal(stddev=0.1) != normal(0.2)
    assert hash(normal(0.1)) == hash(normal(stddev=0.1))
    assert he_normal() == he_normal() != he_uniform()
    assert len({orthogonal(), orthogonal(1.0), orthogonal(scale=2.0), identity()}) == 3
    assert repr(normal(0.1)) == "normal(stddev=0.1)"
    assert repr(he_normal()) == "he_normal()"
    assert eval(repr(identity(2.0, groups=3))) == identity(scale=2.0, groups=3)
    assert Affine(3, w_init=orthogonal(2.0)) == Affine(3, w_init=orthogonal(2.0)) != Affine(3)


@initializer
def alternating(key, shape, dtype, *, size):
    return (size * (-1.0) ** jnp.arange(math.prod(shape))).reshape(shape).astype(dtype)


def plain(key, shape, dtype):
    return jnp.ones(shape, dtype)


@pytest.mark.parametrize("value", [he_normal(), identity(2.0, groups=3), alternating(size=0.5), Initializer(plain)])
def test_initializers_come_back_from_a_pickle(value):
    again = pickle.loads(pickle.dumps(value))
    assert again == value == copy.deepcopy(value)
    np.testing.assert_array_equal(again(KEY, (4, 12)), value(KEY, (4, 12)))


def test_an_initializer_of_ones_own_may_use_the_fans():
    @initializer
    def fan_in_itself(key, shape, dtype, fans, *, factor):
        return jnp.full(shape, factor * (fans or initializers.fans(shape))[0], dtype)

    assert fan_in_itself(2)(KEY, (3, 4))[0, 0] == 6
    assert fan_in_itself(2)(KEY, (3, 4), fans=(5, 6))[0, 0] == 10
    assert repr(fan_in_itself(2)) == "fan_in_itself(factor=2)"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: he_normal()(KEY, (4,)), r"\[\*kernel, in, out\] to have fans, got \[4\]"),
        (lambda: fans((3, 3, 4, 4), stride=(2,)), r"kernel of 2 spatial axes .* got \[2\]"),
        (lambda: fans((3, 4, 4), groups=3), "3 groups do not divide 4 outputs"),
        (lambda: orthogonal()(KEY, (4,)), r"orthogonal makes weights of shape .* got \[4\]"),
        (lambda: identity()(KEY, ()), r"identity makes weights of shape .* got \[\]"),
        (lambda: identity(groups=3)(KEY, (2, 4)), "4 outputs into 3 groups"),
        (lambda: data_dependent(Affine(1), {}, {}, X, key=KEY, tolerance=0.0), "positive tolerance"),
        (
            lambda: data_dependent(Affine(1), {}, {}, X, key=KEY, steps=0),
            "data_dependent needs steps as a whole number of at least 1, got 0",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(fdl.InputError, match=message):
        call()


def test_unknown_options_are_refused():
    with pytest.raises(TypeError):
        normal(spread=0.1)


# data_dependent

X = 30 + 20 * jax.random.normal(jax.random.key(1), (256, 24))


class Strange(fdl.Layer):
    """An activation for which nobody has a formula."""

    def apply(self, params, state, x, *, key=None, train=False):
        return jnp.sin(3 * x) + 0.1 * x**3, state


@network(first=Affine(16), again=Affine(16))
def wiring(net, x):
    x = net.first(x)
    return net.again(net.again(x)) + affine(x, net.first.params["w"].T)[:, :16]


DEEP = Serial(
    *[layer for _ in range(3) for layer in (Affine(32, b_init=constant(0.3)), Strange())],
    Residual(Serial(Affine(20), BatchNorm(), Relu(), Affine(32))),
    Concat(Affine(8), Serial(Relu(), Affine(8))),
    wiring,
    scores=Affine(10),
)


def outputs(layer, params, state, *batch):
    """What the first call of every layer with weights gives in training, by path."""
    seen = {}

    def visitor(path):
        def visit(name, child, params, state, *inputs, **options):
            results = child.walk(visitor((*path, name)), params, state, *inputs, **options)
            if "w" in params:
                seen.setdefault((*path, name), results[0])
            return results

        return visit

    layer.walk(visitor(()), params, state, *batch, key=KEY, train=True)
    return seen


@pytest.fixture(scope="module")
def deep():
    params, state = DEEP.init(KEY, X)
    return params, state, jax.jit(lambda p, s: data_dependent(DEEP, p, s, X, key=KEY))(params, state)


def test_data_dependent_gives_every_layer_unit_variance(deep):
    before, state, after = deep
    ys = outputs(DEEP, after, state, X)
    assert len(ys) == 3 + 2 + 2 + 2 + 1
    for path, y in ys.items():
        assert y.var() == pytest.approx(1, abs=0.02), path
    assert not all(0.1 < y.var() < 10 for y in outputs(DEEP, before, state, X).values())  # there was need


def test_data_dependent_scales_orthogonal_weights_and_nothing_else(deep):
    before, _, after = deep
    assert jax.tree.structure(before) == jax.tree.structure(after)
    for (path, old), (_, new) in zip(*map(jax.tree_util.tree_leaves_with_path, (before, after)), strict=True):
        if path[-1].key == "w":
            gram = new.T @ new if new.shape[0] >= new.shape[1] else new @ new.T
            np.testing.assert_allclose(gram / gram[0, 0], np.eye(len(gram)), atol=1e-4)
        else:
            assert (old == new).all(), path


def test_data_dependent_works_for_a_layer_alone():
    layer = Affine(5)
    params, state = layer.init(KEY, X)
    after = data_dependent(layer, params, state, X, key=KEY)
    assert layer.apply(after, state, X)[0].var() == pytest.approx(1, abs=0.01)


def test_data_dependent_may_keep_the_weights_that_there_are():
    layer = Serial(Affine(5), Relu(), Dropout(0.5), Affine(3))
    params, state = layer.init(KEY, X)
    after = data_dependent(layer, params, state, X, key=KEY, start=None)
    for name in ("affine1", "affine2"):
        ratio = after[name]["w"] / params[name]["w"]
        assert float(ratio.max()) == pytest.approx(float(ratio.min()), rel=1e-4)
        assert ratio.max() != pytest.approx(1, rel=1e-2)


def test_data_dependent_keeps_dtypes():
    layer = Serial(Affine(5), Affine(5))
    x = X.astype(jnp.bfloat16)
    params, state = jax.tree.map(lambda a: a.astype(jnp.bfloat16), layer.init(KEY, x))
    after = data_dependent(layer, params, state, x, key=KEY)
    assert {leaf.dtype for leaf in jax.tree.leaves(after)} == {jnp.dtype(jnp.bfloat16)}
    assert layer.apply(after, state, x)[0].astype(jnp.float32).var() == pytest.approx(1, abs=0.05)


class Squared(fdl.Layer):
    """A layer whose output grows faster than its weight: one scaling overshoots as far as it was off."""

    def init(self, key, x):
        return {"w": jnp.eye(x.shape[-1])}, {}

    def apply(self, params, state, x, *, key=None, train=False):
        return (x @ params["w"]) ** 2, state


@pytest.mark.parametrize("value", [1.0, 0.0, float("nan")])
def test_data_dependent_leaves_a_layer_with_a_constant_output(value):
    layer, x = Affine(3, b_init=ones()), jnp.full((8, 3), value)
    params, state = layer.init(KEY, x)
    params |= {"w": jnp.eye(3)}
    after = data_dependent(layer, params, state, x, key=KEY, start=None)
    assert (after["w"] == params["w"]).all()


def test_data_dependent_never_ends_further_from_one_than_it_began():
    layer, x = Squared(), 3 * jax.random.normal(KEY, (200, 3))
    params, state = layer.init(KEY, x)
    after = data_dependent(layer, params, state, x, key=KEY, start=None)
    errors = [abs(layer.apply(p, state, x)[0].var() - 1) for p in (params, after)]
    assert errors[1] < 1 < errors[0]


@pytest.mark.parametrize("times", [2, 3, 4])
def test_a_bilinear_transposed_convolution_interpolates(times):
    x = jax.random.normal(KEY, (1, 7, 6, 2))
    kernel = 2 * times - times % 2
    y = conv_transpose(x, bilinear()(KEY, (kernel, kernel, 2, 2)), stride=times)
    inside = (slice(None), *[slice(times, -times)] * 2)  # at the rim it fades to zero, where resize repeats the edge
    np.testing.assert_allclose(y[inside], resize(x, (7 * times, 6 * times), "bilinear")[inside], rtol=1e-5, atol=1e-6)
