"""The Python in README.md and in docs runs, as a reader would copy it, and prints what stands there."""

import contextlib
import io
import re
import textwrap
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
import fdl.augment
import fdl.data
from fdl.layers import gru_step, lstm_step, rotary

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```\n\n?((?:    [^\n]*\n|\n(?=    ))*)", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def test_the_readme_runs():
    text = read("README.md")
    printed = "".join(printed for printed, _ in run("README.md"))
    assert list(losses(text)) == [0, 25, 50, 75, 100]
    assert losses(printed) == pytest.approx(losses(text), abs=0.005)
    assert "ok: all 6 gradients agree" in printed


def test_the_guide_prints_what_it_says():
    results = list(run("docs/guide.md"))
    assert len(results) == 12
    for printed, expected in results:
        assert NUMBER.split(printed) == NUMBER.split(expected)
        numbers, told = ([float(number) for number in NUMBER.findall(text)] for text in (printed, expected))
        assert numbers == pytest.approx(told, rel=0.1)


@pytest.fixture(scope="module")
def from_pytorch():
    """What the blocks of docs/from_pytorch.md define."""
    names = {}
    results = list(run("docs/from_pytorch.md", names))
    assert len(results) == 3
    for printed, expected in results:
        assert printed == expected
    return names


def test_a_network_from_pytorch_computes_what_it_did_there(from_pytorch):
    theirs, rng = from_pytorch["theirs"], np.random.default_rng(1)
    x = rng.normal(size=(2, 3, 5, 6))
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)]), (3, 3), (2, 3))
    y = np.einsum("nihwab,oiab->nohw", windows, theirs["0.weight"])
    bias, gamma, beta, mean, var = (
        theirs[name][:, None, None] for name in ("0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var")
    )
    y = np.maximum((y + bias - mean) / np.sqrt(var + 1e-5) * gamma + beta, 0).reshape(2, -1)
    y = y @ theirs["4.weight"].T + theirs["4.bias"]
    net, params, state = (from_pytorch[name] for name in ("net", "params", "state"))
    ours, _ = net.apply(params, state, jnp.asarray(np.moveaxis(x, 1, -1), jnp.float32))
    np.testing.assert_allclose(ours, y, rtol=1e-4, atol=1e-4)


def test_recurrent_layers_from_pytorch_compute_what_they_did_there(from_pytorch):
    rng = np.random.default_rng(2)
    x, h, c = rng.normal(size=(2, 3)), rng.normal(size=(2, 5)), rng.normal(size=(2, 5))

    def drawn(gates):
        return [rng.normal(size=(gates * 5, *axes)) for axes in ((3,), (5,), (), ())]

    def of(x, w, b):
        return np.split(x @ w.T + b, len(b) // 5, axis=1)

    w_ih, w_hh, b_ih, b_hh = lstm = drawn(4)
    i, f, g, o = (a + b for a, b in zip(of(x, w_ih, b_ih), of(h, w_hh, b_hh), strict=True))
    cell = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    ours = jax.tree.map(jnp.float32, from_pytorch["lstm_params"](*lstm))
    np.testing.assert_allclose(lstm_step(*map(jnp.float32, (x, h, c)), **ours)[1], cell, rtol=1e-4, atol=1e-5)
    shown = sigmoid(o) * np.tanh(cell)
    np.testing.assert_allclose(lstm_step(*map(jnp.float32, (x, h, c)), **ours)[0], shown, rtol=1e-4, atol=1e-5)

    w_ih, w_hh, b_ih, b_hh = gru = drawn(3)
    (r, z, n), (r_h, z_h, n_h) = of(x, w_ih, b_ih), of(h, w_hh, b_hh)
    kept, new = sigmoid(z + z_h), np.tanh(n + sigmoid(r + r_h) * n_h)
    ours = jax.tree.map(jnp.float32, from_pytorch["gru_params"](*gru))
    np.testing.assert_allclose(
        gru_step(*map(jnp.float32, (x, h)), **ours), kept * h + (1 - kept) * new, rtol=1e-4, atol=1e-5
    )


def test_attention_from_pytorch_computes_what_it_did_there(from_pytorch):
    rng = np.random.default_rng(3)
    theirs = [[rng.normal(size=shape) / 2 for shape in ((18, 6), (18,), (6, 6), (6,))] for _ in range(3)]
    y = x = rng.normal(size=(2, 7, 6))
    for in_weight, in_bias, out_weight, out_bias in theirs:
        q, k, v = (a.reshape(2, 7, 2, 3) for a in np.split(y @ in_weight.T + in_bias, 3, axis=-1))
        p = np.exp(np.einsum("nqhd,nkhd->nhqk", q, k) / np.sqrt(3))
        y = np.einsum("nhqk,nkhd->nqhd", p / p.sum(-1, keepdims=True), v).reshape(2, 7, 6) @ out_weight.T + out_bias
    attention_params, repeat_params, blocks = (
        from_pytorch[name] for name in ("attention_params", "repeat_params", "blocks")
    )
    params = jax.tree.map(jnp.float32, repeat_params([attention_params(*arrays) for arrays in theirs]))
    ours, _ = blocks.apply(params, blocks.init(jax.random.key(0), x)[1], jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(ours, y, rtol=1e-4, atol=1e-4)


def test_rotary_positions_of_halves_are_those_of_neighbours_in_another_order():
    rng = np.random.default_rng(4)
    x, w, heads, dim = rng.normal(size=(1, 5, 6)), rng.normal(size=(6, 8)), 2, 4
    angles = np.arange(5)[:, None, None] * 10_000.0 ** (-2 * np.arange(dim // 2) / dim)
    first, second = np.split((x @ w).reshape(1, 5, heads, dim), 2, axis=-1)
    cos, sin = np.cos(angles), np.sin(angles)
    of_halves = np.stack([first * cos - second * sin, second * cos + first * sin], axis=-1).reshape(1, 5, heads, dim)
    ours = w.reshape(6, heads, 2, dim // 2).swapaxes(2, 3).reshape(6, heads * dim)
    turned = rotary(jnp.asarray((x @ ours).reshape(1, 5, heads, dim), jnp.float32), jnp.arange(5))
    np.testing.assert_allclose(turned, of_halves, rtol=1e-4, atol=1e-5)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize(("document", "least"), [("README.md", 10), ("docs/guide.md", 10), ("docs/from_pytorch.md", 2)])
def test_the_files_that_are_named_are_there(document, least):
    named = re.findall(r"[`(]((?:fdl|docs|examples|benchmarks|tests)/[\w/.]*)[`)]", read(document))
    assert len(named) >= least
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_what_the_tables_from_pytorch_name_is_in_fdl():
    rows = [line.split(" | ", 1)[1] for line in read("docs/from_pytorch.md").splitlines() if line.startswith("| `")]
    called = {name for row in rows for name in re.findall(r"(?<![\w.])([A-Za-z]\w*)\(", row)}
    modules = fdl.layers, fdl.losses, fdl.optim, fdl.initializers, fdl.data, fdl.augment
    public = {name for module in modules for name in module.__all__}
    assert len(called) > 40
    assert called - public == {"float", "len", "partial"}  # Python's own


def test_a_weighted_sampler_of_the_table_draws_as_often_as_the_weights_say():
    names = {"np": np, "Epoch": fdl.data.Epoch, "arrays": np.arange(3), "w": np.array([6, 3, 1]), "n": 3000, "b": 100}
    (batches,) = re.findall(r"\| `(lambda epoch: Epoch\(.*)` as the batches", read("docs/from_pytorch.md"))
    first, again, other = (np.concatenate(list(eval(batches, names)(epoch))) for epoch in (0, 0, 1))
    np.testing.assert_allclose(np.bincount(first) / 3000, [0.6, 0.3, 0.1], atol=0.03)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def read(document):
    return (ROOT / document).read_text(encoding="utf-8")


def run(document, names=None):
    """What each block of Python in a document prints, and what stands indented under it; names are what they define."""
    text, names = read(document), {} if names is None else names
    names["__name__"] = "document"
    for block in BLOCK.finditer(text):
        # As many empty lines first as there are before the block, so that a traceback names the document's line.
        lines_before = "\n" * text.count("\n", 0, block.start(1))
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(lines_before + block[1], ROOT / document, "exec"), names)
        yield re.sub(" +$", "", printed.getvalue(), flags=re.MULTILINE), textwrap.dedent(block[2])


def losses(text):
    """What is printed of the training, here and in the README."""
    return {int(step): float(loss) for step, loss in re.findall(r"^ *step +(\d+)  loss (\S+)$", text, re.MULTILINE)}
