"""A function that runs as a graph where it can."""

import logging
import os
import traceback
from collections.abc import Callable
from typing import Any

import keras
from keras.src import tree

from keras_mxnet.src import autograd, distribution_lib, tracing
from keras_mxnet.src.graph.program import Program
from keras_mxnet.src.graph.tracer import Tracer
from keras_mxnet.src.tensor import AbstractValueError, Tensor

logger = logging.getLogger("keras_mxnet")

# Programs kept a function: each holds its own memory.
LIMIT = 8
# Programs that may lose an array that they use, as an attribute is now another, before a function
# runs eagerly.
LOST = 8


class GraphFunction:
    """Runs a function as a graph, traced once for each form of its argument.

    A function that reads a tensor's value, or does something else that a graph cannot hold, runs
    eagerly from then on; the log says why. Arrays that are attributes of the model or of what it
    is made of are constants of the graph; where such an attribute is another, it is traced again.

    Args:
        function: takes a structure of tensors, returns one; assigns variables.
        name: what the log calls it.
        model: whose attributes it may use.

    Attributes:
        eager: that it runs eagerly and why, in words; empty while it does not.
    """

    def __init__(self, function: Callable[[Any], Any], name: str, model: Any = None):
        self._function = function
        self._name = name
        self._model = model
        self._lost = 0
        # The latest used first.
        self._programs: list[tuple[Any, Program, Any]] = []
        self.eager = ""

    def __call__(self, argument: Any) -> Any:
        if self.eager:
            return self._function(argument)
        leaves = tree.flatten(argument)
        inputs = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        key = _key(argument, leaves)
        places = (
            i for i, (k, program, _) in enumerate(self._programs) if k == key and program.holds()
        )
        place = next(places, None)
        if place is not None:
            found = self._programs.pop(place)
        else:
            try:
                self._drop_changed()
                found = (key, *self._trace(argument))
            except Exception as error:
                # What is wrong in eager mode too is the user's error, and raised here.
                result = self._function(argument)
                self._programs.clear()
                alone = ", on one device" if distribution_lib.devices() else ""
                self.eager = f"{self._name} runs eagerly{alone}: {_reason(error)}"
                logger.warning("%s", self.eager)
                return result
        self._programs.insert(0, found)
        del self._programs[LIMIT:]
        _, program, result = found
        outputs = iter(program(inputs))
        return tree.map_structure(lambda x: next(outputs) if x is _OUTPUT else x, result)

    def _drop_changed(self) -> None:
        """Let go of programs that use an array which its attribute no longer is."""
        kept = []
        for each in self._programs:
            changed = each[1].changed()
            if changed is None:
                kept.append(each)
                continue
            self._lost += 1
            if self._lost > LOST:
                raise tracing.Untraceable(f"{changed} is another array again and again")
        self._programs = kept

    def _trace(self, argument: Any) -> tuple[Program, Any]:
        """Trace the function for arguments of this form; return the program and its result."""
        tracer = Tracer(autograd.is_recording, distribution_lib.devices(), self._model)

        def stand_in(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            inputs.append(tracer.input(leaf.shape, leaf.dtype))
            return inputs[-1]

        inputs: list[Tensor] = []
        argument = tree.map_structure(stand_in, argument)
        try:
            with tracing.using(tracer):
                result = self._function(argument)
            outputs = [leaf for leaf in tree.flatten(result) if isinstance(leaf, Tensor)]
            for tensor in outputs:
                tracer.entry(tensor)
        finally:
            changed = [each for each in tracer.held if not each.stays()]
            for each in changed:
                each.restore()
        if changed:
            raise tracing.Untraceable(f"it changes {changed[0]}, an array that it uses")
        program = Program(tracer, inputs, outputs)
        if self._programs:
            logger.info(
                "%s traced again, for %s; %d graphs are kept",
                self._name,
                [(t.shape, t.dtype) for t in inputs],
                min(len(self._programs) + 1, LIMIT),
            )
        result = tree.map_structure(lambda x: _OUTPUT if isinstance(x, Tensor) else x, result)
        return program, result


class _Output:
    """Stands for a tensor in a result."""


_OUTPUT = _Output()


def _key(argument: Any, leaves: list[Any]) -> Any:
    """Return what decides which graph a function becomes."""
    forms = tuple(
        (leaf.shape, leaf.dtype, leaf.context) if isinstance(leaf, Tensor) else leaf
        for leaf in leaves
    )
    return str(tree.map_structure(lambda _: 0, argument)), forms, distribution_lib.devices()


def _reason(error: Exception) -> str:
    """Say in a line what kept a function from becoming a graph, and where."""
    # Keras wraps what a layer raises in an error that tells of the layer's arguments.
    causes: list[BaseException] = [error]
    while causes[-1].__context__ is not None:
        causes.append(causes[-1].__context__)
    ours = [c for c in causes if isinstance(c, (tracing.Untraceable, AbstractValueError))]
    cause = ours[-1] if ours else error
    what = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
    if not ours:
        what = f"{type(cause).__name__}: {what}"
    libraries = (os.path.dirname(keras.__file__), os.path.dirname(os.path.dirname(__file__)))
    for frame in reversed(traceback.extract_tb(cause.__traceback__)):
        if not frame.filename.startswith(libraries) and "site-packages" not in frame.filename:
            return f"{what} ({frame.filename}:{frame.lineno})"
    return what
