"""What pools, resizing and pixel shuffling do beyond the table of cases."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl.layers import (
    AvgPool,
    GlobalAvgPool,
    GlobalMaxPool,
    MaxPool,
    PixelShuffle,
    PixelUnshuffle,
    Resize,
    avg_pool,
    global_avg_pool,
    global_max_pool,
    max_pool,
    max_pool_index,
    max_unpool,
    pixel_shuffle,
    pixel_unshuffle,
    resize,
)
from fdl.layers.taps import pool_windows
from tests.cases.pool import avg_formula, boxes, max_formula, unpool_formula
from tests.cases.resize import formula as resize_formula

SIZES = [(7,), (1,), (9, 6), (4, 1), (3, 4, 2)]
PADDINGS = ["VALID", "SAME", 1, "pairs"]


def grid(count):
    """Windows longer and shorter than their strides, with every padding, on one to three axes and few examples."""
    rng = np.random.default_rng(0)
    drawn = []
    while len(drawn) < count:
        sizes = SIZES[rng.integers(len(SIZES))]
        window, stride = (tuple(int(k) for k in rng.integers(1, 9 - 2 * len(sizes), size=len(sizes))) for _ in range(2))
        padding = PADDINGS[rng.integers(len(PADDINGS))]
        if padding == "pairs":
            padding = tuple((int(low), int(high)) for low, high in rng.integers(0, 3, size=(len(sizes), 2)))
        choices = {"window": window, "stride": stride, "padding": padding}
        try:
            pool_windows("", sizes, **choices)
        except fdl.InputError:
            continue
        name, marks = f"{sizes}-{window}-{stride}-{padding}", [pytest.mark.slow] * (len(drawn) >= count // 2)
        drawn.append(pytest.param(sizes, choices, int(rng.integers(4)), id=name, marks=marks))
    return drawn


def with_gradient(function, *arrays):
    """Value and gradients by fdl's rules and by JAX, for one random upstream gradient, from one compilation."""

    def both(*arrays):
        y, pull_back = jax.vjp(function, *arrays)
        return y, pull_back(jnp.asarray(np.random.default_rng(1).normal(size=y.shape)))

    def by_either(*arrays):
        ours = both(*arrays)
        with fdl.differentiation("autodiff"):
            return ours, both(*arrays)

    return jax.jit(by_either)(*arrays)


