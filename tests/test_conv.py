"""What convolutions do beyond the table of cases: every form over a random grid, adjointness, layers, folding."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl.layers import (
    Affine,
    AffineNormRelu,
    BatchNorm,
    Cast,
    Concat,
    Conv,
    ConvNormRelu,
    ConvTranspose,
    DepthwiseConv,
    Relu,
    Remat,
    Repeat,
    Residual,
    SeparableConv,
    Serial,
    conv,
    conv_forms,
    conv_norm_relu,
    conv_operation,
    conv_transpose,
    network,
)
from fdl.windows import windows
from tests.cases.conv import formula, transpose_formula

KEY = jax.random.key(0)
PADDINGS = ["SAME", "VALID", 1, "pairs"]


def grid(seed, count):
    """Random (shapes, choices) that fit: every number of axes and kind of groups, the rest by chance."""
    rng = np.random.default_rng(seed)
    kinds = itertools.cycle(itertools.product((1, 2, 3), ("one", "two", "each", "twice each")))
    while count:
        axes, kind = next(kinds)
        ins = int(rng.choice([2, 4]))
        groups = {"one": 1, "two": 2}.get(kind, ins)
        outs = {"one": 3, "two": 4, "each": ins, "twice each": 2 * ins}[kind]
        kernel = tuple(int(k) for k in rng.choice([1, 1, 2, 3], axes))
        stride, dilation = (tuple(int(s) for s in rng.choice(of, axes)) for of in ([1, 2, 3], [1, 1, 2]))
        padding = PADDINGS[rng.integers(len(PADDINGS))]
        if padding == "pairs":
            padding = tuple((int(low), int(high)) for low, high in rng.integers(0, 4, (axes, 2)))
        sizes = tuple(int(n) for n in rng.integers(3 if axes == 3 else 5, 6 if axes == 3 else 8, axes))
        choices = {"stride": stride, "dilation": dilation, "padding": padding, "groups": groups}
        shapes = ((int(rng.choice([0, 1, 2])), *sizes, ins), (*kernel, ins // groups, outs))
        try:
            windows("", sizes, kernel, stride=stride, dilation=dilation, padding=padding)
        except fdl.InputError:
            continue
        count -= 1
        yield shapes, choices


def both(function, *arrays):
    """(value, gradients) under jit, with rules and under autodiff, in float64."""
    value = jax.eval_shape(function, *arrays)
    dy = jnp.asarray(np.random.default_rng(5).normal(size=value.shape))

    @jax.jit
    def compute(*arrays):
        value, pull_back = jax.vjp(function, *arrays)
        with fdl.differentiation("autodiff"):
            return (value, pull_back(dy)), jax.vjp(function, *arrays)[1](dy)

    return compute(*arrays)


def random(*shapes):
    rng = np.random.default_rng(1)
    return [jnp.asarray(rng.normal(size=shape)) for shape in shapes]


@pytest.mark.parametrize("seed", range(8))
def test_every_form_of_conv(seed):
    with jax.enable_x64(True):
        for (x_shape, w_shape), choices in grid(seed, 6):
            x, w, b = random(x_shape, w_shape, w_shape[-1:])
            (value, ours), theirs = both(lambda *arrays, choices=choices: conv(*arrays, **choices), x, w, b)
            text = f"{x_shape} {w_shape} {choices}"
            expected = formula(*map(np.asarray, (x, w, b)), **choices)
            np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-12, err_msg=text)
            for a, e in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(a, e, rtol=1e-10, atol=1e-12, err_msg=text)


@pytest.mark.parametrize("seed", range(2))
def test_both_forms_of_every_sum_agree(seed):
    """XLA's operation, which other devices use, and what CPU uses in its place."""
    with jax.enable_x64(True):
        for (x_shape, w_shape), choices in grid(seed, 9):
            groups = choices.pop("groups")
            laid, sizes = windows("", x_shape[1:-1], w_shape[:-2], **choices), x_shape[1:-1]
            if len(laid.kernel) == 1:  # those are on two axes by then
                continue

            @jax.jit
            def on_cpu(x, w, dy, laid=laid, groups=groups, sizes=sizes):
                dx = conv_forms._input_gradient_on_cpu(dy, w, laid, sizes, groups)
                return (
                    conv_forms._on_cpu(x, w, laid, groups),
                    dx,
                    conv_forms._weight_gradient_on_cpu(x, dy, laid, groups),
                )

            @jax.jit
            def elsewhere(x, w, dy, laid=laid, groups=groups, sizes=sizes):
                dx = conv_operation.operation_input_gradient(dy, w, laid, sizes, groups)
                dw = conv_operation.operation_weight_gradient(x, dy, laid, groups)
                return conv_operation.operation(x, w, laid, groups), dx, dw

            arrays = random(x_shape, w_shape, (x_shape[0], *laid.output, w_shape[-1]))
            for a, e in zip(on_cpu(*arrays), elsewhere(*arrays), strict=True):
                np.testing.assert_allclose(a, e, rtol=1e-10, atol=1e-12, err_msg=f"{x_shape} {w_shape} {choices}")


