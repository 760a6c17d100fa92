"""Message-passing networks: what holds for a node, an edge or a whole graph, by talk between neighbours.

    encode    m_e = f([x_s, x_r, z_e])      h_i = g([x_i, sum of m_e])      any features become ``width`` numbers
    rounds    m_e += f_k([h_s, h_r, m_e])   h_i += g_k([h_i, sum of m_e])   k = 1, 2, ...: news travels one edge each
    read out  of each edge from m_e, of each graph from the sum, mean or maximum of its h_i

with f, g networks with two hidden layers and a layer norm at the end, the same for all edges and all nodes:

    graph -> encode -> round 1 -> ... -> round K -+-> readout -> two layers -> scores of each graph
                                                  +-> edges   -> two layers -> scores of each edge

The one idea: a round (`fdl.layers.MessagePassing`) is the most general layer that does not ask how nodes are numbered,
and as in a residual network each one only corrects what is there, so that there can be many. The sums go through rounds
of one form in one loop (`fdl.layers.Repeat`), which is compiled once however many there are.

Sources: Gilmer, Schoenholz, Riley, Vinyals and Dahl, "Neural message passing for quantum chemistry" (2017); Battaglia
et al., "Relational inductive biases, deep learning, and graph networks" (2018), for edges that keep what they hear; the
sizes are those of Sanchez-Gonzalez et al., "Learning to simulate complex physics with graph networks" (2020).
"""

import dataclasses
from typing import Any

from fdl.counts import check_count
from fdl.graphs import Graph
from fdl.layer import Layer
from fdl.layers import (
    Affine,
    AffineRelu,
    EdgeFeatures,
    LayerNorm,
    MessagePassing,
    Readout,
    Repeat,
    Serial,
    network,
)
from fdl.layers.message_passing import Aggregate


def message_passing_network(width: int = 128, rounds: int = 10, *, aggregate: Aggregate = "sum") -> Layer:
    """The body: a graph with other features, in which each node and each edge knows what is around it.

    Args:
        width: how many features nodes and edges have in between and afterwards.
        rounds: how often neighbours talk after the encoding, in which they do so once.
        aggregate: how messages are collected at a node: "sum", "mean" or "max".

    Returns:
        A layer from a `fdl.graphs.Graph` with nodes [N, F], and edges [E, G] or None, to one with nodes [N, width] and
        edges [E, width].

    Raises:
        InputError: for less than one round, and as `fdl.layers.MessagePassing`.

    Source: Battaglia et al. (2018), Sanchez-Gonzalez et al. (2020).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, ends = message_passing_network(8, rounds=2), jax.ShapeDtypeStruct((2,), jnp.int32)
        >>> graph = Graph(jax.ShapeDtypeStruct((3, 5), jnp.float32), senders=ends, receivers=ends)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), graph)
        >>> after, state = jax.eval_shape(net.apply, params, state, graph)
        >>> after.nodes.shape, after.edges.shape
        ((3, 8), (2, 8))
    """
    check_count("message_passing_network", "rounds", rounds)
    one = MessagePassing(edge=_mlp(width), node=_mlp(width), aggregate=aggregate)
    return Serial(encode=one, rounds=Repeat(network(talk=one)(corrected), rounds))


def graph_classifier(
    classes: int, width: int = 128, rounds: int = 10, *, aggregate: Aggregate = "sum", readout: Aggregate = "sum"
) -> Layer:
    """A message-passing network that gives scores, or any other numbers, for each graph of a batch.

    Args:
        classes: how many numbers each graph gets.
        width, rounds, aggregate: of the body, as for `message_passing_network`.
        readout: how the nodes of a graph are collected: "sum" for what grows with a graph, such as an energy, "mean" or
            "max" for what does not.

    Returns:
        A layer from a `fdl.graphs.Graph` to scores [graphs, classes].

    Raises:
        InputError: as `message_passing_network` and `fdl.layers.Readout`.

    Source: Gilmer et al. (2017).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> ends = jax.ShapeDtypeStruct((40,), jnp.int32)
        >>> graph = Graph(jax.ShapeDtypeStruct((20, 11), jnp.float32), senders=ends, receivers=ends)
        >>> params, state = jax.eval_shape(graph_classifier(2).init, jax.random.key(0), graph)
        >>> sum(w.size for w in jax.tree.leaves(params))
        1591554
    """
    body = message_passing_network(width, rounds, aggregate=aggregate)
    return Serial(body=body, readout=Readout(readout), scores=_head(width, classes))


def edge_classifier(classes: int, width: int = 128, rounds: int = 10, *, aggregate: Aggregate = "sum") -> Layer:
    """A message-passing network that gives scores, or any other numbers, for each edge.

    Args:
        classes: how many numbers each edge gets.
        width, rounds, aggregate: of the body, as for `message_passing_network`.

    Returns:
        A layer from a `fdl.graphs.Graph` to scores [E, classes].

    Raises:
        InputError: as `message_passing_network`.

    Source: Battaglia et al. (2018).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, ends = edge_classifier(3, width=8, rounds=2), jax.ShapeDtypeStruct((40,), jnp.int32)
        >>> graph = Graph(jax.ShapeDtypeStruct((20, 11), jnp.float32), senders=ends, receivers=ends)
        >>> params, state = jax.eval_shape(net.init, jax.random.key(0), graph)
        >>> sum(w.size for w in jax.tree.leaves(params["scores"]))
        99
    """
    body = message_passing_network(width, rounds, aggregate=aggregate)
    return Serial(body=body, edges=EdgeFeatures(), scores=_head(width, classes))


def corrected(net: Any, graph: Graph) -> Graph:
    """A round of which the outcome is added to what nodes and edges had before."""
    after = net.talk(graph)
    return dataclasses.replace(graph, nodes=graph.nodes + after.nodes, edges=graph.edges + after.edges)


def _mlp(width: int) -> Layer:
    return Serial(AffineRelu(width), AffineRelu(width), Affine(width), LayerNorm())


def _head(width: int, classes: int) -> Layer:
    return Serial(AffineRelu(width), Affine(classes))
