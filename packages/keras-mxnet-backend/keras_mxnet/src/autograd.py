"""Gradients, on MXNet's own tape."""

import ctypes
import itertools
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from keras_mxnet.src import arrays, dtypes, tracing
from keras_mxnet.src.tensor import Tensor


@contextmanager
def recording(on: bool = True) -> Iterator[None]:
    """Record what is computed inside the block, or, with `on` false, leave it out.

    MXNet's flag of training goes along: operators such as max-pooling keep what their backward
    needs only where it is set, and give wrong gradients where it is not.
    """
    flags = (arrays._LIB.MXAutogradSetIsRecording, arrays._LIB.MXAutogradSetIsTraining)
    previous = [ctypes.c_int() for _ in flags]
    for flag, before in zip(flags, previous, strict=True):
        arrays.check_call(flag(ctypes.c_int(on), ctypes.byref(before)))
    try:
        yield
    finally:
        for flag, before in zip(flags, previous, strict=True):
            arrays.check_call(flag(before, ctypes.byref(ctypes.c_int())))


def is_recording() -> bool:
    """Tell whether this thread records."""
    return bool(arrays.mxnet.autograd.is_recording())


def mark(array: Any, buffer: Any = None) -> Any:
    """Make an MXNet array a variable of the tape.

    Args:
        array: what gradients shall be taken of.
        buffer: the MXNet array that receives them, made if None.

    Returns:
        That array.
    """
    if buffer is None:
        (buffer,) = arrays.call("zeros_like", [array], {})
    arrays.check_call(
        arrays._LIB.MXAutogradMarkVariables(
            1,
            (ctypes.c_void_p * 1)(array.handle.value),
            (ctypes.c_uint * 1)(1),
            (ctypes.c_void_p * 1)(buffer.handle.value),
        )
    )
    return buffer


def gradient(tensor: Tensor) -> Tensor | None:
    """Return the gradient the last `backward` wrote for a marked tensor, else None."""
    tracer = tracing.current()
    if tracer is not None:
        return tracer.gradient(tensor)
    handle = arrays.NDArrayHandle()
    arrays.check_call(arrays._LIB.MXNDArrayGetGrad(tensor.array.handle, ctypes.byref(handle)))
    if not handle.value:
        return None
    fresh = ctypes.c_int()
    arrays.check_call(arrays._LIB.MXNDArrayGetGradState(tensor.array.handle, ctypes.byref(fresh)))
    if not fresh.value:
        return None
    # A copy: the next backward writes to the same memory.
    with recording(False):
        (copied,) = arrays.call("_np_copy", [arrays.Array(handle)], {})
    return Tensor(copied, tensor.dtype, tensor.shape)


def forget(tensors: Sequence[Tensor]) -> None:
    """Make the gradients of these tensors count as not yet computed."""
    for tensor in tensors:
        arrays.check_call(arrays._LIB.MXNDArraySetGradState(tensor.array.handle, ctypes.c_int(0)))


def backward(
    heads: Tensor | Sequence[Tensor],
    head_gradients: Tensor | Sequence[Tensor | None] | None = None,
    retain: bool = False,
) -> None:
    """Compute the gradients of every marked tensor that `heads` were computed from.

    Args:
        heads: the tensors to differentiate.
        head_gradients: the gradient of each, ones by default.
        retain: keep the recorded graph for another call.
    """
    if isinstance(heads, Tensor):
        heads = [heads]
    if head_gradients is None or isinstance(head_gradients, Tensor):
        head_gradients = [head_gradients] * len(heads)
    tracer = tracing.current()
    if tracer is not None:
        tracer.backward(heads, head_gradients)
        return
    differentiate(
        [head.array for head in heads],
        [None if g is None else g.array for g in head_gradients],
        retain,
    )


def differentiate(heads: Sequence[Any], head_gradients: Sequence[Any], retain: bool) -> None:
    """Compute the gradients of every marked MXNet array that MXNet arrays were computed from."""
    count = len(heads)
    given = (ctypes.c_void_p * count)(
        *[None if g is None else g.handle.value for g in head_gradients]
    )
    with arrays.numpy_shapes():
        arrays.check_call(
            arrays._LIB.MXAutogradBackwardEx(
                count,
                (ctypes.c_void_p * count)(*[head.handle.value for head in heads]),
                given,
                0,
                None,
                ctypes.c_int(retain),
                ctypes.c_int(0),
                ctypes.c_int(1),
                None,
                None,
            )
        )


def gradients(
    loss: Tensor, tensors: Sequence[Tensor], head_gradient: Tensor | None = None
) -> list[Tensor | None]:
    """Return the gradient of `loss` for each marked tensor, None where it does not depend on it."""
    tracer = tracing.current()
    if tracer is not None:
        return tracer.gradients(loss, tensors, head_gradient)
    forget(tensors)
    backward(loss, head_gradient)
    return [gradient(tensor) for tensor in tensors]


def is_differentiable(dtype: str) -> bool:
    """Tell whether a dtype is one MXNet takes gradients of."""
    return dtypes.STORAGE[dtype].startswith("float")


def record_function(
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    backward: Callable[[list[Tensor]], Sequence[Tensor]],
) -> None:
    """Put a function of our own on the tape.

    Args:
        inputs: what it was computed from.
        outputs: what it gave, computed outside the recording.
        backward: takes the gradient of each output, returns the gradient of each input.
    """
    identity = next(_identities)

    def run(count: int, results: int, pointers: Any, requests: Any, training: int, _: Any) -> bool:
        try:
            handles = [ctypes.c_void_p(pointers[i]) for i in range(count + results)]
            given = [
                Tensor(arrays.detach_handle(handle), output.dtype)
                for handle, output in zip(handles[:count], outputs, strict=True)
            ]
            with recording(False):
                found = backward(given)
            for handle, tensor in zip(handles[count:], found, strict=True):
                arrays.overwrite(handle, tensor.array)
        except Exception:
            traceback.print_exc()
            return False
        return True

    def delete(_: Any) -> bool:
        del _kept[identity]
        return True

    function = arrays.mxnet.autograd.Function
    callbacks = (function._bwd_functype(run), function._del_functype(delete))
    pointers = (ctypes.CFUNCTYPE(ctypes.c_int) * 2)(
        *[ctypes.cast(c, ctypes.CFUNCTYPE(ctypes.c_int)) for c in callbacks]
    )
    contexts = (ctypes.c_void_p * 2)(None, None)
    listed = arrays.mxnet.base.MXCallbackList(
        ctypes.c_int(2),
        ctypes.cast(pointers, ctypes.POINTER(ctypes.CFUNCTYPE(ctypes.c_int))),
        ctypes.cast(contexts, ctypes.POINTER(ctypes.c_void_p)),
    )
    # The tape holds these from C only.
    _kept[identity] = (callbacks, pointers, contexts, listed)
    arrays.check_call(
        arrays._LIB.MXCustomFunctionRecord(
            ctypes.c_int(len(inputs)),
            (ctypes.c_void_p * len(inputs))(*[t.array.handle.value for t in inputs]),
            ctypes.c_int(len(outputs)),
            (ctypes.c_void_p * len(outputs))(*[t.array.handle.value for t in outputs]),
            ctypes.byref(listed),
        )
    )


_identities = itertools.count()
_kept: dict[int, Any] = {}