@pytest.mark.parametrize(("sizes", "choices", "n"), grid(24))
def test_pools_on_a_random_grid(sizes, choices, n):
    rng = np.random.default_rng(2)
    x = rng.integers(-3, 3, size=(n, *sizes, 2)) + rng.choice([0, 0.5], size=(n, *sizes, 2))  # with ties
    with jax.enable_x64(True):
        (y, (dx,)), (_, (expected,)) = with_gradient(lambda x: max_pool(x, **choices), jnp.asarray(x))
        np.testing.assert_array_equal(y, max_formula(x, **choices))
        np.testing.assert_allclose(dx, expected, rtol=1e-10, atol=1e-12)
        count = bool(rng.integers(2))
        mean = lambda x: avg_pool(x, **choices, count_padding=count)  # noqa: E731
        (y, (dx,)), (_, (expected,)) = with_gradient(mean, jnp.asarray(x))
        np.testing.assert_allclose(y, avg_formula(x, **choices, count_padding=count), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(dx, expected, rtol=1e-10, atol=1e-12)
        index = max_pool_index(jnp.asarray(x), **choices)
        drawn = rng.normal(size=index.shape)
        unpool = lambda y: max_unpool(y, index, sizes, **choices)  # noqa: E731
        (x, (dy,)), (_, (expected,)) = with_gradient(unpool, jnp.asarray(drawn))
        np.testing.assert_allclose(
            x, unpool_formula(drawn, np.asarray(index), sizes, **choices), rtol=1e-12, atol=1e-14
        )
        np.testing.assert_allclose(dy, expected, rtol=1e-10)


@pytest.mark.parametrize("choices", [{"window": 2}, {"window": 3, "stride": 2, "padding": 1}])
def test_the_first_nan_wins_and_padding_never_does(choices):
    """Where JAX's own derivative of a window's maximum takes the last NaN, and gives padding what -inf has won."""
    rng = np.random.default_rng(0)
    x = rng.choice([-np.inf, -np.inf, -np.inf, 0, np.nan], size=(3, 4, 6, 2))
    index = np.asarray(max_pool_index(jnp.asarray(x, jnp.float32), **choices))
    dx = jax.grad(lambda x: jnp.where(jnp.isnan(y := max_pool(x, **choices)), 0, y).sum() + y.size)(jnp.asarray(x))
    np.testing.assert_array_equal(max_pool(x.astype(np.float32), **choices), max_formula(x, **choices))
    for o, inside, first, extents in boxes((4, 6), **choices):
        for n, c in np.ndindex(3, 2):
            seen = x[(n, *inside, c)]
            winner = np.isnan(seen).argmax() if np.isnan(seen).any() else seen.argmax()
            at = np.add([max(f, 0) for f in first], np.unravel_index(winner, seen.shape))
            assert np.ravel_multi_index(at - first, extents) == index[(n, *o, c)]
    assert not np.isnan(dx).any()


def test_ties_send_second_derivatives_to_the_first_as_well():
    x, v = jnp.array([1.0, 2.0, 2.0, 0.0]).reshape(1, 4, 1), jnp.arange(4.0).reshape(1, 4, 1)

    def of(x):
        return jnp.sum(max_pool(x, 4) ** 3)

    expected = [0, 12, 0, 0]  # the second derivative of x_1^3 times v_1
    assert jax.jvp(jax.grad(of), (x,), (v,))[1].ravel().tolist() == expected
    assert jax.grad(lambda x: jnp.vdot(jax.grad(of)(x), v))(x).ravel().tolist() == expected


@pytest.mark.parametrize(("taps", "dtype"), [(255, "uint8"), (256, "uint16")])
def test_a_window_may_have_more_taps_than_a_byte_can_count(taps, dtype):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 2 * taps, 1)), jnp.float32)
    index = jax.jit(lambda x: max_pool_index(x, taps))(x)
    assert index.dtype == dtype
    assert (index == x.reshape(2, 2, taps, 1).argmax(2)).all()
    (_, (dx,)), (_, (expected,)) = with_gradient(lambda x: max_pool(x, taps).astype(float), x)
    np.testing.assert_array_equal(dx, expected)


def test_unpooling_puts_back_what_a_pool_has_left():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 7, 6, 3)), jnp.float32)
    choices = {"window": 2, "padding": "SAME"}
    y, index = max_pool(x, **choices), max_pool_index(x, **choices)
    back = max_unpool(y, index, (7, 6), **choices)
    assert ((back == x) | (back == 0)).all()
    assert (max_pool(jnp.where(back == 0, -jnp.inf, back), **choices) == y).all()


def test_pools_take_half_precision_without_losing_more():
    x = jnp.full((1, 64, 64, 1), 0.1, jnp.float16)
    assert global_avg_pool(x).tolist() == [[jnp.float16(0.1)]]
    assert (avg_pool(x, 8) == jnp.float16(0.1)).all()


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("before", "after"), [((4, 6), (8, 12)), ((6, 4), (3, 2)), ((5, 1), (7, 4)), ((7,), (1,)), ((3, 2, 4), (2, 5, 4))]
)
def test_resizing_and_its_adjoint(method, before, after):
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, *before, 3)), rng.normal(size=(2, *after, 3))
    with jax.enable_x64(True):
        y, pull_back = jax.vjp(lambda x: resize(x, after, method), jnp.asarray(x))
        (dx,) = pull_back(jnp.asarray(dy))
        np.testing.assert_allclose(y, resize_formula(x, after, method), rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(jnp.vdot(y, dy), jnp.vdot(x, dx), rtol=1e-12)


@pytest.mark.parametrize(("ours", "theirs"), [("nearest", "nearest"), ("bilinear", "linear"), ("bicubic", "cubic")])
@pytest.mark.parametrize("size", [3, 10, 11])
def test_resizing_is_what_jax_image_gives(ours, theirs, size):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 7, 5, 3)), jnp.float32)
    expected = jax.image.resize(x, (2, size, size, 3), theirs, antialias=False)
    np.testing.assert_allclose(resize(x, size, ours), expected, atol=1e-5)


def test_bicubic_gives_back_a_parabola_and_a_constant():
    x = (jnp.arange(20.0) ** 2).reshape(1, 20, 1)
    inner = resize(x, 40, "bicubic").ravel()[4:-4]
    np.testing.assert_allclose(inner, (np.arange(40) / 2 - 0.25)[4:-4] ** 2, rtol=1e-5)
    np.testing.assert_allclose(resize(jnp.ones((1, 5, 3, 1)), (9, 2), "bicubic"), 1, rtol=1e-6)


