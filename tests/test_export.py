"""Exported models: what was written says the same where there is no fdl, for inputs of any size."""

import functools
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import InputError
from fdl.layers import (
    LSTM,
    Affine,
    AvgPool,
    BatchNorm,
    Bidirectional,
    Cast,
    Conv,
    DepthwiseConv,
    Dropout,
    Embedding,
    Flatten,
    MaxPool,
    MultiHeadAttention,
    Relu,
    Serial,
    conv,
    conv_norm_relu,
    conv_transpose,
    network,
    softmax,
)
from fdl.losses import hinge, nt_xent
from fdl.models import gpt, unet, vit
from fdl.train import export, export_model, predict

IMAGES = np.random.default_rng(0).normal(size=(5, 8, 8, 3)).astype(np.float32)

WITHOUT_FDL = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "fdl":
            raise ImportError("there is no fdl here")

sys.meta_path.insert(0, Refuse())
inputs_file, outputs_file = sys.argv[1:]

{recipe}

np.savez(outputs_file, outputs, program.call(arrays, inputs[:1]))
assert not any(name.partition(".")[0] == "fdl" for name in sys.modules)
"""


def test_the_file_loads_without_fdl(tmp_path):
    net = Serial(
        Conv(8, 3),  # by jax.lax.platform_dependent
        BatchNorm(),
        Relu(),
        MaxPool(2),
        DepthwiseConv(3),
        AvgPool(2),
        Dropout(0.5),
        Flatten(),
        scores=Cast(Affine(4), "bfloat16"),
    )
    params, state = jax.jit(net.init)(jax.random.key(0), IMAGES)
    params["scores"] = jax.tree.map(lambda w: w.astype(jnp.bfloat16), params["scores"])
    state["batch_norm1"]["mean"] += 1.0
    export_model(tmp_path / "deep" / "net.npz", net, params, state, IMAGES, then=softmax)
    with np.load(tmp_path / "deep" / "net.npz") as file:
        readme = str(file["readme"])
        program = jax.export.deserialize(bytearray(file["program"]))
        assert len(file.files) == 2 + len(jax.tree.leaves((params, state)))
    assert program.platforms == ("cpu", "cuda", "tpu")
    assert "It takes float32[n, 8, 8, 3] and gives bfloat16[n, 4]." in readme
    recipe = re.search(r"^import jax$.*^outputs = .*?$", readme, re.DOTALL | re.MULTILINE)[0]
    told = [line[4:] for line in export.__doc__.splitlines() if line.startswith("    ")]
    assert [line for line in recipe.splitlines() if line] == [line.replace("digits", "net") for line in told]
    recipe = recipe.replace("outputs = ", "inputs = np.load(inputs_file)\noutputs = ")
    (tmp_path / "deep" / "use.py").write_text(WITHOUT_FDL.format(recipe=recipe))
    np.save(tmp_path / "x.npy", IMAGES)
    subprocess.run(
        [sys.executable, "-I", "use.py", tmp_path / "x.npy", tmp_path / "y.npz"], check=True, cwd=tmp_path / "deep"
    )
    expected = softmax(jnp.asarray(predict(net, params, state, IMAGES, batch_size=5)))
    with np.load(tmp_path / "y.npz") as file:
        found = [file[name].view(jnp.bfloat16) for name in file.files]
    assert [y.shape for y in found] == [(5, 4), (1, 4)]
    for y in found:
        np.testing.assert_allclose(y.astype(np.float32), expected[: len(y)].astype(np.float32), rtol=0.02)


def test_sequences_and_trees(tmp_path):
    @network(lstm=LSTM(3), attention=MultiHeadAttention(2))
    def net(net, x):
        hs = net.lstm(x["steps"])
        return {"hs": hs, "seen": (net.attention(x["steps"]), x["id"] + 1)}

    x = {"steps": IMAGES[:, :, 0, :2], "id": np.arange(5)}
    params, state = jax.jit(net.init)(jax.random.key(0), x)
    like = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, jnp.result_type(a)), x)
    export_model(tmp_path / "net", net, params, state, like, platforms=["cpu"])  # the name as it was given
    with np.load(tmp_path / "net") as file:
        program = jax.export.deserialize(bytearray(file["program"]))
        arrays = [file[f"array{i}"] for i in range(len(file.files) - 2)]
    expected = predict(net, params, state, x, batch_size=5)
    for examples in (5, 2):
        found = program.call(arrays, jax.tree.map(lambda a: jnp.asarray(a[:examples]), x))  # noqa: B023
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[: len(a)], rtol=1e-4, atol=1e-5), found, expected)


def test_a_vision_transformer_takes_any_batch(tmp_path):
    net = vit(3, size=8, patch=4, features=4, heads=2, depth=1)
    params, state = net.init(jax.random.key(0), IMAGES)
    export_model(tmp_path / "net.npz", net, params, state, IMAGES, platforms=["cpu"])
    with np.load(tmp_path / "net.npz") as file:
        program = jax.export.deserialize(bytearray(file["program"]))
        arrays = [file[f"array{i}"] for i in range(len(file.files) - 2)]
    found, expected = program.call(arrays, IMAGES[:2]), predict(net, params, state, IMAGES, batch_size=5)
    np.testing.assert_allclose(found, expected[:2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("rule", "shapes"),
    [
        (conv, [("n", 8, 3), (3, 3, 2)]),
        (conv, [("n", 8, 8, 3), (3, 3, 3, 2)]),
        (conv, [("n", 4, 4, 4, 3), (3, 3, 3, 3, 2)]),
        (functools.partial(conv, groups=2), [("n", 8, 8, 4), (3, 3, 2, 4)]),
        (functools.partial(conv_transpose, stride=2), [("n", 4, 4, 3), (3, 3, 3, 2)]),
        (lambda x, w: conv_norm_relu(x, w, jnp.ones(2), jnp.zeros(2))[0], [("n", 8, 8, 3), (3, 3, 3, 2)]),
        (lambda scores: hinge(scores, jnp.zeros(scores.shape[0], int)), [("n", 3)]),
        (lambda x, w: nt_xent(x @ w, x), [("n", 3), (3, 3)]),
    ],
)
def test_gradients_take_any_batch(rule, shapes):
    rng, (n,) = np.random.default_rng(0), jax.export.symbolic_shape("n")
    gradient = jax.jit(jax.grad(lambda arrays: (rule(*arrays) ** 2).sum()))
    symbols = [jax.ShapeDtypeStruct([n if size == "n" else size for size in shape], np.float32) for shape in shapes]
    exported = jax.export.export(gradient)(symbols)
    for examples in (1, 5):
        sizes = [[examples if size == "n" else size for size in shape] for shape in shapes]
        arrays = [rng.normal(size=size).astype(np.float32) for size in sizes]
        for found, expected in zip(exported.call(arrays), gradient(arrays), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


ANY_SIZE = {
    "gpt": (gpt(7, 12, 8, 2, 2, dropout=0.0), ("t", ["t <= 12"]), [(3, 12), (1, 5)]),
    "lstm": (Serial(Embedding(7, 4), Bidirectional(LSTM(3))), ("t", []), [(2, 70), (3, 1)]),
    "causal": (
        Serial(Embedding(7, 4), Conv(4, 3, padding=((2, 0),)), MaxPool(2)),
        ("t", ["t >= 2"]),
        [(2, 9), (1, 2)],
    ),
    "unet": (unet(2, depth=2, width=4, padding="SAME"), ("4 * h, 4 * w, 3", []), [(2, 8, 16, 3), (1, 4, 4, 3)]),
}


@pytest.mark.parametrize("name", ANY_SIZE)
def test_sequences_and_images_of_any_size(name, tmp_path):
    net, (symbols, constraints), shapes = ANY_SIZE[name]
    rng = np.random.default_rng(0)
    several = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    if len(shapes[0]) == 2:
        several = [rng.integers(7, size=shape) for shape in shapes]
    params, state = net.init(jax.random.key(0), several[0])
    sizes = (1, *jax.export.symbolic_shape(symbols, constraints=constraints))
    like = jax.ShapeDtypeStruct(sizes, several[0].dtype)
    export_model(tmp_path / "net.npz", net, params, state, like, platforms=["cpu"])
    with np.load(tmp_path / "net.npz") as file:
        assert f"[n, {', '.join(map(str, sizes[1:]))}] and gives" in str(file["readme"])
        program = jax.export.deserialize(bytearray(file["program"]))
        arrays = [file[f"array{i}"] for i in range(len(file.files) - 2)]
    for x in several:
        found, expected = program.call(arrays, x), net.apply(params, state, x)[0]
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected)


def test_sizes_that_are_symbols_are_told_apart(tmp_path):
    net = gpt(7, 12, 8, 2, 1)
    params, state = net.init(jax.random.key(0), np.ones((1, 12), int))
    (t,) = jax.export.symbolic_shape("t")
    with pytest.raises(Exception, match="inconclusive") as caught:
        export_model(tmp_path / "x", net, params, state, jax.ShapeDtypeStruct((1, t), int))
    assert 'symbolic_shape(..., constraints=["t <= 1024"])' in str(caught.value.__notes__)
    (twice,) = jax.export.symbolic_shape("2*n")
    with pytest.raises(InputError, match=r"the size 2\*n needs another symbol"):
        export_model(tmp_path / "x", net, params, state, jax.ShapeDtypeStruct((1, twice), int))
    assert not list(tmp_path.iterdir())


def test_a_wiring_that_needs_a_number(tmp_path):
    @network(scores=Affine(2))
    def net(net, x):
        return net.scores(x.reshape(len(x), -1))

    params, state = net.init(jax.random.key(0), IMAGES)
    with pytest.raises(TypeError) as caught:
        export_model(tmp_path / "net.npz", net, params, state, IMAGES)
    assert "batch_size= fixes it" in str(caught.value.__notes__)
    assert not list(tmp_path.iterdir())
    export_model(tmp_path / "net.npz", net, params, state, IMAGES, batch_size=5)
    with np.load(tmp_path / "net.npz") as file:
        assert "float32[5, 8, 8, 3]" in str(file["readme"])


def test_refuses(tmp_path):
    net = Affine(2)
    params, state = net.init(jax.random.key(0), IMAGES)
    for platforms in ("cpu", [], ["gpu"]):
        with pytest.raises(InputError, match="platforms are a list of any of cpu, cuda, rocm, tpu"):
            export_model(tmp_path / "x", net, params, state, IMAGES, platforms=platforms)
    with pytest.raises(InputError, match="of one length"):
        export_model(tmp_path / "x", net, params, state, (IMAGES, IMAGES[:2]))
