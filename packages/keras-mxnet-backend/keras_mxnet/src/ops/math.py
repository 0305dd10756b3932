"""`keras.ops`' mathematics on MXNet."""

import math as python_math
from typing import Any

import numpy as np
from keras.src.backend.common.backend_utils import canonicalize_axis
from keras.src.backend.common.dtypes import result_type

from keras_mxnet.src.convert import cast, constant, convert_to_tensor
from keras_mxnet.src.fallback import host
from keras_mxnet.src.invoke import invoke
from keras_mxnet.src.ops import numpy as ops
from keras_mxnet.src.ops.core import added
from keras_mxnet.src.ops.numpy import _floating, _is_float, _unary_float
from keras_mxnet.src.tensor import Tensor

erf = _unary_float("_npx_erf")
erfinv = _unary_float("_npx_erfinv")


def erfc(x: Any) -> Tensor:
    return ops.subtract(1.0, erf(x))


def rsqrt(x: Any) -> Tensor:
    return invoke("rsqrt", [_floating(x)])


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    x = _floating(x)
    largest = ops.max(x, axis, keepdims=True)
    largest = ops.where(ops.isfinite(largest), largest, ops.zeros_like(largest))
    total = ops.log(ops.sum(ops.exp(ops.subtract(x, largest)), axis, keepdims=True))
    result = ops.add(total, largest)
    if keepdims:
        return result
    return ops.reshape(result, ()) if axis is None else ops.squeeze(result, axis)


def logdet(x: Any) -> Tensor:
    return ops.slogdet(x)[1]


# Order.


def top_k(x: Any, k: int, sorted: bool = True) -> tuple[Tensor, Tensor]:
    x = convert_to_tensor(x)
    order = ops.flip(ops.argsort(ops.flip(x, -1), -1), -1)
    # Of equal values the first comes first: the order was found from the end.
    places = ops.subtract(x.shape[-1] - 1, ops._cut(order, x.ndim - 1, 0, k))
    return ops.take_along_axis(x, places, -1), cast(places, "int32")


def in_top_k(targets: Any, predictions: Any, k: int) -> Tensor:
    targets, predictions = convert_to_tensor(targets), convert_to_tensor(predictions)
    known = ops.logical_and(ops.greater_equal(targets, 0), ops.less(targets, predictions.shape[-1]))
    safe = ops.where(known, targets, ops.zeros_like(targets))
    score = ops.take_along_axis(predictions, ops.expand_dims(safe, -1), -1)
    better = ops.sum(cast(ops.greater(predictions, score), "int32"), -1)
    known = ops.logical_and(known, ops.squeeze(ops.isfinite(score), -1))
    return ops.logical_and(known, ops.less(better, k))


# Segments.


def _segment(data: Any, segment_ids: Any, num_segments: Any, reduction: str) -> Tensor:
    data, ids = convert_to_tensor(data), convert_to_tensor(segment_ids)
    if num_segments is None:
        num_segments = int(ops.max(ids)) + 1
    shape = (int(num_segments), *data.shape[1:])
    neutral: Any = 1
    if reduction != "mul":
        neutral = _lowest(data.dtype) if reduction == "max" else _highest(data.dtype)

    def forward(values: np.ndarray, places: np.ndarray) -> np.ndarray:
        result = np.full(shape, neutral, values.dtype)
        here = (places >= 0) & (places < shape[0])
        _COMBINE[reduction].at(result, places[here], values[here])
        return result

    def gradient(inputs: Any, outputs: Any, upstream: Any) -> Any:
        values, places = inputs
        here = (places >= 0) & (places < shape[0])
        safe = np.where(here, places, 0)
        up = upstream[0][safe]
        if reduction == "mul":
            up = up * np.divide(
                outputs[0][safe], values, out=np.zeros_like(values), where=values != 0
            )
        else:
            winners = (values == outputs[0][safe]) & here.reshape((-1,) + (1,) * (values.ndim - 1))
            count = np.zeros(shape)
            np.add.at(count, safe, winners)
            up = up * winners / np.maximum(count[safe], 1)
        up = up * here.reshape((-1,) + (1,) * (values.ndim - 1))
        return [up, None]

    return host(forward, data, ids, gradient=gradient)


_COMBINE = {"mul": np.multiply, "max": np.maximum, "min": np.minimum}


def _lowest(dtype: str) -> Any:
    return -python_math.inf if _is_float(dtype) else np.iinfo(dtype).min


def _highest(dtype: str) -> Any:
    return python_math.inf if _is_float(dtype) else np.iinfo(dtype).max


def segment_sum(
    data: Any, segment_ids: Any, num_segments: Any = None, sorted: bool = False
) -> Tensor:
    data, ids = convert_to_tensor(data), convert_to_tensor(segment_ids)
    if num_segments is None:
        num_segments = int(ops.max(ids)) + 1
    here = ops.logical_and(ops.greater_equal(ids, 0), ops.less(ids, int(num_segments)))
    ids = ops.where(here, ids, ops.zeros_like(ids))
    here = ops.reshape(here, (-1,) + (1,) * (data.ndim - 1))
    data = ops.where(here, data, ops.zeros_like(data))
    return added(ops.expand_dims(ids, 0), data, (int(num_segments), *data.shape[1:]))


