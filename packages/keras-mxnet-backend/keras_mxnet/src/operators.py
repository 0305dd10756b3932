"""Python's operators and a few methods of tensors, which are Keras's ops."""

from collections.abc import Callable
from typing import Any

from keras_mxnet.src import indexing
from keras_mxnet.src.convert import cast
from keras_mxnet.src.ops import numpy as ops
from keras_mxnet.src.tensor import Tensor


def _forward(op: Callable[..., Tensor]) -> Callable[[Tensor, Any], Any]:
    def method(self: Tensor, other: Any) -> Any:
        return op(self, other)

    return method


def _reverse(op: Callable[..., Tensor]) -> Callable[[Tensor, Any], Any]:
    def method(self: Tensor, other: Any) -> Any:
        return op(other, self)

    return method


def _logical(bitwise: Callable[..., Tensor], logical: Callable[..., Tensor]) -> Callable[..., Any]:
    def op(x1: Any, x2: Any) -> Tensor:
        both_bool = all(getattr(x, "dtype", type(x)) in ("bool", bool) for x in (x1, x2))
        return logical(x1, x2) if both_bool else bitwise(x1, x2)

    return op


_BINARY = {
    "add": ops.add,
    "sub": ops.subtract,
    "mul": ops.multiply,
    "truediv": ops.true_divide,
    "floordiv": ops.floor_divide,
    "mod": ops.mod,
    "pow": ops.power,
    "matmul": ops.matmul,
    "and": _logical(ops.bitwise_and, ops.logical_and),
    "or": _logical(ops.bitwise_or, ops.logical_or),
    "xor": _logical(ops.bitwise_xor, ops.logical_xor),
    "lshift": ops.left_shift,
    "rshift": ops.right_shift,
}
for _name, _op in _BINARY.items():
    setattr(Tensor, f"__{_name}__", _forward(_op))
    setattr(Tensor, f"__r{_name}__", _reverse(_op))

_COMPARISON = {
    "eq": ops.equal,
    "ne": ops.not_equal,
    "lt": ops.less,
    "le": ops.less_equal,
    "gt": ops.greater,
    "ge": ops.greater_equal,
}
for _name, _op in _COMPARISON.items():
    setattr(Tensor, f"__{_name}__", _forward(_op))


def _equal(self: Tensor, other: Any) -> Any:
    return False if other is None else ops.equal(self, other)


def _not_equal(self: Tensor, other: Any) -> Any:
    return True if other is None else ops.not_equal(self, other)


def _invert(self: Tensor) -> Tensor:
    return ops.logical_not(self) if self.dtype == "bool" else ops.bitwise_not(self)


def _reshape(self: Tensor, *shape: Any) -> Tensor:
    return ops.reshape(self, shape[0] if len(shape) == 1 else shape)


Tensor.__eq__ = _equal
Tensor.__ne__ = _not_equal
Tensor.__neg__ = lambda self: ops.negative(self)
Tensor.__pos__ = lambda self: self
Tensor.__abs__ = lambda self: ops.absolute(self)
Tensor.__invert__ = _invert
Tensor.__getitem__ = lambda self, key: indexing.getitem(self, key)
Tensor.astype = lambda self, dtype: cast(self, dtype)
Tensor.reshape = _reshape
Tensor.T = property(lambda self: ops.transpose(self))
Tensor.sum = lambda self, axis=None, keepdims=False: ops.sum(self, axis, keepdims)
Tensor.mean = lambda self, axis=None, keepdims=False: ops.mean(self, axis, keepdims)
