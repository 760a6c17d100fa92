"""Embeddings beyond the table of cases: long sums, ids that do not exist, one-hot vectors, and the layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl.initializers import ones
from fdl.layers import Affine, Embedding, Serial, embedding, one_hot

KEY = jax.random.key(0)
TABLE = jnp.arange(6.0).reshape(3, 2)
IDS = jnp.array([[2, 0], [2, 2]])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_long_sums_of_a_frequent_id_are_taken_in_float32(dtype):
    gradient = jax.grad(lambda table: embedding(jnp.zeros(4096, int), table).sum())(TABLE.astype(dtype))
    assert gradient.dtype == dtype
    assert gradient.tolist() == [[4096, 4096], [0, 0], [0, 0]]


def test_ids_that_cannot_be_seen_give_nan_and_no_gradient():
    ids = jnp.array([0, -1, 3, -4, 2])

    @jax.jit
    def both(ids, table):
        y, pull_back = jax.vjp(lambda table: embedding(ids, table), table)
        return y, pull_back(jnp.ones_like(y))[0]

    y, gradient = both(ids, TABLE)
    assert jnp.isnan(y).all(1).tolist() == [False, True, True, True, False]
    assert gradient.tolist() == [[1, 1], [0, 0], [1, 1]]
    assert jnp.isnan(jax.jit(one_hot, static_argnums=1)(ids, 3)).all(1).tolist() == [False, True, True, True, False]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_ids_may_be_integers_of_any_type(dtype):
    with jax.enable_x64(True):
        largest = np.iinfo(dtype).max
        ids = np.array([0, 100, min(largest, 2**32 + 5), largest], dtype)
        y = jax.jit(embedding)(ids, jnp.arange(128.0)[:, None])[:, 0]
    expected = [float(n) if n < 128 else np.nan for n in ids.tolist()]
    np.testing.assert_array_equal(y, expected)


def test_one_hot_is_what_embedding_does_not_build():
    np.testing.assert_allclose(embedding(IDS, TABLE), one_hot(IDS, 3) @ TABLE)
    assert one_hot(IDS, 3, jnp.bfloat16).dtype == jnp.bfloat16
    assert one_hot(2, 3).tolist() == [0, 0, 1]


def test_one_hot_of_what_is_masked_is_zero_whatever_it_is():
    ids = jnp.array([[1, 255], [-1, 0]])
    where = jnp.array([[True, False], [False, True]])
    expected = [[[0, 1, 0], [0, 0, 0]], [[0, 0, 0], [1, 0, 0]]]
    assert one_hot(ids, 3, where=where).tolist() == expected
    assert jax.jit(one_hot, static_argnums=1)(ids, 3, where=where).tolist() == expected
    assert one_hot(ids, 3, jnp.bfloat16, where=where).dtype == jnp.bfloat16


def test_neither_pass_builds_the_one_hot_matrix():
    ids, table = jnp.zeros(1000, int), jnp.ones((1000, 8))
    compiled = jax.jit(jax.grad(lambda table, ids: jnp.sin(embedding(ids, table)).sum())).lower(table, ids).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 10 * ids.size * 8 * 4 < ids.size * 1000 * 4


def test_the_layer_owns_its_table():
    net = Serial(Embedding(10, 4, w_init=ones()), Affine(2))
    params, state = net.init(KEY, jax.ShapeDtypeStruct((2, 7), jnp.int32))
    assert params["embedding1"]["table"].tolist() == [[1] * 4] * 10
    assert net.apply(params, state, jnp.zeros((2, 7), int))[0].shape == (2, 7, 2)
    assert Embedding(10, 4).init(KEY, IDS)[0]["table"].std() == pytest.approx(0.02, rel=0.5)
    assert repr(Embedding(10, 4)) == "Embedding(10, 4)"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: embedding(jnp.array([0, 3]), TABLE), r"embedding expects ids in \[0, 3\), got 3: ids start at 0"),
        (lambda: embedding(jnp.array([[0, -1]]), TABLE), r"ids in \[0, 3\), got -1"),
        (lambda: embedding(jnp.array([0.0]), TABLE), "embedding expects ids as integers, got float32"),
        (lambda: embedding(jnp.array([True]), TABLE), "got bool"),
        (lambda: embedding(IDS, jnp.ones(3)), r"expects a table of shape \[V, D\], got \[3\]"),
        (lambda: embedding(IDS, jnp.ones((3, 2), int)), "embedding expects floats, got int32"),
        (lambda: one_hot(jnp.array([3]), 3), r"one_hot expects ids in \[0, 3\), got 3"),
        (lambda: one_hot(jnp.array([1.0]), 3), "one_hot expects ids as integers"),
        (lambda: one_hot(IDS, 3, jnp.int32), "one_hot expects a floating dtype, got int32"),
        (lambda: one_hot(jnp.array([3, 1]), 3, where=jnp.array([True, False])), r"ids in \[0, 3\), got 3"),
        (
            lambda: one_hot(jnp.array([2, 1]), 3, where=jnp.array([True])),
            r"booleans of the shape \[2\] of ids, got bool",
        ),
        (lambda: one_hot(jnp.array([2]), 3, where=jnp.array([1])), r"booleans of the shape \[1\] of ids, got int32"),
        (lambda: Embedding(0, 4), "Embedding needs vocabulary as a whole number of at least 1, got 0"),
        (lambda: Serial(Embedding(3, 4)).init(KEY, jnp.ones((2, 2))), "^embedding1: .* ids as integers, got float32"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(fdl.InputError, match=message):
        call()
