"""Message passing: what a neural network makes of a graph.

A molecule, a road map, a network of friends: the input is nodes, with features x_i, and edges between them, and there
is no first node. A layer must therefore not depend on how nodes and edges are numbered: numbered otherwise, they get
the same features as before, in the new order ("equivariance"), and what is said of the whole graph does not change at
all ("invariance"). It must also work for any number of neighbours. One round of message passing does:

    1. m_e  = edge([x_s, x_r, z_e])        each edge e, from s to r, sees its two ends and its own features z_e
    2. a_i  = sum, mean or max of m_e      over the edges e that arrive at node i
    3. x'_i = node([x_i, a_i])             each node sees itself and what has arrived

The same network ``edge`` works on all edges and the same ``node`` on all nodes, as a convolution has one kernel for all
pixels: weights are shared, and collect their gradients from everywhere. Only step 2 mixes, and sum, mean and maximum
do not ask for an order. Each round carries information one edge further, so that after k rounds a node knows of all
that is at most k edges away.

    sum     sees how many neighbours there are, and grows with them
    mean    sees in which proportion they are, and stays in range whatever their number
    max     sees whether there is one of a kind, and ignores how many

For something that holds for the whole graph (is the molecule toxic?) the nodes are collected once more, into one row
for each graph of a batch:

    4. y_g  = sum, mean or max of x_i      over the nodes i of graph g                       ("readout")

Backward, each step is turned around: what arrives at y_g goes to the nodes of g, what arrives at x'_i goes through
``node`` to x_i and a_i, from a_i to the messages that it was made of, and through ``edge`` to both ends of each edge,
where it is summed over all the edges that a node has. Steps 2 and 4 and the reading of the ends are the rules of
`fdl.layers.scatter`, each other's adjoints; nothing else is needed.

Padding (`fdl.graphs.pad_graphs`) is set to 0 before a layer looks at it and left out when it is collected. What a
layer then has for a padded node or edge means nothing, and the next one sets it to 0 again: a loss for each node needs
``where=graph.node_mask``, one for each edge ``edge_mask``, one for each graph ``graph_mask``.

Sources: Scarselli, Gori, Tsoi, Hagenbuchner and Monfardini, "The graph neural network model" (2009); Gilmer et al.,
"Neural message passing for quantum chemistry" (2017); Battaglia et al., "Relational inductive biases, deep learning,
and graph networks" (2018); Xu, Hu, Leskovec and Jegelka, "How powerful are graph neural networks?" (2019), for what
sum, mean and maximum can tell apart.
"""

import dataclasses
from typing import Any, Literal

import jax.numpy as jnp

from fdl.errors import InputError
from fdl.graphs import Graph, check_graph, graph_of_node
from fdl.layer import Layer, Tree
from fdl.layers.scatter import gather_nodes, scatter_max, scatter_mean, scatter_sum
from fdl.layers.segments import along_rows
from fdl.wiring import Combinator, Net

Aggregate = Literal["sum", "mean", "max"]
AGGREGATES = {"sum": scatter_sum, "mean": scatter_mean, "max": scatter_max}


class MessagePassing(Combinator):
    """One round of message passing: edges see their ends, nodes what arrives at them; a `Graph` in, a `Graph` out.

    The new features of an edge are its message edge([x_s, x_r, z_e]), those of a node node([x_i, a_i]).

    Args:
        edge: any layer, for rows [E, 2 F + G]: the sender's features, the receiver's, and the edge's, if there are any.
        node: any layer, for rows [N, F + M]: the node's features, and the messages it has received.
        aggregate: how messages are collected: "sum", "mean" or "max". A node that receives none gets 0.

    Raises:
        InputError: for another aggregate, and for what is no graph.

    Source: Gilmer et al. (2017), Battaglia et al. (2018).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.graphs import Graph
        >>> from fdl.layers import Affine, AffineRelu, Serial
        >>> graph = Graph(jnp.ones((3, 8)), senders=jnp.array([0, 1]), receivers=jnp.array([1, 2]))
        >>> layer = MessagePassing(edge=AffineRelu(16), node=Serial(AffineRelu(16), Affine(4)))
        >>> params, state = layer.init(jax.random.key(0), graph)
        >>> after, state = layer.apply(params, state, graph)
        >>> after.nodes.shape, after.edges.shape
        ((3, 4), (2, 16))
    """

    edge: Layer
    node: Layer
    aggregate: Aggregate = "sum"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_aggregate("MessagePassing", self.aggregate)

    @property
    def children(self) -> dict[str, Layer]:
        return {"edge": self.edge, "node": self.node}

    def wire(self, net: Net, graph: Graph) -> Graph:
        check_graph("MessagePassing", graph)
        nodes, edges = real_rows(graph.nodes, graph.node_mask), real_rows(graph.edges, graph.edge_mask)
        ends = [gather_nodes(nodes, graph.senders), gather_nodes(nodes, graph.receivers)]
        messages = net.edge(jnp.concatenate(ends if edges is None else [*ends, edges], axis=-1))
        collect = AGGREGATES[self.aggregate]
        arrived = collect(messages, graph.receivers, nodes.shape[0], where=graph.edge_mask)
        return dataclasses.replace(graph, nodes=net.node(jnp.concatenate([nodes, arrived], axis=-1)), edges=messages)


