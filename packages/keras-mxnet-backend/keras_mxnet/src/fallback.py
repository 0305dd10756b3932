"""What MXNet cannot compute, computed by NumPy on the host."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_mxnet.src import arrays, autograd, dtypes
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
    if gradient is None or not autograd.is_recording():
        made = [from_numpy(o, name) for o, name in zip(outputs, names, strict=True)]
    else:
        made = _recorded(tensors, values, outputs, names, gradient)
    return made[0] if single else made


def _recorded(
    tensors: Sequence[Tensor],
    values: list[np.ndarray],
    outputs: list[np.ndarray],
    names: list[str],
    gradient: Function,
) -> list[Tensor]:
    class Host(arrays.mxnet.autograd.Function):
        def forward(self, *_: Any) -> Any:
            made = tuple(from_numpy(o, n).array for o, n in zip(outputs, names, strict=True))
            return made if len(made) > 1 else made[0]

        def backward(self, *output_gradients: Any) -> Any:
            upstream = [arrays.to_numpy(g) for g in output_gradients]
            given = gradient(values, outputs, upstream)
            results = tuple(
                from_numpy(
                    np.zeros(v.shape) if g is None else np.asarray(g), dtypes.storage(t.dtype)
                ).array
                for g, v, t in zip(given, values, tensors, strict=True)
            )
            return results if len(results) > 1 else results[0]

    with arrays.numpy_shapes():
        made = Host()(*[t.array for t in tensors])
    if not isinstance(made, (tuple, list)):
        made = [made]
    return [Tensor(array, name) for array, name in zip(made, names, strict=True)]
