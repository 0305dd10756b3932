"""A model as MXNet's own two files: the symbol, and its parameters."""

import ast
import ctypes
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from keras.src import tree
from keras.src.utils import io_utils

from keras_mxnet.src import arrays, autograd, dtypes, tracing
from keras_mxnet.src.graph import passes
from keras_mxnet.src.graph.cached import symbol_of
from keras_mxnet.src.graph.nodes import Entry, Graph, Node, make, number, ordered, rewrite
from keras_mxnet.src.graph.program import extract
from keras_mxnet.src.graph.tracer import Tracer
from keras_mxnet.src.tensor import Tensor

# Traced at both: what differs is what depends on the batch.
_BATCHES = (2, 3)

Arrays = dict[str, Any]


def export(
    model: Any, filepath: str, input_signature: Any = None, verbose: bool | None = None
) -> None:
    """Write `filepath-symbol.json` and `filepath-0000.params`, which MXNet loads without Keras.

    The inputs are called `data`, or `data0`, `data1` and so on. After `mx.npx.set_np()`,
    `mx.gluon.SymbolBlock.imports` and `mx.model.load_checkpoint` read the files.

    Args:
        model: a built model; what it does in inference is exported.
        filepath: where to, without the endings.
        input_signature: the inputs' shapes and dtypes, by default those that the model was
            built for. A batch of None is any, every other length is fixed.
        verbose: say where the files are; by default true.

    Raises:
        NotImplementedError: if the model draws random numbers, changes a variable, computes on
            the host, or depends on the batch's size and no size is given.
        ValueError: if a length other than the batch's is unknown.
    """
    if input_signature is None:
        from keras.src.export.export_utils import get_input_signature

        input_signature = get_input_signature(model)
    specs = tree.flatten(input_signature)
    for spec in specs:
        if None in spec.shape[1:]:
            raise ValueError(
                f"MXNet's files hold fixed lengths: {tuple(spec.shape)} is unknown beyond the "
                "batch. Pass `input_signature=[keras.InputSpec(shape=(None, ...), dtype=...)]`."
            )
    batched = [i for i, spec in enumerate(specs) if spec.shape[0] is None]
    if batched:
        traces = [_trace(model, input_signature, batch) for batch in _BATCHES]
        graph, values = _for_any_batch(*traces, batched[0])
    else:
        graph, values = _trace(model, input_signature, None)
    names = ["data"] if len(specs) == 1 else [f"data{i}" for i in range(len(specs))]
    names += list(values)
    handle, _ = symbol_of(graph, names)
    symbol = arrays.mxnet.symbol.Symbol(handle)
    auxiliary = set(symbol.list_auxiliary_states())
    used = auxiliary | set(symbol.list_arguments())
    paths = f"{filepath}-symbol.json", f"{filepath}-0000.params"
    Path(filepath).parent.mkdir(parents=True, exist_ok=True)
    with arrays.numpy_shapes():
        symbol.save(paths[0])
        _save(
            paths[1],
            {("aux:" if n in auxiliary else "arg:") + n: a for n, a in values.items() if n in used},
        )
    if verbose is None or verbose:
        io_utils.print_msg(f"Saved the symbol as {paths[0]} and its parameters as {paths[1]}.")


class _Snapshot(Tracer):
    """Takes arrays that were made before the trace as constants: files do not see them change."""

    def __init__(self) -> None:
        super().__init__(autograd.is_recording)
        self._frozen: dict[int, tuple[Tensor, Tensor]] = {}

    def meet(self, array: Any) -> None:
        pass

    def look(self, tensor: Tensor) -> None:
        pass

    def entry(self, tensor: Tensor) -> Entry:
        if tensor.node is not None or tensor.array is None:
            return super().entry(tensor)
        if id(tensor) not in self._frozen:
            # Another tensor of the same array: this one's node must not outlive the trace.
            copy = Tensor(tensor.array, tensor.dtype, tensor.shape)
            self.constant(copy)
            self._frozen[id(tensor)] = (tensor, copy)
        return self._frozen[id(tensor)][1].node


