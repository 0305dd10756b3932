"""Transposes cancelled, so that Keras's channels-last tensors stay channels-first for MXNet.

A transpose sinks through whatever does not mind, until it meets its inverse or something that
needs it.
"""

import math
from collections.abc import Callable, Sequence

from keras_mxnet.src import dtypes
from keras_mxnet.src.graph.nodes import Entry, Graph, Node, make, rewrite
from keras_mxnet.src.graph.passes.elementwise import BINARY, UNARY

_REDUCTIONS = frozenset({"_np_sum", "_npi_mean", "_np_max", "_np_min", "_np_prod"})

Axes = tuple[int, ...]


def cancel_transposes(graph: Graph) -> Graph:
    """Return the graph with transposes moved towards its outputs, and inverse ones removed."""

    def rule(node: Node, inputs: tuple[Entry, ...]) -> Sequence[Entry] | None:
        sink = _SINKS.get(node.operator)
        # What MXNet has no kernel to transpose came wider, and is not transposed as it is.
        if sink is None or node.outputs[0][1] in dtypes.WIDENED["_np_transpose"]:
            return None
        entry = sink(node, inputs)
        return None if entry is None else [entry]

    return rewrite(graph, rule)


def axes_of(node: Node) -> Axes:
    """Return the permutation of a transpose."""
    text = node.attribute("axes", "None")
    count = len(node.outputs[0][0])
    if text in ("None", "()"):
        return tuple(reversed(range(count)))
    return tuple(int(a) % count for a in text.strip("()").split(",") if a.strip())


def transposed(entry: Entry, axes: Axes) -> Entry:
    """Return an entry transposed, by a reshape where only lengths of one move."""
    if entry.node.operator == "_np_transpose":
        inner = axes_of(entry.node)
        return transposed(entry.node.inputs[0], tuple(inner[a] for a in axes))
    if axes == tuple(range(len(axes))):
        return entry
    long = [a for a in axes if entry.shape[a] != 1]
    if long == sorted(long):
        return reshaped(entry, tuple(entry.shape[a] for a in axes))
    return make("_np_transpose", [entry], {"axes": axes})


def reshaped(entry: Entry, shape: tuple[int, ...]) -> Entry:
    """Return an entry in another shape of the same size."""
    if entry.shape == shape:
        return entry
    if entry.node.operator == "_np_reshape":
        return reshaped(entry.node.inputs[0], shape)
    return make("_np_reshape", [entry], {"newshape": shape})


def _below(entry: Entry) -> tuple[Entry, Axes] | None:
    """Return what a transpose is of, and its permutation; None for another entry."""
    if entry.node.operator != "_np_transpose":
        return None
    return entry.node.inputs[0], axes_of(entry.node)


def _rebuilt(node: Node, inputs: Sequence[Entry], **changed: object) -> Entry:
    return make(node.operator, inputs, {**dict(node.attributes), **changed})


def _transpose(node: Node, inputs: tuple[Entry, ...]) -> Entry:
    return transposed(inputs[0], axes_of(node))


def _reshape(node: Node, inputs: tuple[Entry, ...]) -> Entry | None:
    below = _below(inputs[0])
    if below is None:
        return reshaped(inputs[0], node.outputs[0][0])
    source, axes = below
    long = [a for a in axes if source.shape[a] != 1]
    return reshaped(source, node.outputs[0][0]) if long == sorted(long) else None


def _unary(node: Node, inputs: tuple[Entry, ...]) -> Entry | None:
    below = _below(inputs[0])
    return below and transposed(_rebuilt(node, [below[0]]), below[1])


def _binary(node: Node, inputs: tuple[Entry, ...]) -> Entry | None:
    full = node.outputs[0][0]
    found = next((b for e in inputs if e.shape == full and (b := _below(e))), None)
    if found is None:
        return None
    axes = found[1]
    moved = [_as_below(entry, axes) for entry in inputs]
    if any(entry is None for entry in moved):
        return None
    return transposed(_rebuilt(node, moved), axes)


def _as_below(entry: Entry, axes: Axes) -> Entry | None:
    """Return an argument as it has to be beside tensors that are not yet transposed."""
    below = _below(entry)
    if below is not None and below[1] == axes:
        return below[0]
    shape = (1,) * (len(axes) - len(entry.shape)) + entry.shape
    if sum(n != 1 for n in shape) > 1:
        return None
    if math.prod(shape) == 1 and not entry.shape:
        return entry
    place = {a: i for i, a in enumerate(axes)}
    return reshaped(entry, tuple(shape[place[a]] for a in range(len(axes))))


def _reduction(node: Node, inputs: tuple[Entry, ...]) -> Entry | None:
    below = _below(inputs[0])
    if below is None:
        return None
    source, axes = below
    count = len(axes)
    text = node.attribute("axis", "None")
    over = (
        set(range(count))
        if text in ("None", "()")
        else {int(a) % count for a in text.strip("()").split(",") if a.strip()}
    )
    kept = node.attribute("keepdims", "False") in ("True", "1")
    result = _rebuilt(node, [source], axis=tuple(sorted(axes[a] for a in over)))
    if kept:
        return transposed(result, axes)
    rest = [axes[a] for a in range(count) if a not in over]
    ranks = sorted(rest)
    return transposed(result, tuple(ranks.index(a) for a in rest))


def _pad(node: Node, inputs: tuple[Entry, ...]) -> Entry | None:
    below = _below(inputs[0])
    if below is None:
        return None
    source, axes = below
    numbers = [int(n) for n in _digits(node.attribute("pad_width"))]
    widths = list(zip(numbers[::2], numbers[1::2], strict=True))
    if len(widths) != len(axes):
        return None
    place = {a: i for i, a in enumerate(axes)}
    moved = tuple(widths[place[a]] for a in range(len(axes)))
    return transposed(_rebuilt(node, [source], pad_width=moved), axes)


def _digits(text: str) -> list[str]:
    return [n for n in text.replace("(", "").replace(")", "").replace(" ", "").split(",") if n]


def _concatenate(node: Node, inputs: tuple[Entry, ...]) -> Entry | None:
    below = [_below(entry) for entry in inputs]
    if any(b is None for b in below) or len({b[1] for b in below if b}) != 1:
        return None
    axes = below[0][1]
    axis = int(node.attribute("axis", "0")) % len(axes)
    return transposed(_rebuilt(node, [b[0] for b in below], axis=axes[axis]), axes)


_SINKS: dict[str, Callable[[Node, tuple[Entry, ...]], Entry | None]] = {
    "_np_transpose": _transpose,
    "_np_reshape": _reshape,
    "_npi_pad": _pad,
    "_npi_concatenate": _concatenate,
    **dict.fromkeys(UNARY, _unary),
    **dict.fromkeys(BINARY, _binary),
    **dict.fromkeys(_REDUCTIONS, _reduction),
}
