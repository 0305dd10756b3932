"""A trace turned into cached graphs, and run.

A call for gradients splits a trace: what it differentiates is a graph of its own, run on MXNet's
tape; what comes before and after it are graphs without a tape. Where several devices share a
batch, each of these is cut into graphs of one device.
"""

import collections
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from keras_mxnet.src import arrays, autograd
from keras_mxnet.src.graph import passes
from keras_mxnet.src.graph.cached import CachedGraph
from keras_mxnet.src.graph.held import Held
from keras_mxnet.src.graph.nodes import Entry, Graph, Node, leaf, make, number, ordered
from keras_mxnet.src.graph.sums import Sums
from keras_mxnet.src.graph.tracer import Differentiation, Tracer
from keras_mxnet.src.tensor import Tensor
from keras_mxnet.src.tensor import context as home
from keras_mxnet.src.variable import Variable


class _Values:
    """The arrays of a run by their place, and copies of some on other devices."""

    def __init__(self, held: dict[int, Any], copies: dict[tuple[int, Any], Any]):
        self._held = dict(held)
        self._copies = dict(copies)

    def __getitem__(self, place: int) -> Any:
        return self._held[place]

    def __setitem__(self, place: int, array: Any) -> None:
        self._held[place] = array

    def copy(self) -> "_Values":
        return _Values(self._held, self._copies)

    def replicate(self, place: int, context: Any, array: Any) -> None:
        """Take an array that a device has for one of another."""
        self._copies[place, context] = array

    def on(self, place: int, context: Any) -> Any:
        """Return an array where a device has it; None stands for where it is."""
        if (place, context) in self._copies:
            return self._copies[place, context]
        array = self._held[place]
        if context is None or array.ctx == context:
            return array
        copy = self._copies[place, context] = arrays.copied(array, context)
        return copy


class _Stage:
    """A cached graph within a piece, on one device.

    Args:
        outputs: what it gives.
        is_known: tells which entries it is given.
        differentiable: those outputs through which gradients flow.
        wrt: the entries to which gradients flow.
        context: where it runs; None for where everything is.
        places: where values are found; the stage's outputs are added.
    """

    def __init__(
        self,
        outputs: Sequence[Entry],
        is_known: Callable[[Entry], bool],
        differentiable: Iterable[Entry],
        wrt: Iterable[Entry],
        context: Any,
        places: dict[Entry, int],
    ):
        graph, sources = extract(outputs, is_known)
        flowing = set(differentiable)
        if flowing:
            leaves = dict(zip(sources, graph.inputs, strict=True))
            ends = tuple(
                new if old in flowing else _blocked(new)
                for old, new in zip(outputs, graph.outputs, strict=True)
            )
            wanted = frozenset(leaves[entry] for entry in wrt if entry in leaves)
            graph = Graph(graph.inputs, ends, wanted)
        graph = passes.optimize(graph)
        given = set(graph.inputs)
        graph = graph._replace(
            outputs=tuple(make("_np_copy", [e], {}) if e in given else e for e in graph.outputs)
        )
        made = [
            entry
            for node in ordered(graph.outputs)
            if node.operator is None and (entry := Entry(node, 0)) not in given
        ]
        self._made = [_filled(entry, context or home()) for entry in made]
        self._cached = CachedGraph(graph._replace(inputs=(*graph.inputs, *made)))
        self.context = context
        self.inputs = [places[source] for source in sources]
        for entry in outputs:
            places.setdefault(entry, len(places))
        self.outputs = [places[entry] for entry in outputs]
        self.flowing = {places[entry] for entry in flowing}

    def __call__(self, given: Sequence[Any]) -> list[Any]:
        """Run on the arrays of its inputs; return those of its outputs."""
        return self._cached([*given, *self._made])