@pytest.mark.parametrize("sizes", [(1024,), (32, 32), (8, 16, 8)])
def test_the_weight_gradient_of_many_examples_is_summed_in_chunks(sizes):
    with jax.enable_x64(True):
        laid = windows("", sizes, 3, padding="SAME")
        x, dy = random((9, *sizes, 1), (9, *sizes, 2))
        assert len(x) > 2 * conv_operation.chunk_size(1024, len(x))
        ours = conv_forms._weight_gradient_on_cpu(x, dy, laid, 1)
        np.testing.assert_allclose(ours, conv_operation.operation_weight_gradient(x, dy, laid, 1), rtol=1e-9)


TRANSPOSED = [
    ((2, 5, 2), (3, 2, 3), {}),
    ((1, 4, 3), (1, 3, 2), {"stride": 2}),
    ((2, 3, 4, 2), (2, 3, 2, 3), {"stride": 3}),
    ((2, 3, 4, 2), (3, 4, 2, 2), {"stride": (1, 2), "padding": "VALID"}),
    ((2, 3, 4, 2), (3, 4, 2, 2), {"stride": 2, "padding": ((1, 0), (2, 1))}),
    ((0, 2, 3, 2, 2), (2, 3, 1, 2, 2), {"stride": 2}),
    ((2, 2, 3, 2, 2), (2, 3, 4, 2, 3), {"stride": 2}),
]


@pytest.mark.parametrize(("x_shape", "w_shape", "choices"), TRANSPOSED)
def test_every_form_of_conv_transpose(x_shape, w_shape, choices):
    with jax.enable_x64(True):
        x, w, b = random(x_shape, w_shape, w_shape[-1:])
        (value, ours), theirs = both(lambda *arrays: conv_transpose(*arrays, **choices), x, w, b)
        expected = transpose_formula(*map(np.asarray, (x, w, b)), **choices)
        np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-12)
        for a, e in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, e, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("x_shape", "w_shape", "choices"), TRANSPOSED)
def test_conv_transpose_is_the_adjoint_of_conv(x_shape, w_shape, choices):
    with jax.enable_x64(True):
        y, w = random(x_shape, w_shape)
        back = conv_transpose(y, w, **choices)
        x = random(back.shape)[0] + 1
        there = conv(x, jnp.swapaxes(w, -1, -2), **choices)
        np.testing.assert_allclose(jnp.vdot(there, y), jnp.vdot(x, back), rtol=1e-12)


def test_narrow_types_are_accumulated_in_float32():
    x, w = jnp.full((1, 512, 1), 1.0, jnp.bfloat16), jnp.full((512, 1, 1), 1.0, jnp.bfloat16)
    assert conv(x, w, padding="VALID").ravel().tolist() == [512.0]  # bfloat16 stops counting at 256
    volume = jnp.ones((1, 9, 8, 8, 1), jnp.bfloat16)
    assert conv(volume, volume[0, ..., None], padding="VALID").ravel().tolist() == [576.0]


