"""What a graph is made of: operators, and the leaves that they start from."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from keras_mxnet.src import arrays
from keras_mxnet.src.arrays import Spec


class Node:
    """An operator in a graph, or, with `operator` None, a leaf whose value comes from elsewhere.

    Attributes:
        operator: MXNet's name of the operator.
        inputs: the entries that it takes.
        attributes: its attributes as MXNet reads them, sorted by name.
        outputs: shape and storage dtype of each output.
        recorded: whether gradients flow through it.
        device: the number of the replica that computes it; None for what there is one of.
    """

    __slots__ = ("attributes", "device", "inputs", "operator", "outputs", "recorded")

    def __init__(
        self,
        operator: str | None,
        inputs: Sequence["Entry"],
        attributes: Mapping[str, Any],
        outputs: Sequence[Spec],
        recorded: bool,
        device: int | None = None,
    ):
        self.operator = operator
        self.inputs = tuple(inputs)
        self.attributes = tuple(
            sorted(
                (k, v if isinstance(v, bytes) else arrays.text(v)) for k, v in attributes.items()
            )
        )
        self.outputs = tuple(outputs)
        self.recorded = recorded
        self.device = device

    def attribute(self, name: str, default: str = "") -> str:
        """Return an attribute's text."""
        return dict(self.attributes).get(name, default.encode()).decode()


class Entry(NamedTuple):
    """One output of a node."""

    node: Node
    index: int

    @property
    def spec(self) -> Spec:
        return self.node.outputs[self.index]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.node.outputs[self.index][0]

    @property
    def dtype(self) -> str:
        return self.node.outputs[self.index][1]


def leaf(spec: Spec, value: float | None = None) -> Entry:
    """Return an entry for a value that comes from outside the graph.

    Args:
        spec: shape and storage dtype.
        value: what all its elements are, where that never changes.
    """
    return Entry(Node(None, (), {} if value is None else {"value": value}, (spec,), False), 0)


def number(entry: Entry) -> float | None:
    """Return what all elements of a leaf always are, None where that is not known."""
    text = entry.node.attribute("value")
    return float(text) if entry.node.operator is None and text else None


def make(operator: str, inputs: Sequence[Entry], attributes: Mapping[str, Any]) -> Entry:
    """Return the first output of a new operator, its shape inferred by MXNet."""
    node = Node(operator, inputs, attributes, (), any(e.node.recorded for e in inputs))
    node.outputs = tuple(arrays.infer(operator, node.attributes, tuple(e.spec for e in inputs)))
    return Entry(node, 0)


class Graph(NamedTuple):
    """A piece of computation.

    Attributes:
        inputs: the leaves that it starts from.
        outputs: what it computes.
        wanted: those inputs for which gradients of the first output are taken.
    """

    inputs: tuple[Entry, ...]
    outputs: tuple[Entry, ...]
    wanted: frozenset[Entry] = frozenset()


def ordered(
    outputs: Iterable[Entry], stops: Callable[[Node], bool] = lambda _: False
) -> list[Node]:
    """Return the nodes that `outputs` need, each after those it takes, `stops` left out."""
    found: list[Node] = []
    seen: set[int] = set()
    stack = [(entry.node, False) for entry in reversed(list(outputs))]
    while stack:
        node, complete = stack.pop()
        if complete:
            found.append(node)
            continue
        if id(node) in seen or stops(node):
            continue
        seen.add(id(node))
        stack.append((node, True))
        stack.extend((entry.node, False) for entry in reversed(node.inputs))
    return found


Rule = Callable[[Node, tuple[Entry, ...]], Sequence[Entry] | None]


def rewrite(graph: Graph, rule: Rule) -> Graph:
    """Return the graph with each node for which `rule` has a substitute replaced.

    Args:
        graph: what to rewrite; it stays as it is.
        rule: takes a node and its already rewritten inputs; returns an entry for each output of
            the node, or None to keep it.
    """
    new: dict[tuple[int, int], Entry] = {}

    def mapped(entry: Entry) -> Entry:
        return new.get((id(entry.node), entry.index), entry)

    for node in ordered(graph.outputs):
        if node.operator is None:
            continue
        inputs = tuple(mapped(entry) for entry in node.inputs)
        entries = rule(node, inputs)
        if entries is None:
            if inputs == node.inputs:
                continue
            kept = Node(node.operator, inputs, dict(node.attributes), node.outputs, node.recorded)
            entries = [Entry(kept, i) for i in range(len(node.outputs))]
        for i, entry in enumerate(entries):
            new[id(node), i] = entry
    return graph._replace(outputs=tuple(mapped(entry) for entry in graph.outputs))


def uses(graph: Graph) -> dict[int, int]:
    """Return how often each node's outputs are taken, by the node's identity."""
    counts: dict[int, int] = {}
    for node in ordered(graph.outputs):
        for entry in node.inputs:
            counts[id(entry.node)] = counts.get(id(entry.node), 0) + 1
    for entry in graph.outputs:
        counts[id(entry.node)] = counts.get(id(entry.node), 0) + 1
    return counts
