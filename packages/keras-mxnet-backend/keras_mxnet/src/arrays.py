"""MXNet's arrays and operators, through its C interface.

Arrays are made with NumPy's shapes (of zero dimensions, of size zero). MXNet keeps that choice in
a flag of the thread; it is set inside each call only, so that a user's own Gluon code never meets
it.
"""

import ctypes
import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from keras_mxnet import framework
from keras_mxnet.src import dtypes

mxnet = framework.load()

from mxnet.base import (  # noqa: E402
    _LIB,
    NDArrayHandle,
    OpHandle,
    check_call,
    mx_int,
    mx_uint,
)

Array = mxnet.numpy.ndarray


@contextmanager
def numpy_shapes() -> Iterator[None]:
    """Give this thread NumPy's shapes inside the block."""
    previous = ctypes.c_int()
    check_call(_LIB.MXSetIsNumpyShape(ctypes.c_int(1), ctypes.byref(previous)))
    try:
        yield
    finally:
        check_call(_LIB.MXSetIsNumpyShape(previous, ctypes.byref(ctypes.c_int())))


@functools.cache
def _handle(name: str) -> ctypes.c_void_p:
    handle = OpHandle()
    check_call(_LIB.NNGetOpHandle(name.encode(), ctypes.byref(handle)))
    return ctypes.c_void_p(handle.value)


def text(value: Any) -> bytes:
    if isinstance(value, list):
        value = tuple(value)
    if isinstance(value, np.generic):
        value = value.item()
    return str(value).encode()


def call(name: str, arrays: Sequence[Any], attributes: dict[str, Any]) -> list[Any]:
    """Call an operator on MXNet arrays and return the arrays it gives."""
    count = len(arrays)
    inputs = (ctypes.c_void_p * count)(*[array.handle.value for array in arrays])
    keys = (ctypes.c_char_p * len(attributes))(*[key.encode() for key in attributes])
    values = (ctypes.c_char_p * len(attributes))(*[text(v) for v in attributes.values()])
    outputs = ctypes.POINTER(NDArrayHandle)()
    output_count = ctypes.c_int(0)
    stypes = ctypes.POINTER(ctypes.c_int)()
    handle = _handle(name)
    previous = ctypes.c_int()
    _LIB.MXSetIsNumpyShape(ctypes.c_int(1), ctypes.byref(previous))
    try:
        check_call(
            _LIB.MXImperativeInvokeEx(
                handle,
                ctypes.c_int(count),
                inputs,
                ctypes.byref(output_count),
                ctypes.byref(outputs),
                ctypes.c_int(len(attributes)),
                keys,
                values,
                ctypes.byref(stypes),
            )
        )
    finally:
        if previous.value != 1:
            _LIB.MXSetIsNumpyShape(previous, ctypes.byref(ctypes.c_int()))
    return [Array(ctypes.cast(outputs[i], NDArrayHandle)) for i in range(output_count.value)]


def shape_of(array: Any) -> tuple[int, ...]:
    """Return an MXNet array's shape."""
    ndim = mx_int()
    data = ctypes.POINTER(mx_int)()
    with numpy_shapes():
        check_call(_LIB.MXNDArrayGetShapeEx(array.handle, ctypes.byref(ndim), ctypes.byref(data)))
    return tuple(data[: ndim.value])


def dtype_of(array: Any) -> str:
    """Return an MXNet array's storage dtype."""
    code = ctypes.c_int()
    check_call(_LIB.MXNDArrayGetDType(array.handle, ctypes.byref(code)))
    return dtypes.NAMES[code.value]


def empty(shape: Sequence[int], dtype: str, context: Any) -> Any:
    """Return a new MXNet array, not yet written."""
    handle = NDArrayHandle()
    size = len(shape)
    with numpy_shapes():
        check_call(
            _LIB.MXNDArrayCreateEx(
                (mx_uint * size)(*shape),
                mx_uint(size),
                ctypes.c_int(context.device_typeid),
                ctypes.c_int(context.device_id),
                ctypes.c_int(1 if 0 in shape else 0),
                ctypes.c_int(dtypes.CODES[dtype]),
                ctypes.byref(handle),
            )
        )
    return Array(handle)


def from_numpy(value: np.ndarray, dtype: str, context: Any) -> Any:
    """Copy a NumPy array into a new MXNet array of a storage dtype."""
    value = np.ascontiguousarray(value, dtype=dtypes.NUMPY[dtype]).reshape(value.shape)
    array = empty(value.shape, dtype, context)
    source = value.ctypes.data_as(ctypes.c_void_p)
    if not value.size:
        return array
    if context.device_type == "cpu":
        # Nobody else has this array yet; MXNet's own copy would wait behind all queued operators.
        target = ctypes.c_void_p()
        check_call(_LIB.MXNDArrayGetData(array.handle, ctypes.byref(target)))
        ctypes.memmove(target, source, value.nbytes)
        return array
    with numpy_shapes():
        check_call(_LIB.MXNDArraySyncCopyFromCPU(array.handle, source, ctypes.c_size_t(value.size)))
    return array


