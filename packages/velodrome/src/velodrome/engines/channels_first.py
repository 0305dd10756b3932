"""The graph's weights in the layout of frameworks that keep channels first.

Convolution kernels are (out, in, height, width), dense kernels (out, in); a dense
layer behind a flatten reads channels, then height, then width.
"""

import numpy as np

from velodrome.workloads.graph import Dense, Graph, Weights


def from_graph(graph: Graph, weights: Weights) -> Weights:
    """Channels-first copies of weights in the graph's layout."""
    converted = {}
    for name, array in weights.items():
        if array.ndim == 4:
            array = array.transpose(3, 2, 0, 1)
        elif array.ndim == 2:
            if image := _flattened_image(graph, name):
                array = array.reshape(*image, -1).transpose(2, 0, 1, 3).reshape(array.shape)
            array = array.T
        converted[name] = np.ascontiguousarray(array)
    return converted


def to_graph(graph: Graph, weights: Weights) -> Weights:
    """The way back from `from_graph`."""
    converted = {}
    for name, array in weights.items():
        if array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)
        elif array.ndim == 2:
            array = array.T
            if image := _flattened_image(graph, name):
                height, width, channels = image
                spread = array.reshape(channels, height, width, -1)
                array = spread.transpose(1, 2, 0, 3).reshape(array.shape)
        converted[name] = np.ascontiguousarray(array)
    return converted


def _flattened_image(graph: Graph, name: str) -> tuple[int, ...] | None:
    node = next(node for node in graph.nodes if node.name == name.split("/")[0])
    return graph.flattened_image(node) if isinstance(node.layer, Dense) else None
