"""Graphs, and batches of them, as arrays.

A graph of N nodes and E directed edges is

    nodes      [N, F]   what is known of each node
    senders    [E]      the node that each edge comes from
    receivers  [E]      the node that it goes to
    edges      [E, G]   what is known of each edge, if anything

An undirected edge is two directed ones (`make_undirected`). Several graphs are one graph whose parts are not connected:
`batch_graphs` puts nodes and edges one after the other, counts the indices on, and notes for every node in which graph
it is. Nothing is wasted on graphs of different sizes, and a layer need not know that there are several.

Every new number of nodes or edges would be compiled anew. `pad_graphs` fills a batch up to fixed numbers with nodes,
edges and graphs that the masks mark as padding: layers keep them apart from the others, in values and in gradients.
Few sizes, such as the powers of two, then serve for all batches of a data set.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.errors import InputError


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """One graph, or a batch of them; a pytree. ``dataclasses.replace`` makes one with other features.

    Attributes:
        nodes: [N, F], or any arrays [N, ...].
        senders, receivers: [E], integers in [0, N).
        edges: [E, G], or None.
        node_graph: [N], integers in [0, graphs), the graph that each node is in; None where there is one graph.
        node_mask, edge_mask, graph_mask: [N], [E] and [graphs], booleans, False for padding; None where there is none.
        graphs: how many there are, a Python int that is part of what is compiled.

    Example:
        >>> import numpy as np
        >>> triangle = Graph(np.ones((3, 8)), senders=np.array([0, 1, 2]), receivers=np.array([1, 2, 0]))
        >>> jax.tree.map(np.shape, triangle).senders
        (3,)
    """

    nodes: Any
    senders: Any
    receivers: Any
    edges: Any = None
    node_graph: Any = None
    node_mask: Any = None
    edge_mask: Any = None
    graph_mask: Any = None
    graphs: int = dataclasses.field(default=1, metadata={"static": True})


def batch_graphs(graphs: Sequence[Graph]) -> Graph:
    """Several graphs as one, in their order; what is batched already can be batched again.

    NumPy arrays stay NumPy arrays, so that nothing is compiled for graphs that are put together on the host.

    Args:
        graphs: at least one, with the same features.

    Raises:
        InputError: for no graphs, for graphs that do not fit together, and for what is no graph.

    Example:
        >>> import numpy as np
        >>> pair = Graph(np.ones((2, 1)), senders=np.array([0]), receivers=np.array([1]))
        >>> batch = batch_graphs([pair, pair])
        >>> batch.senders.tolist(), batch.receivers.tolist(), batch.node_graph.tolist(), batch.graphs
        ([0, 2], [1, 3], [0, 0, 1, 1], 2)
    """
    if not graphs:
        raise InputError("batch_graphs needs at least one graph")
    for graph in graphs:
        check_graph("batch_graphs", graph)
    for name in ("nodes", "edges"):
        if len(kinds := {None if (a := getattr(g, name)) is None else a.shape[1:] for g in graphs}) > 1:
            raise InputError(
                f"batch_graphs needs graphs with the same features, got {name} with {sorted(map(str, kinds))}"
            )
    array = _library(graphs)
    nodes_before = np.cumsum([0, *(g.nodes.shape[0] for g in graphs)])
    graphs_before = np.cumsum([0, *(g.graphs for g in graphs)])

    def joined(arrays: list[Any]) -> Any:
        return array.concatenate([array.asarray(a) for a in arrays])

    def counted_on(indices: list[Any], before: Any) -> Any:
        return joined([_with_room(i) + int(b) for i, b in zip(indices, before, strict=False)])

    def masks(name: str, sizes: list[int]) -> Any:
        given = [getattr(g, name) for g in graphs]
        if all(mask is None for mask in given):
            return None
        return joined([np.ones(n, bool) if mask is None else mask for n, mask in zip(sizes, given, strict=True)])

    return Graph(
        nodes=joined([g.nodes for g in graphs]),
        senders=counted_on([g.senders for g in graphs], nodes_before),
        receivers=counted_on([g.receivers for g in graphs], nodes_before),
        edges=None if graphs[0].edges is None else joined([g.edges for g in graphs]),
        node_graph=counted_on([graph_of_node(g) for g in graphs], graphs_before),
        node_mask=masks("node_mask", [g.nodes.shape[0] for g in graphs]),
        edge_mask=masks("edge_mask", [g.senders.shape[0] for g in graphs]),
        graph_mask=masks("graph_mask", [g.graphs for g in graphs]),
        graphs=int(graphs_before[-1]),
    )


def pad_graphs(graph: Graph, *, nodes: int, edges: int, graphs: int | None = None) -> Graph:
    """Fills a batch up to fixed numbers, so that batches of different graphs run under one compilation.

    Padding has zeros for features, and its edges go from the last node to itself.

    Args:
        graph: a graph or a batch.
        nodes, edges, graphs: how many there are afterwards; as many graphs as before if None.

    Returns:
        The batch with all three masks, True for what was there and is not masked.

    Raises:
        InputError: when there is more of something than that.

    Example:
        >>> import numpy as np
        >>> pair = Graph(np.ones((2, 1)), senders=np.array([0]), receivers=np.array([1]))
        >>> padded = pad_graphs(pair, nodes=4, edges=3, graphs=2)
        >>> padded.senders.tolist(), padded.node_mask.tolist(), padded.graph_mask.tolist()
        ([0, 3, 3], [True, True, False, False], [True, False])
    """
    check_graph("pad_graphs", graph)
    graphs = graph.graphs if graphs is None else graphs
    array = _library([graph])
    wanted = {"nodes": nodes, "edges": edges, "graphs": graphs}
    there = {"nodes": graph.nodes.shape[0], "edges": graph.senders.shape[0], "graphs": graph.graphs}
    for name, count in there.items():
        if count > wanted[name]:
            raise InputError(f"pad_graphs was asked for {wanted[name]} {name}, but there are {count} already")
    if edges > there["edges"] and not nodes:
        raise InputError("pad_graphs needs a node for the edges of the padding, got nodes=0")

    def filled(rows: Any, kind: str, value: Any = 0) -> Any:
        padding = array.full((wanted[kind] - there[kind], *rows.shape[1:]), value, rows.dtype)
        return array.concatenate([array.asarray(rows), padding])

    def mask(given: Any, kind: str) -> Any:
        return filled(np.ones(there[kind], bool) if given is None else given, kind)

    return Graph(
        nodes=filled(graph.nodes, "nodes"),
        senders=filled(_with_room(graph.senders), "edges", nodes - 1),
        receivers=filled(_with_room(graph.receivers), "edges", nodes - 1),
        edges=None if graph.edges is None else filled(graph.edges, "edges"),
        node_graph=filled(graph_of_node(graph), "nodes"),
        node_mask=mask(graph.node_mask, "nodes"),
        edge_mask=mask(graph.edge_mask, "edges"),
        graph_mask=mask(graph.graph_mask, "graphs"),
        graphs=graphs,
    )


def make_undirected(graph: Graph) -> Graph:
    """Adds to every edge one the other way, with the same features, after all edges that there are.

    Example:
        >>> import numpy as np
        >>> pair = Graph(np.ones((2, 1)), senders=np.array([0]), receivers=np.array([1]))
        >>> make_undirected(pair).senders.tolist(), make_undirected(pair).receivers.tolist()
        ([0, 1], [1, 0])
    """
    check_graph("make_undirected", graph)
    array = _library([graph])

    def twice(rows: Any) -> Any:
        return None if rows is None else array.concatenate([rows, rows])

    return dataclasses.replace(
        graph,
        senders=array.concatenate([graph.senders, graph.receivers]),
        receivers=array.concatenate([graph.receivers, graph.senders]),
        edges=twice(graph.edges),
        edge_mask=twice(graph.edge_mask),
    )


def add_self_loops(graph: Graph) -> Graph:
    """Adds an edge from every node to itself, with zeros for features, after all edges that there are.

    Example:
        >>> import numpy as np
        >>> pair = Graph(np.ones((2, 1)), senders=np.array([0]), receivers=np.array([1]))
        >>> add_self_loops(pair).senders.tolist(), add_self_loops(pair).receivers.tolist()
        ([0, 0, 1], [1, 0, 1])
    """
    check_graph("add_self_loops", graph)
    array, nodes, edges = _library([graph]), graph.nodes.shape[0], graph.senders.shape[0]

    def with_loops(rows: Any, loops: Any) -> Any:
        rows = array.asarray(rows)  # JAX has no 64 bits, unless it was told to
        return array.concatenate([rows, array.asarray(loops, rows.dtype)])

    mask = None
    if graph.node_mask is not None or graph.edge_mask is not None:
        of_edges, of_nodes = (
            np.ones(count, bool) if given is None else given
            for count, given in ((edges, graph.edge_mask), (nodes, graph.node_mask))
        )
        mask = with_loops(of_edges, of_nodes)
    return dataclasses.replace(
        graph,
        senders=with_loops(_with_room(graph.senders), np.arange(nodes)),
        receivers=with_loops(_with_room(graph.receivers), np.arange(nodes)),
        edges=None if graph.edges is None else with_loops(graph.edges, np.zeros((nodes, *graph.edges.shape[1:]))),
        edge_mask=mask,
    )


def graph_of_node(graph: Graph) -> Any:
    """The number of the graph that each node is in, [N].

    Example:
        >>> import numpy as np
        >>> graph_of_node(Graph(np.ones((2, 1)), senders=np.array([0]), receivers=np.array([1]))).tolist()
        [0, 0]
    """
    return np.zeros(graph.nodes.shape[0], np.int32) if graph.node_graph is None else graph.node_graph


def check_graph(who: str, graph: Any) -> None:
    """Refuses what is no graph, and graphs whose arrays do not fit together.

    Raises:
        InputError: with the name of the array, its shape, and what was expected.

    Example:
        >>> import numpy as np
        >>> check_graph("GraphConv", np.ones((3, 8)))
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: GraphConv expects a fdl.graphs.Graph, got ndarray
    """
    if not isinstance(graph, Graph):
        raise InputError(f"{who} expects a fdl.graphs.Graph, got {type(graph).__name__}")
    shapes = {name: array.shape for name, array in vars(graph).items() if hasattr(array, "shape")}
    for name in ("nodes", "senders", "receivers"):
        if not shapes.get(name):
            raise InputError(f"{who} expects a graph with an array of {name}, got {getattr(graph, name)!r}")
    if graph.node_graph is None and graph.graphs != 1:
        raise InputError(
            f"{who} expects {graph.graphs} graphs with node_graph, which of them each node is in: batch_graphs makes it"
        )
    nodes, edges = shapes["nodes"][:1], shapes["senders"][:1]
    expected = {"senders": edges, "receivers": edges, "node_graph": nodes}
    expected |= {"node_mask": nodes, "edge_mask": edges, "graph_mask": (graph.graphs,)}
    for name, shape in expected.items():
        if shapes.get(name, shape) != shape:
            raise InputError(f"{who} expects {name} of shape {list(shape)}, got {list(shapes[name])}")
    if shapes.get("edges", edges)[:1] != edges:
        raise InputError(
            f"{who} expects edges of shape [{edges[0]}, ...], one row per edge, got {list(shapes['edges'])}"
        )


def _with_room(indices: Any) -> Any:
    """The indices in 32 bits or more, in which those of more nodes have room too."""
    return indices if indices.dtype.itemsize >= 4 else indices.astype(np.int32)


def _library(graphs: Sequence[Graph]) -> Any:
    """The one that the arrays are from: JAX, or NumPy where all of them are NumPy's."""
    return jnp if any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(graphs)) else np
