"""The graph's weights in the layout of frameworks that keep an image's channels first.

Kernels are (out, in, *window); a dense layer behind a flattened image reads channels, then
height, then width. Sequences stay (length, channels), and other arrays as they are.
"""

import numpy as np

from velodrome.workloads.graph import Graph, Weights


def from_graph(graph: Graph, weights: Weights) -> Weights:
    """Channels-first copies of weights in the graph's layout."""
    converted = {}
    for name, array in weights.items():
        if name.endswith("kernel"):
            if image := graph.flattened_image(name.split("/")[0]):
                array = array.reshape(*image, -1).transpose(2, 0, 1, 3).reshape(array.shape)
            array = np.moveaxis(array, (-1, -2), (0, 1))
        converted[name] = np.array(array, order="C")
    return converted


def to_graph(graph: Graph, weights: Weights) -> Weights:
    """The way back from `from_graph`."""
    converted = {}
    for name, array in weights.items():
        if name.endswith("kernel"):
            array = np.moveaxis(array, (0, 1), (-1, -2))
            if image := graph.flattened_image(name.split("/")[0]):
                height, width, channels = image
                spread = array.reshape(channels, height, width, -1)
                array = spread.transpose(1, 2, 0, 3).reshape(array.shape)
        converted[name] = np.array(array, order="C")
    return converted
