"""A trace turned into cached graphs, and run.

A call for gradients splits a trace: what it differentiates is a graph of its own, run on MXNet's
tape; what comes before and after it are graphs without a tape.
"""

import collections
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from keras_mxnet.src import arrays, autograd
from keras_mxnet.src.graph import passes
from keras_mxnet.src.graph.cached import CachedGraph
from keras_mxnet.src.graph.nodes import Entry, Graph, Node, leaf, number, ordered
from keras_mxnet.src.graph.tracer import Differentiation, Tracer
from keras_mxnet.src.tensor import Tensor, context
from keras_mxnet.src.variable import Variable


class _Piece:
    """A graph within a program: which entries it takes, which it gives."""

    def __init__(self, outputs: Iterable[Entry], is_known: Callable[[Entry], bool]):
        self.outputs = list(dict.fromkeys(outputs))
        self._is_known = is_known
        self.differentiation: Differentiation | None = None
        self.nodes: set[int] = set()

    def add(self, entry: Entry) -> None:
        """Give another entry, which the piece computes anyway."""
        if entry not in self.outputs:
            self.outputs.append(entry)

    def compile(self, places: dict[Entry, int]) -> None:
        """Make the cached graph, the places of its values found in or added to `places`."""
        graph, sources = extract(self.outputs, self._is_known)
        if self.differentiation is not None:
            leaves = dict(zip(sources, graph.inputs, strict=True))
            graph = Graph(
                graph.inputs,
                (graph.outputs[0], *map(_blocked, graph.outputs[1:])),
                frozenset(leaves[entry] for entry in self.differentiation.wrt),
            )
        graph = passes.optimize(graph)
        given = set(graph.inputs)
        made = [
            entry
            for node in ordered(graph.outputs)
            if node.operator is None and (entry := Entry(node, 0)) not in given
        ]
        self._made = [_filled(entry) for entry in made]
        self._cached = CachedGraph(graph._replace(inputs=(*graph.inputs, *made)))
        self._from = [places[source] for source in sources]
        for entry in self.outputs:
            places.setdefault(entry, len(places))
        self._to = [places[entry] for entry in self.outputs]
        wanted = self.differentiation
        if wanted is not None:
            self._wrt = [places[entry] for entry in wanted.wrt]
            for entry in wanted.results:
                places.setdefault(entry, len(places))
            self._results = [places[entry] for entry in wanted.results]
            self._buffers: list[Any] = [None] * len(wanted.results)
            self._head = None if wanted.head is None else places[wanted.head]

    def run(self, values: list[Any]) -> None:
        """Compute from the values at the piece's places, and put what it gives at its own."""
        if self.differentiation is None:
            given = [*(values[i] for i in self._from), *self._made]
            for place, array in zip(self._to, self._cached(given), strict=True):
                values[place] = array
            return
        # Arrays of their own on the tape: only these gradients are wanted, wherever else the
        # values are used or marked.
        given = {i: arrays.detach(values[i]) for i in self._from}
        self._buffers = [
            autograd.mark(given[i], buffer)
            for i, buffer in zip(self._wrt, self._buffers, strict=True)
        ]
        with autograd.recording():
            outputs = self._cached([*(given[i] for i in self._from), *self._made])
        head = None if self._head is None else values[self._head]
        autograd.differentiate([outputs[0]], [head], retain=False)
        for place, array in zip(self._to, outputs, strict=True):
            values[place] = arrays.detach(array)
        for place, array in zip(self._results, self._buffers, strict=True):
            values[place] = array


def extract(
    outputs: Sequence[Entry], is_known: Callable[[Entry], bool]
) -> tuple[Graph, list[Entry]]:
    """Cut a graph out of a trace.

    Args:
        outputs: what it shall compute.
        is_known: tells which entries it is given.

    Returns:
        The graph, and for each of its inputs the entry in the trace.
    """
    inputs: dict[Entry, Entry] = {}

    def given(entry: Entry) -> Entry:
        if is_known(entry):
            return inputs.setdefault(entry, leaf(entry.spec, number(entry)))
        return entry

    new: dict[int, Node] = {}

    def mapped(entry: Entry) -> Entry:
        entry = given(entry)
        return Entry(new.get(id(entry.node), entry.node), entry.index)

    for node in needed(outputs, is_known):
        if node.operator is None:
            raise ValueError("A graph needs a value that nothing gives it.")
        copy = Node(
            node.operator,
            [mapped(e) for e in node.inputs],
            dict(node.attributes),
            node.outputs,
            node.recorded,
        )
        new[id(node)] = copy
    ends = tuple(Entry(new[id(e.node)], e.index) for e in outputs)
    return Graph(tuple(inputs.values()), ends), list(inputs)


def needed(outputs: Iterable[Entry], is_known: Callable[[Entry], bool]) -> list[Node]:
    """Return the nodes that `outputs` need where known entries are given, in order."""
    found: list[Node] = []
    seen: set[int] = set()
    stack = [(entry.node, False) for entry in outputs]
    while stack:
        node, complete = stack.pop()
        if complete:
            found.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((e.node, False) for e in node.inputs if not is_known(e))
    return found