def test_nan_reaches_its_neighbours_only():
    x = jnp.ones((1, 8, 1)).at[0, 3].set(jnp.nan)
    assert jnp.isnan(resize(x, 16)).sum() == 2
    assert jnp.isnan(resize(x, 16, "bilinear")).sum() == 4
    dy = jnp.ones((1, 3, 1)).at[0, 1].set(jnp.nan)
    assert jnp.isnan(jax.vjp(lambda x: resize(x, 3), jnp.ones((1, 8, 1)))[1](dy)[0]).sum() == 1


def test_nearest_takes_integers():
    x = jnp.array([2**24 + 1, 7]).reshape(1, 2, 1)
    assert resize(x, 4).ravel().tolist() == [2**24 + 1] * 2 + [7] * 2
    assert resize(x, 4).dtype == x.dtype


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_unshuffling_inverts_shuffling(axes):
    x = jnp.arange(2.0 * 3**axes * 2**axes * 5).reshape(2, *[3] * axes, 2**axes * 5)
    assert (pixel_unshuffle(pixel_shuffle(x, 2), 2) == x).all()


@pytest.mark.parametrize(
    ("layer", "shape", "windows"),
    [
        (MaxPool(3, stride=2, padding="SAME"), (1, 4, 5, 3), ((3, 2, 1), (3, 2, 1))),
        (MaxPool((2, 3)), (1, 4, 3, 3), ((2, 2, 1), (3, 3, 1))),
        (AvgPool(2, count_padding=True), (1, 4, 4, 3), ((2, 2, 1), (2, 2, 1))),
        (GlobalAvgPool(), (1, 3), ((8, 1, 1), (9, 1, 1))),
        (GlobalMaxPool(), (1, 3), ((8, 1, 1), (9, 1, 1))),
        (Resize(4), (1, 4, 4, 3), ((1, Fraction(2), 1), (1, Fraction(9, 4), 1))),
        (Resize(scale=2, method="bilinear"), (1, 16, 18, 3), ((2, Fraction(1, 2), 1),) * 2),
        (Resize(scale=(1.5, 0.5), method="bicubic"), (1, 12, 4, 3), ((4, Fraction(2, 3), 1), (4, Fraction(9, 4), 1))),
    ],
    ids=repr,
)
def test_layers_say_what_they_make_and_see(layer, shape, windows):
    x = jnp.ones((1, 8, 9, 3))
    params, state = layer.init(jax.random.key(0), x)
    assert (params, state) == ({}, {})
    assert layer.apply(params, state, x)[0].shape == shape
    assert layer.receptive_window(x) == windows


def test_shuffling_layers():
    x = jnp.ones((1, 8, 4, 12))
    assert PixelShuffle(2).apply({}, {}, x)[0].shape == (1, 16, 8, 3)
    assert PixelShuffle(2).receptive_window(x) == ((1, Fraction(1, 2), 1),) * 2
    assert PixelUnshuffle(2).apply({}, {}, x)[0].shape == (1, 4, 2, 48)
    assert PixelUnshuffle(2).receptive_window(x) == ((2, 2, 1),) * 2


