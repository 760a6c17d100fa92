"""Parameters in safetensors files: every path, shape, dtype and bit, and nothing that does not fit."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from fdl import InputError
from fdl.layers import Affine, BatchNorm, Relu, Serial
from fdl.train import load_parameters, save_parameters


def parameters(classes=3, dtype="float32"):
    encoder = {"affine1": {"w": jnp.arange(6, dtype=dtype).reshape(2, 3), "b": jnp.ones(3, dtype)}, "relu1": {}}
    return {"encoder": encoder, "scores": {"w": jnp.full((3, classes), 0.5)}, "flatten1": {}}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "net.safetensors"


def same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert (a.dtype, a.shape, np.asarray(a).tobytes()) == (b.dtype, b.shape, np.asarray(b).tobytes())
        assert isinstance(a, jax.Array)


class TestRoundTrip:
    @pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "int8", "uint32", "bool", "complex64"])
    def test_of_every_dtype(self, file, dtype):
        params = {**parameters(dtype="float32"), "one": jnp.asarray([-0.0, 1.5, 3e4]).astype(dtype)}
        save_parameters(file, params)
        same(load_parameters(file), params)
        same(load_parameters(file, like=jax.eval_shape(lambda: params)), params)

    def test_of_scalars_and_of_nothing(self, file):
        params = {"scalar": jnp.array(2.5), "none": jnp.zeros((0, 3)), "deep": {"deeper": {"empty": {}}}}
        save_parameters(file, params)
        same(load_parameters(file), params)
        save_parameters(file, {})
        same(load_parameters(file), {})

    def test_of_a_network_with_layers_that_have_nothing(self, file):
        net = Serial(Affine(4), BatchNorm(), Relu(), Affine(2))
        shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.ones((5, 3)))
        params, state = jax.tree.map(lambda shape: jnp.full(shape.shape, 0.5), shapes)
        save_parameters(file, {"params": params, "state": state})
        same(load_parameters(file), {"params": params, "state": state})

    def test_of_arrays_that_are_not_stored_row_by_row(self, file):
        params = {"w": np.arange(6.0, dtype=np.float32).reshape(2, 3).T}
        save_parameters(file, params)
        np.testing.assert_array_equal(load_parameters(file)["w"], params["w"])

    def test_of_tuples_needs_them(self, file):
        tree = {"layers": ({"w": jnp.ones(1)}, [jnp.zeros(2)])}
        save_parameters(file, tree)
        same(load_parameters(file, like=tree), tree)
        assert jax.tree.structure(load_parameters(file)) == jax.tree.structure(
            {"layers": {"0": {"w": 0}, "1": {"0": 0}}}
        )

    def test_of_float64(self, file):
        with jax.enable_x64(True):
            params = {"w": jnp.arange(3) / 3}
            save_parameters(file, params)
            same(load_parameters(file, like=params), params)
        with pytest.raises(InputError, match=r"w: expected float32\[3\], net.safetensors has float64\[3\]"):
            load_parameters(file, like={"w": jnp.ones(3)})


class TestTheFile:
    def test_is_what_other_programs_read_and_write(self, file):
        save_parameters(file, parameters(), metadata={"epoch": "40"})
        theirs = safetensors.numpy.load_file(file)
        assert sorted(theirs) == ["encoder.affine1.b", "encoder.affine1.w", "scores.w"]
        with safetensors.safe_open(file, "np") as opened:
            assert opened.metadata()["epoch"] == "40"
        safetensors.numpy.save_file(theirs, file)
        without_empty = {"encoder": {"affine1": parameters()["encoder"]["affine1"]}, "scores": parameters()["scores"]}
        same(load_parameters(file), without_empty)

    def test_replaces_another_only_as_a_whole(self, file, monkeypatch):
        save_parameters(file, parameters())
        before = file.read_bytes()

        def full(arrays, path, metadata):
            Path(path).write_bytes(b"half")
            raise OSError("no space left on device")

        monkeypatch.setattr(safetensors.numpy, "save_file", full)
        with pytest.raises(OSError, match="no space left"):
            save_parameters(file, parameters(classes=10))
        assert file.read_bytes() == before
        assert list(file.parent.iterdir()) == [file]

    def test_directories_are_made(self, tmp_path):
        save_parameters(tmp_path / "a" / "b" / "net.safetensors", parameters())
        same(load_parameters(tmp_path / "a" / "b" / "net.safetensors"), parameters())


class TestSelect:
    @pytest.mark.parametrize("select", ["encoder.*", lambda path: path.startswith("encoder")])
    def test_loads_some_and_leaves_the_others(self, file, select):
        save_parameters(file, parameters())
        new = jax.tree.map(lambda w: w * 0 - 1, parameters(classes=10))
        loaded = load_parameters(file, like=new, select=select)
        same(loaded, {**new, "encoder": parameters()["encoder"]})

    @pytest.mark.parametrize(
        ("select", "message"),
        [
            ("enocder.*", "no path fits the pattern 'enocder.*'; there are encoder.affine1.b"),
            (lambda path: False, "select accepts none of the paths of like: encoder.affine1.b"),
            ("encoder.gamma", "encoder.gamma: expected .* has nothing there; it has encoder.affine1.w"),
            ("scores.w", r"scores.w: expected float32\[3, 10\], net.safetensors has float32\[3, 3\]"),
        ],
    )
    def test_says_what_it_does_not_find(self, file, select, message):
        save_parameters(file, parameters())
        like = parameters(classes=10)
        like["encoder"]["gamma"] = jnp.ones(3)
        with pytest.raises(InputError, match=message):
            load_parameters(file, like=like, select=select)

    def test_needs_a_tree(self, file):
        with pytest.raises(InputError, match="give that tree as like="):
            load_parameters(file, select="encoder.*")


def with_changes(change):
    params = parameters()
    change(params)
    return params


@pytest.mark.parametrize(
    ("like", "message"),
    [
        (Serial(Affine(3)), "load_parameters takes a tree of arrays, .* got the layer serial"),
        (parameters(classes=10), r"scores.w: expected float32\[3, 10\], net.safetensors has float32\[3, 3\]"),
        (parameters(dtype="bfloat16"), r"encoder.affine1.b: expected bfloat16\[3\], net.safetensors has float32\[3\]"),
        (
            with_changes(lambda params: params.update(score=params.pop("scores"))),
            "score.w: expected .* has nothing there; it has scores.w",
        ),
        (
            with_changes(lambda params: params.pop("scores")),
            r"scores.w: net.safetensors has float32\[3, 3\] there, and nothing was expected",
        ),
    ],
)
def test_what_does_not_fit_is_named(file, like, message):
    save_parameters(file, parameters())
    with pytest.raises(InputError, match=message):
        load_parameters(file, like=like)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"a.b": jnp.ones(1)}, "the name 'a.b' has a dot in it"),
        ({"key": jax.random.key(0)}, r"key: safetensors files have bool, .*, and no key<fry>\[\]: Checkpoints save"),
        (Serial(Affine(3)), "takes a tree of arrays, .* got the layer serial, which holds none"),
        ({"w": jnp.ones(2, "float8_e4m3fn")}, r"w: safetensors files have .* no float8_e4m3fn\[2\]"),
    ],
)
def test_what_cannot_be_saved(file, params, message):
    with pytest.raises(InputError, match=message):
        save_parameters(file, params)
    assert not file.exists()


def test_what_is_no_file_of_this_kind(file, tmp_path):
    with pytest.raises(FileNotFoundError):
        load_parameters(file)
    save_parameters(file, parameters())
    whole = file.read_bytes()
    for content in whole[:-1], whole[:20], b"", b"hello":
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"net.safetensors is cut off, or no safetensors file"):
            load_parameters(file, like=parameters())
    safetensors.numpy.save_file({"a": np.ones(1), "a.b": np.ones(1)}, file)
    with pytest.raises(InputError, match="an array at 'a' and others below it"):
        load_parameters(file)


def test_settings(file, monkeypatch):
    with pytest.raises(InputError, match="metadata are strings by strings"):
        save_parameters(file, {}, metadata={"epoch": 40})
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r'pip install "fdl\[train\]"'):
        load_parameters(file)
