"""Graph convolutional networks: the class of a node, from what is known of it and of its neighbours.

    papers that cite each other; the words of all papers are known, the subjects of a few
    scores = A relu(A x w1 + b1) w2 + b2           A = D^(-1/2) (adjacency + 1) D^(-1/2)

Multiplying by A mixes each node with its neighbours (`fdl.layers.GraphConv`), so two layers see what is two edges away:

    graph -> dropout -> mix, affine -> relu -> dropout -> mix, affine -> scores
    1433                16                                7             of each node

The one idea: nodes that are connected are mostly alike, and the mixing makes their features alike before anything is
learned. A label then teaches the network about a whole neighbourhood, and 20 labels for each class are enough. Too many
layers mix everything with everything: beyond two or three, all nodes look the same.

The whole graph is one batch. A loss takes the nodes whose labels are known by ``where=``, and the others, whose words
and edges are in the graph all the same, are what is to be predicted ("transductive" learning).

Source: Kipf and Welling, "Semi-supervised classification with graph convolutional networks" (2017).
"""

from fdl.counts import check_count
from fdl.layer import Layer
from fdl.layers import Dropout, GraphConv, NodeFeatures, OnNodes, Relu, Serial


def gcn(classes: int, hidden: int = 16, *, depth: int = 2, dropout: float = 0.5) -> Layer:
    """A graph convolutional network that gives scores for each node.

    Args:
        classes: how many scores each node gets.
        hidden: how many features a node has between the layers.
        depth: how many layers, each of which looks one edge further.
        dropout: the probability to drop a feature of a node in front of each layer.

    Returns:
        A layer from a `fdl.graphs.Graph` with nodes [N, F], undirected (`fdl.graphs.make_undirected`), to scores
        [N, classes]. Features of edges are not looked at.

    Raises:
        InputError: for a depth below 1, and as the layers for what they do not take.

    Source: Kipf and Welling (2017).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.graphs import Graph
        >>> ends = jax.ShapeDtypeStruct((10_556,), jnp.int32)
        >>> cora = Graph(jax.ShapeDtypeStruct((2708, 1433), jnp.float32), senders=ends, receivers=ends)
        >>> params, state = jax.eval_shape(gcn(7).init, jax.random.key(0), cora)
        >>> sum(w.size for w in jax.tree.leaves(params))
        23063
    """
    check_count("gcn", "depth", depth)
    layers: list[Layer] = []
    for _ in range(depth - 1):
        layers += [OnNodes(Dropout(dropout)), GraphConv(hidden), OnNodes(Relu())]
    return Serial(*layers, OnNodes(Dropout(dropout)), GraphConv(classes), NodeFeatures())
