"""Graph attention networks: each node chooses which of its neighbours to listen to.

    y_i = sum over edges s -> i, and i itself, of c_si (x_s w)
    c_si = softmax over all that arrives at i of leaky_relu(u . x_s w + v . x_i w)

In a graph convolution the weights of neighbours follow from how many there are; here they are computed from what they
say (`fdl.layers.GraphAttention`), by 8 small heads side by side, so that nobody depends on a single opinion:

    graph -> dropout -> attention -> elu -> dropout -> attention -> scores
    1433                8 heads of 8                   classes      of each node

The one idea: the softmax of attention works over any set, and the neighbours of a node are one. Nothing in it needs the
whole graph, so what was learned on one graph can be used on another.

Dropout does much here: on the features, and on the weights of attention, so that in each step a node hears a random
part of its neighbours.

Source: Velickovic, Cucurull, Casanova, Romero, Lio and Bengio, "Graph attention networks" (2018).
"""

from fdl.counts import check_count
from fdl.layer import Layer
from fdl.layers import Dropout, Elu, GraphAttention, NodeFeatures, OnNodes, Serial


def gat(
    classes: int, hidden: int = 8, *, heads: int = 8, out_heads: int = 1, depth: int = 2, dropout: float = 0.6
) -> Layer:
    """A graph attention network that gives scores for each node.

    Args:
        classes: how many scores each node gets.
        hidden: how many features each head of a hidden layer has.
        heads: how many there are in a hidden layer; their features stand side by side.
        out_heads: how many there are in the last layer; their scores are averaged.
        depth: how many layers, each of which looks one edge further.
        dropout: the probability to drop a feature of a node in front of each layer, and a weight of attention.

    Returns:
        A layer from a `fdl.graphs.Graph` with nodes [N, F] to scores [N, classes]. Nodes listen to the senders of the
        edges that arrive at them, and to themselves. Features of edges are not looked at.

    Raises:
        InputError: for a depth below 1, and as the layers for what they do not take.

    Source: Velickovic et al. (2018).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.graphs import Graph
        >>> ends = jax.ShapeDtypeStruct((10_556,), jnp.int32)
        >>> cora = Graph(jax.ShapeDtypeStruct((2708, 1433), jnp.float32), senders=ends, receivers=ends)
        >>> params, state = jax.eval_shape(gat(7).init, jax.random.key(0), cora)
        >>> sum(w.size for w in jax.tree.leaves(params))
        92373
    """
    check_count("gat", "depth", depth)
    layers: list[Layer] = []
    for _ in range(depth - 1):
        layers += [OnNodes(Dropout(dropout)), GraphAttention(hidden, heads, rate=dropout), OnNodes(Elu())]
    last = GraphAttention(classes, out_heads, concat=False, rate=dropout)
    return Serial(*layers, OnNodes(Dropout(dropout)), last, NodeFeatures())
