"""Networks on graphs: what does not depend on numbering and padding, and how far news travels."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import InputError
from fdl.graphs import Graph, batch_graphs, make_undirected, pad_graphs
from fdl.layers import EdgeFeatures, GraphAttention, NodeFeatures, Serial
from fdl.models import edge_classifier, gcn, graph_classifier, message_passing_network

KEY = jax.random.key(0)
PATH = make_undirected(  # 0 - 1 - 2 - 3 - 4
    Graph(np.eye(5, dtype=np.float32), senders=np.arange(4, dtype=np.int32), receivers=np.arange(1, 5, dtype=np.int32))
)


@pytest.mark.parametrize(("net", "reach"), [(gcn(2, 3, depth=2), 2), (Serial(message_passing_network(4, 2)), 3)])
def test_a_node_knows_what_is_as_many_edges_away_as_there_are_layers(net, reach):

    @jax.jit
    @jax.jacrev
    def slopes_of_first(nodes):
        params, state = net.init(KEY, PATH)
        after, _ = net.apply(params, state, dataclasses.replace(PATH, nodes=nodes))
        return getattr(after, "nodes", after)[0]

    slopes = slopes_of_first(PATH.nodes)
    assert (jnp.abs(slopes).sum((0, 2)) > 0).tolist() == [True] * (reach + 1) + [False] * (4 - reach)


@functools.partial(jax.jit, static_argnums=0)
def scores(net, *graphs):
    params, state = net.init(KEY, graphs[0])
    return [net.apply(params, state, graph)[0] for graph in graphs]


@pytest.mark.parametrize(
    ("net", "n"), [(graph_classifier(2, 4, 1), 1), pytest.param(edge_classifier(2, 4, 1), 8, marks=pytest.mark.slow)]
)
def test_scores_of_graphs_and_edges_do_not_depend_on_what_they_are_batched_and_padded_with(net, n):
    alone = pad_graphs(PATH, nodes=5, edges=8)
    more = pad_graphs(batch_graphs([PATH, PATH]), nodes=12, edges=20, graphs=3)
    poison = dataclasses.replace(more, nodes=np.where(more.node_mask[:, None], more.nodes, np.nan))
    y, many = scores(net, alone, poison)
    np.testing.assert_allclose(many[:n], y, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(many[n : 2 * n], y, rtol=1e-4, atol=1e-5)


def test_attention_drops_weights_in_training_only_and_needs_a_key_for_it():
    layer = GraphAttention(2, heads=2, rate=0.5)

    @jax.jit
    def computed():
        params, state = layer.init(KEY, PATH)
        plain, _ = GraphAttention(2, heads=2).apply(params, state, PATH)
        keys = jax.random.split(KEY, 20_000)
        dropped = jax.vmap(lambda key: layer.apply(params, state, PATH, key=key, train=True)[0].nodes)(keys)
        return plain.nodes, layer.apply(params, state, PATH)[0].nodes, dropped

    plain, evaluated, dropped = computed()
    np.testing.assert_array_equal(evaluated, plain)
    assert not np.allclose(dropped[0], plain)
    np.testing.assert_allclose(dropped.mean(0), plain, atol=0.02)
    with pytest.raises(InputError, match="GraphAttention draws random numbers in training"):
        jax.eval_shape(lambda: layer.apply(*layer.init(KEY, PATH), PATH, train=True)[0].nodes)


def test_features_of_padding_are_zero_and_edges_without_features_are_refused():
    padded = pad_graphs(dataclasses.replace(PATH, edges=np.ones((8, 1), np.float32)), nodes=6, edges=9)
    nan = dataclasses.replace(padded, nodes=padded.nodes + np.nan, edges=padded.edges + np.nan)
    assert NodeFeatures().apply({}, {}, nan)[0][5:].tolist() == [[0.0] * 5]
    assert EdgeFeatures().apply({}, {}, nan)[0][8:].tolist() == [[0.0]]
    with pytest.raises(InputError, match=r"needs a graph with edges \[E, G\], got None"):
        EdgeFeatures().apply({}, {}, PATH)
