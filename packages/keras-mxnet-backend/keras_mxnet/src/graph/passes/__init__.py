"""What is done to a graph before MXNet gets it. No pass changes a result."""

from keras_mxnet.src.graph.nodes import Graph

PASSES = ()


def optimize(graph: Graph) -> Graph:
    """Return an equal graph that runs faster."""
    for each in PASSES:
        graph = each(graph)
    return graph