def segment_max(
    data: Any, segment_ids: Any, num_segments: Any = None, sorted: bool = False
) -> Tensor:
    return _segment(data, segment_ids, num_segments, "max")


def segment_min(
    data: Any, segment_ids: Any, num_segments: Any = None, sorted: bool = False
) -> Tensor:
    return _segment(data, segment_ids, num_segments, "min")


def segment_prod(
    data: Any, segment_ids: Any, num_segments: Any = None, sorted: bool = False
) -> Tensor:
    return _segment(data, segment_ids, num_segments, "mul")


def cdist(x: Any, y: Any) -> Tensor:
    x, y = _floating(x), _floating(y)
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(
            "`x` and `y` must have the same size in their last dimension. "
            f"Received: x.shape={x.shape}, y.shape={y.shape}"
        )
    dtype = result_type(x.dtype, y.dtype)
    x, y = cast(x, dtype), cast(y, dtype)
    difference = ops.subtract(ops.expand_dims(x, -2), ops.expand_dims(y, -3))
    return ops.sqrt(ops.sum(ops.square(difference), -1))


# Signals. A complex array is a pair of real ones.


def _pair_of(x: Any) -> tuple[Tensor, Tensor]:
    if not isinstance(x, (tuple, list)) or len(x) != 2:
        raise ValueError(
            f"Input `x` should be a tuple of two tensors - real and imaginary. Received: x={x}"
        )
    real, imaginary = (convert_to_tensor(part) for part in x)
    if real.shape != imaginary.shape:
        raise ValueError(
            "Input `x` should be a tuple of two tensors - real and imaginary. "
            "Both the real and imaginary parts should have the same shape. "
            f"Received: x[0].shape={real.shape}, x[1].shape={imaginary.shape}"
        )
    if not _is_float(real.dtype) or not _is_float(imaginary.dtype):
        raise ValueError(f"At least one tensor in input `x` is not of type float. Received: x={x}.")
    return real, imaginary


def _transform(x: Any, forward: Any, adjoint: Any) -> tuple[Tensor, Tensor]:
    """Apply a linear transform of complex arrays; its adjoint carries the gradient back."""
    real, imaginary = _pair_of(x)
    dtype = real.dtype if real.dtype == "float64" else "float32"

    def run(a: np.ndarray, b: np.ndarray) -> Any:
        result = forward(a + 1j * b)
        return result.real.astype(dtype), result.imag.astype(dtype)

    def gradient(inputs: Any, outputs: Any, upstream: Any) -> Any:
        result = adjoint(upstream[0] + 1j * upstream[1])
        return [result.real, result.imag]

    first, second = host(run, cast(real, dtype), cast(imaginary, dtype), gradient=gradient)
    return first, second


def fft(x: Any) -> tuple[Tensor, Tensor]:
    return _transform(x, np.fft.fft, lambda g: np.fft.ifft(g) * g.shape[-1])


def fft2(x: Any) -> tuple[Tensor, Tensor]:
    return _transform(x, np.fft.fft2, lambda g: np.fft.ifft2(g) * (g.shape[-1] * g.shape[-2]))


def ifft2(x: Any) -> tuple[Tensor, Tensor]:
    return _transform(x, np.fft.ifft2, lambda g: np.fft.fft2(g) / (g.shape[-1] * g.shape[-2]))


def rfft(x: Any, fft_length: int | None = None) -> tuple[Tensor, Tensor]:
    x = _floating(x)
    dtype = x.dtype if x.dtype == "float64" else "float32"
    length = x.shape[-1] if fft_length is None else int(fft_length)

    def run(values: np.ndarray) -> Any:
        result = np.fft.rfft(values, length)
        return result.real.astype(dtype), result.imag.astype(dtype)

    def gradient(inputs: Any, outputs: Any, upstream: Any) -> Any:
        bins = upstream[0] + 1j * upstream[1]
        whole = np.zeros((*bins.shape[:-1], length), complex)
        whole[..., : bins.shape[-1]] = bins
        grad = (np.fft.ifft(whole) * length).real
        result = np.zeros(inputs[0].shape)
        kept = min(length, result.shape[-1])
        result[..., :kept] = grad[..., :kept]
        return [result]

    first, second = host(run, cast(x, dtype), gradient=gradient)
    return first, second


