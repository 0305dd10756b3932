"""Computes equal things once."""

from collections.abc import Sequence

from keras_mxnet.src.graph.nodes import Entry, Graph, Node, rewrite


def share(graph: Graph) -> Graph:
    """Return the graph with operators of equal inputs and attributes merged."""
    first: dict[object, Node] = {}

    def rule(node: Node, inputs: tuple[Entry, ...]) -> Sequence[Entry] | None:
        same = first.get((node.operator, inputs, node.attributes))
        if same is not None:
            return [Entry(same, i) for i in range(len(same.outputs))]
        kept = node
        if inputs != node.inputs:
            kept = Node(node.operator, inputs, dict(node.attributes), node.outputs, node.recorded)
        first[node.operator, inputs, node.attributes] = kept
        return [Entry(kept, i) for i in range(len(kept.outputs))]

    return rewrite(graph, rule)