def _filled(entry: Entry) -> Any:
    """Return the array of a constant that a pass has made."""
    shape, dtype = entry.spec
    return arrays.from_numpy(np.full(shape, number(entry)), dtype, context())


def _blocked(entry: Entry) -> Entry:
    return Entry(Node("BlockGrad", [entry], {}, (entry.spec,), False), 0)


# Runs that may be under way at once: while one computes, the next one's inputs are copied.
AHEAD = 2


class Program:
    """What a trace computes, ready to run again and again.

    Args:
        tracer: the trace.
        inputs: the tensors that stood for the arguments.
        outputs: the tensors that the function returned.
    """

    def __init__(self, tracer: Tracer, inputs: Sequence[Tensor], outputs: Sequence[Tensor]):
        written = list(tracer.written.values())
        ends = [_source(tracer.entry(t)) for t in (*outputs, *(value for _, value in written))]
        known: set[Entry] = {
            *(t.node for t in inputs),
            *tracer.constants,
            *tracer.variables,
            *(draw.entry for draw in tracer.draws),
        }
        pieces: list[_Piece] = []

        def compute(entries: Iterable[Entry]) -> None:
            """Plan a piece without a tape for those entries that are not known."""
            wanted = [e for e in dict.fromkeys(entries) if e not in known]
            owners = {n: piece for piece in pieces for n in piece.nodes}
            stack, seen = list(wanted), set(wanted)
            while stack:
                entry = stack.pop()
                if id(entry.node) in owners:
                    owners[id(entry.node)].add(entry)
                    known.add(entry)
                    continue
                for source in entry.node.inputs:
                    if source not in known and source not in seen:
                        seen.add(source)
                        stack.append(source)
            wanted = [e for e in wanted if e not in known]
            if wanted:
                pieces.append(_Piece(wanted, frozenset(known).__contains__))
                known.update(wanted)

        for call in tracer.differentiations:
            if not call.wrt:
                continue
            region = _region(call)
            inside = {id(node) for node in region}
            border = [e for node in region for e in node.inputs if id(e.node) not in inside]
            compute([*border, *call.wrt, *([] if call.head is None else [call.head])])
            piece = _Piece([call.loss], frozenset((*border, *call.wrt)).__contains__)
            piece.differentiation, piece.nodes = call, inside
            pieces.append(piece)
            known.update((call.loss, *call.results))
        compute(ends)

        self._places: dict[Entry, int] = {}
        for entry in known:
            if entry.node.operator is None:
                self._places[entry] = len(self._places)
        for piece in pieces:
            piece.compile(self._places)
        self._pieces = pieces
        self._template: list[Any] = [None] * len(self._places)
        for entry, tensor in tracer.constants.items():
            self._template[self._places[entry]] = tensor.array
        self._inputs = [self._places[t.node] for t in inputs]
        self._variables = [(self._places[e], v) for e, v in tracer.variables.items()]
        self._trainable = [(v, v.trainable) for v in tracer.variables.values()]
        self._draws = [(self._places[d.entry], d.take) for d in tracer.draws]
        self._outputs = [
            (self._places[e], t.dtype, t.shape) for e, t in zip(ends, outputs, strict=False)
        ]
        self._written: list[tuple[int, Variable, Tensor]] = [
            (self._places[e], variable, value)
            for e, (variable, value) in zip(ends[len(outputs) :], written, strict=True)
        ]

        self._running: collections.deque[Any] = collections.deque()

    def holds(self) -> bool:
        """Tell whether what was trainable in the trace still is, and nothing else."""
        return all(variable.trainable == before for variable, before in self._trainable)

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Run on the arguments' tensors; assign the variables; return the results' tensors."""
        if len(self._running) >= AHEAD:
            arrays.wait(self._running.popleft())
        values = list(self._template)
        for place, tensor in zip(self._inputs, inputs, strict=True):
            values[place] = tensor.array
        for place, variable in self._variables:
            values[place] = variable.held.array
        for place, take in self._draws:
            values[place] = take().array
        for piece in self._pieces:
            piece.run(values)
        for place, variable, value in self._written:
            variable.hold(Tensor(values[place], value.dtype, value.shape))
        results = [Tensor(values[place], dtype, shape) for place, dtype, shape in self._outputs]
        self._running.extend(tensor.array for tensor in results[:1])
        return results


def _source(entry: Entry) -> Entry:
    """Return what an entry that only blocks gradients hands on."""
    while entry.node.operator == "BlockGrad" and not entry.node.recorded:
        (entry,) = entry.node.inputs
    return entry


def _region(call: Differentiation) -> list[Node]:
    """Return the nodes between a loss and what it is differentiated for."""
    ends = {id(entry.node) for entry in call.wrt}
    return ordered([call.loss], lambda n: n.operator is None or not n.recorded or id(n) in ends)
