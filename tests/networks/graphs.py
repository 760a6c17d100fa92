"""Networks on graphs: GCN, GAT, message passing."""

import jax
import jax.numpy as jnp

from fdl.graphs import Graph
from fdl.losses import softmax_cross_entropy
from fdl.models import edge_classifier, gat, gcn, graph_classifier, message_passing_network
from tests.networks.row import Published, Refused, Small

ENDS = jax.ShapeDtypeStruct((10_556,), jnp.int32)
CORA = Graph(jax.ShapeDtypeStruct((2708, 1433), jnp.float32), senders=ENDS, receivers=ENDS)
EDGES = jax.ShapeDtypeStruct((10_556, 4), jnp.float32)
WITH_EDGES = Graph(CORA.nodes, senders=ENDS, receivers=ENDS, edges=EDGES)


def mlps(node_in, edge_in, width=128):
    """Parameters of a round: two networks with two hidden layers, and a layer norm for each."""
    return sum(n * width + 2 * width * width + 5 * width for n in (node_in, edge_in))


ENCODE, ROUND = mlps(1433 + 128, 2 * 1433 + 4), mlps(2 * 128, 3 * 128)
HEAD = 128 * 128 + 128 + 2 * 128 + 2

PUBLISHED = [
    # Kipf's own PyTorch version of it, and PyTorch Geometric's, have 23,063 for Cora. In the paper's equation, and in
    # the code that came with it, the layers have no biases: 16 + 7 less.
    Published("gcn", gcn(7), (CORA,), (2708, 7), 23_063),
    Published("gat", gat(7), (CORA,), (2708, 7), 92_373),  # PyTorch Geometric's example for Cora
    # The sizes of Sanchez-Gonzalez et al. (2020), who give no count: this is the sum over their layers.
    Published("graph-classifier", graph_classifier(2), (WITH_EDGES,), (1, 2), ENCODE + 10 * ROUND + HEAD),
    Published("edge-classifier", edge_classifier(2), (WITH_EDGES,), (10_556, 2), ENCODE + 10 * ROUND + HEAD),
]


def graph(key):
    """Five nodes, among them one with two edges alike, one with a loop and one without edges."""
    nodes, edges = jax.random.normal(key, (5, 3), jnp.float64), jax.random.normal(key, (6, 2), jnp.float64)
    return Graph(nodes, senders=jnp.array([0, 2, 1, 3, 2, 1]), receivers=jnp.array([1, 1, 3, 3, 1, 0]), edges=edges)


def of_nodes(key):
    return (graph(key),), jnp.array([0, 1, 2, 0, 1])


def of_edges(key):
    return (graph(key),), jnp.array([0, 1, 2, 0, 1, 2])


def of_graphs(key):
    return (graph(key),), jnp.array([1])


SMALL = [
    Small("gcn", gcn(3, 4), of_nodes, softmax_cross_entropy),
    Small("gat", gat(3, 2, heads=2, out_heads=2), of_nodes, softmax_cross_entropy),
    Small("graph-classifier", graph_classifier(3, 4, 2), of_graphs, softmax_cross_entropy),
    Small("edge-classifier", edge_classifier(3, 4, 2, aggregate="max"), of_edges, softmax_cross_entropy, slow=True),
]

REFUSED = [
    Refused("gcn-depth", lambda: gcn(7, depth=0), "needs depth as a whole number of at least 1, got 0"),
    Refused("gcn-classes", lambda: gcn(0), "GraphConv needs features as a whole number of at least 1, got 0"),
    Refused("gat-rate", lambda: gat(7, dropout=1.0), r"a rate in \[0, 1\)"),
    Refused("gat-depth", lambda: gat(7, depth=0), "needs depth as a whole number of at least 1, got 0"),
    Refused(
        "message-passing-rounds",
        lambda: message_passing_network(8, rounds=0),
        "message_passing_network needs rounds as a whole number of at least 1, got 0",
    ),
    Refused("graph-classifier-readout", lambda: graph_classifier(3, readout="median"), "Readout collects by one of"),
    Refused("edge-classifier-sum", lambda: edge_classifier(3, aggregate="min"), "MessagePassing collects by one of"),
]
