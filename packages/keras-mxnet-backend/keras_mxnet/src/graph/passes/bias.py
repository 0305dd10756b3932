"""Biases given to the operator that has room for them."""

from collections.abc import Sequence

from keras_mxnet.src.graph.nodes import Entry, Graph, Node, make, rewrite, uses
from keras_mxnet.src.graph.passes.transposes import reshaped


def fuse_biases(graph: Graph) -> Graph:
    """Return the graph with `conv + bias` as a convolution with a bias.

    Adding it afterwards reads and writes the whole result once more, and reduces its gradient by
    a slow kernel.
    """
    counts = uses(graph)

    def rule(node: Node, inputs: tuple[Entry, ...]) -> Sequence[Entry] | None:
        if node.operator != "_npi_add":
            return None
        for source, bias, original in zip(inputs, inputs[::-1], node.inputs, strict=True):
            made = source.node
            if (
                made.operator == "_npx_convolution"
                and made.attribute("no_bias") == "True"
                and counts.get(id(original.node)) == 1
                and _is_per_channel(bias, source)
            ):
                channels = source.shape[1]
                attributes = {**dict(made.attributes), "no_bias": False}
                return [
                    make(
                        made.operator,
                        [*made.inputs, reshaped(bias, (channels,))],
                        attributes,
                    )
                ]
        return None

    return rewrite(graph, rule)


def _is_per_channel(bias: Entry, source: Entry) -> bool:
    count = len(source.shape)
    shape = (1,) * (count - len(bias.shape)) + bias.shape
    return bias.dtype == source.dtype and shape == (
        1,
        source.shape[1],
        *[1] * (count - 2),
    )
