"""Gradients, on MXNet's own tape."""

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from keras_mxnet.src import arrays, dtypes
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


def mark(tensor: Tensor, buffer: Any = None) -> Any:
    """Make a tensor a variable of the tape.

    Args:
        tensor: what gradients shall be taken of.
        buffer: the MXNet array that receives them, made if None.

    Returns:
        That array.
    """
    if buffer is None:
        (buffer,) = arrays.call("zeros_like", [tensor.array], {})
    arrays.check_call(
        arrays._LIB.MXAutogradMarkVariables(
            1,
            (ctypes.c_void_p * 1)(tensor.array.handle.value),
            (ctypes.c_uint * 1)(1),
            (ctypes.c_void_p * 1)(buffer.handle.value),
        )
    )
    return buffer


def gradient(tensor: Tensor) -> Tensor | None:
    """Return the gradient the last `backward` wrote for a marked tensor, else None."""
    handle = arrays.NDArrayHandle()
    arrays.check_call(arrays._LIB.MXNDArrayGetGrad(tensor.array.handle, ctypes.byref(handle)))
    if not handle.value:
        return None
    fresh = ctypes.c_int()
    arrays.check_call(
        arrays._LIB.MXNDArrayGetGradState(tensor.array.handle, ctypes.byref(fresh))
    )
    if not fresh.value:
        return None
    return Tensor(arrays.detach(arrays.Array(handle)), tensor.dtype, tensor.shape)


def forget(tensors: Sequence[Tensor]) -> None:
    """Make the gradients of these tensors count as not yet computed."""
    for tensor in tensors:
        arrays.check_call(
            arrays._LIB.MXNDArraySetGradState(tensor.array.handle, ctypes.c_int(0))
        )


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
    count = len(heads)
    given = (ctypes.c_void_p * count)(
        *[None if g is None else g.array.handle.value for g in head_gradients]
    )
    with arrays.numpy_shapes():
        arrays.check_call(
            arrays._LIB.MXAutogradBackwardEx(
                count,
                (ctypes.c_void_p * count)(*[h.array.handle.value for h in heads]),
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
    forget(tensors)
    backward(loss, head_gradient)
    return [gradient(tensor) for tensor in tensors]


def is_differentiable(dtype: str) -> bool:
    """Tell whether a dtype is one MXNet takes gradients of."""
    return dtypes.STORAGE[dtype].startswith("float")