def test_conv_in_a_loop_is_conv():
    stack, x = Repeat(Conv(2, 3), 3), jax.random.normal(KEY, (2, 5, 5, 2))
    params, state = stack.init(KEY, x)
    by_loop = jax.grad(lambda params: stack.apply(params, state, x)[0].sum())(params)

    def one_by_one(params):
        y = x
        for i in range(3):
            y = conv(y, params["w"][i], params["b"][i])
        return y.sum()

    for name in ("w", "b"):
        np.testing.assert_allclose(by_loop[name], jax.grad(one_by_one)(params)[name], rtol=1e-4, atol=1e-4)


IMAGES = jnp.ones((2, 8, 8, 6))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: conv(IMAGES, jnp.ones((3, 3, 5, 4))), r"w of shape \[\*kernel, 6, out\] for x .* got \[3, 3, 5, 4\]"),
        (lambda: conv(IMAGES[..., 0], jnp.ones((3, 3, 1, 4))), r"x has an axis less, .*x\[..., None\], or .*x\[None\]"),
        (lambda: conv(jnp.ones((2, 6, 8, 8)), jnp.ones((3, 3, 6, 4))), r"belong to the end, jnp.moveaxis\(x, 1, -1\)"),
        (lambda: conv(IMAGES, jnp.ones((3, 6, 4))), "as many axes of the kernel as x has spatial ones"),
        (lambda: conv(IMAGES, jnp.ones((3, 3, 6, 4)), groups=2), r"\[\*kernel, 3, out\] .* in 2 groups"),
        (lambda: conv(IMAGES, jnp.ones((3, 3, 2, 4)), groups=4), "divides its channels .* got 4 for 6"),
        (lambda: conv(IMAGES, jnp.ones((3, 3, 2, 4)), groups=3), "divides its channels .* got 3 for 4"),
        (lambda: conv(IMAGES, jnp.ones((3, 3, 6, 4)), jnp.ones(5)), r"b of shape \[4\], got \[5\]"),
        (lambda: conv(jnp.ones((8, 8)), jnp.ones((3, 3))), r"\[N, \*spatial, C\]"),
        (lambda: conv(IMAGES.astype(int), jnp.ones((3, 3, 6, 4), int)), "conv expects floats, got int32"),
        (lambda: conv(IMAGES, jnp.ones((3, 3, 6, 4)), padding=None), 'takes padding as "SAME", .* got None'),
        (lambda: conv(IMAGES, jnp.ones((9, 9, 6, 4)), padding="VALID"), "as large as its window"),
        (lambda: conv_transpose(IMAGES, jnp.ones((3, 3, 4, 6))), r"\[\*kernel, 6, out\] .* got \[3, 3, 4, 6\]"),
        (lambda: conv_transpose(IMAGES, jnp.ones((3, 3, 6, 4)), jnp.ones(6)), r"b of shape \[4\], got \[6\]"),
        (lambda: conv_transpose(IMAGES, jnp.ones((1, 1, 6, 4)), padding=4), "leaves nothing"),
        (lambda: conv_transpose(jnp.ones((8, 8)), jnp.ones((3, 3))), r"\[N, \*spatial, C\]"),
        (lambda: conv_norm_relu(IMAGES, jnp.ones((1, 1, 5, 4)), jnp.ones(4), jnp.ones(4)), r"\[\*kernel, 6, out\]"),
        (lambda: conv_norm_relu(IMAGES, jnp.ones((1, 1, 6, 4)), jnp.ones(4), jnp.ones(3)), r"beta of shape \[4\]"),
        (lambda: Conv(0, 3), "Conv needs channels as a whole number of at least 1, got 0"),
        (
            lambda: DepthwiseConv(3, multiplier=0),
            "DepthwiseConv needs multiplier as a whole number of at least 1, got 0",
        ),
        (lambda: ConvTranspose(2.5, 3), "ConvTranspose needs channels as a whole number of at least 1, got 2.5"),
        (lambda: ConvNormRelu(4, 3, momentum=1.0), "momentum"),
        (lambda: Conv(4, (3, 3)).init(KEY, jnp.ones((2, 8, 3))), "kernel of at least 1 for each of 1 spatial axes"),
        (lambda: Conv(4, 3, groups=4).init(KEY, IMAGES), "got 4 for 6"),
        (lambda: Conv(4, 3).init(KEY, jnp.ones(3)), r"Conv expects x of shape \[N, \*spatial, C\]"),
        (lambda: fdl.fold_batch_norm(conv, {}, {}), "takes a layer"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(fdl.InputError, match=message):
        call()


def test_weights_start_with_fans_that_know_stride_and_groups():
    x = jnp.ones((1, 8, 8, 64))
    params, _ = Conv(256, 3, groups=8).init(KEY, x)
    assert float(params["w"].var()) == pytest.approx(2 / (9 * 64 / 8), rel=0.05)
    params, _ = ConvTranspose(64, 4, stride=2).init(KEY, x)
    assert float(params["w"].var()) == pytest.approx(2 / (16 * 64 / 4), rel=0.05)


def test_layers_are_their_rules():
    x = jax.random.normal(KEY, (2, 6, 6, 4))
    layer = DepthwiseConv(3, multiplier=2, stride=2)
    params, state = layer.init(KEY, x)
    expected = conv(x, params["w"], params["b"], stride=2, groups=4)
    np.testing.assert_array_equal(layer.apply(params, state, x)[0], expected)
    layer = SeparableConv(5, 3, padding="VALID")
    params, state = layer.init(KEY, x)
    seen = conv(x, params["depthwise"]["w"], padding="VALID", groups=4)
    expected = conv(seen, params["pointwise"]["w"], params["pointwise"]["b"])
    np.testing.assert_array_equal(layer.apply(params, state, x)[0], expected)


@pytest.mark.parametrize("train", [True, False])
def test_conv_norm_relu_is_its_parts(train):
    x = jax.random.normal(KEY, (4, 6, 6, 3))
    layer, parts = ConvNormRelu(5, 3, stride=2), Serial(Conv(5, 3, stride=2, bias=False), BatchNorm(), Relu())
    params, state = layer.init(KEY, x)
    of_parts = {"conv1": {"w": params["w"]}, "batch_norm1": {k: params[k] for k in ("gamma", "beta")}, "relu1": {}}
    y, new = layer.apply(params, state, x, train=train)
    expected, expected_new = parts.apply(of_parts, {"conv1": {}, "batch_norm1": state, "relu1": {}}, x, train=train)
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-6)
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-6), new, expected_new["batch_norm1"])


