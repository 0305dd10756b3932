"""Watches a function that runs on tensors without values, and writes down what it computes."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from keras.src import tree

from keras_mxnet.src import arrays, dtypes
from keras_mxnet.src.arrays import Spec
from keras_mxnet.src.graph.held import Attributes, Held
from keras_mxnet.src.graph.nodes import Entry, Node, leaf
from keras_mxnet.src.tensor import Tensor, abstract
from keras_mxnet.src.tracing import Untraceable, current, using

if TYPE_CHECKING:
    from keras_mxnet.src.variable import Variable

__all__ = ["Differentiation", "Draw", "Tracer", "Untraceable", "current", "using"]


class Differentiation(NamedTuple):
    """A call for gradients: of `loss`, weighted by `head`, for `wrt`, given in `results`."""

    loss: Entry
    head: Entry | None
    wrt: tuple[Entry, ...]
    results: tuple[Entry, ...]


class Draw(NamedTuple):
    """Random numbers drawn on the host before each run: `take()` gives their tensor."""

    take: Callable[[], Tensor]
    entry: Entry


class Tracer:
    """The record of one trace.

    Args:
        is_recording: tells whether gradients flow through what is computed now.
        devices: the contexts that share each batch; none where one computes all.
        model: whose attributes may hold arrays; none where nothing may.

    Attributes:
        devices: as above.
        device: the number of the one whose part of the batch is traced now, if any.
        constants: tensors made from the program's own values, by their leaf.
        held: the attributes whose arrays were used, as constants.
        variables: each variable that was read, with its leaf.
        written: each variable that was assigned, with its new value.
        draws: the random numbers, in the order in which they are drawn.
        differentiations: the calls for gradients, in their order.
    """

    def __init__(
        self, is_recording: Callable[[], bool], devices: Sequence[Any] = (), model: Any = None
    ):
        self._is_recording = is_recording
        self._attributes = Attributes(model)
        self.devices = tuple(devices)
        self.device: int | None = None
        self.constants: dict[Entry, Tensor] = {}
        self.held: list[Held] = []
        self._entries: dict[int, tuple[Tensor, Entry]] = {}
        self.variables: dict[Entry, Variable] = {}
        self._read: dict[int, Tensor] = {}
        self.written: dict[int, tuple[Variable, Tensor]] = {}
        self.draws: list[Draw] = []
        self.differentiations: list[Differentiation] = []
        self._chosen: set[Entry] = set()
        self._gradients: dict[Entry, Entry] = {}

    # Values.

    def input(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        """Return a tensor whose value is given when the graph runs."""
        tensor = abstract(shape, dtype)
        tensor.node = leaf((tuple(shape), dtypes.STORAGE[dtype]))
        return tensor

    def constant(self, tensor: Tensor) -> None:
        """Take a tensor that was made from Python's or NumPy's values inside the trace."""
        held = arrays.dtype_of(tensor.array)
        scalar = tensor.shape == () and held in ("bool", "float32", "float64")
        value = float(arrays.to_numpy(tensor.array)) if scalar else None
        tensor.node = entry = leaf((tensor.shape, held), value)
        self.constants[entry] = tensor

    def draw(self, take: Callable[[], Tensor], shape: tuple[int, ...], dtype: str) -> Tensor:
        """Return a tensor that stands for random numbers drawn anew in each run."""
        tensor = self.input(shape, dtype)
        self.draws.append(Draw(take, tensor.node))
        return tensor

    def meet(self, array: Any) -> None:
        """Stop at an array that is no tensor, unless an attribute holds it.

        Raises:
            Untraceable: as nobody can tell whether the next run has the same.
        """
        if self._keep(array):
            return
        raise Untraceable(
            f"it uses a {type(array).__module__} array of shape {np.shape(array)}, which may be "
            "another one in the next run; make it a `keras.Variable` or pass it in"
        )

    def look(self, tensor: Tensor) -> None:
        """Let a value be read on the host that is the same in each run.

        Raises:
            Untraceable: if the tensor was made before the trace, and no attribute holds it.
        """
        if self._source(tensor) not in self.constants:
            raise Untraceable(
                f"it reads an array of shape {tensor.shape} and dtype {tensor.dtype} that was "
                "made outside it and is no variable; make it a `keras.Variable` or pass it in"
            )

    def entry(self, tensor: Tensor) -> Entry:
        """Return where a tensor's value comes from.

        Raises:
            Untraceable: if it is an array that was made before the trace, and no attribute
                holds it.
        """
        source = self._source(tensor)
        if source is None:
            raise Untraceable(
                f"it uses an array of shape {tensor.shape} and dtype {tensor.dtype} that was made "
                "outside it and is no variable; make it a `keras.Variable` or pass it in"
            )
        return source

    def _source(self, tensor: Tensor) -> Entry | None:
        if tensor.node is not None:
            return tensor.node
        if id(tensor) not in self._entries:
            if tensor.array is None or not self._keep(tensor):
                return None
            entry = leaf((tensor.shape, arrays.dtype_of(tensor.array)))
            self.constants[entry] = tensor
            # The tensor, too: its id must stay its own.
            self._entries[id(tensor)] = tensor, entry
        return self._entries[id(tensor)][1]

    def _keep(self, array: Any) -> bool:
        """Tell whether attributes of the model's hold an array; remember which."""
        found = self._attributes.find(array)
        self.held += found
        return bool(found)

    # What happens.

    def record(
        self,
        operator: str,
        inputs: Sequence[Tensor],
        attributes: dict[str, Any],
        outputs: Sequence[Tensor],
        specs: Sequence[Spec],
    ) -> None:
        """Write down an operator; one that has constants only was computed, and is one."""
        entries = [self.entry(tensor) for tensor in inputs]
        if all(output.array is not None for output in outputs):
            for output in outputs:
                self.constant(output)
            return
        node = Node(operator, entries, attributes, specs, self._is_recording(), self.device)
        for i, output in enumerate(outputs):
            output.node = Entry(node, i)

    def read(self, variable: "Variable", held: Tensor) -> Tensor:
        """Return what a variable holds at this point of the trace."""
        if id(variable) in self.written:
            return self.written[id(variable)][1]
        if id(variable) not in self._read:
            tensor = self.input(held.shape, held.dtype)
            self._read[id(variable)] = tensor
            self.variables[tensor.node] = variable
        return self._read[id(variable)]

    def write(self, variable: "Variable", value: Tensor) -> None:
        """Take a variable's new value."""
        self.written[id(variable)] = (variable, self.detached(value))

    def detached(self, tensor: Tensor) -> Tensor:
        """Return the same values, through which no gradient flows."""
        source = self.entry(tensor)
        result = abstract(tensor.shape, tensor.dtype)
        node = Node("BlockGrad", [source], {}, (source.spec,), False, self.device)
        result.node = Entry(node, 0)
        return result

    # Gradients.

    def gradients(
        self, loss: Tensor, tensors: Sequence[Tensor], head: Tensor | None
    ) -> list[Tensor | None]:
        """Return the gradient of each tensor, None where `loss` does not depend on it.

        Raises:
            Untraceable: where gradients flow through a choice of branches, since those of a branch
                that is not taken may be infinite.
        """
        reached = _recorded_ancestors(self.entry(loss))
        wanted = [t for t in tensors if self.entry(t) in reached]
        results = {self.entry(t): self.input(t.shape, t.dtype) for t in wanted}
        for chosen in self._chosen & reached:
            if not results.keys().isdisjoint(_recorded_ancestors(chosen)):
                raise Untraceable("a branch inside what is differentiated depends on a value")
        self.differentiations.append(
            Differentiation(
                self.entry(loss),
                None if head is None else self.entry(head),
                tuple(results),
                tuple(r.node for r in results.values()),
            )
        )
        return [results.get(self.entry(t)) for t in tensors]

    def backward(self, losses: Sequence[Tensor], heads: Sequence[Tensor | None]) -> None:
        """Compute the gradients of all trainable variables, for `gradient` to return."""
        if len(losses) != 1:
            raise Untraceable("it calls backward on several tensors at once")
        leaves = [
            self.read(v, v.held)
            for v in self.variables.values()
            if v.trainable and v.is_differentiable
        ]
        found = self.gradients(losses[0], leaves, heads[0])
        self._gradients.update(
            (t.node, g.node) for t, g in zip(leaves, found, strict=True) if g is not None
        )

    def gradient(self, tensor: Tensor) -> Tensor | None:
        """Return what the last `backward` found for a variable's value."""
        entry = self._gradients.get(self.entry(tensor))
        if entry is None:
            return None
        result = abstract(tensor.shape, tensor.dtype)
        result.node = entry
        return result

    # Choices that depend on values.

    def choose(
        self,
        chosen: Tensor,
        branches: Sequence[Callable[[], Any]],
        select: Callable[[Tensor, Sequence[Tensor]], Tensor],
    ) -> Any:
        """Trace every branch and select results and assigned variables by value.

        Args:
            chosen: which branch counts.
            branches: the functions.
            select: takes `chosen` and a tensor a branch, returns the tensor of the branch chosen.

        Raises:
            Untraceable: if the branches return different structures.
        """
        results = self.separately(branches, lambda _, values: select(chosen, values))
        flat = [tree.flatten(r) for r in results]
        if len({len(f) for f in flat}) != 1:
            raise Untraceable("the branches of a condition return different structures")
        merged = [
            values[0]
            if not any(isinstance(v, Tensor) for v in values)
            and values.count(values[0]) == len(flat)
            else select(chosen, values)
            for values in map(list, zip(*flat, strict=True))
        ]
        self._chosen.update(self.entry(v) for v in merged if isinstance(v, Tensor))
        return tree.pack_sequence_as(results[0], merged)

    def separately(
        self,
        functions: Sequence[Callable[[], Any]],
        merge: Callable[["Variable", Sequence[Tensor]], Tensor],
    ) -> list[Any]:
        """Trace functions none of which sees what another assigns; return their results.

        Args:
            functions: what to trace.
            merge: takes a variable that some of them assigned and what it holds after each,
                returns what it shall hold.
        """
        before = dict(self.written)
        results, writes = [], []
        for function in functions:
            self.written = dict(before)
            results.append(function())
            writes.append(self.written)
        self.written = dict(before)
        changed = {key: w[key][0] for w in writes for key in w if w[key] is not before.get(key)}
        for variable in changed.values():
            values = [
                w[id(variable)][1] if id(variable) in w else self.read(variable, variable.held)
                for w in writes
            ]
            self.write(variable, merge(variable, values))
        return results


def _recorded_ancestors(entry: Entry) -> set[Entry]:
    """Return the entries that a gradient of `entry` flows to."""
    found = {entry}
    stack = [entry]
    while stack:
        node = stack.pop().node
        if node.operator is None or not node.recorded:
            continue
        for source in node.inputs:
            if source not in found:
                found.add(source)
                stack.append(source)
    return found
