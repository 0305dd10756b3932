"""The tensor of this backend: an MXNet array with Keras's dtype."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import local
from typing import Any

import ml_dtypes  # noqa: F401  (registers bfloat16 and float8 with NumPy)
import numpy as np

from keras_mxnet.src import arrays, dtypes, tracing


class AbstractValueError(TypeError):
    """A value was asked of a tensor that has a shape and a dtype but no value."""


class Tensor:
    """An MXNet array and its logical dtype; or, for shape inference, a shape and a dtype alone.

    Attributes:
        array: the MXNet array, None in an abstract tensor.
        dtype: Keras's name of the dtype.
        trainable: what Keras sets on a layer's weights, here on those it unpacks from integers.
        node: where a tracer finds its value, None outside a trace.
    """

    __slots__ = ("__weakref__", "_keras_mask", "_shape", "array", "dtype", "node", "trainable")
    __array_priority__ = 100

    def __init__(self, array: Any, dtype: str | None = None, shape: tuple[int, ...] | None = None):
        self.array = array
        self.dtype = dtype if dtype is not None else arrays.dtype_of(array)
        self._shape = shape
        self.node = None

    @property
    def shape(self) -> tuple[int, ...]:
        if self._shape is None:
            self._shape = arrays.shape_of(self.array)
        return self._shape

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        size = 1
        for length in self.shape:
            size *= length
        return size

    @property
    def is_abstract(self) -> bool:
        return self.array is None

    @property
    def context(self) -> Any:
        """The device that holds the array."""
        return self.array.ctx

    def numpy(self) -> np.ndarray:
        """Return a copy on the host, of the logical dtype.

        Raises:
            AbstractValueError: if the tensor has no value.
            Untraceable: while a graph is traced, if the tensor was made before the trace.
        """
        if self.array is None:
            raise AbstractValueError(
                f"A tensor of shape {self.shape} and dtype {self.dtype} has no value while shapes "
                "are inferred or a graph is traced; compute with `keras.ops` instead of reading it."
            )
        tracer = tracing.current()
        if tracer is not None:
            tracer.look(self)
        value = arrays.to_numpy(self.array)
        if dtypes.STORAGE[self.dtype] != self.dtype:
            value = value.astype(self.dtype)
        return value

    def item(self) -> Any:
        return self.numpy().item()

    def tolist(self) -> Any:
        return self.numpy().tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        value = self.numpy()
        return value if dtype is None else value.astype(dtype)

    def __bool__(self) -> bool:
        return bool(self.numpy())

    def __int__(self) -> int:
        return int(self.numpy())

    def __float__(self) -> float:
        return float(self.numpy())

    def __complex__(self) -> complex:
        return complex(self.numpy())

    def __index__(self) -> int:
        return self.numpy().__index__()

    def __round__(self, digits: int | None = None) -> Any:
        return round(self.numpy().item(), digits)

    def __format__(self, specification: str) -> str:
        if self.array is not None and self.shape == ():
            return format(self.numpy().item(), specification)
        return format(str(self), specification)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a tensor of no dimensions")
        return self.shape[0]

    def __iter__(self) -> Iterator["Tensor"]:
        if not self.shape:
            raise TypeError("iteration over a tensor of no dimensions")
        return (self[i] for i in range(self.shape[0]))

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        if self.array is None:
            return f"<mxnet.Tensor shape={self.shape} dtype={self.dtype}>"
        return f"<mxnet.Tensor shape={self.shape} dtype={self.dtype} value={self.numpy()}>"

    def __reduce__(self) -> Any:
        return _restore, (self.numpy(), self.dtype)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Tensor":
        return _restore(self.numpy(), self.dtype)

    def detach(self) -> "Tensor":
        """Return the same values, through which no gradient flows."""
        if self.array is None:
            tracer = tracing.current()
            return self if tracer is None else tracer.detached(self)
        return Tensor(arrays.detach(self.array), self.dtype, self._shape)

    @property
    def grad(self) -> "Tensor | None":
        """The gradient that the last `backward()` left, None if it reached this tensor not."""
        from keras_mxnet.src import autograd

        return autograd.gradient(self)

    def backward(self, gradient: "Tensor | None" = None) -> None:
        """Compute the gradients of every variable this tensor was computed from."""
        from keras_mxnet.src import autograd

        autograd.backward(self, gradient)


def _restore(value: np.ndarray, dtype: str) -> Tensor:
    return from_numpy(value, dtype)


_state = local()


def context() -> Any:
    """Return the device on which new tensors are made."""
    current = getattr(_state, "context", None)
    return current if current is not None else _default_context()


def _default_context() -> Any:
    global _default
    if _default is None:
        mxnet = arrays.mxnet
        _default = mxnet.gpu(0) if mxnet.context.num_gpus() else mxnet.cpu(0)
    return _default


_default: Any = None


@contextmanager
def on_context(chosen: Any) -> Iterator[None]:
    """Make new tensors on another device inside the block."""
    previous = getattr(_state, "context", None)
    _state.context = chosen
    try:
        yield
    finally:
        _state.context = previous


def inferring() -> bool:
    """Tell whether this thread infers shapes: then new tensors need no value."""
    return getattr(_state, "inferring", False)


@contextmanager
def inference(on: bool = True) -> Iterator[None]:
    """Infer shapes inside the block, or, with `on` false, compute values again."""
    previous = inferring()
    _state.inferring = on
    try:
        yield
    finally:
        _state.inferring = previous


def abstract(shape: tuple[int, ...], dtype: str) -> Tensor:
    """Return a tensor that has a shape and a dtype but no value."""
    return Tensor(None, dtype, tuple(shape))


def from_numpy(value: np.ndarray, dtype: str) -> Tensor:
    """Copy a NumPy array into a tensor of a logical dtype, on the current device."""
    if (value.dtype.name != dtype and dtype in ("uint16", "int16", "uint32", "bfloat16")) or (
        dtype.startswith("float8")
    ):
        value = value.astype(dtype)
    tensor = Tensor(
        arrays.from_numpy(value, dtypes.storage(dtype), context()), dtype, tuple(value.shape)
    )
    tracer = tracing.current()
    if tracer is not None:
        tracer.constant(tensor)
    return tensor