def to_numpy(array: Any) -> np.ndarray:
    """Copy an MXNet array to the host, waiting for what computes it."""
    value = np.empty(shape_of(array), dtype=dtypes.NUMPY[dtype_of(array)])
    if value.size:
        with numpy_shapes():
            check_call(
                _LIB.MXNDArraySyncCopyToCPU(
                    array.handle,
                    value.ctypes.data_as(ctypes.c_void_p),
                    ctypes.c_size_t(value.size),
                )
            )
    return value


def wait(array: Any) -> None:
    """Wait until an array is computed."""
    check_call(_LIB.MXNDArrayWaitToRead(array.handle))


def detach(array: Any) -> Any:
    """Return a new handle of the same memory, outside the recorded graph."""
    return detach_handle(array.handle)


def detach_handle(handle: Any) -> Any:
    """Return an array of its own for a handle that belongs to someone else."""
    detached = NDArrayHandle()
    check_call(_LIB.MXNDArrayDetach(handle, ctypes.byref(detached)))
    return Array(detached)


def copied(array: Any, context: Any) -> Any:
    """Return a copy of an MXNet array on a device; gradients flow through it."""
    target = empty(shape_of(array), dtype_of(array), context)
    inputs = (ctypes.c_void_p * 1)(array.handle.value)
    handles = (ctypes.c_void_p * 1)(target.handle.value)
    outputs = ctypes.cast(handles, ctypes.POINTER(NDArrayHandle))
    stypes = ctypes.POINTER(ctypes.c_int)()
    with numpy_shapes():
        check_call(
            _LIB.MXImperativeInvokeEx(
                _handle("_copyto"),
                ctypes.c_int(1),
                inputs,
                ctypes.byref(ctypes.c_int(1)),
                ctypes.byref(outputs),
                ctypes.c_int(0),
                None,
                None,
                ctypes.byref(stypes),
            )
        )
    return target


def overwrite(handle: Any, array: Any) -> None:
    """Copy an array's values into the array of a handle."""
    with numpy_shapes():
        check_call(_LIB.MXNDArraySyncCopyFromNDArray(handle, array.handle, ctypes.c_int(-1)))


Spec = tuple[tuple[int, ...], str]


@functools.lru_cache(maxsize=65536)
def infer(
    name: str, attributes: tuple[tuple[str, bytes], ...], inputs: tuple[Spec, ...]
) -> list[Spec]:
    """Return the shapes and storage dtypes an operator would give, without running it.

    Args:
        name: the operator.
        attributes: its attributes, as text.
        inputs: shape and storage dtype of each input.
    """
    with numpy_shapes():
        operator = mxnet.symbol.Symbol(None)
        handle = ctypes.c_void_p()
        check_call(
            _LIB.MXSymbolCreateAtomicSymbol(
                _handle(name),
                mx_uint(len(attributes)),
                (ctypes.c_char_p * len(attributes))(*[key.encode() for key, _ in attributes]),
                (ctypes.c_char_p * len(attributes))(*[value for _, value in attributes]),
                ctypes.byref(handle),
            )
        )
        operator.handle = handle
        names = [f"input{i}" for i in range(len(inputs))]
        variables = [mxnet.symbol.Variable(n) for n in names]
        check_call(
            _LIB.NNSymbolCompose(
                operator.handle,
                b"operator",
                mx_uint(len(inputs)),
                None,
                (ctypes.c_void_p * len(inputs))(*[v.handle.value for v in variables]),
            )
        )
        _, shapes, _ = operator.infer_shape(
            **{n: spec[0] for n, spec in zip(names, inputs, strict=True)}
        )
        keys = (ctypes.c_char_p * len(inputs))(*[n.encode() for n in names])
        codes = (ctypes.c_int * len(inputs))(*[dtypes.CODES[spec[1]] for spec in inputs])
        sizes = [mx_uint() for _ in range(3)]
        types = [ctypes.POINTER(ctypes.c_int)() for _ in range(3)]
        complete = ctypes.c_int()
        check_call(
            _LIB.MXSymbolInferType(
                operator.handle,
                mx_uint(len(inputs)),
                keys,
                codes,
                ctypes.byref(sizes[0]),
                ctypes.byref(types[0]),
                ctypes.byref(sizes[1]),
                ctypes.byref(types[1]),
                ctypes.byref(sizes[2]),
                ctypes.byref(types[2]),
                ctypes.byref(complete),
            )
        )
        found = [types[1][i] for i in range(sizes[1].value)]
    if shapes is None or any(-1 in shape for shape in shapes):
        raise ValueError(f"MXNet infers no shape for {name} on {inputs}.")
    return [(tuple(s), dtypes.NAMES[t]) for s, t in zip(shapes, found, strict=True)]