def _trace(model: Any, signature: Any, batch: int | None) -> tuple[Graph, Arrays]:
    """Return the model's graph, and the named arrays of its inputs after the model's own."""
    tracer = _Snapshot()
    inputs: list[Tensor] = []

    def stand_in(spec: Any) -> Tensor:
        shape = tuple(spec.shape) if spec.shape[0] is not None else (batch, *spec.shape[1:])
        inputs.append(tracer.input(shape, spec.dtype))
        return inputs[-1]

    arguments = tree.map_structure(stand_in, list(signature))
    try:
        with tracing.using(tracer):
            outputs = model(*arguments, training=False)
    except tracing.Untraceable as error:
        raise NotImplementedError(f"The model is no graph of MXNet: {error}.") from error
    if tracer.draws or tracer.written:
        raise NotImplementedError(
            "A model that draws random numbers or changes its variables when it predicts is no "
            "graph of MXNet."
        )
    names: dict[Entry, str] = {}
    for entry, variable in tracer.variables.items():
        path = variable.path
        names[entry] = path if path not in names.values() else f"{path}_{len(names)}"
    known = {*(t.node for t in inputs), *tracer.variables, *tracer.constants}
    ends = [tracer.entry(tensor) for tensor in tree.flatten(outputs)]
    graph, sources = extract(ends, known.__contains__)
    graph = passes.optimize(graph)
    leaves = dict(zip(sources, graph.inputs, strict=True))
    missing = [i for i, t in enumerate(inputs) if t.node not in leaves]
    if missing:
        raise NotImplementedError(f"The model's outputs do not depend on its inputs {missing}.")
    values: Arrays = {}
    order = [leaves[t.node] for t in inputs]
    constants = itertools.count()
    for source, leaf in leaves.items():
        if source in tracer.variables:
            name, array = names[source], tracer.variables[source].held.array
        elif source in tracer.constants:
            name, array = f"constant{next(constants)}", tracer.constants[source].array
        else:
            continue
        values[name] = array
        order.append(leaf)
    given = set(order)
    for node in ordered(graph.outputs):
        # Numbers that a pass has made.
        if node.operator is None and Entry(node, 0) not in given:
            shape, held = node.outputs[0]
            value = np.full(shape, number(Entry(node, 0)), dtypes.NUMPY[held])
            values[f"constant{next(constants)}"] = arrays.from_numpy(
                value, held, arrays.mxnet.cpu()
            )
            order.append(Entry(node, 0))
    return graph._replace(inputs=tuple(order)), values


def _for_any_batch(
    first: tuple[Graph, Arrays], second: tuple[Graph, Arrays], batched: int
) -> tuple[Graph, Arrays]:
    """Return the first of two traces, which differ in the batch, without the batch.

    Args:
        first: graph and arrays of one trace.
        second: those of the other.
        batched: an input that has the batch's length.
    """
    graph, values = first[0], dict(first[1])
    nodes = [ordered(each.outputs) for each in (graph, second[0])]
    same = [node.operator for node in nodes[0]] == [node.operator for node in nodes[1]]
    if not same or list(values) != list(second[1]):
        _refuse("its operators")
    filled: dict[Entry, Entry] = {}
    leaves = dict(zip(values, graph.inputs[len(graph.inputs) - len(values) :], strict=True))
    for name, array in first[1].items():
        pair = [arrays.to_numpy(each) for each in (array, second[1][name])]
        if array is second[1][name] or np.array_equal(*pair):
            continue
        axis = _filled_along(*pair)
        if axis is None:
            _refuse(f"the array {name}")
        row = np.take(pair[0], [0], axis)
        values[name] = arrays.from_numpy(row, arrays.dtype_of(array), arrays.mxnet.cpu())
        filled[leaves[name]] = _repeated(leaves[name], axis, graph.inputs[batched])
    changed = {
        id(a): _without_batch(a, b)
        for a, b in zip(*nodes, strict=True)
        if a.operator is not None and a.attributes != b.attributes
    }

    def rule(node: Node, inputs: tuple[Entry, ...]) -> Sequence[Entry] | None:
        given = tuple(filled.get(entry, entry) for entry in inputs)
        if id(node) not in changed and given == inputs:
            return None
        attributes = changed.get(id(node), dict(node.attributes))
        new = Node(node.operator, given, attributes, node.outputs, node.recorded)
        return [Entry(new, i) for i in range(len(node.outputs))]

    return rewrite(graph, rule), values


