"""Numbers where broadcasting a tensor without dimensions would be slow."""

from collections.abc import Sequence

from keras_mxnet.src.graph.nodes import Entry, Graph, Node, make, number, rewrite

# Binary operators and their forms with a number on the right and on the left.
_FORMS = {
    "_npi_add": ("_npi_add_scalar", "_npi_add_scalar"),
    "_npi_multiply": ("_npi_multiply_scalar", "_npi_multiply_scalar"),
    "_npi_subtract": ("_npi_subtract_scalar", "_npi_rsubtract_scalar"),
    "_npi_true_divide": ("_npi_true_divide_scalar", "_npi_rtrue_divide_scalar"),
    "_npi_maximum": ("_npi_maximum_scalar", "_npi_maximum_scalar"),
    "_npi_minimum": ("_npi_minimum_scalar", "_npi_minimum_scalar"),
    "_npi_power": ("_npi_power_scalar", "_npi_rpower_scalar"),
}


def use_scalars(graph: Graph) -> Graph:
    """Return the graph with constants of no dimensions as attributes, choices by them made.

    A product with a computed tensor of no dimensions becomes `_np_dot`, whose kernel for that
    case reads the one value once; the broadcasting kernel finds it anew for each element.
    """

    def rule(node: Node, inputs: tuple[Entry, ...]) -> Sequence[Entry] | None:
        if node.operator == "_npi_where":
            return _chosen(node, inputs)
        forms = _FORMS.get(node.operator)
        if forms is None or not _floats(inputs):
            return None
        for tensor, scalar, form in zip(inputs, inputs[::-1], forms, strict=True):
            value = number(scalar)
            if scalar.shape or (value is None and not tensor.shape):
                continue
            if value is not None:
                return [make(form, [tensor], {"scalar": value, "is_int": False})]
            if node.operator == "_npi_multiply":
                return [make("_np_dot", [tensor, scalar], {})]
        return None

    return rewrite(graph, rule)


def _chosen(node: Node, inputs: Sequence[Entry]) -> Sequence[Entry] | None:
    """Return the branch of a choice that a constant makes."""
    condition = number(inputs[0])
    if condition is None:
        return None
    branch = inputs[1 if condition else 2]
    return [branch] if branch.spec == node.outputs[0] else None


def _floats(inputs: Sequence[Entry]) -> bool:
    return len({e.dtype for e in inputs}) == 1 and inputs[0].dtype in ("float32", "float64")
