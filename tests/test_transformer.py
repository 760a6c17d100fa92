"""Multi-head attention, positions and transformer blocks: against formulas in NumPy, and piece by piece."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import InputError
from fdl.initializers import ones, zeros
from fdl.layers import (
    Affine,
    Cast,
    DecoderBlock,
    Embedding,
    EncoderBlock,
    Frozen,
    LayerNorm,
    LearnedPositions,
    MultiHeadAttention,
    PositionalEncoding,
    Relu,
    Remat,
    Repeat,
    RMSNorm,
    Serial,
    Swiglu,
    attention_maps,
    feed_forward,
    sinusoidal_positions,
)

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (2, 5, 8))
CONTEXT = jax.random.normal(jax.random.key(2), (2, 7, 6))
CAUSAL = MultiHeadAttention(heads=2, causal=True)
BLOCK = EncoderBlock(CAUSAL, feed_forward(8, 12))


def started(layer, *inputs):
    """Parameters that are nowhere zero, and state."""
    params, state = jax.eval_shape(layer.init, KEY, *inputs)
    draw = np.random.default_rng(0).normal
    return jax.tree.map(lambda w: jnp.asarray(0.3 * draw(size=w.shape), w.dtype), params), jax.tree.map(
        lambda s: jnp.zeros(s.shape, s.dtype), state
    )


@functools.partial(jax.jit, static_argnums=0, static_argnames="train")
def run(layer, params, state, *inputs, **options):
    return layer.apply(params, state, *inputs, **options)


def by_heads(params, x, context, heads, kv_heads, allowed):
    """Multi-head attention one head and one query at a time."""
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    x, context = np.asarray(x, np.float64), np.asarray(context, np.float64)
    q, k, v = (a @ p[name]["w"] + p[name].get("b", 0) for a, name in ((x, "q"), (context, "k"), (context, "v")))
    dim = q.shape[-1] // heads
    y = np.zeros(q.shape)
    for n, t, h in np.ndindex(*x.shape[:2], heads):
        own = slice(h * dim, (h + 1) * dim)
        shared = slice(h // (heads // kv_heads) * dim, (h // (heads // kv_heads) + 1) * dim)
        keys = [s for s in range(context.shape[1]) if allowed(n, t, s)]
        scores = np.exp([q[n, t, own] @ k[n, s, shared] / np.sqrt(dim) for s in keys])
        for weight, s in zip(scores / scores.sum(), keys, strict=True):
            y[n, t, own] += weight * v[n, s, shared]
    return y @ p["out"]["w"] + p["out"].get("b", 0)


@pytest.mark.parametrize(
    ("layer", "inputs", "allowed"),
    [
        (MultiHeadAttention(4), (), lambda n, t, s: True),
        (CAUSAL, (), lambda n, t, s: s <= t),
        (MultiHeadAttention(4, kv_heads=2, dim=3, bias=False), (), lambda n, t, s: True),
        (MultiHeadAttention(2, kv_heads=1), (None, jnp.array([5, 2])), lambda n, t, s: s < [5, 2][n]),
        (MultiHeadAttention(2), (CONTEXT, jnp.array([1, 7])), lambda n, t, s: s < [1, 7][n]),
        (MultiHeadAttention(2), (None, None, jnp.eye(5, dtype=bool)), lambda n, t, s: s == t),
    ],
    ids=["all", "causal", "shared-keys", "lengths", "context", "mask"],
)
def test_multi_head_attention_is_attention_by_each_head(layer, inputs, allowed):
    params, state = started(layer, X, *inputs)
    y, _ = run(layer, params, state, X, *inputs)
    context = X if not inputs or inputs[0] is None else inputs[0]
    expected = by_heads(params, X, context, layer.heads, layer.kv_heads or layer.heads, allowed)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_masks_and_lengths_may_be_named_and_batches_empty():
    layer, mask = MultiHeadAttention(2), jnp.eye(5, dtype=bool)
    params, state = started(layer, X)
    named, _ = layer.apply(params, state, X, mask=mask)
    np.testing.assert_array_equal(named, layer.apply(params, state, X, None, None, mask)[0])
    assert layer.apply(params, state, X[:0])[0].shape == (0, *X.shape[1:])


def test_rotary_sees_distances_only():
    layer = MultiHeadAttention(2, rotary_base=100.0)
    params, state = started(layer, X)
    y, _ = run(layer, params, state, X)
    plain, _ = run(MultiHeadAttention(2), params, state, X)
    assert not np.allclose(y, plain, atol=1e-3)
    shifted = jnp.concatenate([jnp.zeros((2, 3, 8)), X], axis=1)
    mask = (jnp.arange(8) >= 3)[None, None, None]
    later, _ = run(layer, params, state, shifted, None, None, mask)
    np.testing.assert_allclose(later[:, 3:], y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("wrap", [lambda layer: layer, Remat, Frozen, lambda layer: Cast(Frozen(layer), "bfloat16")])
def test_the_map_of_an_attention_layer_by_itself(wrap):
    layer = MultiHeadAttention(2)
    params, state = started(layer, X)
    maps = attention_maps(wrap(layer), params, state, X)
    assert list(maps) == ["multi_head_attention"]
    np.testing.assert_array_equal(maps["multi_head_attention"], layer.weights(params, X))


def test_attention_weights_drop_in_training_only():
    layer = MultiHeadAttention(2, rate=0.5)
    params, state = started(layer, X)
    y = run(layer, params, state, X)[0]
    assert not np.allclose(run(layer, params, state, X, key=KEY, train=True)[0], y)
    np.testing.assert_array_equal(run(layer, params, state, X, key=KEY)[0], y)
    with pytest.raises(InputError, match="draws random numbers"):
        layer.apply(params, state, X, train=True)


def test_weights_are_those_of_the_mean_that_is_taken():
    layer = MultiHeadAttention(4, kv_heads=2, causal=True, rotary_base=100.0)
    params, state = started(layer, X)
    weights = jax.jit(layer.weights)(params, X, None, jnp.array([5, 3]))
    v = (X @ params["v"]["w"] + params["v"]["b"]).reshape(2, 5, 2, 2).repeat(2, axis=2)
    y = jnp.einsum("nhqk,nkhd->nqhd", weights, v).reshape(2, 5, 8) @ params["out"]["w"] + params["out"]["b"]
    np.testing.assert_allclose(y, run(layer, params, state, X, None, jnp.array([5, 3]))[0], rtol=1e-4, atol=1e-5)


def test_the_last_maps_may_start_otherwise_than_the_others():
    layer = EncoderBlock(
        MultiHeadAttention(2, w_init=ones(), out_init=zeros()), feed_forward(8, 12, w_init=ones(), out_init=zeros())
    )
    params, _ = layer.init(KEY, X)
    for part, maps in ((params["attention"], ("q", "k", "v", "out")), (params["feed_forward"], ("affine1", "affine2"))):
        assert [float(part[name]["w"].mean()) for name in maps] == [1.0] * (len(maps) - 1) + [0.0]


# Piece by piece.

IDS = jnp.array([[3, 1, 4, 1, 5], [2, 7, 1, 8, 2]])
MODELS = {
    "gpt": Serial(Embedding(9, 8), LearnedPositions(5), Repeat(BLOCK, 2), LayerNorm(), Affine(9)),
    "sines": Serial(Embedding(9, 8), PositionalEncoding(), Remat(BLOCK), Affine(9)),
    "llama": Serial(
        Embedding(9, 8),
        Repeat(
            EncoderBlock(
                MultiHeadAttention(4, kv_heads=2, causal=True, rotary_base=1e4, bias=False),
                feed_forward(8, 12, Swiglu()),
                RMSNorm(),
            ),
            2,
        ),
        Affine(9),
    ),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("pieces", [(1, 1, 1, 1, 1), (3, 2)])
def test_a_stream_gives_what_the_whole_sequence_gives(name, pieces):
    net = MODELS[name]
    params, state = started(net, IDS)
    stream, outputs, start = net.begin_stream(params, state, batch=2, length=5), [], 0
    for size in pieces:
        y, stream = run(net, params, stream, IDS[:, start : start + size])
        outputs.append(y)
        start += size
    np.testing.assert_allclose(jnp.concatenate(outputs, 1), run(net, params, state, IDS)[0], rtol=1e-4, atol=1e-5)


def test_a_stream_in_low_precision_keeps_keys_in_low_precision():
    net = Cast(BLOCK, "bfloat16")
    params, state = started(net, X)
    stream = net.begin_stream(params, state, batch=2, length=5)
    assert stream["attention"]["keys"].dtype == jnp.bfloat16
    assert run(net, params, stream, X)[0].dtype == jnp.bfloat16


def test_a_stream_that_is_full():
    net = MODELS["gpt"]
    params, state = started(net, IDS)
    with pytest.raises(InputError, match="learned_positions1: LearnedPositions has 5 positions, a stream of 6"):
        net.begin_stream(params, state, 2, 6)
    params, state = started(CAUSAL, X)
    stream = CAUSAL.begin_stream(params, state, 2, 4)
    with pytest.raises(InputError, match="began a stream of 4 positions and is given 5"):
        CAUSAL.apply(params, stream, X)
    _, stream = run(CAUSAL, params, stream, X[:, :3])
    assert np.isnan(run(CAUSAL, params, stream, X[:, :3])[0]).all()
    with pytest.raises(InputError, match="began a stream of 2 sequences and is given 1"):
        CAUSAL.apply(params, CAUSAL.begin_stream(params, state, 2, 4), X[:1, :1])
    with pytest.raises(InputError, match="takes x alone while it is streaming"):
        CAUSAL.apply(params, stream, X[:, :1], None, jnp.array([1, 1]))


# Positions and blocks.


def test_positions_are_their_formula_in_float32():
    with jax.enable_x64(True):
        found = sinusoidal_positions(2_000, 6)
        assert found.dtype == jnp.float32
        for t, i in itertools.product((0, 1, 7, 1_999), range(3)):
            angle = t / 10_000 ** (2 * i / 6)
            assert found[t, 2 * i : 2 * i + 2].tolist() == pytest.approx([math.sin(angle), math.cos(angle)], abs=1e-7)


def test_positions_are_added():
    y, _ = PositionalEncoding().apply({}, {}, X)
    np.testing.assert_allclose(y - X, jnp.broadcast_to(sinusoidal_positions(5, 8), X.shape), atol=1e-6)
    layer = LearnedPositions(6)
    params, state = started(layer, X)
    np.testing.assert_allclose(run(layer, params, state, X)[0], X + params["table"][:5], rtol=1e-6)


def test_norm_before_and_after():
    attention, mlp, norm = MultiHeadAttention(2), feed_forward(8, 12, Relu()), LayerNorm()
    for norm_first in (True, False):
        block = EncoderBlock(attention, mlp, norm, norm_first=norm_first)
        params, state = started(block, X)

        def part(layer, name, x, params=params, state=state):
            return run(layer, params[name], state[name], x)[0]

        x = X
        for layer, name in ((attention, "attention"), (mlp, "feed_forward")):
            if norm_first:
                x = x + part(layer, name, part(norm, f"{name}_norm", x))
            else:
                x = part(norm, f"{name}_norm", x + part(layer, name, x))
        np.testing.assert_allclose(run(block, params, state, X)[0], x, rtol=1e-4, atol=1e-5)


def test_padding_does_not_reach_what_is_real():
    block = DecoderBlock(CAUSAL, MultiHeadAttention(2), feed_forward(8, 12), rate=0.1)
    params, state = started(block, X, CONTEXT)
    lengths = jnp.array([4, 7])
    y, _ = run(block, params, state, X, CONTEXT, lengths)
    changed, _ = run(block, params, state, X, CONTEXT.at[0, 4:].set(jnp.nan), lengths)
    np.testing.assert_array_equal(y, changed)
    later, _ = run(block, params, state, X.at[:, 3:].add(1.0), CONTEXT, lengths)
    np.testing.assert_array_equal(y[:, :3], later[:, :3])
    trained, _ = run(block, params, state, X, CONTEXT, lengths, key=KEY, train=True)
    assert not np.allclose(trained, y)


def test_a_deep_transformer_is_compiled_as_one_block():
    def operations(depth):
        net = Repeat(BLOCK, depth)
        params, state = started(net, X)

        def loss(params):
            return net.apply(params, state, X)[0].sum()

        return jax.jit(jax.grad(loss)).lower(params).as_text().count("\n")

    assert operations(2) == operations(24)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MultiHeadAttention(0), "MultiHeadAttention needs heads as a whole number of at least 1, got 0"),
        (lambda: MultiHeadAttention(4, kv_heads=0), "needs kv_heads as a whole number of at least 1, got 0"),
        (lambda: MultiHeadAttention(4, dim=0), "needs dim as a whole number of at least 1, got 0"),
        (lambda: MultiHeadAttention(4, rotary_base=True), "a finite rotary_base above 1, such as 10_000.0, got True"),
        (lambda: MultiHeadAttention(4, rotary_base=-1.0), "a finite rotary_base above 1, such as 10_000.0, got -1.0"),
        (lambda: MultiHeadAttention(4, kv_heads=3), "kv_heads that divide 4 heads, got 3"),
        (lambda: MultiHeadAttention(4, rate=1.0), r"a rate in \[0, 1\), the probability to drop, got 1.0"),
        (lambda: MultiHeadAttention(3).init(KEY, X), "divides 8 features among 3 heads: give a dim"),
        (lambda: MultiHeadAttention(2).init(KEY, X[0]), r"inputs of shape \[N, T, C\], got \[\[5, 8\]\]"),
        (lambda: CAUSAL.init(KEY, X, CONTEXT), "causal=True looks back in x alone, and is given a context"),
        (lambda: CAUSAL.apply(CAUSAL.init(KEY, X)[0], {}, X, X), "causal=True looks back in x alone"),
        (lambda: CAUSAL.weights(CAUSAL.init(KEY, X)[0], X, X), "causal=True looks back in x alone"),
        (lambda: LearnedPositions(4).init(KEY, X), r"has 4 positions, got x of shape \[2, 5, 8\]"),
        (lambda: LearnedPositions(0), "LearnedPositions needs length as a whole number of at least 1, got 0"),
        (lambda: PositionalEncoding().apply({}, {}, X[0]), r"x of shape \[N, T, C\], got \[5, 8\]"),
        (lambda: EncoderBlock(CAUSAL, Affine(7)).init(KEY, X), r"feed_forward must give the shape of x, \[2, 5, 8\]"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