def _filled_along(a: np.ndarray, b: np.ndarray) -> int | None:
    """Return the one axis along which two arrays are of different length and each the same."""
    places = [i for i, (m, n) in enumerate(zip(a.shape, b.shape, strict=False)) if m != n]
    if a.ndim != b.ndim or len(places) != 1 or a.dtype == bool:
        return None
    rows = [np.take(each, [0], places[0]) for each in (a, b)]
    same = all(np.array_equal(each, np.broadcast_to(rows[0], each.shape)) for each in (a, b))
    return places[0] if same else None


def _repeated(row: Entry, axis: int, data: Entry) -> Entry:
    """Return a constant of length one along an axis, repeated there as often as `data` is long."""
    zeros = make("zeros_like", [data], {})
    if len(data.shape) > 1:
        zeros = make("_np_sum", [zeros], {"axis": tuple(range(1, len(data.shape)))})
    zeros = make("_npx_cast", [zeros], {"dtype": row.dtype})
    shape = [1] * len(row.shape)
    spec = (tuple(data.shape[0] if i == axis else 1 for i in range(len(shape))), row.dtype)
    shape[axis] = -1
    column = Entry(Node("_np_reshape", [zeros], {"newshape": tuple(shape)}, (spec,), False), 0)
    return Entry(Node("_npi_add", [column, row], {}, (row.spec,), False), 0)


def _without_batch(a: Node, b: Node) -> dict[str, Any]:
    """Return the attributes of a reshape or a slice with the batch's length left to MXNet."""
    attributes: dict[str, Any] = dict(a.attributes)
    if a.operator == "_np_reshape":
        shapes = [node.outputs[0][0] for node in (a, b)]
        places = [i for i, (m, n) in enumerate(zip(*shapes, strict=False)) if m != n]
        if len(shapes[0]) == len(shapes[1]) and len(places) == 1:
            shape = tuple(-1 if i in places else n for i, n in enumerate(shapes[0]))
            return {**attributes, "newshape": shape}
    elif a.operator == "_npi_slice":
        # Up to the end of an axis, however long that is.
        ends = [ast.literal_eval(node.attribute("end")) for node in (a, b)]
        axes = list(zip(*ends, *(node.inputs[0].shape for node in (a, b)), strict=False))
        others = [{**dict(node.attributes), "end": None} for node in (a, b)]
        if others[0] == others[1] and all(m == n or (m, n) == (p, q) for m, n, p, q in axes):
            end = tuple(None if (m, n) == (p, q) else m for m, n, p, q in axes)
            return {**attributes, "end": end}
    _refuse(f"{a.operator} with {attributes}")


def _refuse(what: str) -> NoReturn:
    raise NotImplementedError(
        f"The model's graph depends on the batch's size: {what}. Export it for one size: "
        "`input_signature=[keras.InputSpec(shape=(size, ...), dtype=...)]`."
    )


def _save(path: str, values: Arrays) -> None:
    handles = (ctypes.c_void_p * len(values))(*[a.handle.value for a in values.values()])
    names = (ctypes.c_char_p * len(values))(*[name.encode() for name in values])
    arrays.check_call(
        arrays._LIB.MXNDArraySave(path.encode(), ctypes.c_uint(len(values)), handles, names)
    )
