"""Graphs: the order of nodes and edges, batches, padding, and the formulas of the layers written as loops."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl
from fdl.graphs import Graph, add_self_loops, batch_graphs, make_undirected, pad_graphs
from fdl.layers import (
    Affine,
    AffineRelu,
    GraphAttention,
    GraphConv,
    MessagePassing,
    OnNodes,
    Readout,
    Relu,
    Serial,
    Tanh,
    gather_nodes,
    network,
    scatter_max,
    scatter_mean,
    scatter_softmax,
    scatter_sum,
)

KEY = jax.random.key(0)
F, G = 3, 2


def graph(seed, ends, nodes):
    """A graph with random features and the given edges, in NumPy."""
    rng = np.random.default_rng(seed)
    senders, receivers = np.array(ends, np.int32).reshape(-1, 2).T
    features = rng.normal(size=(nodes, F)).astype(np.float32), rng.normal(size=(len(ends), G)).astype(np.float32)
    return Graph(features[0], senders, receivers, edges=features[1])


GRAPHS = [
    graph(0, [(0, 1), (2, 1), (1, 3), (3, 3), (2, 1), (1, 0)], nodes=5),  # two edges alike, a loop, an isolated node
    graph(1, [], nodes=2),
    graph(2, [(0, 1), (1, 2), (2, 0)], nodes=3),
    graph(3, [(0, 0)], nodes=1),
]
SIZES = {"nodes": 16, "edges": 13, "graphs": 6}  # all of them have 11 nodes and 10 edges
BODIES = {
    "sum": Serial(MessagePassing(AffineRelu(5), Affine(4)), OnNodes(Tanh()), MessagePassing(Affine(3), AffineRelu(4))),
    "mean": MessagePassing(AffineRelu(5), Affine(4), aggregate="mean"),
    "max": Serial(OnNodes(Affine(4)), MessagePassing(AffineRelu(5), Affine(4), aggregate="max")),
    "convolution": Serial(GraphConv(5), OnNodes(Relu()), GraphConv(2)),
    "attention": Serial(GraphAttention(4, heads=2), OnNodes(Tanh()), GraphAttention(2, heads=3, concat=False)),
}
SLOW = ("mean", "convolution")
every_body = pytest.mark.parametrize(
    "body",
    [
        # All tests of a body run in one process, where they share what they compile.
        pytest.param(body, id=name, marks=[pytest.mark.xdist_group(name), *[pytest.mark.slow] * (name in SLOW)])
        for name, body in BODIES.items()
    ],
)


@functools.cache
def model(body):
    """(params, state) of a body, with biases that are not zero."""
    params, state = jax.jit(body.init)(KEY, batch_graphs(GRAPHS))
    return jax.tree.map(lambda a: a + 0.1 * jnp.arange(a.size).reshape(a.shape) / a.size, params), state


@functools.partial(jax.jit, static_argnames="body")
def computed(body, params, state, graph):
    """The graph after the body, all readouts of it, and the gradients of a function of the real ones, by all floats."""

    def loss(params, nodes, edges):
        after, _ = body.apply(params, state, dataclasses.replace(graph, nodes=nodes, edges=edges))
        readouts = [Readout(how).apply({}, {}, after)[0] for how in ("sum", "mean", "max")]
        where = True if graph.graph_mask is None else graph.graph_mask[:, None]
        return sum(jnp.sum(jnp.sin(y), where=where) for y in readouts), (after, readouts)

    gradients, outputs = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(params, graph.nodes, graph.edges)
    return *outputs, gradients


def assert_close(a, b, rtol=1e-4):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-5), a, b)


@every_body
def test_the_numbers_of_nodes_and_edges_do_not_matter(body):
    rng, one = np.random.default_rng(5), GRAPHS[0]
    order, edge_order = rng.permutation(5), rng.permutation(6)
    number = np.argsort(order)  # the new number of each node
    renumbered = Graph(
        nodes=one.nodes[order],
        senders=number[one.senders[edge_order]].astype(np.int32),
        receivers=number[one.receivers[edge_order]].astype(np.int32),
        edges=one.edges[edge_order],
    )
    before, readouts, _ = computed(body, *model(body), pad_graphs(one, **SIZES))
    after, same, _ = computed(body, *model(body), pad_graphs(renumbered, **SIZES))
    assert_close(after.nodes[:5], before.nodes[order])
    assert_close(after.edges[:6], before.edges[edge_order])
    assert_close(same, readouts)


@every_body
def test_a_batch_is_its_graphs_one_by_one(body):
    after, readouts, _ = computed(body, *model(body), batch_graphs(GRAPHS))
    for g, one in enumerate(GRAPHS):  # padded, so that there is one compilation for all of them
        alone, its_readouts, _ = computed(body, *model(body), pad_graphs(one, **SIZES))
        nodes, edges = (np.cumsum([0, *(getattr(o, rows).shape[0] for o in GRAPHS)]) for rows in ("nodes", "edges"))
        assert_close(after.nodes[nodes[g] : nodes[g + 1]], alone.nodes[: len(one.nodes)])
        assert_close(after.edges[edges[g] : edges[g + 1]], alone.edges[: len(one.edges)])
        assert_close([y[g] for y in readouts], [y[0] for y in its_readouts])


@every_body
def test_padding_changes_neither_values_nor_gradients(body):
    batch = batch_graphs(GRAPHS)
    padded = pad_graphs(batch, **SIZES)
    poison = dataclasses.replace(
        padded,
        nodes=np.where(padded.node_mask[:, None], padded.nodes, np.nan),
        edges=np.where(padded.edge_mask[:, None], padded.edges, np.nan),
        senders=np.where(padded.edge_mask, padded.senders, 2),
        receivers=np.where(padded.edge_mask, padded.receivers, 2),
    )
    after, readouts, (of_params, of_nodes, of_edges) = computed(body, *model(body), batch)
    for filled in (padded, poison):
        more, more_readouts, (by_params, by_nodes, by_edges) = computed(body, *model(body), filled)
        assert_close((more.nodes[:11], more.edges[:10]), (after.nodes, after.edges))
        assert_close([y[:4] for y in more_readouts], readouts)
        assert all((y[4:] == 0).all() for y in more_readouts)
        assert_close(by_params, of_params)
        assert_close((by_nodes, by_edges), (np.pad(of_nodes, ((0, 5), (0, 0))), np.pad(of_edges, ((0, 3), (0, 0)))))


def test_padded_batches_of_different_graphs_are_compiled_once():
    net = Serial(BODIES["mean"], GraphConv(4), GraphAttention(4), Readout("mean"), Affine(1))
    batches = [batch_graphs(GRAPHS[:2]), batch_graphs(GRAPHS[1:]), GRAPHS[2]]
    padded = [pad_graphs(batch, nodes=8, edges=9, graphs=3) for batch in batches]
    traces = []

    @jax.jit
    def apply(params, state, graph):
        traces.append(graph)
        return net.apply(params, state, graph)[0]

    params, state = net.init(KEY, padded[0])
    assert [apply(params, state, batch).shape for batch in padded] == [(3, 1)] * 3
    assert len(traces) == 1


def reduced(how, rows, width):
    return {"sum": np.sum, "mean": np.mean, "max": np.max}[how](rows, axis=0) if rows else np.zeros(width)


@pytest.mark.parametrize("how", ["sum", "mean", "max"])
def test_message_passing_is_its_formula(how):
    layer, one = MessagePassing(Affine(4), Affine(2), aggregate=how), GRAPHS[0]
    params, _ = layer.init(KEY, one)
    after, _ = layer.apply(params, {"edge": {}, "node": {}}, one)
    edge, node = (np.asarray(params[name]["w"]) for name in ("edge", "node"))
    ends = zip(one.senders, one.receivers, one.edges, strict=True)
    messages = [np.concatenate([one.nodes[s], one.nodes[r], z]) @ edge for s, r, z in ends]
    for i, x in enumerate(one.nodes):
        arrived = reduced(how, [m for m, r in zip(messages, one.receivers, strict=True) if r == i], 4)
        np.testing.assert_allclose(after.nodes[i], np.concatenate([x, arrived]) @ node, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after.edges, messages, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("features", [2, 7])
def test_graph_convolution_is_its_formula(features):
    one = GRAPHS[0]
    layer = GraphConv(features, b_init=fdl.initializers.ones())
    params, _ = layer.init(KEY, one)
    a = np.eye(5)
    np.add.at(a, (one.receivers, one.senders), 1)
    hear, speak = a.sum(1) ** -0.5, a.sum(0) ** -0.5
    expected = (hear[:, None] * a * speak) @ one.nodes @ np.asarray(params["w"]) + 1
    after, _ = layer.apply(params, {}, one)
    np.testing.assert_allclose(after.nodes, expected, rtol=1e-4, atol=1e-5)
    assert after.edges is one.edges


@pytest.mark.parametrize("concat", [True, False])
def test_graph_attention_is_its_formula(concat):
    one = GRAPHS[0]
    layer = GraphAttention(2, heads=3, concat=concat, b_init=fdl.initializers.ones())
    params, _ = layer.init(KEY, one)
    w, u, v = (np.asarray(params[name]) for name in ("w", "sender", "receiver"))
    x = (one.nodes @ w).reshape(5, 3, 2)
    y = np.zeros((5, 3, 2))
    for i in range(5):
        senders = [s for s, r in zip(one.senders, one.receivers, strict=True) if r == i] + [i]
        for h in range(3):
            scores = np.array([u[h] @ x[s, h] + v[h] @ x[i, h] for s in senders])
            weights = np.exp(np.where(scores < 0, 0.2 * scores, scores))
            y[i, h] = (weights / weights.sum()) @ x[senders, h]
    after, _ = layer.apply(params, {}, one)
    np.testing.assert_allclose(after.nodes, (y.reshape(5, 6) if concat else y.mean(1)) + 1, rtol=1e-4, atol=1e-5)


def test_layers_on_graphs_can_be_wired_initialised_from_shapes_and_summarised():
    @network(first=MessagePassing(AffineRelu(4), Affine(F)), readout=Readout("max"), out=Affine(2))
    def with_shortcut(net, graph):
        after = net.first(graph)
        return net.out(net.readout(dataclasses.replace(after, nodes=after.nodes + graph.nodes)))

    batch = batch_graphs(GRAPHS)
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), batch)
    params, state = with_shortcut.init(KEY, shapes)
    assert with_shortcut.apply(params, state, batch)[0].shape == (4, 2)
    assert fdl.summary(with_shortcut, batch).parameters == sum(leaf.size for leaf in jax.tree.leaves(params))
    assert repr(BODIES["mean"]) == "MessagePassing(AffineRelu(5), Affine(4), aggregate='mean')"


@pytest.mark.parametrize("layer", [GraphConv(2), GraphAttention(2, heads=2), GraphConv(8, bias=False)], ids=str)
def test_layers_keep_a_narrow_type(layer):
    def apply():
        narrow = jax.tree.map(lambda a: jnp.asarray(a, jnp.bfloat16 if a.dtype == np.float32 else None), GRAPHS[0])
        params, state = layer.init(KEY, narrow)
        return layer.apply(jax.tree.map(lambda a: a.astype(jnp.bfloat16), params), state, narrow)[0].nodes

    assert jax.eval_shape(apply).dtype == jnp.bfloat16


def test_batches_of_numpy_graphs_are_numpy_s_and_can_be_batched_again():
    batch = batch_graphs([batch_graphs(GRAPHS[:2]), pad_graphs(GRAPHS[2], nodes=4, edges=3), GRAPHS[3]])
    assert {type(leaf) for leaf in jax.tree.leaves(batch)} == {np.ndarray}
    assert batch.graphs == 4
    assert batch.node_graph.tolist() == [0] * 5 + [1] * 2 + [2] * 4 + [3]
    assert batch.senders.tolist() == [0, 2, 1, 3, 2, 1, 7, 8, 9, 11]
    assert batch.node_mask.tolist() == [True] * 10 + [False, True]
    assert batch.edge_mask.tolist() == [True] * 10
    assert batch.senders.dtype == batch.node_graph.dtype == np.int32
    assert batch_graphs(GRAPHS).node_mask is None


def test_batches_of_one_graph_and_of_graphs_without_nodes():
    empty = Graph(np.zeros((0, F), np.float32), *np.zeros((2, 0), np.int32))
    alone = batch_graphs([empty])
    assert Readout("max").apply({}, {}, batch_graphs([empty, empty]))[0].tolist() == [[0] * F] * 2
    for layer in (GraphConv(2), GraphAttention(2), MessagePassing(Affine(2), Affine(2), aggregate="max")):
        assert layer.apply(*layer.init(KEY, alone), alone)[0].nodes.shape == (0, 2)
    assert batch_graphs(GRAPHS[:1]).node_graph.tolist() == [0] * 5


def test_gradients_go_through_putting_graphs_together():
    @jax.grad
    def slope(nodes):
        one = dataclasses.replace(GRAPHS[2], nodes=nodes)
        padded = pad_graphs(batch_graphs([one, one]), nodes=8, edges=8)
        return Readout("sum").apply({}, {}, make_undirected(add_self_loops(padded)))[0].sum()

    assert slope(jnp.asarray(GRAPHS[2].nodes)).tolist() == [[2.0] * F] * 3


def test_self_loops_of_padding_are_padding():
    padded = add_self_loops(pad_graphs(GRAPHS[1], nodes=3, edges=1))
    assert padded.edge_mask.tolist() == [False, True, True, False]
    assert padded.edges.shape == (4, G)
    assert make_undirected(padded).edge_mask.tolist() == 2 * padded.edge_mask.tolist()
    assert add_self_loops(GRAPHS[2]).edge_mask is None


def test_indices_of_64_bits_meet_features_of_jax():
    """As those of NumPy have, without a warning, which is an error here."""
    ends = np.array([0, 1])
    looped = add_self_loops(Graph(jnp.ones((2, 1)), senders=ends, receivers=ends))
    assert looped.senders.tolist() == looped.receivers.tolist() == [0, 1, 0, 1]


def test_narrow_indices_get_room_for_all_nodes():
    one = Graph(np.ones((200, 1)), senders=np.array([100], np.uint8), receivers=np.array([3], np.uint8))
    assert batch_graphs([one, one]).senders.tolist() == [100, 300]
    assert pad_graphs(one, nodes=400, edges=2).senders.tolist() == [100, 399]
    many = Graph(np.ones((300, 1)), senders=np.array([7], np.uint8), receivers=np.array([7], np.uint8))
    assert add_self_loops(many).receivers.tolist() == [7, *range(300)]


def test_long_sums_are_taken_in_float32():
    values, index = jnp.ones(4096, jnp.bfloat16), jnp.zeros(4096, int)
    assert scatter_sum(values, index, 1).tolist() == [4096]
    assert scatter_mean(values, index, 1).tolist() == [1]
    assert jax.grad(lambda nodes: gather_nodes(nodes, index).sum())(jnp.ones(1, jnp.bfloat16)).tolist() == [4096]
    assert scatter_softmax(values, index, 1).sum(dtype=jnp.float32) == 1


def test_an_index_is_looked_at_where_it_can_be_seen_and_takes_part():
    values, index, where = jnp.ones(2), jnp.array([0, 7]), jnp.array([True, False])
    assert scatter_sum(values, index, 2, where=where).tolist() == [1, 0]
    assert jnp.isnan(jax.jit(lambda index: scatter_sum(values, index, 2))(index)).all()
    assert jax.jit(lambda where: scatter_sum(values, index, 2, where=where))(where).tolist() == [1, 0]


VALUES, INDEX = jnp.ones((2, 3)), jnp.array([0, 1])
PAIR = Graph(jnp.ones((2, 3)), senders=jnp.array([0]), receivers=jnp.array([1]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gather_nodes(VALUES, jnp.array([2])), r"gather_nodes expects ids in \[0, 2\), got 2"),
        (lambda: gather_nodes(VALUES, jnp.array([[1]])), r"an index \[E\], got \[2, 3\] and \[1, 1\]"),
        (lambda: gather_nodes(jnp.ones(2, int), INDEX), "gather_nodes expects floats, got int32"),
        (lambda: scatter_sum(VALUES, INDEX, 1), r"scatter_sum expects ids in \[0, 1\), got 1"),
        (lambda: scatter_sum(VALUES, INDEX, -1), "scatter_sum needs size as a whole number of at least 0, got -1"),
        (lambda: scatter_mean(VALUES, jnp.array([0]), 2), r"index of shape \[E\], got \[2, 3\] and \[1\]"),
        (lambda: scatter_max(VALUES, INDEX, 2, where=jnp.array([True])), r"where of shape \[E\], got .* and \[1\]"),
        (lambda: scatter_max(VALUES, INDEX, 2, where=jnp.ones(2)), "expects where as booleans, got float32"),
        (lambda: scatter_softmax(VALUES, jnp.ones(2), 2), "expects ids as integers, got float32"),
        (lambda: scatter_sum(jnp.ones(()), jnp.ones((), int), 2), r"values \[E, ...\] and index"),
        (lambda: batch_graphs([]), "needs at least one graph"),
        (lambda: batch_graphs([PAIR, GRAPHS[0]]), "graphs with the same features, got edges with"),
        (lambda: pad_graphs(PAIR, nodes=1, edges=1), "was asked for 1 nodes, but there are 2 already"),
        (lambda: pad_graphs(batch_graphs([PAIR] * 2), nodes=9, edges=9, graphs=1), "for 1 graphs, but there are 2"),
        (lambda: Readout("median"), r"Readout collects by one of \['max', 'mean', 'sum'\], got 'median'"),
        (lambda: MessagePassing(Affine(1), Affine(1), aggregate="min"), "MessagePassing collects by one of"),
        (lambda: MessagePassing(Affine(1), None), "MessagePassing is made of layers, got None as 'node'"),
        (lambda: GraphConv(0), "GraphConv needs features as a whole number of at least 1, got 0"),
        (lambda: GraphAttention(3, heads=0), "GraphAttention needs heads as a whole number of at least 1, got 0"),
        (lambda: Serial(GraphConv(3)).init(KEY, VALUES), "^graph_conv1: GraphConv expects a fdl.graphs.Graph"),
        (lambda: Readout().apply({}, {}, VALUES), "Readout expects a fdl.graphs.Graph"),
        (
            lambda: GraphConv(3).init(KEY, dataclasses.replace(PAIR, receivers=INDEX)),
            r"GraphConv expects receivers of shape \[1\], got \[2\]",
        ),
        (
            lambda: OnNodes(Relu()).apply({"layer": {}}, {"layer": {}}, dataclasses.replace(PAIR, senders=None)),
            "OnNodes expects a graph with an array of senders, got None",
        ),
        (
            lambda: Readout().apply({}, {}, dataclasses.replace(PAIR, graphs=2)),
            "Readout expects 2 graphs with node_graph, which of them each node is in",
        ),
        (
            lambda: GraphAttention(3).init(KEY, dataclasses.replace(PAIR, nodes=jnp.ones(2))),
            r"GraphAttention expects nodes of shape \[N, F\], got \[2\]",
        ),
        (
            lambda: GraphConv(3).init(KEY, dataclasses.replace(PAIR, edges=VALUES)),
            r"edges of shape \[1, \.\.\.\], one row per edge, got \[2, 3\]",
        ),
        *[
            (lambda layer=layer: layer(2, bias=False).apply(layer(2).init(KEY, PAIR)[0], {}, PAIR), "got b, .*: these")
            for layer in (GraphConv, GraphAttention)
        ],
    ],
)  # fmt: skip
def test_bad_input_is_refused(call, message):
    with pytest.raises(fdl.InputError, match=message):
        call()
