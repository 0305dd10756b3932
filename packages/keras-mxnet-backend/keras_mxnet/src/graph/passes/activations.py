"""Activations of images by oneDNN, which keeps the layout that its convolutions chose."""

from collections.abc import Sequence

from keras_mxnet.src.graph.nodes import Entry, Graph, Node, make, rewrite

_TYPES = {"_npi_tanh": "tanh", "_npx_sigmoid": "sigmoid"}


def use_onednn(graph: Graph) -> Graph:
    """Return the graph with tanh and sigmoid of images as oneDNN's operator.

    MXNet's own would have every image turned into the plain layout and back, and keep both.
    """

    def rule(node: Node, inputs: tuple[Entry, ...]) -> Sequence[Entry] | None:
        kind = _TYPES.get(node.operator)
        shape, dtype = node.outputs[0]
        if kind is None or len(shape) != 4 or dtype != "float32":
            return None
        return [make("_npx_activation", inputs, {"act_type": kind})]

    return rewrite(graph, rule)
