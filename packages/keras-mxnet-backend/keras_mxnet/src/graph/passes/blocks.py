"""Leaves out what only blocks gradients where there are none."""

from collections.abc import Sequence

from keras_mxnet.src.graph.nodes import Entry, Graph, Node, rewrite


def remove_blocks(graph: Graph) -> Graph:
    """Return the graph without `BlockGrad`; for a graph that runs without a tape."""

    def rule(node: Node, inputs: tuple[Entry, ...]) -> Sequence[Entry] | None:
        return inputs if node.operator == "BlockGrad" else None

    return rewrite(graph, rule)
