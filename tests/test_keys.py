"""Random keys as arguments: what is none is refused by whoever was given it, wherever keys are made of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl.augment import chain, cutmix, mixup, random_flip, random_hue
from fdl.graphs import Graph
from fdl.initializers import data_dependent, he_normal, zeros
from fdl.keys import split_key
from fdl.layers import (
    LSTM,
    AdditiveAttention,
    Affine,
    BatchNorm,
    Conv,
    Dropout,
    Embedding,
    Ensemble,
    GraphAttention,
    GraphConv,
    LearnedPositions,
    MultiHeadAttention,
    Repeat,
    monte_carlo,
)
from fdl.models.bert import mask_words
from fdl.optim import sgd
from fdl.sampling import generate
from fdl.train import init_train_state

KEY = jax.random.key(0)
IMAGES, SEQUENCES, IDS = jnp.ones((2, 8, 8, 4)), jnp.ones((2, 5, 4)), jnp.zeros((2, 3), jnp.int32)
GRAPH = Graph(jnp.ones((3, 4)), senders=jnp.array([0, 1]), receivers=jnp.array([1, 2]))
LAYERS = {
    "Affine": (Affine(3), SEQUENCES),
    "Conv": (Conv(3, 3), IMAGES),
    "LSTM": (LSTM(3), SEQUENCES),
    "MultiHeadAttention": (MultiHeadAttention(2), SEQUENCES),
    "AdditiveAttention": (AdditiveAttention(2), SEQUENCES, SEQUENCES),
    "GraphConv": (GraphConv(2), GRAPH),
    "GraphAttention": (GraphAttention(2, 2), GRAPH),
    "Repeat": (Repeat(Affine(4), 2), SEQUENCES),
    "Ensemble": (Ensemble(Affine(4), 2), SEQUENCES),
    "truncated_normal|normal": (Embedding(5, 3), IDS),
    "normal": (LearnedPositions(5), SEQUENCES),
}
NET = Dropout(0.5)
CALLS = {
    "init_train_state": lambda key: init_train_state(BatchNorm(), sgd(0.1), key, SEQUENCES),
    "mixup": lambda key: mixup(key, (IMAGES, jnp.array([0, 1])), classes=2),
    "cutmix": lambda key: cutmix(key, (IMAGES, jnp.array([0, 1])), classes=2),
    "random_flip": lambda key: random_flip(key, IMAGES),
    "random_hue": lambda key: random_hue(key, IMAGES[..., :3]),
    "chain": lambda key: chain(random_flip)(key, IMAGES),
    "mask_words": lambda key: mask_words(key, IDS, vocabulary=5, mask=4),
    "monte_carlo": lambda key: monte_carlo(NET, {}, {}, IMAGES, key=key, samples=2),
    "data_dependent": lambda key: data_dependent(NET, {}, {}, IMAGES, key=key),
    "generate": lambda key: generate(lambda carry, token: (jnp.eye(5)[token], carry), (), IDS[:, 0], 3, key=key),
    "he_normal": lambda key: he_normal()(key, (2, 3)),
    "zeros": lambda key: zeros()(key, (2, 3)),
}


@pytest.mark.parametrize("who", LAYERS)
def test_layers_refuse_a_seed(who):
    layer, *inputs = LAYERS[who]
    with pytest.raises(fdl.InputError, match=rf"({who}) expects a JAX random key, such as jax.random.key\(0\), got 0"):
        layer.init(0, *inputs)


@pytest.mark.parametrize("who", CALLS)
def test_functions_refuse_a_seed(who):
    with pytest.raises(fdl.InputError, match=f"{who} expects a JAX random key, .* got 7"):
        CALLS[who](7)


@pytest.mark.parametrize(
    "key", [KEY, jax.random.PRNGKey(0), np.asarray(jax.random.PRNGKey(0))], ids=["typed", "raw", "numpy"]
)
def test_every_kind_of_key_is_split_as_jax_does(key):
    expected = jax.random.split(key, 3)
    assert (jax.jit(lambda key: split_key("test", key, 3))(key) == expected).all()
    assert (split_key("test", key, 3) == expected).all()


@pytest.mark.parametrize(
    ("key", "got"),
    [
        (None, "got None"),
        (jnp.ones(2), r"got float32 of shape \[2\]"),
        (jnp.uint32(3), r"got uint32 of shape \[\]"),
        (jax.random.split(KEY, 4), "got 4 of them"),
        (jax.random.split(jax.random.PRNGKey(0), 5), "got 5 of them"),
    ],
    ids=["none", "floats", "scalar", "typed-keys", "raw-keys"],
)
def test_what_is_none(key, got):
    with pytest.raises(fdl.InputError, match=got):
        split_key("test", key)
