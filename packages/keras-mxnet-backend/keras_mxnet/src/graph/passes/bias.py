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
            made, axis = source.node, 1
            if _is_one_pixel(source):
                made, axis = made.inputs[0].node, 3
            alone = counts.get(id(original.node)) == 1 and (
                axis == 1 or counts.get(id(original.node.inputs[0].node)) == 1
            )
            if (
                alone
                and made.operator == "_npx_convolution"
                and made.attribute("no_bias") == "True"
                and _is_per_channel(bias, source, axis)
            ):
                attributes = {**dict(made.attributes), "no_bias": False}
                vector = reshaped(bias, (source.shape[axis],))
                return [
                    reshaped(make(made.operator, [*made.inputs, vector], attributes), source.shape)
                ]
        return None

    return rewrite(graph, rule)


def _is_one_pixel(entry: Entry) -> bool:
    """Tell whether an entry is images of one pixel, their channels brought behind it."""
    if entry.node.operator != "_np_reshape" or entry.shape[1:-1] != (1, 1):
        return False
    count, channels = entry.shape[0], entry.shape[-1]
    return entry.node.inputs[0].shape == (count, channels, 1, 1)


def _is_per_channel(bias: Entry, source: Entry, axis: int) -> bool:
    count = len(source.shape)
    shape = (1,) * (count - len(bias.shape)) + bias.shape
    wanted = tuple(source.shape[axis] if a == axis else 1 for a in range(count))
    return bias.dtype == source.dtype and shape == wanted
