"""`keras.ops`' NumPy functions on MXNet."""

import builtins
import itertools
import math as python_math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras.src.backend import config
from keras.src.backend.common import standardize_dtype
from keras.src.backend.common.backend_utils import (
    canonicalize_axis,
    vectorize_impl,
)
from keras.src.backend.common.dtypes import result_type

from keras_mxnet.src import dtypes, indexing
from keras_mxnet.src.convert import (
    cast,
    constant,
    convert_to_numpy,
    convert_to_tensor,
    dtype_of,
    relabel,
)
from keras_mxnet.src.fallback import host
from keras_mxnet.src.invoke import create, invoke, invoke_all
from keras_mxnet.src.ops.einsum import einsum as einsum
from keras_mxnet.src.tensor import Tensor, abstract, from_numpy, inferring

Op = Callable[..., Tensor]

_SMALL_INTEGERS = ("bool", "int8", "int16")
_SMALL_UNSIGNED = ("uint8", "uint16")


def _is_float(dtype: str) -> bool:
    return "float" in dtype


def _float_dtype(dtype: str) -> str:
    """Return what a function with fractional results gives for an argument of `dtype`."""
    return config.floatx() if dtype == "int64" else result_type(dtype, float)


def _sum_dtype(dtype: str) -> str:
    """Return the dtype in which values of `dtype` are added up."""
    if dtype in _SMALL_INTEGERS:
        return "int32"
    return "uint32" if dtype in _SMALL_UNSIGNED else dtype


def _floating(x: Any) -> Tensor:
    x = convert_to_tensor(x)
    return cast(x, _float_dtype(x.dtype))


# Element by element, one argument.


def _unary_float(name: str) -> Op:
    """Return an op whose result is floating, whatever its argument is."""

    def op(x: Any) -> Tensor:
        return invoke(name, [_floating(x)])

    return op


def _unary_same(name: str) -> Op:
    """Return an op whose result has its argument's dtype."""

    def op(x: Any) -> Tensor:
        return invoke(name, [convert_to_tensor(x)])

    return op


def _unary_test(name: str) -> Op:
    """Return an op that tests floating values; integers pass as floats."""

    def op(x: Any) -> Tensor:
        return invoke(name, [_floating(x)], dtype="bool")

    return op


arccos = _unary_float("_npi_arccos")
arccosh = _unary_float("_npi_arccosh")
arcsin = _unary_float("_npi_arcsin")
arcsinh = _unary_float("_npi_arcsinh")
arctan = _unary_float("_npi_arctan")
arctanh = _unary_float("_npi_arctanh")
cbrt = _unary_float("_npi_cbrt")
cos = _unary_float("_npi_cos")
cosh = _unary_float("_npi_cosh")
deg2rad = _unary_float("_npi_radians")
exp = _unary_float("_npi_exp")
expm1 = _unary_float("_npi_expm1")
log = _unary_float("_npi_log")
log10 = _unary_float("_npi_log10")
log1p = _unary_float("_npi_log1p")
log2 = _unary_float("_npi_log2")
rad2deg = _unary_float("_npi_degrees")
reciprocal = _unary_float("_npi_reciprocal")
sin = _unary_float("_npi_sin")
sinh = _unary_float("_npi_sinh")
sqrt = _unary_float("_npi_sqrt")
tan = _unary_float("_npi_tan")
tanh = _unary_float("_npi_tanh")
isfinite = _unary_test("_npi_isfinite")
isinf = _unary_test("_npi_isinf")
isnan = _unary_test("_npi_isnan")
isneginf = _unary_test("_npi_isneginf")
isposinf = _unary_test("_npi_isposinf")
negative = _unary_same("_npi_negative")
square_ = _unary_same("_npi_square")


def _rounding(name: str) -> Op:
    """Return an op that integers pass unchanged."""

    def op(x: Any) -> Tensor:
        x = convert_to_tensor(x)
        return invoke(name, [x]) if _is_float(x.dtype) else x

    return op


trunc = _rounding("_npi_trunc")


def ceil(x: Any) -> Tensor:
    return invoke("_npi_ceil", [_floating(x)])


def floor(x: Any) -> Tensor:
    return invoke("_npi_floor", [_floating(x)])


def round(x: Any, decimals: int = 0) -> Tensor:
    x = convert_to_tensor(x)
    if x.dtype == "bool":
        x = cast(x, "int32")
    if not _is_float(x.dtype):
        if decimals >= 0:
            return x
        return cast(round(cast(x, "float64"), decimals), x.dtype)
    if decimals == 0:
        # Half to even; MXNet's `rint` rounds half down.
        return invoke("_npi_around", [x], {"decimals": 0})
    return divide(round(multiply(x, 10.0**decimals)), 10.0**decimals)


def absolute(x: Any) -> Tensor:
    x = convert_to_tensor(x)
    return x if x.dtype == "bool" or x.dtype.startswith("uint") else invoke("_npi_abs", [x])


abs = absolute


def fabs(x: Any) -> Tensor:
    return absolute(_floating(x))


def square(x: Any) -> Tensor:
    x = convert_to_tensor(x)
    return square_(cast(x, "int32") if x.dtype == "bool" else x)


def sign(x: Any) -> Tensor:
    x = convert_to_tensor(x)
    return (
        cast(invoke("_npi_sign", [cast(x, "int32")]), x.dtype)
        if x.dtype == "bool"
        else (invoke("_npi_sign", [x]))
    )


def signbit(x: Any) -> Tensor:
    return host(np.signbit, convert_to_tensor(x))


def exp2(x: Any) -> Tensor:
    return exp(multiply(_floating(x), python_math.log(2.0)))


def sinc(x: Any) -> Tensor:
    x = multiply(_floating(x), python_math.pi)
    zero = equal(x, 0)
    safe = where(zero, ones_like(x), x)
    return where(zero, ones_like(x), divide(sin(safe), safe))


def i0(x: Any) -> Tensor:
    from scipy.special import i1

    x = _floating(x)
    return host(
        lambda v: np.i0(v).astype(v.dtype),
        x,
        gradient=lambda inputs, outputs, g: [g[0] * i1(inputs[0])],
    )


def angle(x: Any) -> Tensor:
    x = _floating(x)
    pi = full_like(x, python_math.pi)
    return where(isnan(x), x, where(less(x, 0), pi, zeros_like(x)))


def real(x: Any) -> Tensor:
    return convert_to_tensor(x)


def imag(x: Any) -> Tensor:
    return zeros_like(convert_to_tensor(x))


def conjugate(x: Any) -> Tensor:
    return convert_to_tensor(x)


conj = conjugate


def isreal(x: Any) -> Tensor:
    return ones_like(convert_to_tensor(x), dtype="bool")


def logical_not(x: Any) -> Tensor:
    return invoke("_npi_logical_not", [cast(x, "bool")], dtype="bool")


def nan_to_num(
    x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    x = convert_to_tensor(x)
    if not _is_float(x.dtype):
        return x
    limits = np.finfo(dtypes.NUMPY[dtypes.storage(x.dtype)])
    x = where(isnan(x), full_like(x, nan), x)
    x = where(isposinf(x), full_like(x, limits.max if posinf is None else posinf), x)
    return where(isneginf(x), full_like(x, limits.min if neginf is None else neginf), x)


# Element by element, two arguments.


def _pair(x1: Any, x2: Any, dtype: str | None = None) -> tuple[Any, Any, str]:
    """Return two arguments and the dtype Keras's rules give their result."""
    if not isinstance(x1, (bool, int, float)):
        x1 = convert_to_tensor(x1)
    if not isinstance(x2, (bool, int, float)):
        x2 = convert_to_tensor(x2)
    return x1, x2, dtype or result_type(dtype_of(x1), dtype_of(x2))


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float)) and not isinstance(x, bool)


