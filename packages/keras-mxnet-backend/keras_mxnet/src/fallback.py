"""What MXNet cannot compute, computed by NumPy on the host."""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_mxnet.src import autograd, tracing
from keras_mxnet.src.tensor import Tensor, abstract, from_numpy

Function = Callable[..., Any]


def host(function: Function, *tensors: Tensor, gradient: Function | None = None) -> Any:
    """Run a NumPy function on tensors' values.

    Args:
        function: takes NumPy arrays, returns one or a sequence of them; their dtypes are those of
            the result.
        tensors: its arguments.
        gradient: takes `(inputs, outputs, output_gradients)`, three lists of NumPy arrays, and
            returns the gradient of each input, None where there is none. Without it the result
            does not depend on the tensors as far as gradients go.

    Returns:
        A tensor, or a list of them where `function` returned a sequence.
    """
    if any(tensor.array is None for tensor in tensors):
        if tracing.current() is not None:
            name = getattr(function, "__qualname__", repr(function))
            raise tracing.Untraceable(f"MXNet lacks an operator, {name} runs on the host")
        # Only shapes are wanted: ones are a value that few functions refuse.
        results = function(*[np.ones(t.shape, t.dtype) for t in tensors])
        if isinstance(results, (tuple, list)):
            return [abstract(r.shape, r.dtype.name) for r in map(np.asarray, results)]
        results = np.asarray(results)
        return abstract(results.shape, results.dtype.name)
    values = [tensor.numpy() for tensor in tensors]
    results = function(*values)
    single = not isinstance(results, (tuple, list))
    outputs = [np.asarray(r) for r in ([results] if single else results)]
    names = [o.dtype.name for o in outputs]
    with autograd.recording(False):
        made = [from_numpy(o, name) for o, name in zip(outputs, names, strict=True)]
    if gradient is not None and autograd.is_recording():

        def backward(upstream: list[Tensor]) -> list[Tensor]:
            given = gradient(values, outputs, [g.numpy() for g in upstream])
            return [
                from_numpy(np.zeros(v.shape) if g is None else np.asarray(g), t.dtype)
                for g, v, t in zip(given, values, tensors, strict=True)
            ]

        autograd.record_function(tensors, made, backward)
    return made[0] if single else made