X, Y = jnp.ones((1, 4, 5, 4)), jnp.ones((1, 2, 2, 4))
INTEGERS = jnp.ones((1, 4, 5, 4), int)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: max_pool(X[0, 0], 2), r"max_pool expects x of shape \[N, \*spatial, C\] .* got \[5, 4\]"),
        (lambda: max_pool(X, (2, 2, 2)), "max_pool needs a kernel of at least 1 for each of 2 spatial axes"),
        (lambda: max_pool(X, 2, padding="VALID_EXACT"), "leaves 1 of 5 positions over"),
        (lambda: max_pool(X, 2, padding=2), "lies in the padding alone"),
        (lambda: max_pool(X, 2, padding=((0, 0), (0, 4))), "lies in the padding alone"),
        (lambda: max_pool(INTEGERS, 2), "max_pool expects floats"),
        (lambda: max_pool([1.0], [2]), "needs window as a fixed Python value"),
        (lambda: max_pool_index(INTEGERS, 2), "max_pool_index expects floats"),
        (lambda: avg_pool(X[0], 7), "avg_pool needs an input as large as its window"),
        (lambda: avg_pool(X[0, 0], 2), "avg_pool expects x of shape"),
        (lambda: avg_pool(INTEGERS, 2), "avg_pool expects floats"),
        (lambda: max_unpool(Y, Y, 4, 2), r"an index as integers of the shape of y, \[1, 2, 2, 4\], .* got float32"),
        (lambda: max_unpool(Y, INTEGERS, 4, 2), r"got int32 of shape \[1, 4, 5, 4\]"),
        (lambda: max_unpool(Y, Y.astype(int) + 3, 4, 2), r"max_unpool expects ids in \[0, 4\), got 4"),
        (lambda: max_unpool(Y, Y.astype(int), 6, 2), r"expects y of shape \[N, 3, 3, C\]"),
        (lambda: max_unpool(Y, Y.astype(int), (4,), 2), "a size of at least 1 for each of 2 spatial axes"),
        (lambda: max_unpool(Y.astype(int), Y.astype(int), 4, 2), "max_unpool expects floats"),
        (lambda: max_unpool(Y[0, 0], Y[0, 0].astype(int), 4, 2), "max_unpool expects x of shape"),
        (lambda: global_avg_pool(X[0, 0]), "global_avg_pool expects x of shape"),
        (lambda: global_max_pool(INTEGERS), "global_max_pool expects floats"),
        (lambda: global_max_pool(X[:, :0]), r"at least one position, got x of shape \[1, 0, 5, 4\]"),
        (lambda: resize(X, 0), "resize needs a size of at least 1 for each of 2 spatial axes, got 0"),
        (lambda: resize(X, (2, 3, 4)), "for each of 2 spatial axes"),
        (lambda: resize(X, 4, "cubic"), 'takes "nearest", "bilinear" or "bicubic" as method, got \'cubic\''),
        (lambda: resize(X[:, :0], 4), "resize needs at least one position"),
        (lambda: resize(INTEGERS, 4, "bilinear"), "resize by bilinear expects floats"),
        (lambda: resize(X[0, 0], 4), "resize expects x of shape"),
        (lambda: Resize(), "either a size or a scale, got size=None and scale=None"),
        (lambda: Resize(4, scale=2), "either a size or a scale, got size=4 and scale=2"),
        (lambda: Resize(4, method="cubic"), "as method, got 'cubic'"),
        (lambda: Resize(scale=0.1).apply({}, {}, X), r"Resize needs a size of at least 1 .* got \[0, 0\]"),
        (
            lambda: Resize(scale=(2, 3, 4)).apply({}, {}, X),
            r"a scale for each of 2 spatial axes, or one for all, got \(2, 3, 4\)",
        ),
        (lambda: Resize(scale=(2.0,)).apply({}, {}, X), r"a scale for each of 2 spatial axes, .*, got \(2.0,\)"),
        (lambda: pixel_shuffle(X, 3), r"expects x of shape \[N, \*spatial, 9 \* C\], got \[1, 4, 5, 4\]"),
        (lambda: pixel_shuffle(X[0, 0], 2), "pixel_shuffle expects x of shape"),
        (lambda: pixel_unshuffle(X, 2), r"spatial sizes that its factor 2 divides, got \[1, 4, 5, 4\]"),
        (lambda: pixel_unshuffle(X, 0), "pixel_unshuffle needs factor as a whole number of at least 1, got 0"),
        (lambda: PixelShuffle(0), "PixelShuffle needs factor as a whole number of at least 1, got 0"),
        (lambda: PixelUnshuffle(1.5), "PixelUnshuffle needs factor as a whole number of at least 1, got 1.5"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(fdl.InputError, match=message):
        call()


def test_only_a_cpu_draws_the_number_that_chooses_a_branch():
    def loss(x):
        return max_pool(x, 2).sum() + avg_pool(x, 3, stride=1).sum()

    traced = jax.jit(jax.grad(loss)).trace(jax.ShapeDtypeStruct((2, 8, 8, 3), "float32"))
    cpu, cuda = (traced.lower(lowering_platforms=(name,)).as_text() for name in ("cpu", "cuda"))
    assert "stablehlo.rng" in cpu
    assert "stablehlo.rng" not in cuda
    assert "stablehlo.optimization_barrier" in cuda
