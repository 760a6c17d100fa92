"""Gathering from the nodes of a graph and scattering to them."""

import numpy as np

from fdl.layers import gather_nodes, scatter_max, scatter_mean, scatter_softmax, scatter_sum
from rows.row import Row


def rows(scale):
    rng, nodes, edges = np.random.default_rng(0), 5000 // scale, 20_000 // scale
    index = rng.integers(nodes, size=edges)
    size = f"{edges} to {nodes}, 64"

    def values(draw):
        return {"values": draw(edges, 64), "index": index, "size": nodes}

    return [
        Row(gather_nodes, size, lambda draw: {"nodes": draw(nodes, 64), "index": index}),
        Row(scatter_sum, size, values),
        Row(scatter_mean, size, values),
        Row(scatter_max, size, values),
        Row(
            scatter_softmax,
            f"{edges} to {nodes}, 8",
            lambda draw: {"scores": draw(edges, 8), "index": index, "size": nodes},
        ),
    ]