def test_the_summary_knows_what_they_see():
    net = Serial(Conv(4, 3, stride=2), DepthwiseConv(3, dilation=2), ConvNormRelu(4, 3), ConvTranspose(4, 4, stride=2))
    rows = fdl.summary(net, jnp.ones((1, 16, 16, 3))).rows
    assert [row.receptive_field for row in rows] == [(3, 3), (11, 11), (15, 15), (17, 17)]
    assert rows[-1].output.shape == (1, 16, 16, 4)


def wired():
    @network(stem=Serial(Conv(4, 3), BatchNorm()), head=Affine(2))
    def net(net, x):
        return net.head(net.stem(x).mean((1, 2)))

    return net


NETWORKS = [
    Serial(Conv(4, 3), BatchNorm(), Relu(), Conv(3, 1, bias=False), BatchNorm(eps=0.1)),
    Serial(DepthwiseConv(3), norm=BatchNorm()),
    Serial(ConvTranspose(4, 3, stride=2), BatchNorm()),
    Serial(Affine(4), BatchNorm(), Relu()),
    ConvNormRelu(4, 3, eps=0.1),
    Serial(AffineNormRelu(4, eps=0.1), Affine(3)),
    Serial(Residual(Serial(ConvNormRelu(3, 3), Conv(3, 3, bias=False), BatchNorm())), Relu()),
    Serial(Concat(Conv(4, 3), Conv(2, 1)), BatchNorm()),
    Remat(Serial(Conv(3, 3), BatchNorm())),
    Cast(Serial(Conv(3, 3), BatchNorm()), "float32"),
    Repeat(Residual(Serial(Conv(3, 3), BatchNorm())), 3),
    SeparableConv(4, 3),
    wired(),
]


