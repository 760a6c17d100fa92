"""What a rule is, beyond its gradient: the parts, the switch to autodiff, the errors."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl.layers import (
    MultiHeadAttention,
    affine,
    attention,
    avg_pool,
    dropout,
    embedding,
    layer_norm,
    leaky_relu,
    one_hot,
    relu,
)
from fdl.losses import dice, l2, softmax_cross_entropy, squared_error


@fdl.rule(static=["power"])
def wrong_power(x, *, power):
    return x**power


@wrong_power.forward
def _(x, *, power):
    return x**power, x


@wrong_power.backward
def _(x, dy, *, power):
    return (100 * dy,)  # not the derivative, so that one sees whose derivative is used


@fdl.rule
def doubled_relu(x):
    return relu(x) + relu(x)


@doubled_relu.forward
def _(x):
    return relu(x) + relu(x), x


@doubled_relu.backward
def _(x, dy):
    return (2 * dy * (relu(x) > 0),)


def slope(x):
    return jax.grad(lambda x: wrong_power(x, power=2))(x)


def test_autodiff_is_on_inside_the_block_only():
    assert slope(3.0) == 100
    with fdl.differentiation("autodiff"):
        assert slope(3.0) == 6
        with fdl.differentiation("rules"):
            assert slope(3.0) == 100
        assert slope(3.0) == 6
    assert slope(3.0) == 100


@pytest.mark.parametrize(
    "wrap",
    [
        jax.jit,
        jax.checkpoint,
        lambda f: jax.jit(jax.checkpoint(f)),
        lambda f: lambda x: jax.lax.scan(lambda c, _: (c, f(x)), 0.0, length=1)[1][0],
        lambda f: lambda x: jax.lax.map(f, x[None])[0],
        lambda f: jax.jit(lambda x: jax.lax.cond(x > 0, f, f, x)),
    ],
)
def test_no_cache_outlives_the_switch(wrap):
    @wrap
    def square(x):
        return wrong_power(x, power=2)

    gradient = jax.grad(square)
    x = jnp.float32(3.0)
    for _ in range(2):
        assert gradient(x) == 100
        with fdl.differentiation("autodiff"):
            assert gradient(x) == 6


def test_the_switch_works_inside_jit():
    @jax.jit
    def both(x):
        with fdl.differentiation("autodiff"):
            inside = slope(x)
        return inside, slope(x)

    assert both(3.0) == (6, 100)


def test_forward_mode_goes_through_autodiff_only():
    with fdl.differentiation("autodiff"):
        assert jax.jvp(relu, (2.0,), (5.0,))[1] == 5
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(relu, (2.0,), (5.0,))


def test_a_rule_inside_a_rule_can_be_differentiated_twice_in_any_mode():
    f = lambda x: jnp.sum(doubled_relu(x) ** 2)  # noqa: E731
    x = jnp.array([-1.0, 2.0])
    expected = jnp.diag(jnp.array([0.0, 8.0]))
    assert (jax.hessian(f)(x) == expected).all()
    assert (jax.jacrev(jax.grad(f))(x) == expected).all()


def test_the_reference_is_the_plain_function():
    assert wrong_power.reference(3.0, power=2) == 9
    assert jax.grad(lambda x: wrong_power.reference(x, power=2))(3.0) == 6


def test_arguments_by_name_and_by_position_are_the_same():
    x, w, b = jnp.ones((2, 3)), jnp.ones((3, 4)), jnp.ones(4)
    assert (affine(x, w, b) == affine(b=b, w=w, x=x)).all()
    assert affine(x, w).shape == (2, 4)


def test_integers_and_keys_get_no_gradient():
    _, pull_back = jax.vjp(lambda x, key: dropout(x, key, 0.5), jnp.ones(3), jax.random.key(0))
    assert pull_back(jnp.ones(3))[1].dtype == jax.dtypes.float0


def test_gradients_come_in_the_dtype_of_their_argument():
    x, w = jnp.ones((2, 3), jnp.bfloat16), jnp.ones((3, 4), jnp.float32)
    dx, dw = jax.grad(lambda x, w: affine(x, w).sum(), (0, 1))(x, w)
    assert (dx.dtype, dw.dtype) == (jnp.bfloat16, jnp.float32)


def test_a_static_argument_must_be_a_python_value():
    with pytest.raises(fdl.InputError, match="wrong_power needs power as a fixed Python value"):
        wrong_power(1.0, power=jnp.ones(3))
    with pytest.raises(fdl.InputError, match="dropout needs rate as a fixed Python value"):
        jax.jit(lambda rate: dropout(jnp.ones(3), jax.random.key(0), rate))(0.5)


def test_what_is_wrong_with_a_rule_is_said_when_it_is_written():
    with pytest.raises(TypeError, match="no argument called eps"):
        fdl.rule(static=["eps"])(lambda x: x)
    square = fdl.rule(lambda x: x * x)
    with pytest.raises(TypeError, match="must take the arguments"):

        @square.forward
        def _(z):
            return z * z, z


def test_a_backward_returns_one_gradient_for_each_argument():
    product = fdl.rule(lambda x, y: x * y)
    product.forward(lambda x, y: (x * y, (x, y)))
    product.backward(lambda kept, dz: dz * kept[1])
    with pytest.raises(TypeError, match="must return a tuple of gradients for"):
        jax.grad(product)(1.0, 2.0)


def test_a_gradient_of_the_wrong_shape_is_refused():
    total = fdl.rule(lambda x: x.sum())
    total.forward(lambda x: (x.sum(), None))
    total.backward(lambda _, dy: (dy,))
    with pytest.raises(TypeError, match=r"<lambda>.backward gives a gradient of shape \[\] for x, which is \[3\]"):
        jax.grad(total)(jnp.ones(3))


def test_what_a_gradient_of_the_wrong_shape_lacks():
    def hint(dx, dw, db):
        layer = fdl.rule(lambda x, w, b: x @ w + b)
        layer.forward(lambda x, w, b: (x @ w + b, (x, w)))
        layer.backward(lambda kept, dy: (dx(*kept, dy), dw(*kept, dy), db(*kept, dy)))
        with pytest.raises(TypeError) as caught:
            jax.grad(lambda x: layer(x, jnp.ones((3, 4)), jnp.ones(4)).sum())(jnp.ones((2, 3)))
        return str(caught.value)

    def dx(x, w, dy):
        return dy @ w.T

    def dw(x, w, dy):
        return x.T @ dy

    def db(x, w, dy):
        return dy.sum(0)

    assert "[2, 4] for b, which is [4]: sum it over the axes along which b was" in hint(dx, dw, lambda x, w, dy: dy)
    assert "[1, 4] for b, which is [4]: sum it" in hint(dx, dw, lambda x, w, dy: dy.sum(0, keepdims=True))
    assert "[] for b, which is [4]: repeat it along the axes over which b" in hint(dx, dw, lambda x, w, dy: dy.sum())
    assert "[4, 3] for w, which is [3, 4]: the gradients come in" in hint(dx, lambda x, w, dy: dy.T @ x, db)
    assert "[3, 4] for x, which is [2, 3]: the gradients come in the order of the arguments" in hint(dw, dx, db)


def test_a_part_that_is_missing_is_named():
    def scaled(x, y):
        return x * y

    product = fdl.rule(scaled)
    with pytest.raises(TypeError, match="rule scaled has no forward part: decorate one with @scaled"):
        product(jnp.ones(3), 2.0)
    product.forward(lambda x, y: (x * y, (x, y)))
    with pytest.raises(TypeError, match="rule scaled has no backward part"):
        jax.grad(product)(1.0, 2.0)


def test_a_call_with_other_arguments_names_the_rule():
    with pytest.raises(TypeError, match=r"^relu: too many positional arguments"):
        relu(jnp.ones(3), jnp.ones(3))
    with pytest.raises(TypeError, match=r"^affine: missing a required argument: 'w'"):
        affine(jnp.ones(3))


def test_a_forward_part_returns_a_pair():
    doubled = fdl.rule(lambda x: 2 * x)
    doubled.forward(lambda x: 2 * x)
    with pytest.raises(TypeError, match=r"<lambda>.forward must return a pair \(value, what to remember\)"):
        doubled(jnp.ones((2, 3)))


def test_errors_of_jax_come_with_what_helps():
    with pytest.raises(TypeError) as caught:
        jax.jvp(relu, (1.0,), (1.0,))
    assert any(
        "relu is a rule" in note and 'fdl.differentiation("autodiff")' in note for note in caught.value.__notes__
    )
    mesh = jax.make_mesh((8,), ("d",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        x = jax.device_put(jnp.ones((8, 6)), jax.sharding.NamedSharding(mesh, jax.P("d")))
        with pytest.raises(Exception, match="sharded") as caught:
            jax.jit(jax.grad(lambda w: affine(x, w).sum()))(jnp.ones((6, 5)))
    assert any("AxisType.Auto" in note for note in caught.value.__notes__)


def test_what_apply_returns_is_no_array():
    with pytest.raises(fdl.InputError, match="softmax_cross_entropy expects logits as an array, got a tuple of 2"):
        softmax_cross_entropy((jnp.ones((2, 3)), {}), jnp.zeros(2, jnp.int32))


def test_a_mesh_that_jax_makes_by_default_is_named_whatever_goes_wrong_on_it():
    mesh = jax.make_mesh((8,), ("d",), axis_types=(jax.sharding.AxisType.Explicit,))
    x = jax.device_put(jnp.ones((8, 4, 4, 2)), jax.sharding.NamedSharding(mesh, jax.P("d")))
    with jax.set_mesh(mesh), pytest.raises(TypeError, match="cond branches") as caught:
        jax.jit(lambda x: avg_pool(x, 3, stride=2, padding="SAME"))(x)
    assert any("avg_pool leaves it to XLA" in note and "AxisType.Auto" in note for note in caught.value.__notes__)


def test_another_backward_part_is_used_from_then_on():
    cube = fdl.rule(lambda x: x**3)
    cube.forward(lambda x: (x**3, x))
    cube.backward(lambda x, dy: (2 * x**2 * dy,))
    other = cube.replace(backward=lambda x, dy: (7 * dy,))
    slopes = [jax.grad(cube)(2.0)]
    cube.backward(lambda x, dy: (3 * x**2 * dy,))
    slopes += [jax.grad(cube)(2.0), jax.grad(other)(2.0)]
    assert slopes == [8, 12, 7]


def test_another_forward_part_is_used_from_then_on():
    half = fdl.rule(lambda x: x / 2)
    half.forward(lambda x: (x / 3, None))
    values = [half(6.0)]
    half.forward(lambda x: (x / 2, None))
    assert [*values, half(6.0)] == [2, 3]


@pytest.mark.parametrize("how", ["rules", "autodiff"])
def test_rules_broadcast_and_mix_floats_inside_where_jax_is_set_to_refuse_both(how):
    x, gamma = jnp.ones((2, 3), jnp.bfloat16), jnp.ones(3, jnp.bfloat16)

    def loss(x, gamma):
        return softmax_cross_entropy(layer_norm(x, gamma, gamma), jnp.array([0, 2]))[0]

    expected = jax.grad(loss)(x, gamma)
    with fdl.differentiation(how), jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        for gradient in (jax.grad(loss), jax.jit(jax.grad(loss))):
            np.testing.assert_allclose(*(a.astype(jnp.float32) for a in (gradient(x, gamma), expected)), atol=1e-2)


def test_arguments_of_several_dtypes_are_refused_where_jax_is_set_to_promote_nothing():
    q = jnp.ones((1, 2, 1, 4))
    with jax.numpy_dtype_promotion("strict"):
        attention(q, q, q, causal=True)
        embedding(jnp.array([0]), q[0, :, 0])
        with pytest.raises(jax.dtypes.TypePromotionError, match="strict"):
            attention(q.astype(jnp.bfloat16), q, q)


def test_another_word_than_rules_or_autodiff_is_refused():
    with pytest.raises(fdl.InputError, match="'forward'"):
        fdl.differentiation("forward")


def test_rules_read_as_functions():
    assert repr(dropout).startswith("<rule dropout(x")
    assert dropout.__doc__.startswith("Sets each element to zero")


def test_outside_jit_a_rule_is_one_program_and_inside_it_leaves_no_trace_of_that(caplog):
    x = jnp.ones((3, 5))
    with jax.log_compiles():
        layer_norm(x, jnp.ones(5), jnp.zeros(5))
    compiled = [record.getMessage() for record in caplog.records if "Finished XLA compilation" in record.getMessage()]
    assert [line for line in compiled if "_compiled" in line]
    assert not [line for line in compiled if "reduce" in line or "rsqrt" in line or "dot" in line]
    assert "_compiled" not in str(jax.make_jaxpr(layer_norm)(x, jnp.ones(5), jnp.zeros(5)))


NUMPY = np.array([[0.5, -1.0, 2.0]], np.float32)


@pytest.mark.parametrize(
    "call",
    [
        lambda: embedding(np.array([0]), NUMPY),
        lambda: dice(NUMPY, NUMPY),
        lambda: squared_error(1.0, 2.0),
        lambda: l2({"w": 3.0}),
    ],
)
def test_numpy_and_python_numbers_are_arrays_in_both_modes(call):
    value = call()
    with fdl.differentiation("autodiff"):
        np.testing.assert_allclose(call(), value, rtol=1e-6)


def test_a_choice_in_numpy_does_not_widen_what_it_meets():
    assert leaky_relu(jnp.ones(3, jnp.bfloat16), np.float64(0.1)).dtype == jnp.bfloat16


def test_what_is_no_rule_broadcasts_under_strict_settings_too():
    attend, x = MultiHeadAttention(2, causal=True), jnp.arange(12.0).reshape(1, 3, 4)
    params, state = attend.init(jax.random.key(0), x)
    stream = attend.begin_stream(params, state, 1, 3)
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        assert one_hot(jnp.array([0, 2, 1]), 3, dtype=jnp.bfloat16).sum() == 3
        assert attend.apply(params, stream, x)[0].shape == x.shape


@pytest.mark.parametrize("values", [[1.0, 2.0], (1, 2), [[1.0], [2.0]]])
def test_numbers_in_lists_are_not_taken_for_arrays(values):
    with pytest.raises(fdl.InputError, match=f"relu expects x as an array, got a {type(values).__name__} of numbers"):
        relu(values)
    with pytest.raises(fdl.InputError, match="relu expects x as an array"):
        jax.jit(relu)(values)


def test_a_choice_that_cannot_be_part_of_what_is_compiled_is_refused():
    with pytest.raises(fdl.InputError, match="fixed Python value"):
        wrong_power(2.0, power=([2],))


def test_a_copy_and_a_pickle_of_a_rule_are_the_rule():
    assert copy.deepcopy(relu) is copy.copy(relu) is pickle.loads(pickle.dumps(relu)) is relu
    with pytest.raises(pickle.PicklingError, match="not the same object"):
        pickle.dumps(relu.replace(backward=lambda off, dy: (dy,)))
