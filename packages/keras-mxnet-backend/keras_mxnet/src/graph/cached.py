"""A graph as MXNet's cached operator."""

import ctypes
from collections.abc import Sequence
from typing import Any

from keras_mxnet.src import arrays
from keras_mxnet.src.graph.nodes import Entry, Graph, Node, ordered

_LIB = arrays._LIB

_FLAGS = {"static_alloc": True, "static_shape": True}


class CachedGraph:
    """A graph that MXNet runs in one call.

    Args:
        graph: what it computes; an output may not be an input.
    """

    def __init__(self, graph: Graph):
        with arrays.numpy_shapes():
            names = [f"input{place}" for place in range(len(graph.inputs))]
            symbol, self._order = symbol_of(graph, names)
            flags = {**_FLAGS, "data_indices": tuple(range(len(self._order)))}
            self._handle = ctypes.c_void_p()
            arrays.check_call(
                _LIB.MXCreateCachedOpEx(
                    symbol,
                    len(flags),
                    (ctypes.c_char_p * len(flags))(*[key.encode() for key in flags]),
                    (ctypes.c_char_p * len(flags))(*[arrays.text(v) for v in flags.values()]),
                    ctypes.byref(self._handle),
                )
            )
            arrays.check_call(_LIB.NNSymbolFree(symbol))
        self._inputs = (ctypes.c_void_p * len(self._order))()

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            _LIB.MXFreeCachedOp(self._handle)

    def __call__(self, values: Sequence[Any]) -> list[Any]:
        """Run on an MXNet array for each of the graph's inputs, return one for each output."""
        for i, place in enumerate(self._order):
            self._inputs[i] = values[place].handle.value
        outputs = ctypes.POINTER(arrays.NDArrayHandle)()
        count = ctypes.c_int(0)
        stypes = ctypes.POINTER(ctypes.c_int)()
        with arrays.numpy_shapes():
            arrays.check_call(
                _LIB.MXInvokeCachedOpEx(
                    self._handle,
                    ctypes.c_int(len(self._order)),
                    self._inputs,
                    ctypes.byref(count),
                    ctypes.byref(outputs),
                    ctypes.byref(stypes),
                )
            )
        handles = [ctypes.cast(outputs[i], arrays.NDArrayHandle) for i in range(count.value)]
        return [arrays.Array(handle) for handle in handles]


def symbol_of(graph: Graph, names: Sequence[str]) -> tuple[ctypes.c_void_p, list[int]]:
    """Return MXNet's symbol of a graph, and which of its inputs each argument is.

    Args:
        graph: what to turn into a symbol.
        names: what its inputs shall be called.
    """
    made: dict[int, ctypes.c_void_p] = {}
    places: dict[str, int] = {}
    for place, (name, entry) in enumerate(zip(names, graph.inputs, strict=True)):
        handle = ctypes.c_void_p()
        arrays.check_call(_LIB.MXSymbolCreateVariable(name.encode(), ctypes.byref(handle)))
        made[id(entry.node)] = handle
        places[name] = place

    picked: list[ctypes.c_void_p] = []

    def output(entry: Entry) -> ctypes.c_void_p:
        handle = made[id(entry.node)]
        if len(entry.node.outputs) == 1:
            return handle
        one = ctypes.c_void_p()
        arrays.check_call(_LIB.MXSymbolGetOutput(handle, entry.index, ctypes.byref(one)))
        picked.append(one)
        return one

    for number, node in enumerate(ordered(graph.outputs)):
        if node.operator is not None:
            made[id(node)] = _operator(node, [output(e) for e in node.inputs], f"node{number}")
    ends = [output(entry) for entry in graph.outputs]
    group = ctypes.c_void_p()
    arrays.check_call(
        _LIB.MXSymbolCreateGroup(
            len(ends), (ctypes.c_void_p * len(ends))(*[e.value for e in ends]), ctypes.byref(group)
        )
    )
    count = ctypes.c_uint()
    listed = ctypes.POINTER(ctypes.c_char_p)()
    arrays.check_call(
        _LIB.NNSymbolListInputNames(group, 0, ctypes.byref(count), ctypes.byref(listed))
    )
    order = [places[listed[i].decode()] for i in range(count.value)]
    for handle in (*made.values(), *picked):
        arrays.check_call(_LIB.NNSymbolFree(handle))
    return group, order


def _operator(node: Node, inputs: Sequence[ctypes.c_void_p], name: str) -> ctypes.c_void_p:
    handle = ctypes.c_void_p()
    count = len(node.attributes)
    arrays.check_call(
        _LIB.MXSymbolCreateAtomicSymbol(
            arrays._handle(node.operator),
            ctypes.c_uint(count),
            (ctypes.c_char_p * count)(*[key.encode() for key, _ in node.attributes]),
            (ctypes.c_char_p * count)(*[value for _, value in node.attributes]),
            ctypes.byref(handle),
        )
    )
    arrays.check_call(
        _LIB.NNSymbolCompose(
            handle,
            name.encode(),
            ctypes.c_uint(len(inputs)),
            None,
            (ctypes.c_void_p * len(inputs))(*[i.value for i in inputs]),
        )
    )
    return handle