def _combine(name: str, reverse: str | None, x1: Any, x2: Any, dtype: str) -> Tensor:
    """Call a binary operator in `dtype`; with a Python number, its form with a scalar."""
    if _is_number(x2) and isinstance(x1, Tensor):
        return _with_scalar(f"{name}_scalar", x1, x2, dtype)
    if reverse is not None and _is_number(x1) and isinstance(x2, Tensor):
        return _with_scalar(reverse, x2, x1, dtype)
    return invoke(name, [cast(x1, dtype), cast(x2, dtype)])


def _with_scalar(name: str, x: Tensor, scalar: float, dtype: str) -> Tensor:
    integer = not _is_float(dtype)
    return invoke(
        name,
        [cast(x, dtype)],
        {"scalar": int(scalar) if integer else float(scalar), "is_int": integer},
        dtype,
    )


def add(x1: Any, x2: Any) -> Tensor:
    x1, x2, dtype = _pair(x1, x2)
    if dtype == "bool":
        return logical_or(x1, x2)
    return _combine("_npi_add", "_npi_add_scalar", x1, x2, dtype)


def subtract(x1: Any, x2: Any) -> Tensor:
    x1, x2, dtype = _pair(x1, x2)
    if dtype == "bool":
        return logical_xor(x1, x2)
    return _combine("_npi_subtract", "_npi_rsubtract_scalar", x1, x2, dtype)


def multiply(x1: Any, x2: Any) -> Tensor:
    x1, x2, dtype = _pair(x1, x2)
    if dtype == "bool":
        return logical_and(x1, x2)
    return _combine("_npi_multiply", "_npi_multiply_scalar", x1, x2, dtype)


def divide(x1: Any, x2: Any) -> Tensor:
    x1, x2, dtype = _pair(x1, x2)
    dtype = result_type(dtype, float)
    return _combine("_npi_true_divide", "_npi_rtrue_divide_scalar", x1, x2, dtype)


true_divide = divide


def divide_no_nan(x1: Any, x2: Any) -> Tensor:
    x1, x2, dtype = _pair(x1, x2)
    dtype = result_type(dtype, float)
    x1, x2 = cast(x1, dtype), cast(x2, dtype)
    zero = equal(x2, 0)
    quotient = divide(x1, where(zero, ones_like(x2), x2))
    return where(zero, zeros_like(quotient), quotient)


def floor_divide(x1: Any, x2: Any) -> Tensor:
    x1, x2, dtype = _pair(x1, x2)
    if dtype == "bool":
        dtype = "int32"
    if _is_float(dtype):
        return floor(_combine("_npi_true_divide", "_npi_rtrue_divide_scalar", x1, x2, dtype))
    wide = _combine("_npi_true_divide", "_npi_rtrue_divide_scalar", x1, x2, "float64")
    return cast(floor(wide), dtype)


def mod(x1: Any, x2: Any) -> Tensor:
    x1, x2, dtype = _pair(x1, x2)
    if dtype == "bool":
        dtype = "int32"
    return _combine("_npi_mod", "_npi_rmod_scalar", x1, x2, dtype)


remainder = mod


def fmod(x1: Any, x2: Any) -> Tensor:
    x1, x2, dtype = _pair(x1, x2)
    if dtype == "bool":
        dtype = "int32"
    x1, x2 = cast(x1, dtype), cast(x2, dtype)
    if not _is_float(dtype):
        wide1, wide2 = cast(x1, "float64"), cast(x2, "float64")
        return cast(subtract(wide1, multiply(wide2, trunc(divide(wide1, wide2)))), dtype)
    # The sign of the first argument, where `mod` takes the second's.
    return multiply(sign(x1), mod(absolute(x1), absolute(x2)))


def power(x1: Any, x2: Any) -> Tensor:
    x1, x2, dtype = _pair(x1, x2)
    if dtype == "bool":
        dtype = "int32"
    if not _is_float(dtype):
        wide = invoke("_npi_power", [cast(x1, "float64"), cast(x2, "float64")])
        return cast(round(wide), dtype)
    return _combine("_npi_power", "_npi_rpower_scalar", x1, x2, dtype)


def _extremum(name: str) -> Op:
    def op(x1: Any, x2: Any) -> Tensor:
        x1, x2, dtype = _pair(x1, x2)
        return _combine(name, f"{name}_scalar", x1, x2, dtype)

    return op


maximum = _extremum("_npi_maximum")
minimum = _extremum("_npi_minimum")


def _ignoring_nan(op: Op) -> Op:
    def both(x1: Any, x2: Any) -> Tensor:
        x1, x2, dtype = _pair(x1, x2)
        x1, x2 = cast(x1, dtype), cast(x2, dtype)
        if not _is_float(dtype):
            return op(x1, x2)
        return where(isnan(x1), x2, where(isnan(x2), x1, op(x1, x2)))

    return both


fmax = _ignoring_nan(maximum)
fmin = _ignoring_nan(minimum)


def arctan2(x1: Any, x2: Any) -> Tensor:
    x1, x2, dtype = _pair(x1, x2)
    dtype = result_type(dtype, float)
    return invoke("_npi_arctan2", [cast(x1, dtype), cast(x2, dtype)])


def hypot(x1: Any, x2: Any) -> Tensor:
    x1, x2, dtype = _pair(x1, x2)
    dtype = result_type(dtype, float) if not _is_float(dtype) else dtype
    return invoke("_npi_hypot", [cast(x1, dtype), cast(x2, dtype)])


def heaviside(x1: Any, x2: Any) -> Tensor:
    x1, x2, dtype = _pair(x1, x2)
    dtype = result_type(dtype, float) if dtype in ("bool", "int8", "uint8") else dtype
    dtype = _float_dtype(dtype)
    x1, x2 = cast(x1, dtype), cast(x2, dtype)
    return where(equal(x1, 0), x2, cast(greater(x1, 0), dtype))


def logaddexp(x1: Any, x2: Any) -> Tensor:
    x1, x2, dtype = _pair(x1, x2)
    dtype = result_type(dtype, float)
    x1, x2 = cast(x1, dtype), cast(x2, dtype)
    larger = maximum(x1, x2)
    # Equal infinities have no difference.
    distance = where(equal(x1, x2), zeros_like(larger), absolute(subtract(x1, x2)))
    return add(larger, log1p(exp(negative(distance))))


def logaddexp2(x1: Any, x2: Any) -> Tensor:
    x1, x2, dtype = _pair(x1, x2)
    dtype = result_type(dtype, float)
    two = python_math.log(2.0)
    x1, x2 = (multiply(cast(x, dtype), two) for x in (x1, x2))
    return divide(logaddexp(x1, x2), two)


def nextafter(x1: Any, x2: Any) -> Tensor:
    x1, x2, dtype = _pair(x1, x2)
    dtype = result_type(dtype, float)
    return host(np.nextafter, cast(x1, dtype), cast(x2, dtype))


def ldexp(x1: Any, x2: Any) -> Tensor:
    x1, x2, dtype = _pair(x1, x2)
    dtype = result_type(dtype, float)
    if _is_float(dtype_of(x2)):
        raise TypeError(f"ldexp exponent must be an integer type. Received: x2 dtype={x2.dtype}")
    return multiply(cast(x1, dtype), power(2.0, cast(x2, dtype)))


def gcd(x1: Any, x2: Any) -> Tensor:
    x1, x2, dtype = _pair(x1, x2)
    return host(np.gcd, cast(x1, dtype), cast(x2, dtype))


def lcm(x1: Any, x2: Any) -> Tensor:
    x1, x2, dtype = _pair(x1, x2)
    return host(np.lcm, cast(x1, dtype), cast(x2, dtype))


def _comparison(name: str) -> Op:
    def op(x1: Any, x2: Any) -> Tensor:
        x1, x2, dtype = _pair(x1, x2)
        if dtype == "bool":
            dtype = "uint8"
        return invoke(name, [cast(x1, dtype), cast(x2, dtype)], dtype="bool")

    return op