class OnNodes(Combinator):
    """Applies a layer to the node features of a graph, each node by itself.

    For activations, norms, dropout and affine maps between the rounds. A layer that takes statistics over all rows,
    like `BatchNorm`, counts the zeros of padded nodes among them; `LayerNorm` does not look at other rows.

    Args:
        layer: any layer, for rows [N, F].

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.graphs import Graph
        >>> from fdl.layers import Relu
        >>> graph = Graph(jnp.array([[-1.0], [2.0]]), senders=jnp.array([0]), receivers=jnp.array([1]))
        >>> layer = OnNodes(Relu())
        >>> layer.apply(*layer.init(jax.random.key(0), graph), graph)[0].nodes.tolist()
        [[0.0], [2.0]]
    """

    layer: Layer

    @property
    def children(self) -> dict[str, Layer]:
        return {"layer": self.layer}

    def wire(self, net: Net, graph: Graph) -> Graph:
        check_graph("OnNodes", graph)
        return dataclasses.replace(graph, nodes=net.layer(real_rows(graph.nodes, graph.node_mask)))


class Readout(Layer):
    """One row for each graph of a batch: y_g = sum, mean or max of the features of its nodes.

    Args:
        aggregate: "sum", "mean" or "max". A graph without nodes, like one of padding, gets 0.

    Raises:
        InputError: for another aggregate, and for what is no graph.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.graphs import Graph
        >>> graph = Graph(jnp.array([[1.0], [2.0]]), senders=jnp.array([0]), receivers=jnp.array([1]))
        >>> Readout("mean").apply({}, {}, graph)[0].tolist()
        [[1.5]]
    """

    aggregate: Aggregate = "sum"

    def __post_init__(self) -> None:
        _check_aggregate("Readout", self.aggregate)

    def apply(self, params: Tree, state: Tree, graph: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        check_graph("Readout", graph)
        collect = AGGREGATES[self.aggregate]
        return collect(graph.nodes, graph_of_node(graph), graph.graphs, where=graph.node_mask), state


class NodeFeatures(Layer):
    """The features of the nodes, [N, F]: the end of a network that says something about each node.

    Example:
        >>> import jax.numpy as jnp
        >>> from fdl.graphs import Graph
        >>> graph = Graph(jnp.array([[1.0], [2.0]]), senders=jnp.array([0]), receivers=jnp.array([1]))
        >>> NodeFeatures().apply({}, {}, graph)[0].tolist()
        [[1.0], [2.0]]
    """

    def apply(self, params: Tree, state: Tree, graph: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        check_graph("NodeFeatures", graph)
        return real_rows(graph.nodes, graph.node_mask), state


class EdgeFeatures(Layer):
    """The features of the edges, [E, G]: the end of a network that says something about each edge.

    Raises:
        InputError: for a graph whose edges have no features, and for what is no graph.

    Example:
        >>> import jax.numpy as jnp
        >>> from fdl.graphs import Graph
        >>> loop, features = jnp.array([0]), jnp.array([[3.0]])
        >>> graph = Graph(jnp.array([[1.0]]), senders=loop, receivers=loop, edges=features)
        >>> EdgeFeatures().apply({}, {}, graph)[0].tolist()
        [[3.0]]
    """

    def apply(self, params: Tree, state: Tree, graph: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        check_graph("EdgeFeatures", graph)
        if graph.edges is None:
            raise InputError("EdgeFeatures needs a graph with edges [E, G], got None: MessagePassing makes them")
        return real_rows(graph.edges, graph.edge_mask), state


def real_rows(rows: Any, mask: Any) -> Any:
    """The rows with 0 in the place of padding, so that whatever is in there reaches neither value nor gradient.

    Example:
        >>> real_rows(jnp.array([[1.0], [jnp.nan]]), jnp.array([True, False])).tolist()
        [[1.0], [0.0]]
    """
    return rows if rows is None or mask is None else jnp.where(along_rows(mask, rows), rows, 0)


def _check_aggregate(who: str, aggregate: str) -> None:
    if aggregate not in AGGREGATES:
        raise InputError(f"{who} collects by one of {sorted(AGGREGATES)}, got {aggregate!r}")
