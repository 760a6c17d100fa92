"""The numbers of a summary, worked out by hand, and how it prints; what counts as an operation."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl.flops import count_flops
from fdl.layers import Affine, BatchNorm, Concat, Dropout, Flatten, Relu, Residual, Serial, affine, conv, network, relu
from fdl.summary import Row, Summary

N = 32
X = jax.ShapeDtypeStruct((N, 64), jnp.float32)


def shape(*sizes, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(sizes, dtype)


def by_path(table):
    return {".".join(row.path): row for row in table.rows}


def affine_flops(inputs, outputs):
    return 2 * N * inputs * outputs + N * outputs


@network(embed=Affine(4), body=Affine(4), auxiliary=Affine(3))
def tied(net, x):
    x = net.body(relu(net.body(net.embed(x))))
    if net.train:
        net.auxiliary(x)
    return affine(x, net.embed.params["w"].T)


def test_the_numbers_of_a_small_network():
    net = Serial(Affine(100), Relu(), Residual(Serial(Affine(100, bias=False))), scores=Affine(10))
    table = fdl.summary(net, X)
    assert table == Summary(
        "serial",
        (
            row("affine1", Affine(100), 100, 64 * 100 + 100, affine_flops(64, 100)),
            row("relu1", Relu(), 100, 0, N * 100),
            row("residual1.body.affine1", Affine(100, bias=False), 100, 100 * 100, 2 * N * 100 * 100),
            row("residual1", net.children["residual1"], 100, 0, N * 100),
            row("scores", Affine(10), 10, 100 * 10 + 10, affine_flops(100, 10)),
        ),
    )
    assert table.parameters == 6500 + 10000 + 1010
    assert table.flops == sum(row.flops for row in table.rows)
    assert table.parameter_bytes == 4 * table.parameters
    assert table.output_bytes == 4 * N * (4 * 100 + 10)


def row(path, layer, features, parameters, flops):
    return Row(tuple(path.split(".")), layer, shape(N, features), parameters, flops, 4 * parameters, 4 * N * features)


def test_the_table():
    table = fdl.summary(Serial(Affine(100), tied, scores=Affine(1000, w_init=fdl.initializers.orthogonal(2.0))), X)
    assert str(table) == repr(table) == TABLE.strip()


TABLE = """
path             layer                                 output      parameters      FLOPs  parameter bytes  output bytes
-----------------------------------------------------------------------------------------------------------------------
affine1          Affine(100)                           [32, 100]        6,500    412,800         25.4 KiB      12.5 KiB
tied1.embed      Affine(4)                             [32, 4]            404     25,728          1.6 KiB         512 B
tied1.body       Affine(4)                             [32, 4]             20      1,152             80 B         512 B
tied1.body       Affine(4)                             [32, 4]         shared      1,152              0 B         512 B
tied1            network(...)                          [32, 100]            0     25,728              0 B      12.5 KiB
scores           Affine(1000, w_init=orthogonal(sc...  [32, 1000]     101,000  6,432,000        394.5 KiB     125.0 KiB
tied1.auxiliary  Affine(3)                             not called          15          0             60 B           0 B
-----------------------------------------------------------------------------------------------------------------------
total                                                                 107,939  6,898,560        421.6 KiB     151.5 KiB
"""


def test_parameters_are_counted_once_and_calls_every_time():
    table = fdl.summary(tied, X)
    assert [".".join(row.path) for row in table.rows] == ["embed", "body", "body", "", "auxiliary"]
    _, first, second, own, missed = table.rows
    assert (first.parameters, first.shared) == (20, False)
    assert (second.parameters, second.parameter_bytes, second.shared) == (0, 0, True)
    assert first.flops == second.flops == affine_flops(4, 4)
    assert own.flops == N * 4 + 2 * N * 4 * 64  # relu and affine, which the wiring calls as functions
    assert (missed.output, missed.flops, missed.parameters) == (None, 0, 15)
    params, _ = jax.eval_shape(tied.init, jax.random.key(0), X)
    assert table.parameters == sum(leaf.size for leaf in jax.tree.leaves(params))


def test_training_calls_other_layers_and_costs_more():
    net = Serial(tied, BatchNorm(), Dropout(0.5))
    inference, training = fdl.summary(net, X), fdl.summary(net, X, train=True)
    assert by_path(inference)["tied1.auxiliary"].output is None
    assert by_path(training)["tied1.auxiliary"].output == shape(N, 3)
    assert training.parameters == inference.parameters
    before, after = by_path(inference), by_path(training)
    assert before["batch_norm1"].flops == 3 * N * 64 + 3 * 64  # (x - mean) scale + beta; gamma / sqrt(var + eps)
    assert after["batch_norm1"].flops > 2 * before["batch_norm1"].flops
    assert (before["dropout1"].flops, after["dropout1"].flops) == (0, N * 64)  # dividing; random bits are not counted


def test_a_combinator_called_twice_and_layers_without_children_of_their_own():
    block = Serial(Affine(64), Relu())
    net = network(block=block)(lambda net, x: net.block(net.block(x)))
    rows = fdl.summary(net, X).rows
    assert [".".join(row.path) for row in rows] == ["block.affine1", "block.relu1"] * 2
    assert [row.shared for row in rows] == [False, False, True, False]
    (alone,) = fdl.summary(Affine(10), X).rows
    assert (alone.path, alone.flops) == ((), affine_flops(64, 10))


def test_nothing_is_computed():
    huge = shape(2**20, 2**20)
    table = fdl.summary(Serial(Affine(2**20), Relu()), huge)
    assert table.flops == 2 * 2**60 + 2 * 2**40
    assert "4.0 TiB" in str(table)


def test_dtypes_and_outputs_of_several_arrays_count_in_bytes():
    class Split(fdl.Layer):
        def apply(self, params, state, x, *, key=None, train=False):
            return {"low": x.astype(jnp.bfloat16), "high": x[:, :2]}, state

    (only,) = fdl.summary(Split(), X).rows
    assert only.output_bytes == N * (64 * 2 + 2 * 4)
    assert "[32, 2], [32, 64]" in str(fdl.summary(Split(), X))


def test_inputs_may_be_arrays_of_any_kind():
    assert fdl.summary(Affine(3), np.ones((N, 64), np.float32)) == fdl.summary(Affine(3), X)
    assert fdl.summary(Affine(3), jnp.ones((N, 64))) == fdl.summary(Affine(3), X)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fdl.summary(relu, X), "summary describes layers, got <rule relu"),
        (lambda: fdl.summary(Relu(), (32, 64)), r"ShapeDtypeStruct\(\(32, 64\), .* got 32"),
        (lambda: fdl.summary(Serial(a=Serial(Flatten())), shape(3)), r"^a\.flatten1: "),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(fdl.InputError, match=message):
        call()


# Receptive fields. The layers with windows are small ones of these tests.


class Window(fdl.Layer):
    """A mean over windows, one for every channel: what a pool and a convolution do to the receptive field."""

    kernel: int = 3
    stride: int = 1
    dilation: int = 1

    def apply(self, params, state, x, *, key=None, train=False):
        axes = (1,) * (x.ndim - 2)
        kernel, stride, dilation = ((1, *(n * k for k in axes), 1) for n in (self.kernel, self.stride, self.dilation))
        return jax.lax.reduce_window(x, 0.0, jax.lax.add, kernel, stride, "SAME", window_dilation=dilation), state

    def receptive_window(self, x):
        return ((self.kernel, self.stride, self.dilation),) * (x.ndim - 2)


class Twice(fdl.Layer):
    """Nearest-neighbour resizing to twice the length."""

    def apply(self, params, state, x, *, key=None, train=False):
        return jnp.repeat(x, 2, axis=1), state

    def receptive_window(self, x):
        return ((1, Fraction(1, 2), 1),)


class Average(fdl.Layer):
    """The mean over all positions."""

    def apply(self, params, state, x, *, key=None, train=False):
        return x.mean(axis=range(1, x.ndim - 1)), state

    def receptive_window(self, x):
        return tuple((size, 1, 1) for size in x.shape[1:-1])


def field(net, length=64):
    """The receptive field in the middle, as summary tells it and as a gradient sees it."""
    x = jnp.ones((1, length, 2))
    params, state = net.init(jax.random.key(0), x)

    def middle(x):
        y, _ = net.apply(params, state, x)
        return y[0, y.shape[1] // 2].sum() if y.ndim == 3 else y.sum()

    seen = jnp.flatnonzero(jax.grad(middle)(x)[0].sum(-1))
    return fdl.summary(net, x).rows[-1].receptive_field, (int(seen[-1] - seen[0]) + 1,)


@network(left=Window(5), right=Serial(Window(3), Relu()))
def two_paths(net, x):
    return relu(net.left(x)) * jnp.exp(net.right(x))


@pytest.mark.parametrize(
    ("net", "size"),
    [
        (Serial(Window(3), Relu(), Window(3)), 5),
        (Serial(Window(3, stride=2), Window(3)), 3 + 2 * 2),
        (Serial(Window(3, 2), Window(3, 2), Window(3, 2), Affine(4)), 3 + 2 * 2 + 2 * 4),
        (Serial(Window(3), Window(3, dilation=4)), 3 + 2 * 4),
        (Residual(Serial(Window(3), Window(5))), 3 + 4),
        (Residual(Serial(Window(3, 2), Window(3)), Window(1, 2)), 3 + 2 * 2),
        (Serial(Concat(Window(7), Serial(Window(3), Window(3))), Window(3)), 7 + 2),
        (Serial(two_paths, Window(3)), 5 + 2),
        (Serial(Window(2, 2), Window(2, 2), Twice(), Window(3)), 2 + 2 + 2 * 2),
    ],
    ids=repr,
)
def test_receptive_fields_are_what_a_gradient_sees(net, size):
    told, seen = field(net)
    assert told == (size,)
    assert seen[0] <= size
    if "Twice" not in repr(net):
        assert seen == told


def test_receptive_fields_in_two_dimensions_and_after_global_pooling():
    table = fdl.summary(Serial(Window(3, 2), Average(), Affine(10)), shape(2, 8, 6, 3))
    assert [row.receptive_field for row in table.rows] == [(3, 3), (3 + 3 * 2, 3 + 2 * 2), (9, 7)]
    assert str(table).splitlines()[2].endswith("  3x3")
    assert str(table).splitlines()[0].endswith("receptive field")
    assert "receptive" not in str(fdl.summary(Affine(10), shape(2, 8, 6, 3)))


def test_a_receptive_field_that_is_not_known_is_not_told():
    table = fdl.summary(Serial(Window(3), Flatten(), Affine(10)), shape(2, 8, 3))
    assert [row.receptive_field for row in table.rows] == [(3,), None, None]

    class Sequence(fdl.Layer):
        def init(self, key, x):
            return {"w": jnp.ones((1, 4, 2))}, {}

        def apply(self, params, state, x, *, key=None, train=False):
            return x.mean() * params["w"], state

    table = fdl.summary(Serial(Sequence(), Window(3)), shape(2, 8))
    assert [row.receptive_field for row in table.rows] == [None, None]

    both = network(window=Window(3))(lambda net, x, image: net.window(x) + image.mean())
    assert fdl.summary(both, shape(2, 8, 3), shape(2, 8, 8, 3)).rows[-1].receptive_field == (3,)

    @network(window=Window(3))
    def looped(net, x):
        return jax.lax.fori_loop(0, 4, lambda _, x: net.window(x), x)

    (inside, around) = fdl.summary(Serial(looped), shape(2, 64, 3)).rows
    assert inside.receptive_field == (3,)
    assert around.receptive_field is None
    assert inside.flops + around.flops == 4 * inside.flops


def test_wirings_may_use_jit_remat_and_branches():
    @network(body=Window(3))
    def wrapped(net, x):
        body = jax.checkpoint(lambda x: jax.jit(net.body)(x))
        return jax.lax.cond(True, body, body, x) + 1

    table = fdl.summary(wrapped, shape(2, 8, 3))
    assert table.rows[0].flops == 2 * 8 * 3 * 3
    assert table.rows[-1].receptive_field == (3,)


# FLOPs


def scanned(x, w):
    return jax.lax.scan(lambda h, _: (jnp.tanh(h @ w), None), x, None, length=10)[0]


@pytest.mark.parametrize(
    ("function", "inputs", "flops"),
    [
        (jnp.matmul, [shape(5, 7), shape(7, 3)], 2 * 5 * 7 * 3),
        (lambda x, y: jnp.einsum("bij,bjk->bik", x, y), [shape(4, 5, 7), shape(4, 7, 3)], 4 * 2 * 5 * 7 * 3),
        (lambda x: jnp.exp(x) + x, [shape(5, 7)], 2 * 5 * 7),
        (lambda x: x.sum(0), [shape(5, 7)], 5 * 7),
        (lambda x: jnp.cumsum(x, 0), [shape(5, 7)], 5 * 7),
        (lambda x: jnp.where(x > 0, x, 0).T.reshape(-1)[::2].astype(jnp.bfloat16), [shape(5, 7)], 5 * 7),
        (lambda ids, table: table[ids], [shape(5, dtype=jnp.int32), shape(9, 7)], 0),
        (lambda ids: ids * 2 + 1, [shape(5, dtype=jnp.int32)], 0),
        (lambda ids, rows: jnp.zeros((9, 7)).at[ids].add(rows), [shape(5, dtype=jnp.int32), shape(5, 7)], 5 * 7),
        (jnp.sin, [shape(0, 3)], 0),
        (jax.scipy.special.i0e, [shape(5, 7)], 5 * 7),
        (jax.lax.igamma, [shape(5, 7), shape(5, 7)], 5 * 7),
        (scanned, [shape(5, 7), shape(7, 7)], 10 * (2 * 5 * 7 * 7 + 5 * 7)),
        (lambda x: jax.lax.cond(True, jnp.sin, lambda x: 2 * x + 1, x), [shape(5, 7)], 2 * 5 * 7),
        (jax.checkpoint(jax.jit(jnp.sin)), [shape(5, 7)], 5 * 7),
        (
            lambda x, w: jax.lax.conv_general_dilated(x, w, (2,), [(1, 1)], feature_group_count=2),
            [shape(3, 4, 9), shape(6, 2, 3)],
            2 * 3 * 6 * 5 * (2 * 3),
        ),
        (conv, [shape(3, 9, 4), shape(5, 4, 1)], 2 * 3 * 9 * 1 * (5 * 4)),
        (
            lambda x: jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (2, 2), (2, 2), "VALID"),
            [shape(6, 4)],
            3 * 2 * 4,
        ),
    ],
)
def test_what_counts_as_an_operation(function, inputs, flops):
    assert count_flops(function, *inputs) == flops


@pytest.mark.parametrize("layer", [Affine(10), Serial(Affine(10), Affine(10, bias=False), Affine(3))], ids=repr)
def test_xla_counts_the_same_where_no_loops_are(layer):
    params, state = jax.eval_shape(layer.init, jax.random.key(0), X)
    compiled = jax.jit(lambda params, x: layer.apply(params, state, x)[0]).lower(params, X)
    assert compiled.cost_analysis()["flops"] == fdl.summary(layer, X).flops