equal = _comparison("_npi_equal")
greater = _comparison("_npi_greater")
greater_equal = _comparison("_npi_greater_equal")
less = _comparison("_npi_less")
less_equal = _comparison("_npi_less_equal")
not_equal = _comparison("_npi_not_equal")


def _logical(name: str) -> Op:
    def op(x1: Any, x2: Any) -> Tensor:
        # On MXNet's booleans the bitwise operators are the logical ones.
        return invoke(name, [cast(x1, "bool"), cast(x2, "bool")], dtype="bool")

    return op


logical_and = _logical("_npi_bitwise_and")
logical_or = _logical("_npi_bitwise_or")
logical_xor = _logical("_npi_bitwise_xor")


def _bitwise(name: str) -> Op:
    def op(x: Any, y: Any) -> Tensor:
        x, y, dtype = _pair(x, y)
        return invoke(name, [cast(x, dtype), cast(y, dtype)])

    return op


bitwise_and = _bitwise("_npi_bitwise_and")
bitwise_or = _bitwise("_npi_bitwise_or")
bitwise_xor = _bitwise("_npi_bitwise_xor")


def bitwise_not(x: Any) -> Tensor:
    x = convert_to_tensor(x)
    inverted = invoke("_npi_bitwise_not", [x])
    if dtypes.STORAGE[x.dtype] == x.dtype:
        return inverted
    return cast(relabel(inverted, dtypes.STORAGE[x.dtype]), x.dtype)


bitwise_invert = bitwise_not


def _shift(function: Callable[..., Any]) -> Op:
    def op(x: Any, y: Any) -> Tensor:
        x, y, dtype = _pair(x, y)
        return host(
            lambda a, b: np.asarray(function(a, b)).astype(a.dtype), cast(x, dtype), cast(y, dtype)
        )

    return op


bitwise_left_shift = left_shift = _shift(np.left_shift)
bitwise_right_shift = right_shift = _shift(np.right_shift)


