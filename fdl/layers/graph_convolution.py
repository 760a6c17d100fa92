"""Graph convolution and graph attention: rounds of message passing in which a message is a weighted copy of its sender.

A node gets a weighted sum of what its neighbours and itself have, after one affine map that all nodes share,

    y_i = sum over edges s -> i, and i itself, of c_si (x_s w) + b

and the two differ in the weights. In a graph convolution they follow from the graph,

    c_si = 1 / sqrt(d_s d_i)               in matrices:  y = D^(-1/2) (A + I) D^(-1/2) x w + b

with d the number of edges of a node, itself included. A node with many neighbours says less to each of them, and hears
less of each: without that, features would grow with the number of neighbours, and grow again in every layer. With
weights of 1 / d_i alone, for comparison, y_i would be a plain mean. The order of the two products is free, (A x) w =
A (x w): the sum over edges is taken on the side with fewer features.

In graph attention the weights are learned: an edge scores how much its receiver should listen to its sender, and the
scores at each receiver become weights that sum to one,

    c_si = softmax over the edges that arrive at i of  leaky_relu(u . x_s w + v . x_i w)

The scalar products are taken once per node, not per edge: an edge only adds two numbers. Several "heads" do this side
by side, each with its own w, u and v; hidden layers concatenate their outputs, a last one averages them.

All that goes along edges are the rules of `fdl.layers.scatter` and `fdl.layers.scatter_softmax`, which bring the
gradients. Both layers leave features of edges as they are; to use them, see `fdl.layers.message_passing`.

Sources: Kipf and Welling, "Semi-supervised classification with graph convolutional networks" (2017); Velickovic,
Cucurull, Casanova, Romero, Lio and Bengio, "Graph attention networks" (2018).
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from fdl.counts import check_count
from fdl.errors import InputError
from fdl.graphs import Graph, add_self_loops, check_graph
from fdl.initializers import Initializer, glorot_uniform, zeros
from fdl.keys import split_key
from fdl.layer import Layer, Tree
from fdl.layers.activation import leaky_relu
from fdl.layers.affine import affine
from fdl.layers.checks import check_initializers, check_names, check_rate, weights_of
from fdl.layers.dropout import dropout
from fdl.layers.message_passing import real_rows
from fdl.layers.scatter import gather_nodes, scatter_sum
from fdl.layers.scatter_softmax import scatter_softmax
from fdl.rule import wide


class GraphConv(Layer):
    """A graph convolution: y = D^(-1/2) (A + I) D^(-1/2) x w + b on the nodes of a `Graph`.

    Parameters are ``w`` [in, out] and ``b`` [out].

    Edges are directed. For an undirected graph, which the paper has in mind, give each edge both ways
    (`fdl.graphs.make_undirected`). In a directed one, d_s counts the edges that leave the sender and d_i those that
    arrive at the receiver. Every node also hears itself: an edge from a node to itself in the graph comes on top.

    Args:
        features: how many outputs; the number of inputs is read off the nodes at init.
        bias: whether there is a ``b``.
        w_init, b_init: how the parameters start.

    Raises:
        InputError: for no features, and for what is no graph with nodes [N, F].

    Source: Kipf and Welling (2017).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.initializers import ones
        >>> graph = Graph(jnp.array([[1.0], [3.0]]), senders=jnp.array([0, 1]), receivers=jnp.array([1, 0]))
        >>> layer = GraphConv(1, w_init=ones())
        >>> params, state = layer.init(jax.random.key(0), graph)
        >>> layer.apply(params, state, graph)[0].nodes.tolist()
        [[2.0], [2.0]]
    """

    features: int
    bias: bool = True
    w_init: Initializer = glorot_uniform()
    b_init: Initializer = zeros()

    def __post_init__(self) -> None:
        check_count("GraphConv", "features", self.features)
        check_initializers(self)

    def init(self, key: jax.Array, graph: Any) -> tuple[Tree, Tree]:
        _check_nodes("GraphConv", graph)
        w_key, b_key = split_key("GraphConv", key)
        params = {"w": self.w_init(w_key, (graph.nodes.shape[1], self.features))}
        return params | ({"b": self.b_init(b_key, (self.features,))} if self.bias else {}), {}

    def apply(self, params: Tree, state: Tree, graph: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        _check_nodes("GraphConv", graph)
        w, b = weights_of(self, params)
        x = real_rows(graph.nodes, graph.node_mask)
        to_receivers, from_senders = (_inverse_root_degrees(graph, at) for at in (graph.receivers, graph.senders))
        is_narrower = self.features < x.shape[1]
        if is_narrower:
            x = affine(x, w)
        x = x * from_senders.astype(x.dtype)
        arrived = scatter_sum(gather_nodes(x, graph.senders), graph.receivers, x.shape[0], where=graph.edge_mask)
        y = (x + arrived) * to_receivers.astype(x.dtype)
        if not is_narrower:
            y = affine(y, w)
        return dataclasses.replace(graph, nodes=y if b is None else y + b[None]), state


class GraphAttention(Layer):
    """Graph attention: y_i = sum of c_si (x_s w) + b, with weights c that each head learns to score.

    Parameters are ``w`` [in, heads * features], ``sender`` and ``receiver`` [heads, features], the vectors u and v of
    the scores, and ``b``, one number for each output. A node listens to the senders of the edges that arrive at it, and
    to itself: an edge from a node to itself in the graph comes on top.

    Args:
        features: of each head.
        heads: how many.
        concat: whether the outputs of the heads stand side by side, [N, heads * features], or are averaged.
        slope: of the leaky ReLU that the scores go through.
        bias: whether there is a ``b``.
        rate: the probability to drop a weight c_si in training, so that a node hears a random part of its neighbours.
        w_init, b_init: how the parameters start.

    Raises:
        InputError: for no features or heads, for a rate outside [0, 1), without a key in training with a rate, and for
            what is no graph with nodes [N, F].

    Source: Velickovic et al. (2018).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> graph = Graph(jnp.ones((3, 8)), senders=jnp.array([0, 1]), receivers=jnp.array([1, 2]))
        >>> layer = GraphAttention(16, heads=4)
        >>> params, state = layer.init(jax.random.key(0), graph)
        >>> layer.apply(params, state, graph)[0].nodes.shape
        (3, 64)
    """

    features: int
    heads: int = 1
    concat: bool = True
    slope: float = 0.2
    bias: bool = True
    rate: float = 0.0
    w_init: Initializer = glorot_uniform()
    b_init: Initializer = zeros()

    def __post_init__(self) -> None:
        check_count("GraphAttention", "features", self.features)
        check_count("GraphAttention", "heads", self.heads)
        check_rate("GraphAttention", self.rate)
        check_initializers(self)

    def init(self, key: jax.Array, graph: Any) -> tuple[Tree, Tree]:
        _check_nodes("GraphAttention", graph)
        w_key, sender_key, receiver_key, b_key = split_key("GraphAttention", key, 4)
        width = self.heads * self.features
        params = {
            "w": self.w_init(w_key, (graph.nodes.shape[1], width)),
            "sender": self.w_init(sender_key, (self.features, self.heads)).T,
            "receiver": self.w_init(receiver_key, (self.features, self.heads)).T,
        }
        b_shape = (width if self.concat else self.features,)
        return params | ({"b": self.b_init(b_key, b_shape)} if self.bias else {}), {}

    def apply(self, params: Tree, state: Tree, graph: Any, *, key: Any = None, train: bool = False) -> tuple[Any, Tree]:
        _check_nodes("GraphAttention", graph)
        check_names(self, params, "w", "sender", "receiver", *(["b"] if self.bias else []))
        with_loops, n = add_self_loops(dataclasses.replace(graph, edges=None)), graph.nodes.shape[0]
        senders, receivers, mask = with_loops.senders, with_loops.receivers, with_loops.edge_mask
        x = affine(real_rows(graph.nodes, graph.node_mask), params["w"]).reshape(n, self.heads, self.features)
        of_sender, of_receiver = (jnp.einsum("nhf,hf->nh", x, params[end]) for end in ("sender", "receiver"))
        scores = gather_nodes(of_sender, senders) + gather_nodes(of_receiver, receivers)
        weights = scatter_softmax(leaky_relu(scores, self.slope), receivers, n, where=mask)
        if train and self.rate:
            if key is None:
                raise InputError("GraphAttention draws random numbers in training: call apply with key=...")
            weights = dropout(weights, key, self.rate)
        y = scatter_sum(weights[..., None] * gather_nodes(x, senders), receivers, n, where=mask)
        y = y.reshape(n, self.heads * self.features) if self.concat else jnp.mean(y, axis=1)
        return dataclasses.replace(graph, nodes=y + params["b"][None] if self.bias else y), state


def _inverse_root_degrees(graph: Graph, ends: Any) -> jax.Array:
    """1 / sqrt(d) for each node, as a column: d counts its edges on this end, and itself."""
    ones = jnp.ones(ends.shape[0], wide(graph.nodes))
    return jax.lax.rsqrt(1 + scatter_sum(ones, ends, graph.nodes.shape[0], where=graph.edge_mask))[:, None]


def _check_nodes(who: str, graph: Any) -> None:
    check_graph(who, graph)
    if len(graph.nodes.shape) != 2:
        raise InputError(f"{who} expects nodes of shape [N, F], got {list(graph.nodes.shape)}")