@pytest.mark.parametrize("net", NETWORKS, ids=str)
def test_folding_changes_no_output(net):
    rng = np.random.default_rng(0)
    x = jax.random.normal(KEY, (4, 6, 6, 3))
    params, state = net.init(KEY, x)
    params, state = jax.tree.map(lambda a: a + jnp.asarray(rng.uniform(0.1, 0.5, a.shape), a.dtype), (params, state))
    expected, _ = net.apply(params, state, x)
    folded, new_params, new_state = fdl.fold_batch_norm(net, params, state)
    y, _ = folded.apply(new_params, new_state, x)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5 * float(jnp.abs(expected).max()))
    assert hash(folded) == hash(fdl.fold_batch_norm(net, params, state)[0])
    shapes = jax.eval_shape(folded.init, KEY, x)
    assert jax.tree.map(jnp.shape, (new_params, new_state)) == jax.tree.map(jnp.shape, shapes)
    kept = isinstance(net, Serial) and isinstance(net.members[0][1], Concat)  # a norm of what is no linear layer
    assert bool(jax.tree.leaves(new_state)) == kept


# ------------------------------------------------------------------------------------- over time, piece by piece

CAUSAL = {
    "conv": Conv(4, 3, dilation=2, padding=((4, 0),)),
    "conv in groups": Conv(6, 2, groups=3, padding=((1, 0),)),
    "depthwise": DepthwiseConv(3, multiplier=2, padding=((2, 0),)),
    "separable": SeparableConv(4, 2, padding=((1, 0),)),
    "with a norm": Serial(ConvNormRelu(4, 3, padding=((2, 0),)), Conv(2, 1)),
    "stack": Repeat(Residual(Serial(Conv(3, 2, dilation=4, padding=((4, 0),)), Relu())), 3),
    "low precision": Cast(Conv(4, 3, padding=((2, 0),)), "bfloat16"),
}


@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize("pieces", [(1,) * 9, (2, 6, 1)])
def test_a_causal_convolution_gives_piece_by_piece_what_it_gives_for_all_at_once(name, pieces):
    net, x = CAUSAL[name], jax.random.normal(KEY, (2, 9, 3))
    params, state = net.init(KEY, x)
    apply = jax.jit(net.apply)
    stream, outputs, start = net.begin_stream(params, state, batch=2, length=9), [], 0
    for size in pieces:
        types = jax.tree.map(jnp.result_type, stream)
        y, stream = apply(params, stream, x[:, start : start + size])
        assert jax.tree.map(jnp.result_type, stream) == types
        outputs.append(y)
        start += size
    np.testing.assert_allclose(
        *(np.float32(y) for y in (jnp.concatenate(outputs, 1), apply(params, state, x)[0])), rtol=1e-5, atol=1e-6
    )


def test_training_on_pieces_keeps_the_inputs_before_them_and_the_running_statistics():
    net, x = ConvNormRelu(4, 3, padding=((2, 0),)), jax.random.normal(KEY, (2, 6, 3))
    params, state = net.init(KEY, x)
    stream = net.begin_stream(params, state, batch=2, length=6)
    _, after = net.apply(params, stream, x, train=True)
    np.testing.assert_array_equal(after["before"], x[:, -2:])
    expected = net.apply(params, state, x, train=True)[1]
    for name in ("mean", "var"):
        np.testing.assert_allclose(after[name], expected[name], rtol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        Conv(4, 3),
        Conv(4, 3, stride=2, padding=((2, 0),)),
        Conv(4, 2, stride=2, padding="VALID_EXACT"),
        Conv(4, 3, padding=((1, 0),)),
        Conv(4, 1),
    ],
    ids=str,
)
def test_a_convolution_that_is_not_causal_carries_nothing(layer):
    params, state = layer.init(KEY, jnp.ones((2, 8, 3)))
    assert layer.begin_stream(params, state, 2, 8) == {}


def test_images_are_no_stream():
    layer = Conv(4, 3)
    assert layer.begin_stream(*layer.init(KEY, jnp.ones((2, 8, 8, 3))), 2, 8) == {}


def test_a_stream_of_other_sequences_is_refused():
    layer = CAUSAL["conv"]
    params, state = layer.init(KEY, jnp.ones((2, 8, 3)))
    stream = layer.begin_stream(params, state, batch=3, length=8)
    with pytest.raises(fdl.InputError, match=r"Conv began a stream of sequences \[3, T, 3\], and is given \[2, 1, 3\]"):
        layer.apply(params, stream, jnp.ones((2, 1, 3)))
