"""How Keras's dtypes are held in MXNet's.

A *logical* dtype is Keras's name; a *storage* dtype is what the MXNet array has. They differ for
the dtypes MXNet lacks, which live in a wider one.
"""

import numpy as np

STORAGE = {
    "bool": "bool",
    "int8": "int8",
    "int16": "int32",
    "int32": "int32",
    "int64": "int64",
    "uint8": "uint8",
    "uint16": "int32",
    "uint32": "int64",
    "uint64": "int64",
    "float16": "float16",
    "bfloat16": "float32",
    "float32": "float32",
    "float64": "float64",
    "float8_e4m3fn": "float32",
    "float8_e5m2": "float32",
}

# MXNet's own numbers of its dtypes (mshadow's `TypeFlag`).
CODES = {
    "float32": 0,
    "float64": 1,
    "float16": 2,
    "uint8": 3,
    "int32": 4,
    "int8": 5,
    "int64": 6,
    "bool": 7,
}
NAMES = {code: name for name, code in CODES.items()}

NUMPY = {name: np.dtype(name) for name in CODES}

_INTEGERS = ("int8", "uint8", "int32", "int64")


def _through(*pairs: tuple[tuple[str, ...], str]) -> dict[str, str]:
    return {dtype: wider for dtypes, wider in pairs for dtype in dtypes}


_MOVE = _through((("bool",), "uint8"))
_ORDER = _through((("bool",), "uint8"), (("float16",), "float32"))
_PRODUCT = _through(
    (("bool", "int8", "uint8", "int32", "int64"), "float64"), (("float16",), "float32")
)
_FLOAT32 = _through((("float16",), "float32"))
_NOT_BOOL = _through((("bool",), "int32"))

# Operators that lack a kernel for some storage dtypes, and the dtype in which they run instead:
# inputs are cast to it, and outputs of that dtype are cast back.
WIDENED: dict[str, dict[str, str]] = {
    "_np_transpose": _MOVE,
    "_npi_flip": _MOVE,
    "_np_roll": _MOVE,
    "_npi_tril": _MOVE,
    "_npi_pad": _MOVE,
    "_npi_slice_assign": _MOVE,
    "_np_diag": _MOVE,
    "_np_diagonal": _MOVE,
    "_npi_rot90": _MOVE,
    "_npi_swapaxes": _MOVE,
    "_np_repeat": _MOVE,
    # Two booleans of different shapes are what these cannot broadcast.
    "_npi_sort": _ORDER,
    "_npi_argsort": _ORDER,
    "_npx_topk": _ORDER,
    "_npi_argmax": _ORDER,
    "_npi_argmin": _ORDER,
    "_np_max": _MOVE,
    "_np_min": _MOVE,
    "_npi_clip": _NOT_BOOL,
    "_npi_matmul": _PRODUCT,
    "_np_dot": _PRODUCT,
    "_npx_batch_dot": _PRODUCT,
    "_npi_tensordot": _PRODUCT,
    "_npx_fully_connected": _PRODUCT,
    "_npx_convolution": _PRODUCT,
    "_npx_deconvolution": _PRODUCT,
    "_npx_pooling": _PRODUCT,
    "_npi_mod": _NOT_BOOL,
    "_npi_power": _NOT_BOOL,
    "_npi_maximum": _NOT_BOOL,
    "_npi_minimum": _NOT_BOOL,
    "_npi_abs": _NOT_BOOL,
    "_npi_sign": _NOT_BOOL,
    "_npi_bitwise_and": _MOVE,
    "_npi_bitwise_or": _MOVE,
    "_npi_bitwise_xor": _MOVE,
    "_npx_batch_norm": _FLOAT32,
    "_npx_layer_norm": _FLOAT32,
    "_npi_around": _FLOAT32,
}


def storage(dtype: str) -> str:
    """Return the dtype of the MXNet array that holds `dtype`.

    Raises:
        NotImplementedError: if neither MXNet nor this backend has that dtype.
    """
    try:
        return STORAGE[dtype]
    except KeyError:
        raise NotImplementedError(f"MXNet has no dtype {dtype!r}.") from None