def irfft(x: Any, fft_length: int | None = None) -> Tensor:
    real, imaginary = _pair_of(x)
    dtype = real.dtype if real.dtype == "float64" else "float32"
    length = 2 * (real.shape[-1] - 1) if fft_length is None else int(fft_length)

    def run(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.fft.irfft(a + 1j * b, length).astype(dtype)

    def gradient(inputs: Any, outputs: Any, upstream: Any) -> Any:
        bins = np.fft.rfft(upstream[0]) / length
        # Every bin but the first, and the middle one, stands for two.
        weights = np.full(bins.shape[-1], 2.0)
        weights[0] = 1.0
        if length % 2 == 0:
            weights[-1] = 1.0
        bins = bins * weights
        result = np.zeros(inputs[0].shape, complex)
        kept = min(result.shape[-1], bins.shape[-1])
        result[..., :kept] = bins[..., :kept]
        # The imaginary parts of those single bins are not read.
        single = weights[:kept] == 1.0
        imaginary_part = result.imag.copy()
        imaginary_part[..., :kept][..., single] = 0.0
        return [result.real, imaginary_part]

    return host(run, cast(real, dtype), cast(imaginary, dtype), gradient=gradient)


def extract_sequences(x: Any, sequence_length: int, sequence_stride: int) -> Tensor:
    x = convert_to_tensor(x)
    count = max(0, (x.shape[-1] - sequence_length) // sequence_stride + 1)
    places = np.arange(count)[:, None] * sequence_stride + np.arange(sequence_length)
    return ops.take(x, constant(places, "int32"), canonicalize_axis(-1, x.ndim))


def _window(window: Any, length: int, fft_length: int, dtype: str) -> Tensor:
    """Return a window of `length`, in the middle of `fft_length` values."""
    if isinstance(window, str):
        from scipy.signal import get_window

        values = convert_to_tensor(get_window(window, length), dtype)
    elif window is None:
        values = ops.ones((length,), dtype)
    else:
        values = convert_to_tensor(window, dtype)
        if values.shape != (length,):
            raise ValueError(
                "The shape of `window` must be equal to [sequence_length]. "
                f"Received: window shape={values.shape}"
            )
    before = (fft_length - length) // 2
    return ops.pad(values, [(before, fft_length - length - before)])


def _check_window(window: Any) -> None:
    if isinstance(window, str) and window not in ("hann", "hamming"):
        raise ValueError(
            "If a string is passed to `window`, it must be one of "
            f'`"hann"`, `"hamming"`. Received: window={window}'
        )


def stft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    window: Any = "hann",
    center: bool = True,
) -> tuple[Tensor, Tensor]:
    x = convert_to_tensor(x)
    if not _is_float(x.dtype):
        raise TypeError(f"Invalid input type. Expected `float32` or `float64`. Received: {x.dtype}")
    if fft_length < sequence_length:
        raise ValueError(
            "`fft_length` must equal or larger than `sequence_length`. "
            f"Received: sequence_length={sequence_length}, fft_length={fft_length}"
        )
    _check_window(window)
    if center:
        edge = fft_length // 2
        x = ops.pad(x, [(0, 0)] * (x.ndim - 1) + [(edge, edge)], mode="reflect")
    frames = extract_sequences(x, fft_length, sequence_stride)
    return rfft(ops.multiply(frames, _window(window, sequence_length, fft_length, x.dtype)))


def istft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    length: int | None = None,
    window: Any = "hann",
    center: bool = True,
) -> Tensor:
    _check_window(window)
    frames = irfft(x, fft_length)
    if window is not None:
        weights = _window(window, sequence_length, fft_length, frames.dtype)
        # Divide by what the overlapping windows' squares add up to, taken as periodic.
        parts = -(-fft_length // sequence_stride)
        squares = ops.pad(ops.square(weights), [(0, parts * sequence_stride - fft_length)])
        sums = ops.sum(ops.reshape(squares, (parts, sequence_stride)), 0)
        sums = ops._cut(ops.tile(sums, parts), 0, 0, fft_length)
        frames = ops.multiply(frames, ops.divide(weights, sums))
    signal = _overlapped(frames, sequence_stride)
    start = fft_length // 2 if center else 0
    stop = signal.shape[-1] - start if length is None else start + length
    signal = ops._cut(signal, signal.ndim - 1, start, min(stop, signal.shape[-1]))
    if length is not None and signal.shape[-1] < length:
        missing = length - signal.shape[-1]
        signal = ops.pad(signal, [(0, 0)] * (signal.ndim - 1) + [(0, missing)])
    return signal


def _overlapped(frames: Tensor, stride: int) -> Tensor:
    """Add up frames (..., count, size), each `stride` after the one before."""
    *batch, count, size = frames.shape
    total = (count - 1) * stride + size

    def forward(values: np.ndarray) -> np.ndarray:
        result = np.zeros((*batch, total), values.dtype)
        for i in range(count):
            result[..., i * stride : i * stride + size] += values[..., i, :]
        return result

    def gradient(inputs: Any, outputs: Any, upstream: Any) -> Any:
        return [
            np.stack([upstream[0][..., i * stride : i * stride + size] for i in range(count)], -2)
        ]

    return host(forward, frames, gradient=gradient)
