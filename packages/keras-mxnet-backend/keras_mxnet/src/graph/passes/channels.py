"""Convolutions with a multiple of 16 channels, for which oneDNN has its fast kernels.

The channels that are added have weights of zero and are cut off before anything can see them, so
results and gradients are those of the convolution without them.
"""

from collections.abc import Sequence

from keras_mxnet.src.graph.nodes import Entry, Graph, Node, leaf, make, rewrite

_BLOCK = 16

# What may run on the added channels: zero stays finite, and so does the gradient.
_SAFE = frozenset(
    {
        "_npx_activation",
        "_npx_leaky_relu",
        "_npx_pooling",
        "_npx_relu",
        "_npx_sigmoid",
        "_npi_tanh",
    }
)


def pad_channels(graph: Graph) -> Graph:
    """Return the graph with channels added to convolutions, where that is little more work."""
    # What the cuts of this pass were made of.
    uncut: dict[Entry, Entry] = {}

    def cut(entry: Entry, count: int) -> list[Entry]:
        shorter = make("slice_axis", [entry], {"axis": 1, "begin": 0, "end": count})
        uncut[shorter] = entry
        return [shorter]

    def rule(node: Node, inputs: tuple[Entry, ...]) -> Sequence[Entry] | None:
        if node.operator in _SAFE and inputs[0] in uncut:
            longer = make(node.operator, [uncut[inputs[0]]], dict(node.attributes))
            return cut(longer, inputs[0].shape[1])
        if node.operator != "_npx_convolution" or not _is_plain(node):
            return None
        x, kernel, *biases = inputs
        count = kernel.shape[0]
        wider = -(-count // _BLOCK) * _BLOCK
        if wider > 2 * count:
            wider = count
        x = uncut.get(x, x)
        kernel = _padded(_padded(kernel, 1, x.shape[1]), 0, wider)
        biases = [_padded(bias, 0, wider) for bias in biases]
        attributes = {**dict(node.attributes), "num_filter": wider}
        result = make(node.operator, [x, kernel, *biases], attributes)
        return [result] if wider == count else cut(result, count)

    return rewrite(graph, rule)


def _is_plain(node: Node) -> bool:
    """Tell whether a convolution is one of images in float32, in one group."""
    shape, dtype = node.outputs[0]
    return len(shape) == 4 and dtype == "float32" and node.attribute("num_group") == "1"


def _padded(entry: Entry, axis: int, length: int) -> Entry:
    """Return a tensor with zeros after its end along an axis."""
    missing = length - entry.shape[axis]
    if not missing:
        return entry
    shape = tuple(missing if i == axis else n for i, n in enumerate(entry.shape))
    zeros = leaf((shape, entry.dtype), 0.0)
    return make("_npi_concatenate", [entry, zeros], {"num_args": 2, "axis": axis})