class _Piece:
    """A part of a program: which entries it takes, which it gives.

    It is one stage, or, where several devices share a batch, some on each of them.
    """

    def __init__(self, outputs: Iterable[Entry], is_known: Callable[[Entry], bool]):
        self.outputs = list(dict.fromkeys(outputs))
        self._is_known = is_known
        self.differentiation: Differentiation | None = None
        self.nodes: set[int] = set()

    def add(self, entry: Entry) -> None:
        """Give another entry, which the piece computes anyway."""
        if entry not in self.outputs:
            self.outputs.append(entry)

    def compile(self, places: dict[Entry, int], devices: Sequence[Any]) -> None:
        """Make the stages.

        Args:
            places: where values are found; those of the piece are added.
            devices: the contexts that share a batch, if any do.
        """
        call = self.differentiation
        groups = _by_device(needed(self.outputs, self._is_known), self._is_known)
        group_of = {id(node): i for i, (_, nodes) in enumerate(groups) for node in nodes}
        handed = dict.fromkeys(
            entry
            for i, (_, nodes) in enumerate(groups)
            for node in nodes
            for entry in node.inputs
            if not self._is_known(entry) and group_of[id(entry.node)] != i
        )
        flowing = {e for e in handed if e.dtype.startswith("float")} if call else set()
        self._stages = []
        for i, (device, _) in enumerate(groups):
            ends = [e for e in dict.fromkeys((*self.outputs, *handed)) if group_of[id(e.node)] == i]
            self._stages.append(
                _Stage(
                    ends,
                    lambda e, i=i: self._is_known(e) or group_of[id(e.node)] != i,
                    [e for e in ends if e in flowing or (call and e == call.loss)],
                    (*call.wrt, *flowing) if call else (),
                    (home() if device is None else devices[device]) if devices else None,
                    places,
                )
            )
        self._to = [places[entry] for entry in self.outputs]
        inside = {place for stage in self._stages for place in stage.outputs}
        self.taken = dict.fromkeys(
            (place, stage.context)
            for stage in self._stages
            for place in stage.inputs
            if place not in inside
        )
        if call is not None:
            self._loss = places[call.loss]
            self._head = None if call.head is None else places[call.head]
            self._context = self._stages[-1].context
            for entry in call.results:
                places.setdefault(entry, len(places))
            self._results = [places[entry] for entry in call.results]
            # A gradient for each device that a value is used on.
            self._wrt = [
                [key for key in self.taken if key[0] == places[entry]] for entry in call.wrt
            ]
            self._buffers: dict[tuple[int, Any], Any] = {}
            self._sums = Sums()

    def run(self, values: _Values) -> None:
        """Compute from the values at the piece's places, and put what it gives at its own."""
        if self.differentiation is None:
            for stage in self._stages:
                outputs = stage([values.on(place, stage.context) for place in stage.inputs])
                for place, array in zip(stage.outputs, outputs, strict=True):
                    values[place] = array
            return
        # Arrays of their own on the tape: only these gradients are wanted, wherever else the
        # values are used or marked.
        given = {key: arrays.detach(values.on(*key)) for key in self.taken}
        for keys in self._wrt:
            for key in keys:
                self._buffers[key] = autograd.mark(given[key], self._buffers.get(key))
        made = _Values({}, given)
        with autograd.recording():
            for stage in self._stages:
                outputs = stage([made.on(place, stage.context) for place in stage.inputs])
                for place, array in zip(stage.outputs, outputs, strict=True):
                    made[place] = array if place in stage.flowing else arrays.detach(array)
        head = None if self._head is None else values.on(self._head, self._context)
        autograd.differentiate([made[self._loss]], [head], retain=False)
        for place in self._to:
            values[place] = arrays.detach(made[place])
        found = self._sums([[self._buffers[key] for key in keys] for keys in self._wrt])
        for place, array in zip(self._results, found, strict=True):
            values[place] = array


def _by_device(
    nodes: Sequence[Node], is_known: Callable[[Entry], bool]
) -> list[tuple[int | None, list[Node]]]:
    """Divide nodes, which come in order, into groups on one device, each after those it needs."""
    levels: dict[int, int] = {}
    groups: dict[tuple[int, int], list[Node]] = collections.defaultdict(list)
    for node in nodes:
        sources = [e.node for e in node.inputs if not is_known(e)]
        level = max((levels[id(s)] + (s.device != node.device) for s in sources), default=0)
        levels[id(node)] = level
        groups[level, -1 if node.device is None else node.device].append(node)
    return [(found[0].device, found) for _, found in sorted(groups.items())]


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


def _filled(entry: Entry, context: Any) -> Any:
    """Return the array of a constant that a pass has made."""
    shape, dtype = entry.spec
    return arrays.from_numpy(np.full(shape, number(entry)), dtype, context)


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
            piece.compile(self._places, tracer.devices)
        self._pieces = pieces
        taken = dict.fromkeys(key for piece in pieces for key in piece.taken)
        constants = {self._places[e]: tensor.array for e, tensor in tracer.constants.items()}
        copies = {
            (place, context): arrays.copied(constants[place], context)
            for place, context in taken
            if place in constants and context is not None
        }
        self._template = _Values(constants, copies)
        self._inputs = [self._places[t.node] for t in inputs]
        self._variables = [(self._places[e], v) for e, v in tracer.variables.items()]
        variables = dict(self._variables)
        self._replicated = [
            (place, context, variables[place])
            for place, context in taken
            if place in variables and context is not None
        ]
        self._trainable = [(v, v.trainable) for v in tracer.variables.values()]
        self._held = tracer.held
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
        """Tell whether what the trace took for granted is so: what is trainable, what is held."""
        return (
            all(variable.trainable == before for variable, before in self._trainable)
            and self.changed() is None
        )

    def changed(self) -> Held | None:
        """Find an attribute whose array the program uses, and which is now another."""
        return next((each for each in self._held if not each.stays()), None)

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Run on the arguments' tensors; assign the variables; return the results' tensors."""
        if len(self._running) >= AHEAD:
            arrays.wait(self._running.popleft())
        values = self._template.copy()
        for place, tensor in zip(self._inputs, inputs, strict=True):
            values[place] = tensor.array
        for place, variable in self._variables:
            values[place] = variable.held.array
        for place, context, variable in self._replicated:
            values.replicate(place, context, variable.on(context))
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
