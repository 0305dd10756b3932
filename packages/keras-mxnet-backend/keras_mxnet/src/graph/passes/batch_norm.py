"""Batch normalisation as MXNet's one operator, where Keras composes it from means and products."""

from collections.abc import Sequence
from typing import NamedTuple

from keras_mxnet.src.graph.nodes import Entry, Graph, Node, leaf, make, rewrite
from keras_mxnet.src.graph.passes.transposes import reshaped


class _Parts(NamedTuple):
    """What `x * rsqrt(variance + epsilon) * gamma + (beta - mean * ...)` is made of."""

    x: Entry
    mean: Entry
    variance: Entry
    epsilon: str
    gamma: Entry | None
    beta: Entry | None


def fuse_batch_norms(graph: Graph) -> Graph:
    """Return the graph with batch normalisations over axis 1 as `_npx_batch_norm`.

    Those of matrices and images, that is: MXNet 1.9's operator misreads a sequence or a volume
    that a convolution has left in oneDNN's own layout. Images of one pixel may have their channels
    last too: that a transpose of them is a reshape has kept it where it was.

    Means and variances that the graph gives as outputs come from that operator too; it tells the
    inverse of the deviation, of which the variance is made.
    """
    statistics: dict[Entry, Entry] = {}

    def rule(node: Node, inputs: tuple[Entry, ...]) -> Sequence[Entry] | None:
        parts = _match(node, inputs)
        if parts is None:
            return None
        trained = _is_mean(parts.mean, parts.x) and _is_variance(parts.variance, parts.x)
        # As running averages MXNet's operator takes no others than inputs, and no gradient of them.
        given = all(
            e.node.operator is None and e not in graph.wanted for e in (parts.mean, parts.variance)
        )
        if not trained and not given:
            return None
        shape = parts.x.shape
        vector = ((shape[_axis(shape)],), parts.x.dtype)
        result = make(
            "_npx_batch_norm",
            [
                reshaped(parts.x, (shape[0], shape[3], 1, 1)) if _axis(shape) == 3 else parts.x,
                parts.gamma or leaf(vector, 1.0),
                parts.beta or leaf(vector, 0.0),
                # With a momentum of one the operator leaves its running averages alone.
                leaf(vector, 0.0) if trained else parts.mean,
                leaf(vector, 1.0) if trained else parts.variance,
            ],
            {
                "eps": parts.epsilon.encode(),
                "momentum": 1.0,
                "fix_gamma": False,
                "use_global_stats": not trained,
                "output_mean_var": trained,
                "axis": 1,
            },
        )
        if trained:
            _, mean, inverse = (Entry(result.node, i) for i in range(3))
            squared = make("_npi_square", [inverse], {})
            total = make("_npi_reciprocal", [squared], {})
            epsilon = {"scalar": parts.epsilon.encode(), "is_int": False}
            statistics[_flat(parts.mean)] = mean
            statistics[_flat(parts.variance)] = make("_npi_subtract_scalar", [total], epsilon)
        return [reshaped(result, shape)]

    graph = rewrite(graph, rule)
    return graph._replace(outputs=tuple(_replaced(e, statistics) for e in graph.outputs))


def _axis(shape: tuple[int, ...]) -> int:
    """Return the axis of the channels."""
    return 3 if len(shape) == 4 and shape[1:3] == (1, 1) else 1


def _replaced(output: Entry, statistics: dict[Entry, Entry]) -> Entry:
    """Return an output that hands on a mean or a variance as one that takes the operator's."""
    node = output.node
    if node.operator != "BlockGrad" or _flat(node.inputs[0]) not in statistics:
        return output
    found = reshaped(statistics[_flat(node.inputs[0])], output.shape)
    return Entry(Node("BlockGrad", [found], {}, (output.spec,), False), 0)


def _flat(entry: Entry) -> Entry:
    """Return what an entry is a mere reshape of."""
    while entry.node.operator == "_np_reshape":
        entry = entry.node.inputs[0]
    return entry


def _either(entry: Entry, operator: str) -> list[tuple[Entry, Entry]]:
    """Return the arguments of a commutative operator both ways round, or nothing."""
    if entry.node.operator != operator:
        return []
    a, b = entry.node.inputs
    return [(a, b), (b, a)]


def _match(node: Node, inputs: tuple[Entry, ...]) -> _Parts | None:
    if node.operator != "_npi_add" or len(node.outputs[0][0]) not in (2, 4):
        return None
    shape = node.outputs[0][0]
    channels = (shape[_axis(shape)],)
    for product, shift in (inputs, inputs[::-1]):
        for x, factor in _either(product, "_npi_multiply"):
            if x.shape != shape or not _is_vector(factor, x):
                continue
            scaled = _scale(_flat(factor))
            if scaled is None or not _is_vector(shift, x):
                continue
            variance, epsilon, gamma = scaled
            moved = _shift(_flat(shift), _flat(factor))
            if moved is None:
                continue
            mean, beta = moved
            vectors = [v for v in (gamma, beta) if v is not None]
            if all(v.shape == channels and v.dtype == x.dtype for v in vectors):
                return _Parts(x, mean, variance, epsilon, gamma, beta)
    return None


def _is_vector(entry: Entry, x: Entry) -> bool:
    """Tell whether an entry has one value for each channel of `x`."""
    shape = (1,) * (len(x.shape) - len(entry.shape)) + entry.shape
    axis = _axis(x.shape)
    return shape == tuple(x.shape[axis] if a == axis else 1 for a in range(len(x.shape)))


def _scale(factor: Entry) -> tuple[Entry, str, Entry | None] | None:
    """Match `rsqrt(variance + epsilon)`, times gamma or not."""
    for root, gamma in [*_either(factor, "_npi_multiply"), (factor, None)]:
        if root.node.operator == "rsqrt":
            total = _flat(root.node.inputs[0])
            if total.node.operator == "_npi_add_scalar":
                return _flat(total.node.inputs[0]), total.node.attribute("scalar"), gamma
    return None


def _shift(shift: Entry, factor: Entry) -> tuple[Entry, Entry | None] | None:
    """Match `-(mean * factor)`, plus beta or not."""
    for negative, beta in [*_either(shift, "_npi_add"), (shift, None)]:
        if negative.node.operator == "_npi_negative":
            for mean, scale in _either(negative.node.inputs[0], "_npi_multiply"):
                if _flat(scale) == factor:
                    return _flat(mean), beta
    return None


def _is_mean(entry: Entry, x: Entry) -> bool:
    """Tell whether an entry is the mean of `x` over all axes but the channels'."""
    if entry.node.operator != "_npi_mean" or entry.node.inputs[0] != x:
        return False
    axes = ",".join(str(a) for a in range(len(x.shape)) if a != _axis(x.shape))
    text = entry.node.attribute("axis").strip("()").replace(" ", "").rstrip(",")
    return text == axes


def _is_variance(entry: Entry, x: Entry) -> bool:
    if entry.node.operator != "_npi_mean":
        return False
    squares = entry.node.inputs[0]
    if squares.node.operator != "_npi_square":
        return False
    difference = squares.node.inputs[0]
    if difference.node.operator != "_npi_subtract" or difference.node.inputs[0] != x:
        return False
    mean = Entry(entry.node, 0).node
    return _is_mean(_flat(difference.node.inputs[1]), x) and mean.attribute("axis") == (
        _flat(difference.node.inputs[1]).node.attribute("axis")
    )
