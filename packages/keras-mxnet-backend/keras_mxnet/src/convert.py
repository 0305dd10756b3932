"""Between tensors, Python's and NumPy's values, and between dtypes."""

from typing import Any

import ml_dtypes
import numpy as np
from keras.src import tree
from keras.src.backend.common import KerasVariable, standardize_dtype
from keras.src.backend.common.dtypes import result_type
from keras.src.backend.config import floatx

from keras_mxnet.src import arrays, dtypes, tracing
from keras_mxnet.src.fallback import host
from keras_mxnet.src.invoke import invoke
from keras_mxnet.src.tensor import Tensor, from_numpy


def is_tensor(x: Any) -> bool:
    return isinstance(x, Tensor)


def dtype_of(x: Any) -> Any:
    """Return what Keras's dtype rules take for a value: a dtype, or a Python type."""
    dtype = getattr(x, "dtype", None)
    return type(x) if dtype is None else standardize_dtype(dtype)


def convert_to_tensor(
    x: Any, dtype: Any = None, sparse: bool | None = None, ragged: bool | None = None
) -> Tensor:
    if sparse:
        raise ValueError("`sparse=True` is not supported with the mxnet backend")
    if ragged:
        raise ValueError("`ragged=True` is not supported with the mxnet backend")
    if dtype is not None:
        dtype = standardize_dtype(dtype)
    if isinstance(x, KerasVariable):
        x = x.value
    if isinstance(x, Tensor):
        return x if dtype is None else cast(x, dtype)
    if isinstance(x, bool):
        return from_numpy(np.asarray(x), dtype or "bool")
    if isinstance(x, int):
        if dtype is None:
            dtype = "int32" if -(2**31) <= x < 2**31 else "int64"
        return from_numpy(_as_numpy(x, dtype), dtype)
    if isinstance(x, float):
        return from_numpy(np.asarray(x), dtype or floatx())
    if isinstance(x, arrays.mxnet.nd.NDArray):
        tensor = Tensor(x if isinstance(x, arrays.Array) else x.as_np_ndarray())
        return tensor if dtype is None else cast(tensor, dtype)
    _stop_at(x)
    if isinstance(x, (list, tuple)):
        leaves = tree.flatten(x)
        if any(isinstance(leaf, (Tensor, KerasVariable)) for leaf in leaves):
            return _stacked(x, dtype)
        if dtype is None:
            dtype = result_type(*[dtype_of(leaf) for leaf in leaves]) if leaves else floatx()
        return from_numpy(_as_numpy(x, dtype), dtype)
    return constant(np.asarray(x), dtype)


def constant(value: np.ndarray, dtype: str | None = None) -> Tensor:
    """Return the tensor of an array that hangs on shapes and Python's numbers alone.

    A trace may hold it as it is: the next run would make the same.
    """
    return from_numpy(value, dtype or standardize_dtype(value.dtype))


def _stop_at(x: Any) -> None:
    """Let a trace stop at the arrays in `x` that are no tensors of its own."""
    tracer = tracing.current()
    if tracer is not None:
        for leaf in tree.flatten(x):
            if hasattr(leaf, "__array__") and not isinstance(
                leaf, (Tensor, KerasVariable, np.generic)
            ):
                tracer.meet(leaf)


def _as_numpy(x: Any, dtype: str) -> np.ndarray:
    """Return Python numbers as an array that wraps, as NumPy's casts do, where they do not fit."""
    value = np.asarray(x)
    if value.dtype == object:
        raise ValueError(f"Cannot convert {x!r} to a tensor.")
    return value.astype(dtypes.NUMPY[dtypes.storage(dtype)])


def _stacked(x: Any, dtype: str | None) -> Tensor:
    items = [convert_to_tensor(item) for item in x]
    if dtype is None:
        dtype = result_type(*[item.dtype for item in items])
    return invoke("_npi_stack", [cast(i, dtype) for i in items], {"num_args": len(items)}, dtype)


def convert_to_numpy(x: Any) -> np.ndarray:
    if isinstance(x, KerasVariable):
        x = x.value
    if isinstance(x, Tensor):
        return x.numpy()
    _stop_at(x)
    if isinstance(x, (list, tuple)):
        return np.array([convert_to_numpy(item) for item in x])
    return np.array(x)


def shape(x: Any) -> tuple[int, ...]:
    return tuple(x.shape)


def relabel(x: Tensor, dtype: str) -> Tensor:
    """Return the same array under another logical dtype."""
    tensor = Tensor(x.array, dtype, x._shape)
    tensor.node = x.node
    return tensor


def cast(x: Any, dtype: Any) -> Tensor:
    dtype = standardize_dtype(dtype)
    if isinstance(x, KerasVariable):
        x = x.value
    if not isinstance(x, Tensor):
        return convert_to_tensor(x, dtype)
    if x.dtype == dtype:
        return x
    held = dtypes.storage(dtype)
    if dtypes.STORAGE[x.dtype] != held:
        x = invoke("_npx_cast", [x], {"dtype": held}, x.dtype)
    if dtype in _NARROWING and x.dtype not in _FITTING.get(dtype, ()):
        x = _NARROWING[dtype](x)
    return relabel(x, dtype)


def _wrap(bits: int, signed: bool) -> Any:
    def wrap(x: Tensor) -> Tensor:
        if not signed:
            return invoke("_npi_bitwise_and_scalar", [x], {"scalar": 2**bits - 1, "is_int": True})
        half = 2 ** (bits - 1)
        x = invoke("_npi_add_scalar", [x], {"scalar": half, "is_int": True})
        x = invoke("_npi_bitwise_and_scalar", [x], {"scalar": 2**bits - 1, "is_int": True})
        return invoke("_npi_subtract_scalar", [x], {"scalar": half, "is_int": True})

    return wrap


def _rounded(dtype: Any) -> Any:
    def rounded(x: Tensor) -> Tensor:
        return host(
            lambda value: value.astype(np.float32).astype(dtype).astype(np.float32),
            x,
            gradient=lambda inputs, outputs, gradients: gradients,
        )

    return rounded


def _rounded_bfloat16(x: Tensor) -> Tensor:
    """Round float32 to eight significant bits, to nearest, by Veltkamp's splitting."""
    x = relabel(x, "float32")
    large = invoke("_npi_multiply_scalar", [x], {"scalar": 65537.0, "is_int": False})
    rest = invoke("_npi_subtract", [large, x])
    return invoke("_npi_where", [_is_finite(large), invoke("_npi_subtract", [large, rest]), x])


def _is_finite(x: Tensor) -> Tensor:
    return invoke("_npi_isfinite", [x])


_NARROWING = {
    "int16": _wrap(16, True),
    "uint16": _wrap(16, False),
    "uint32": _wrap(32, False),
    "bfloat16": _rounded_bfloat16,
    "float8_e4m3fn": _rounded(ml_dtypes.float8_e4m3fn),
    "float8_e5m2": _rounded(ml_dtypes.float8_e5m2),
}
# The dtypes all of whose values the narrow ones have.
_FITTING = {
    "int16": ("bool", "int8", "uint8"),
    "uint16": ("bool", "uint8"),
    "uint32": ("bool", "uint8", "uint16"),
    "bfloat16": ("bool", "int8", "uint8", "float8_e4m3fn", "float8_e5m2"),
}
