"""`keras.ops`' mathematics on MXNet."""

from typing import Any

from keras_mxnet.src.invoke import invoke
from keras_mxnet.src.ops import numpy as ops
from keras_mxnet.src.ops.numpy import _floating, _unary_float
from keras_mxnet.src.tensor import Tensor

erf = _unary_float("_npx_erf")
erfinv = _unary_float("_npx_erfinv")


def rsqrt(x: Any) -> Tensor:
    return invoke("rsqrt", [_floating(x)])


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    x = _floating(x)
    largest = ops.max(x, axis, keepdims=True)
    largest = ops.where(ops.isfinite(largest), largest, ops.zeros_like(largest))
    total = ops.log(ops.sum(ops.exp(ops.subtract(x, largest)), axis, keepdims=True))
    result = ops.add(total, largest)
    return result if keepdims else ops.squeeze(result, axis)
