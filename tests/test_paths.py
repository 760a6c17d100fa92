"""Which parameters are meant by a path, and the projection that uses it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl.layers import Affine, BatchNorm, Residual, Serial
from fdl.losses import l2
from fdl.optim import adamw, project_max_norm
from fdl.paths import is_weight, path_of, select

NET = Serial(Affine(4), BatchNorm(), Residual(Affine(4)), head=Affine(2))
PARAMS, _ = NET.init(jax.random.key(0), jnp.ones((2, 3)))
PARAMS = jax.tree.map(lambda a: a + 1, PARAMS)


def paths(tree):
    return {path_of(keys) for keys, _ in jax.tree.leaves_with_path(tree)}


def test_weights_are_selected_and_biases_and_norms_are_not():
    assert paths(select(PARAMS)) == {"affine1.w", "residual1.body.w", "head.w"}


def test_a_pattern_selects_a_part_of_the_network():
    assert paths(select(PARAMS, "head.*")) == {"head.w", "head.b"}
    assert paths(select(PARAMS, "*.body.?")) == {"residual1.body.w", "residual1.body.b"}


def test_a_selection_and_its_complement_are_the_whole():
    kept, rest = select(PARAMS), select(PARAMS, lambda path: not is_weight(path))
    assert not paths(kept) & paths(rest)
    assert paths(kept) | paths(rest) == paths(PARAMS)
    whole = jax.tree.map(lambda a, b: b if a is None else a, kept, rest, is_leaf=lambda a: a is None)
    assert jax.tree.all(jax.tree.map(lambda a, b: a is b, whole, PARAMS))


def test_a_penalty_on_weights_leaves_the_others_alone():
    gradient = jax.jit(jax.grad(lambda params: l2(select(params))))(PARAMS)
    for keys, g in jax.tree.leaves_with_path(gradient):
        assert (g != 0).all() == (g != 0).any() == is_weight(path_of(keys))
    assert l2(select({"b": jnp.ones(3)})) == 0


def test_paths_name_every_kind_of_container():
    assert paths([{"a": (1, 2)}, 3]) == {"0.a.0", "0.a.1", "1"}
    assert paths(1) == {""}


@pytest.mark.parametrize("shape", [(5, 3), (3, 3, 2, 4)])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_max_norm_shortens_what_is_too_long_and_nothing_else(shape, dtype):
    w = 2 * jax.random.normal(jax.random.key(0), shape) * jnp.arange(shape[-1])
    w = w.astype(dtype)
    projected = jax.jit(project_max_norm, static_argnums=1)({"w": w}, 3.0)["w"]
    columns = np.asarray(w, np.float64).reshape(-1, shape[-1])
    lengths = np.linalg.norm(columns, axis=0)
    assert (lengths < 3).any()
    assert (lengths > 3).any()
    expected = columns * np.minimum(1, 3 / np.maximum(lengths, 1e-9))
    assert projected.dtype == dtype
    rtol = 1e-6 if dtype == jnp.float32 else 5e-3
    np.testing.assert_allclose(np.asarray(projected, np.float64).reshape(-1, shape[-1]), expected, rtol=rtol)


def test_max_norm_touches_weights_only_unless_told_otherwise():
    long = jax.tree.map(lambda a: 100 * a, PARAMS)
    projected = project_max_norm(long, 1.0)
    assert paths(jax.tree.map(lambda a, b: None if a is b else a, projected, long)) == paths(select(PARAMS))
    only_head = project_max_norm(long, 1.0, "head.w")
    assert only_head["affine1"]["w"] is long["affine1"]["w"]
    np.testing.assert_allclose(jnp.linalg.norm(only_head["head"]["w"], axis=0), 1, rtol=1e-6)


def test_max_norm_of_extreme_weights():
    w = jnp.array([[0.0, 3e30, jnp.nan, 1e-30], [0.0, 4e30, 1.0, 1e-30]])
    projected = project_max_norm({"w": w}, 1.0)["w"]
    np.testing.assert_allclose(projected[:, 1], [0.6, 0.8], rtol=1e-6)
    assert jnp.isnan(projected[:, 2]).all()
    np.testing.assert_array_equal(projected[:, ::3], w[:, ::3])
    assert project_max_norm({"w": jnp.ones((0, 3))}, 1.0)["w"].shape == (0, 3)
    largest = project_max_norm({"w": jnp.array([[1e38, 3e-20], [1e38, 4e-20]])}, 1.0)["w"]
    np.testing.assert_allclose(largest, [[0.5**0.5, 3e-20], [0.5**0.5, 4e-20]], rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: select(PARAMS, "haed.*"), r"no path fits the pattern 'haed\.\*'; there are affine1\.b, .*"),
        (lambda: project_max_norm(PARAMS, 1.0, "haed.*"), "no path fits"),
        (lambda: select(PARAMS, ["affine1.*"]), r"a function from a path to a bool, got \['affine1\.\*'\]"),
        (lambda: adamw(keep={"affine1": True}).init(PARAMS), "a pattern of paths, such as .*, got {'affine1': True}"),
        (lambda: project_max_norm(PARAMS, 0.0), "positive, finite limit, got 0.0"),
        (lambda: project_max_norm(PARAMS, float("inf")), "got inf"),
        (lambda: project_max_norm(PARAMS, 1.0, "*.b"), r"\[\*kernel, in, out\], got \[4\] at affine1\.b"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(fdl.InputError, match=message):
        call()