def isclose(
    x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    x1, x2, dtype = _pair(x1, x2)
    dtype = result_type(dtype, float)
    x1, x2 = cast(x1, dtype), cast(x2, dtype)
    near = less_equal(absolute(subtract(x1, x2)), add(atol, multiply(rtol, absolute(x2))))
    near = logical_or(logical_and(near, isfinite(x2)), equal(x1, x2))
    return logical_or(near, logical_and(isnan(x1), isnan(x2))) if equal_nan else near


def allclose(
    x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    return all(isclose(x1, x2, rtol, atol, equal_nan))


def clip(x: Any, x_min: Any, x_max: Any) -> Tensor:
    x = convert_to_tensor(x)
    dtype = "int32" if x.dtype == "bool" else x.dtype
    x = cast(x, dtype)
    if _is_number(x_min) and _is_number(x_max) and x_min <= x_max and _is_float(dtype):
        return invoke("_npi_clip", [x], {"a_min": float(x_min), "a_max": float(x_max)})
    return minimum(maximum(x, cast(x_min, dtype)), cast(x_max, dtype))


def where(condition: Any, x1: Any = None, x2: Any = None) -> Any:
    condition = cast(condition, "bool")
    if x1 is None or x2 is None:
        return nonzero(condition)
    x1, x2, dtype = _pair(x1, x2)
    return invoke("_npi_where", [condition, cast(x1, dtype), cast(x2, dtype)], dtype=dtype)


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Tensor:
    result = default
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        result = where(condition, choice, result)
    return result


# Reductions.


def _axes(axis: Any, ndim: int) -> tuple[int, ...] | None:
    """Return the reduced axes, counted from the start, None for all."""
    if axis is None:
        return None
    axes = axis if isinstance(axis, (list, tuple)) else (axis,)
    return tuple(canonicalize_axis(operator.index(a), ndim) for a in axes)


def _reduce(
    name: str, x: Tensor, axis: Any, keepdims: bool, dtype: str | None = None, **attributes: Any
) -> Tensor:
    axes = _axes(axis, x.ndim)
    if axes == () or x.ndim == 0:
        return x if dtype is None else cast(x, dtype)
    return invoke(name, [x], {"axis": axes, "keepdims": keepdims, **attributes}, dtype or x.dtype)


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    x = convert_to_tensor(x)
    return _reduce("_np_sum", cast(x, _sum_dtype(x.dtype)), axis, keepdims)


def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    x = convert_to_tensor(x)
    dtype = _float_dtype(x.dtype) if not _is_float(x.dtype) else x.dtype
    if x.size == 0:
        return host(
            lambda v: np.mean(v, axis=_axes(axis, x.ndim), keepdims=keepdims), cast(x, dtype)
        )
    if dtype == "float16":
        # Half precision overflows while it adds up.
        return cast(mean(cast(x, "float32"), axis, keepdims), dtype)
    return _reduce("_npi_mean", cast(x, dtype), axis, keepdims)


def var(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    x = convert_to_tensor(x)
    dtype = _float_dtype(x.dtype)
    compute = result_type(dtype, "float32")
    x = cast(x, compute)
    centred = subtract(x, mean(x, axis, keepdims=True))
    return cast(mean(square(centred), axis, keepdims), dtype)


def std(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    return sqrt(var(x, axis, keepdims))


def prod(x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Tensor:
    x = convert_to_tensor(x)
    dtype = _sum_dtype(x.dtype) if dtype is None else standardize_dtype(dtype)
    return _reduce("_np_prod", cast(x, dtype), axis, keepdims)


def _extreme(name: str, combine: Op) -> Op:
    def op(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Tensor:
        x = convert_to_tensor(x)
        if x.size == 0:
            if initial is None:
                raise ValueError("Cannot compute the max or min of an empty tensor.")
            axes = _axes(axis, x.ndim)
            return host(lambda v: np.max(v, axis=axes, keepdims=keepdims, initial=initial), x)
        result = _reduce(name, x, axis, keepdims)
        return result if initial is None else combine(result, cast(initial, x.dtype))

    return op


max = _extreme("_np_max", maximum)
min = _extreme("_np_min", minimum)


def amax(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    return max(x, axis, keepdims)


def amin(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    return min(x, axis, keepdims)


def ptp(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    return subtract(max(x, axis, keepdims), min(x, axis, keepdims))


def all(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    x = cast(cast(x, "bool"), "int32")
    return cast(prod(x, axis, keepdims), "bool")


def any(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    x = cast(cast(x, "bool"), "int32")
    return greater(sum(x, axis, keepdims), 0)


def count_nonzero(x: Any, axis: Any = None) -> Tensor:
    return sum(cast(cast(x, "bool"), "int32"), axis)


def _arg(name: str) -> Op:
    def op(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
        x = convert_to_tensor(x)
        if axis is None:
            found = invoke(name, [ravel(x)], {"axis": 0, "keepdims": False}, "int64")
            shape = (1,) * x.ndim if keepdims else ()
            return cast(reshape(found, shape), "int32")
        found = invoke(
            name, [x], {"axis": canonicalize_axis(axis, x.ndim), "keepdims": keepdims}, "int64"
        )
        return cast(found, "int32")

    return op


argmax = _arg("_npi_argmax")
argmin = _arg("_npi_argmin")


def average(x: Any, axis: Any = None, weights: Any = None) -> Tensor:
    if weights is None:
        return mean(x, axis)
    x, weights, dtype = _pair(x, weights)
    dtype = result_type(dtype, float)
    x, weights = cast(x, dtype), cast(weights, dtype)
    axes = _axes(axis, x.ndim)
    if weights.ndim == 1 and x.ndim > 1 and axes is not None:
        shape = [1] * x.ndim
        shape[axes[0]] = weights.shape[0]
        weights = reshape(weights, tuple(shape))
    return divide(sum(multiply(x, weights), axes), sum(broadcast_to(weights, x.shape), axes))


# Shapes.


def _new_shape(shape: Any, size: int) -> tuple[int, ...]:
    shape = tuple(operator.index(s) for s in shape)
    if -1 in shape:
        known = -python_math.prod(shape)
        shape = tuple((size // known if known else 0) if s == -1 else s for s in shape)
    return shape


def reshape(x: Any, newshape: Any) -> Tensor:
    x = convert_to_tensor(x)
    if not isinstance(newshape, (list, tuple)):
        newshape = (newshape,)
    shape = _new_shape(newshape, x.size)
    if python_math.prod(shape) != x.size:
        raise ValueError(f"Cannot reshape a tensor of shape {x.shape} into {tuple(newshape)}.")
    return indexing.reshape(x, shape)


def ravel(x: Any) -> Tensor:
    return reshape(x, (-1,))


def transpose(x: Any, axes: Any = None) -> Tensor:
    x = convert_to_tensor(x)
    if x.ndim < 2:
        return x
    if axes is None:
        axes = range(x.ndim)[::-1]
    axes = tuple(canonicalize_axis(operator.index(a), x.ndim) for a in axes)
    if axes == tuple(range(x.ndim)):
        return x
    return indexing.transpose(x, axes)


def moveaxis(x: Any, source: Any, destination: Any) -> Tensor:
    x = convert_to_tensor(x)
    source, destination = _axes(source, x.ndim), _axes(destination, x.ndim)
    order = [a for a in range(x.ndim) if a not in source]
    for to, axis in sorted(zip(destination, source, strict=True)):
        order.insert(to, axis)
    return transpose(x, order)


def swapaxes(x: Any, axis1: int, axis2: int) -> Tensor:
    x = convert_to_tensor(x)
    order = list(range(x.ndim))
    axis1, axis2 = canonicalize_axis(axis1, x.ndim), canonicalize_axis(axis2, x.ndim)
    order[axis1], order[axis2] = axis2, axis1
    return transpose(x, order)


def expand_dims(x: Any, axis: Any) -> Tensor:
    x = convert_to_tensor(x)
    axes = axis if isinstance(axis, (list, tuple)) else (axis,)
    ndim = x.ndim + len(axes)
    axes = {canonicalize_axis(a, ndim) for a in axes}
    lengths = iter(x.shape)
    return reshape(x, tuple(1 if i in axes else next(lengths) for i in range(ndim)))


def squeeze(x: Any, axis: Any = None) -> Tensor:
    x = convert_to_tensor(x)
    axes = _axes(axis, x.ndim)
    if axes is None:
        axes = tuple(i for i, length in enumerate(x.shape) if length == 1)
    if builtins.any(x.shape[a] != 1 for a in axes):
        raise ValueError(f"Cannot squeeze axis={axis} of shape {x.shape}: its size is not 1.")
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in axes))


def broadcast_to(x: Any, shape: Any) -> Tensor:
    x = convert_to_tensor(x)
    shape = tuple(operator.index(s) for s in shape)
    if x.shape == shape:
        return x
    return invoke("_npi_broadcast_to", [x], {"shape": shape})


def copy(x: Any) -> Tensor:
    return invoke("_np_copy", [convert_to_tensor(x)])


def flip(x: Any, axis: Any = None) -> Tensor:
    x = convert_to_tensor(x)
    axes = tuple(range(x.ndim)) if axis is None else _axes(axis, x.ndim)
    return invoke("_npi_flip", [x], {"axis": axes}) if axes else x


def fliplr(x: Any) -> Tensor:
    return flip(x, 1)


def flipud(x: Any) -> Tensor:
    return flip(x, 0)


def rot90(array: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Tensor:
    array = convert_to_tensor(array)
    if array.ndim < 2:
        raise ValueError(
            f"Input array must have at least 2 dimensions. Received: array.ndim={array.ndim}"
        )
    if len(axes) != 2 or axes[0] == axes[1]:
        raise ValueError(f"Invalid axes: {axes}. Axes must be a tuple of two different dimensions.")
    first, second = (a + array.ndim if a < 0 else a for a in axes)
    if not (0 <= first < array.ndim and 0 <= second < array.ndim):
        raise ValueError(f"Invalid axes {axes} for tensor with {array.ndim} dimensions")
    for _ in range(k % 4):
        array = flip(swapaxes(array, first, second), first)
    return array


def roll(x: Any, shift: Any, axis: Any = None) -> Tensor:
    x = convert_to_tensor(x)
    if axis is None:
        return reshape(roll(ravel(x), shift, 0), x.shape)
    axes = axis if isinstance(axis, (list, tuple)) else (axis,)
    shifts = shift if isinstance(shift, (list, tuple)) else (shift,) * len(axes)
    for by, a in zip(shifts, axes, strict=True):
        a = canonicalize_axis(a, x.ndim)
        length = x.shape[a]
        by = by % length if length else 0
        if by:
            x = concatenate([_cut(x, a, length - by, length), _cut(x, a, 0, length - by)], a)
    return x


def _cut(x: Tensor, axis: int, start: int, stop: int) -> Tensor:
    return indexing.getitem(x, (slice(None),) * axis + (slice(start, stop),))


def tile(x: Any, repeats: Any) -> Tensor:
    x = convert_to_tensor(x)
    repeats = repeats if isinstance(repeats, (list, tuple)) else (repeats,)
    return invoke("_npi_tile", [x], {"reps": tuple(operator.index(r) for r in repeats)})


def repeat(x: Any, repeats: Any, axis: int | None = None) -> Tensor:
    x = convert_to_tensor(x)
    if axis is None:
        x, axis = ravel(x), 0
    axis = canonicalize_axis(axis, x.ndim)
    counts = convert_to_numpy(repeats)
    order = np.repeat(np.arange(x.shape[axis]), counts)
    return take(x, constant(order), axis)


def concatenate(xs: Sequence[Any], axis: int | None = 0) -> Tensor:
    tensors = [convert_to_tensor(x) for x in xs]
    dtype = result_type(*[t.dtype for t in tensors])
    tensors = [cast(t, dtype) for t in tensors]
    if axis is None:
        tensors, axis = [ravel(t) for t in tensors], 0
    axis = canonicalize_axis(axis, tensors[0].ndim)
    if len(tensors) > 1:
        filled = [t for t in tensors if t.shape[axis] != 0]
        tensors = filled or tensors[:1]
    if len(tensors) == 1:
        return tensors[0]
    return invoke("_npi_concatenate", tensors, {"axis": axis, "num_args": len(tensors)}, dtype)


def stack(x: Sequence[Any], axis: int = 0) -> Tensor:
    tensors = [convert_to_tensor(item) for item in x]
    dtype = result_type(*[t.dtype for t in tensors])
    axis = canonicalize_axis(axis, tensors[0].ndim + 1)
    return invoke(
        "_npi_stack",
        [cast(t, dtype) for t in tensors],
        {"axis": axis, "num_args": len(tensors)},
        dtype,
    )


def append(x1: Any, x2: Any, axis: int | None = None) -> Tensor:
    return concatenate([x1, x2], axis)


def _at_least(ndim: int, x: Any) -> Tensor:
    x = convert_to_tensor(x)
    if ndim == 3:
        if x.ndim == 2:
            return expand_dims(x, 2)
        return reshape(x, (1, x.size, 1)) if x.ndim < 2 else x
    if x.ndim >= ndim:
        return x
    return reshape(x, (1,) * (ndim - x.ndim) + x.shape)


def hstack(xs: Sequence[Any]) -> Tensor:
    tensors = [_at_least(1, x) for x in xs]
    return concatenate(tensors, 0 if tensors[0].ndim == 1 else 1)


def vstack(xs: Sequence[Any]) -> Tensor:
    return concatenate([_at_least(2, x) for x in xs], 0)


def dstack(xs: Sequence[Any]) -> Tensor:
    return concatenate([_at_least(3, x) for x in xs], 2)


def _bounds(x: Tensor, indices_or_sections: Any, axis: int, uneven: bool) -> list[int]:
    length = x.shape[axis]
    if isinstance(indices_or_sections, (int, np.integer)):
        count = int(indices_or_sections)
        if not uneven and length % count:
            raise ValueError(f"Cannot split axis {axis} of size {length} into {count} equal parts.")
        sizes = [length // count + (i < length % count) for i in range(count)]
        return list(np.cumsum([0, *sizes]))
    inner = [int(i) for i in np.ravel(convert_to_numpy(indices_or_sections))]
    inner = [builtins.min(builtins.max(i + length if i < 0 else i, 0), length) for i in inner]
    return [0, *inner, length]


def _split(x: Any, indices_or_sections: Any, axis: int, uneven: bool) -> list[Tensor]:
    x = convert_to_tensor(x)
    axis = canonicalize_axis(axis, x.ndim)
    bounds = _bounds(x, indices_or_sections, axis, uneven)
    return [_cut(x, axis, int(a), int(b)) for a, b in itertools.pairwise(bounds)]


def split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    return _split(x, indices_or_sections, axis, uneven=False)


def array_split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    return _split(x, indices_or_sections, axis, uneven=True)


def hsplit(x: Any, indices_or_sections: Any) -> list[Tensor]:
    x = convert_to_tensor(x)
    return split(x, indices_or_sections, 0 if x.ndim == 1 else 1)


def vsplit(x: Any, indices_or_sections: Any) -> list[Tensor]:
    return split(x, indices_or_sections, 0)


def dsplit(x: Any, indices_or_sections: Any) -> list[Tensor]:
    return split(x, indices_or_sections, 2)


def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Tensor:
    x = convert_to_tensor(x)
    if constant_values is not None and mode != "constant":
        raise ValueError(
            "Argument `constant_values` can only be provided when `mode == 'constant'`. "
            f"Received: mode={mode}"
        )
    if isinstance(pad_width, int):
        pad_width = ((pad_width, pad_width),) * x.ndim
    pad_width = tuple(tuple(p) if isinstance(p, (list, tuple)) else p for p in pad_width)
    if pad_width and isinstance(pad_width[0], int):
        pad_width = (pad_width if len(pad_width) == 2 else pad_width * 2,) * x.ndim
    if len(pad_width) == 1 and x.ndim != 1:
        pad_width = pad_width * x.ndim
    pad_width = [(int(a), int(b)) for a, b in pad_width]
    if builtins.all(p == (0, 0) for p in pad_width):
        return x
    if mode == "constant":
        value = 0 if constant_values is None else constant_values
        if isinstance(value, Tensor):
            value = value.item()
        if x.ndim == 1:
            # MXNet's operator cannot read the widths of a single dimension.
            return reshape(pad(reshape(x, (1, -1)), [(0, 0), *pad_width], mode, value), (-1,))
        return invoke(
            "_npi_pad",
            [x],
            {"pad_width": tuple(pad_width), "mode": "constant", "constant_value": float(value)},
        )
    # The other modes repeat values of the tensor: gather them, one axis after another.
    for axis, (before, after) in enumerate(pad_width):
        if before or after:
            order = np.pad(np.arange(x.shape[axis]), (before, after), mode=mode)
            x = take(x, constant(order), axis)
    return x


# New tensors.


def _shape(shape: Any) -> tuple[int, ...]:
    if isinstance(shape, Tensor):
        shape = shape.tolist()
    shape = shape if isinstance(shape, (list, tuple)) else (shape,)
    return tuple(operator.index(s) for s in shape)


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    shape = _shape(shape)
    dtype = standardize_dtype(dtype or config.floatx())
    if inferring():
        return abstract(shape, dtype)
    if isinstance(fill_value, (bool, int, float)):
        return from_numpy(np.full(shape, fill_value), dtype) if fill_value else _zeros(shape, dtype)
    return broadcast_to(cast(fill_value, dtype), shape)


def _zeros(shape: tuple[int, ...], dtype: str) -> Tensor:
    return create("_npi_zeros", {"shape": shape}, dtype)


def zeros(shape: Any, dtype: Any = None) -> Tensor:
    return full(shape, 0, dtype)


def ones(shape: Any, dtype: Any = None) -> Tensor:
    shape, dtype = _shape(shape), standardize_dtype(dtype or config.floatx())
    if inferring():
        return abstract(shape, dtype)
    return create("_npi_ones", {"shape": shape}, dtype)


empty = zeros


def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    x = convert_to_tensor(x)
    return full(x.shape, fill_value, dtype or x.dtype)


def zeros_like(x: Any, dtype: Any = None) -> Tensor:
    return full_like(x, 0, dtype)


empty_like = zeros_like


def ones_like(x: Any, dtype: Any = None) -> Tensor:
    return full_like(x, 1, dtype)


def array(x: Any, dtype: Any = None) -> Tensor:
    return convert_to_tensor(x, dtype)


def _python(x: Any) -> Any:
    return x.numpy()[()] if isinstance(x, Tensor) else x


def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Tensor:
    if dtype is None:
        kinds = [dtype_of(x) for x in (start, stop, step) if x is not None]
        dtype = result_type(*kinds)
    dtype = standardize_dtype(dtype)
    start, stop, step = _python(start), _python(stop), _python(step)
    if stop is None:
        start, stop = 0, start
    return from_numpy(np.asarray(np.arange(start, stop, 1 if step is None else step)), dtype)


def identity(n: int, dtype: Any = None) -> Tensor:
    return eye(n, dtype=dtype)


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Tensor:
    dtype = standardize_dtype(dtype or config.floatx())
    return from_numpy(np.eye(int(N), None if M is None else int(M), k), dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Tensor:
    dtype = standardize_dtype(dtype or config.floatx())
    return from_numpy(np.tri(int(N), None if M is None else int(M), k), dtype)


def tril(x: Any, k: int = 0) -> Tensor:
    x = convert_to_tensor(x)
    mask = constant(np.tri(*x.shape[-2:], k=k, dtype=bool))
    return where(mask, x, zeros_like(x))


def triu(x: Any, k: int = 0) -> Tensor:
    x = convert_to_tensor(x)
    mask = constant(~np.tri(*x.shape[-2:], k=k - 1, dtype=bool))
    return where(mask, x, zeros_like(x))


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    start, stop, common = _pair(start, stop)
    compute = result_type(common, float)
    dtype = standardize_dtype(dtype) if dtype is not None else compute
    start, stop = cast(start, compute), cast(stop, compute)
    steps = num - 1 if endpoint else num
    step = divide(subtract(stop, start), steps) if steps else full_like(start, float("nan"))
    shape = (num,) + (1,) * builtins.max(start.ndim, stop.ndim)
    ramp = constant(np.arange(num).reshape(shape), compute)
    values = add(start, multiply(ramp, step if steps else zeros_like(start)))
    if endpoint and num > 1:
        # The last value is `stop` itself, free of rounding.
        values = where(equal(ramp, num - 1), stop, values)
    values = moveaxis(values, 0, axis) if axis else values
    if not _is_float(dtype):
        values = floor(values)
    values = cast(values, dtype)
    return (values, step) if retstep else values


def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10,
    dtype: Any = None,
    axis: int = 0,
) -> Tensor:
    start, stop, common = _pair(start, stop)
    dtype = standardize_dtype(dtype) if dtype is not None else result_type(common, float)
    exponents = linspace(start, stop, num, endpoint, dtype="float64", axis=axis)
    return cast(power(cast(base, "float64"), exponents), dtype)


def geomspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    dtype: Any = None,
    axis: int = 0,
) -> Tensor:
    start, stop, common = _pair(start, stop)
    dtype = standardize_dtype(dtype) if dtype is not None else result_type(common, float)
    return host(
        lambda a, b: np.geomspace(a, b, num, endpoint, axis=axis).astype(dtype),
        convert_to_tensor(start),
        convert_to_tensor(stop),
    )


def meshgrid(*x: Any, indexing: str = "xy") -> list[Tensor]:
    tensors = [ravel(t) for t in x]
    lengths = [t.size for t in tensors]
    order = list(range(len(tensors)))
    if indexing == "xy" and len(order) > 1:
        order[0], order[1] = 1, 0
    shape = [lengths[i] for i in order]
    grids = []
    for i, t in enumerate(tensors):
        place = [1] * len(tensors)
        place[order.index(i)] = lengths[i]
        grids.append(broadcast_to(reshape(t, tuple(place)), tuple(shape)))
    return grids


def _window(function: Callable[..., np.ndarray]) -> Op:
    def op(x: Any, *arguments: Any) -> Tensor:
        values = [_python(convert_to_tensor(a)) for a in arguments]
        return from_numpy(function(int(_python(convert_to_tensor(x))), *values), config.floatx())

    return op


bartlett = _window(np.bartlett)
blackman = _window(np.blackman)
hamming = _window(np.hamming)
hanning = _window(np.hanning)
kaiser = _window(np.kaiser)


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Tensor:
    x = convert_to_tensor(x)
    dtype = result_type(x.dtype)
    count = x.shape[0] if N is None else N
    powers = np.arange(count) if increasing else np.arange(count)[::-1]
    columns = [ones_like(x) if p == 0 else power(x, int(p)) for p in powers]
    return cast(stack(columns, -1), dtype)


# Parts and order.


def _in_range(indices: Tensor, length: int) -> Tensor:
    return indexing.wrapped(indices, length)


def take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    x = convert_to_tensor(x)
    indices = convert_to_tensor(indices)
    if axis is None:
        x, axis = ravel(x), 0
    axis = canonicalize_axis(axis, x.ndim)
    indices = _in_range(indices, x.shape[axis])
    return invoke("_npi_take", [x, indices], {"axis": axis, "mode": "clip"}, x.dtype)


def take_along_axis(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    x = convert_to_tensor(x)
    indices = convert_to_tensor(indices)
    if axis is None:
        if indices.ndim != 1:
            raise ValueError(
                "when axis=None, `indices` must have a single dimension. "
                f"Received: indices.shape={indices.shape}"
            )
        return take_along_axis(ravel(x), indices, 0)
    axis = canonicalize_axis(axis, x.ndim)
    rest = np.broadcast_shapes(*[(*s[:axis], 1, *s[axis + 1 :]) for s in (x.shape, indices.shape)])
    common = (*rest[:axis], indices.shape[axis], *rest[axis + 1 :])
    x = broadcast_to(x, (*rest[:axis], x.shape[axis], *rest[axis + 1 :]))
    before, behind = python_math.prod(common[:axis]), python_math.prod(common[axis + 1 :])
    shape = (before, common[axis], behind)
    places = [
        constant(np.arange(before).reshape(-1, 1, 1)),
        reshape(broadcast_to(_in_range(indices, x.shape[axis]), common), shape),
        constant(np.arange(behind).reshape(1, 1, -1)),
    ]
    places = [broadcast_to(cast(place, "int64"), shape) for place in places]
    x = reshape(x, (before, x.shape[axis], behind))
    return reshape(invoke("_npi_gather_nd", [x, stack(places)], {}, x.dtype), common)


def argsort(x: Any, axis: int | None = -1) -> Tensor:
    x = convert_to_tensor(x)
    if axis is None or x.ndim == 0:
        x, axis = ravel(x), 0
    axis = canonicalize_axis(axis, x.ndim)
    # MXNet's own sort keeps no order among equal values, and knows no NaN.
    return host(lambda v: np.argsort(v, axis, kind="stable").astype("int32"), x)


def sort(x: Any, axis: int | None = -1) -> Tensor:
    x = convert_to_tensor(x)
    if axis is None:
        x, axis = ravel(x), 0
    if x.ndim == 0:
        return x
    return take_along_axis(x, argsort(x, axis), axis)


def argpartition(x: Any, kth: int, axis: int | None = -1) -> Tensor:
    x = convert_to_tensor(x)
    return host(lambda v: np.argpartition(v, kth, axis).astype("int32"), x)


def nonzero(x: Any) -> tuple[Tensor, ...]:
    x = convert_to_tensor(x)
    return tuple(from_numpy(i, "int32") for i in np.nonzero(x.numpy()))


def searchsorted(sorted_sequence: Any, values: Any, side: str = "left") -> Tensor:
    sorted_sequence, values, _ = _pair(sorted_sequence, values)
    sorted_sequence, values = convert_to_tensor(sorted_sequence), convert_to_tensor(values)
    if sorted_sequence.ndim != 1:
        raise ValueError(
            "`searchsorted` only supports 1-D sorted sequences. You can use "
            "`keras.ops.vectorized_map` to extend it to N-D sequences. Received: "
            f"sorted_sequence.shape={sorted_sequence.shape}"
        )
    dtype = "int32" if sorted_sequence.size <= np.iinfo(np.int32).max else "int64"
    return host(
        lambda s, v: np.asarray(np.searchsorted(s, v, side)).astype(dtype), sorted_sequence, values
    )


def digitize(x: Any, bins: Any) -> Tensor:
    # Not less than, as NaN lies behind the last.
    behind = logical_not(less(expand_dims(x, -1), bins))
    return sum(cast(behind, "int32"), -1)


def bincount(x: Any, weights: Any = None, minlength: int = 0, sparse: bool = False) -> Tensor:
    if sparse:
        raise ValueError("Unsupported value `sparse=True` with mxnet backend")
    x = convert_to_tensor(x)
    dtype = "int32"
    if weights is not None:
        weights = convert_to_tensor(weights)
        dtype = result_type(x.dtype, weights.dtype)
    minlength = int(minlength)

    def count(values: np.ndarray, *given: np.ndarray) -> np.ndarray:
        rows = values.reshape(-1, values.shape[-1])
        weighted = [None] * len(rows) if not given else given[0].reshape(rows.shape)
        longest = builtins.max(minlength, int(values.max(initial=-1)) + 1)
        counts = [np.bincount(r, w, longest) for r, w in zip(rows, weighted, strict=True)]
        return np.stack(counts).reshape(*values.shape[:-1], -1).astype(dtype)

    return host(count, cast(x, "int32"), *([] if weights is None else [weights]))


def histogram(x: Any, bins: Any = 10, range: Any = None) -> tuple[Tensor, Tensor]:
    x = convert_to_tensor(x)
    edge_dtype = result_type(x.dtype, float)

    def count(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        counts, edges = np.histogram(values, bins=_python(bins), range=range)
        return counts.astype("int32"), edges.astype(edge_dtype)

    counts, edges = host(count, x)
    return counts, edges


def unravel_index(indices: Any, shape: Any) -> tuple[Tensor, ...]:
    indices = convert_to_tensor(indices)
    places = []
    rest = _in_range(indices, python_math.prod(shape))
    for length in reversed(tuple(shape)):
        places.append(cast(mod(rest, length), indices.dtype))
        rest = floor_divide(rest, length)
    return tuple(reversed(places))


def isin(x1: Any, x2: Any, assume_unique: bool = False, invert: bool = False) -> Tensor:
    x1, x2, dtype = _pair(x1, x2)
    x1, x2 = cast(x1, dtype), ravel(cast(x2, dtype))
    found = any(equal(expand_dims(x1, -1), x2), axis=-1) if x2.size else zeros_like(x1, "bool")
    return logical_not(found) if invert else found


def diag(x: Any, k: int = 0) -> Tensor:
    x = convert_to_tensor(x)
    if x.ndim not in (1, 2):
        raise ValueError("`x` must be 1-D or 2-D")
    return invoke("_np_diag", [x], {"k": k})


def diagflat(x: Any, k: int = 0) -> Tensor:
    return diag(ravel(x), k)


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    x = convert_to_tensor(x)
    axis1, axis2 = canonicalize_axis(axis1, x.ndim), canonicalize_axis(axis2, x.ndim)
    x = moveaxis(x, (axis1, axis2), (-2, -1))
    rows, columns = x.shape[-2:]
    first, second = builtins.max(-offset, 0), builtins.max(offset, 0)
    count = builtins.max(builtins.min(rows - first, columns - second), 0)
    places = (first + np.arange(count)) * columns + second + np.arange(count)
    return take(reshape(x, (*x.shape[:-2], rows * columns)), constant(places), -1)


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    x = convert_to_tensor(x)
    dtype = None if x.dtype == "int64" else _sum_dtype(x.dtype)
    return cast(sum(diagonal(x, offset, axis1, axis2), -1), dtype or x.dtype)


def view(x: Any, dtype: Any = None) -> Tensor:
    x = convert_to_tensor(x)
    dtype = standardize_dtype(dtype or x.dtype)
    if dtype == x.dtype:
        return x
    return host(lambda v: v.view(dtype), x)


# Running results.


def _running_dtype(x: Tensor, dtype: Any) -> str:
    dtype = standardize_dtype(dtype) if dtype is not None else x.dtype
    return "int32" if dtype == "bool" else dtype


def cumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    x = convert_to_tensor(x)
    dtype = _running_dtype(x, dtype)
    if axis is None:
        x, axis = ravel(x), 0
    return invoke("_np_cumsum", [cast(x, dtype)], {"axis": canonicalize_axis(axis, x.ndim)}, dtype)


def cumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    x = convert_to_tensor(x)
    x = cast(x, _running_dtype(x, dtype))
    if axis is None:
        x, axis = ravel(x), 0
    axis = canonicalize_axis(axis, x.ndim)
    length, step = x.shape[axis], 1
    # Doubling: after each round an element is the product of the last `2 * step` ones.
    while step < length:
        later = multiply(_cut(x, axis, step, length), _cut(x, axis, 0, length - step))
        x = concatenate([_cut(x, axis, 0, step), later], axis)
        step *= 2
    return x


def diff(a: Any, n: int = 1, axis: int = -1) -> Tensor:
    a = convert_to_tensor(a)
    axis = canonicalize_axis(axis, a.ndim)
    for _ in range(n):
        length = a.shape[axis]
        later, earlier = _cut(a, axis, 1, length), _cut(a, axis, 0, builtins.max(length - 1, 0))
        a = not_equal(later, earlier) if a.dtype == "bool" else subtract(later, earlier)
    return a


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Tensor:
    y = _floating(y)
    axis = canonicalize_axis(axis, y.ndim)
    if x is not None:
        x = _floating(x)
        dx = diff(x, axis=axis if x.ndim == y.ndim else -1)
        if dx.ndim == 1:
            dx = reshape(dx, tuple(-1 if i == axis else 1 for i in range(y.ndim)))
    length = y.shape[axis]
    heights = add(_cut(y, axis, 1, length), _cut(y, axis, 0, length - 1))
    return multiply(sum(multiply(heights, dx), axis), 0.5)


# Statistics.


def quantile(
    x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Tensor:
    x = _floating(x)
    found = _quantile(x, q, axis, method, keepdims)
    return where(any(isnan(x), axis, keepdims), float("nan"), found)


def _quantile(x: Tensor, q: Any, axis: Any, method: str, keepdims: bool) -> Tensor:
    """Return quantiles of the values that are not NaN, a new axis for those of `q` in front."""
    q = cast(q, x.dtype)
    axes = tuple(range(x.ndim)) if axis is None else _axes(axis, x.ndim)
    kept = [a for a in range(x.ndim) if a not in axes]
    shape = tuple(x.shape[a] for a in kept)
    flat = reshape(transpose(x, kept + list(axes)), (*shape, -1))
    ordered = sort(_replaced(flat, float("inf")), -1)
    count = sum(cast(logical_not(isnan(flat)), x.dtype), -1, keepdims=True)
    place = multiply(ravel(q), maximum(subtract(count, 1.0), 0.0))

    def at(place: Tensor) -> Tensor:
        return take_along_axis(ordered, cast(place, "int32"), -1)

    below, above = floor(place), ceil(place)
    match method:
        case "lower":
            result = at(below)
        case "higher":
            result = at(above)
        case "nearest":
            result = at(round(place))
        case "midpoint":
            result = multiply(add(at(below), at(above)), 0.5)
        case _:
            low = at(below)
            result = add(low, multiply(subtract(at(above), low), subtract(place, below)))
    result = moveaxis(where(equal(count, 0.0), float("nan"), result), -1, 0)
    if keepdims:
        result = reshape(result, (-1, *[1 if a in axes else n for a, n in enumerate(x.shape)]))
    return reshape(result, q.shape + result.shape[1:])


def percentile(
    x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Tensor:
    x = convert_to_tensor(x)
    dtype = result_type(x.dtype, float) if not _is_float(x.dtype) else x.dtype
    return quantile(x, divide(cast(q, dtype), 100.0), axis, method, keepdims)


def median(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    return quantile(x, 0.5, axis, keepdims=keepdims)


def corrcoef(x: Any) -> Tensor:
    x = _floating(x)
    if x.ndim == 1:
        return ones((), x.dtype)
    centred = subtract(x, mean(x, -1, keepdims=True))
    covariance = divide(matmul(centred, transpose(centred)), x.shape[-1] - 1)
    deviations = sqrt(diagonal(covariance))
    return divide(covariance, outer(deviations, deviations))


def correlate(x1: Any, x2: Any, mode: str = "valid") -> Tensor:
    x1, x2, dtype = _pair(x1, x2)
    if dtype == "int64":
        dtype = "float64"
    elif not _is_float(dtype):
        dtype = result_type(dtype, float)
    x1, x2 = cast(x1, dtype), cast(x2, dtype)
    if x1.ndim != 1 or x2.ndim != 1:
        raise ValueError("Only 1-dimensional tensors are supported.")
    return host(
        lambda a, b: np.correlate(a, b, mode).astype(dtype),
        x1,
        x2,
        gradient=lambda inputs, outputs, g: _correlation_gradients(*inputs, g[0], mode),
    )


def _correlation_gradients(
    a: np.ndarray, b: np.ndarray, g: np.ndarray, mode: str
) -> list[np.ndarray]:
    """Return the gradients of `np.correlate`, which is linear in each argument."""
    by_a = [g @ np.correlate(row, b, mode) for row in np.eye(len(a))]
    by_b = [g @ np.correlate(a, row, mode) for row in np.eye(len(b))]
    return [np.array(by_a), np.array(by_b)]


# NaN left out.


def _replaced(x: Any, value: Any) -> Tensor:
    x = convert_to_tensor(x)
    return where(isnan(x), full_like(x, value), x) if _is_float(x.dtype) else x


def _number_of_values(x: Tensor, axis: Any, keepdims: bool) -> Tensor:
    return sum(cast(logical_not(isnan(x)), x.dtype), axis, keepdims)


def nansum(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    return sum(_replaced(x, 0), axis, keepdims)


def nanprod(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    return prod(_replaced(x, 1), axis, keepdims)


def nancumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    return cumsum(_replaced(x, 0), axis, dtype)


def nancumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    return cumprod(_replaced(x, 1), axis, dtype)


def nanmean(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    x = _floating(x)
    return divide(nansum(x, axis, keepdims), _number_of_values(x, axis, keepdims))


def nanvar(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    x = _floating(x)
    compute = cast(x, result_type(x.dtype, "float32"))
    centred = subtract(compute, nanmean(compute, axis, keepdims=True))
    return cast(nanmean(square(centred), axis, keepdims), x.dtype)


def nanstd(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    return sqrt(nanvar(x, axis, keepdims))


def _nan_extreme(op: Op, worst: float) -> Op:
    def extreme(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
        x = convert_to_tensor(x)
        if not _is_float(x.dtype):
            return op(x, axis, keepdims)
        result = op(_replaced(x, worst), axis, keepdims)
        none = all(isnan(x), axis, keepdims)
        return where(none, full_like(result, float("nan")), result)

    return extreme


nanmax = _nan_extreme(max, float("-inf"))
nanmin = _nan_extreme(min, float("inf"))


def _nan_arg(op: Op, worst: float) -> Op:
    def arg(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
        x = convert_to_tensor(x)
        if not _is_float(x.dtype):
            return op(x, axis, keepdims)
        none = all(isnan(x), axis, keepdims)
        return where(none, -1, op(_replaced(x, worst), axis, keepdims))

    return arg


nanargmax = _nan_arg(argmax, float("-inf"))
nanargmin = _nan_arg(argmin, float("inf"))


def nanquantile(
    x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Tensor:
    return _quantile(_floating(x), q, axis, method, keepdims)


def nanpercentile(
    x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Tensor:
    return nanquantile(x, divide(cast(q, "float64"), 100.0), axis, method, keepdims)


def nanmedian(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    if axis == ():
        return _floating(x)
    return nanquantile(x, 0.5, axis, keepdims=keepdims)


# Products.


def matmul(x1: Any, x2: Any) -> Tensor:
    x1, x2, dtype = _pair(x1, x2)
    x1, x2 = convert_to_tensor(x1), convert_to_tensor(x2)
    if x1.dtype == x2.dtype == "int8":
        dtype = "int32"
    x1, x2 = cast(x1, dtype), cast(x2, dtype)
    if dtype == "bool":
        return cast(matmul(cast(x1, "float32"), cast(x2, "float32")), "bool")
    if (x1.ndim == 2 and x2.ndim == 2 and _is_float(dtype)) or (x1.ndim == 1 and x2.ndim == 1):
        return invoke("_np_dot", [x1, x2], {}, dtype)
    return invoke("_npi_matmul", [x1, x2], {}, dtype)


def dot(x1: Any, x2: Any) -> Tensor:
    x1, x2, dtype = _pair(x1, x2)
    x1, x2 = cast(x1, dtype), cast(x2, dtype)
    if x1.ndim == 0 or x2.ndim == 0:
        return multiply(x1, x2)
    return tensordot(x1, x2, axes=([-1], [0 if x2.ndim == 1 else -2]))


def tensordot(x1: Any, x2: Any, axes: Any = 2) -> Tensor:
    x1, x2, dtype = _pair(x1, x2)
    x1, x2 = cast(x1, dtype), cast(x2, dtype)
    if isinstance(axes, int):
        axes1, axes2 = tuple(range(x1.ndim - axes, x1.ndim)), tuple(range(axes))
    else:
        axes1, axes2 = _axes(axes[0], x1.ndim), _axes(axes[1], x2.ndim)
    rest1 = [a for a in range(x1.ndim) if a not in axes1]
    rest2 = [a for a in range(x2.ndim) if a not in axes2]
    shape = tuple(x1.shape[a] for a in rest1) + tuple(x2.shape[a] for a in rest2)
    inner = python_math.prod(x1.shape[a] for a in axes1)
    left = reshape(
        transpose(x1, rest1 + list(axes1)), (python_math.prod(x1.shape[a] for a in rest1), inner)
    )
    right = reshape(
        transpose(x2, list(axes2) + rest2), (inner, python_math.prod(x2.shape[a] for a in rest2))
    )
    # A product of int8 alone is wider than what Keras's rules give here.
    return cast(reshape(matmul(left, right), shape), dtype)


def vdot(x1: Any, x2: Any) -> Tensor:
    return dot(ravel(x1), ravel(x2))


def inner(x1: Any, x2: Any) -> Tensor:
    x1, x2 = convert_to_tensor(x1), convert_to_tensor(x2)
    if x1.ndim == 0 or x2.ndim == 0:
        return multiply(x1, x2)
    return tensordot(x1, x2, axes=([-1], [-1]))


def outer(x1: Any, x2: Any) -> Tensor:
    return multiply(reshape(x1, (-1, 1)), reshape(x2, (1, -1)))


def kron(x1: Any, x2: Any) -> Tensor:
    x1, x2, dtype = _pair(x1, x2)
    x1, x2 = cast(x1, dtype), cast(x2, dtype)
    ndim = builtins.max(x1.ndim, x2.ndim)
    shape1, shape2 = ((1,) * (ndim - x.ndim) + x.shape for x in (x1, x2))
    left = reshape(x1, tuple(n for s in shape1 for n in (s, 1)))
    right = reshape(x2, tuple(n for s in shape2 for n in (1, s)))
    return reshape(multiply(left, right), tuple(a * b for a, b in zip(shape1, shape2, strict=True)))


def cross(
    x1: Any, x2: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None
) -> Tensor:
    if axis is not None:
        axisa = axisb = axisc = axis
    x1, x2, dtype = _pair(x1, x2)
    x1, x2 = moveaxis(cast(x1, dtype), axisa, -1), moveaxis(cast(x2, dtype), axisb, -1)
    for x in (x1, x2):
        if x.shape[-1] not in (2, 3):
            raise ValueError(
                "`x1`'s and `x2`'s dimension must be 2 or 3 along the axis of the vectors. "
                f"Received: x1.shape={x1.shape}, x2.shape={x2.shape}"
            )

    def part(x: Tensor, i: int) -> Tensor:
        return (
            indexing.getitem(x, (Ellipsis, i))
            if i < x.shape[-1]
            else (zeros_like(indexing.getitem(x, (Ellipsis, 0))))
        )

    a, b = ([part(x, i) for i in range(3)] for x in (x1, x2))
    z = subtract(multiply(a[0], b[1]), multiply(a[1], b[0]))
    if x1.shape[-1] == x2.shape[-1] == 2:
        return z
    x = subtract(multiply(a[1], b[2]), multiply(a[2], b[1]))
    y = subtract(multiply(a[2], b[0]), multiply(a[0], b[2]))
    return moveaxis(stack([x, y, z], -1), -1, axisc)


def slogdet(x: Any) -> tuple[Tensor, Tensor]:
    sign_, logarithm = invoke_all("_npi_slogdet", [_floating(x)])
    return sign_, logarithm


# The rest.


def ndim(x: Any) -> int:
    return convert_to_tensor(x).ndim


def size(x: Any) -> Tensor:
    return convert_to_tensor(x).size


def vectorize(pyfunc: Any, *, excluded: Any = None, signature: str | None = None) -> Any:
    from keras_mxnet.src.ops.core import vectorized_map

    return vectorize_impl(
        pyfunc,
        lambda function: lambda *args: vectorized_map(lambda xs: function(*xs), args),
        excluded=excluded,
        signature=signature,
    )


def unique(
    x: Any,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    x = convert_to_tensor(x)
    found = np.unique(
        x.numpy(),
        return_index=True,
        return_inverse=True,
        return_counts=True,
        axis=axis,
        equal_nan=False,
    )
    values, index, inverse, counts = found
    if axis is None:
        inverse = inverse.reshape(x.shape)
    along = 0 if axis is None else axis
    if size is not None:
        have = values.shape[along]
        if have > size:
            values = np.take(values, np.arange(size), along)
            index, counts = index[:size], counts[:size]
        elif have < size:
            width = [(0, 0)] * values.ndim
            width[along] = (0, size - have)
            first = np.min(values) if values.size and fill_value is None else (fill_value or 0)
            values = np.pad(values, width, constant_values=first)
            index = np.pad(index, (0, size - have), constant_values=index[0] if have else 0)
            counts = np.pad(counts, (0, size - have))
    wanted = [from_numpy(values, x.dtype)]
    wanted += [from_numpy(index, "int32")] if return_index else []
    wanted += [from_numpy(inverse, "int32")] if return_inverse else []
    wanted += [from_numpy(counts, "int32")] if return_counts else []
    return wanted[0] if len(wanted) == 1 else tuple(wanted)
