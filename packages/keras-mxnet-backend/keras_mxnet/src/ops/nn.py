"""`keras.ops.nn` on MXNet."""

import math as python_math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras.src import backend
from keras.src.backend.common.backend_utils import (
    canonicalize_axis,
    compute_conv_transpose_padding_args_for_jax,
)
from keras.src.backend.common.dtypes import result_type

from keras_mxnet.src import indexing
from keras_mxnet.src.convert import cast, constant, convert_to_tensor
from keras_mxnet.src.fallback import host
from keras_mxnet.src.invoke import invoke
from keras_mxnet.src.ops import numpy as ops
from keras_mxnet.src.ops.math import erf, logsumexp, rsqrt
from keras_mxnet.src.ops.numpy import _floating
from keras_mxnet.src.tensor import Tensor

# Activations.


def _activated(name: str, x: Tensor, **attributes: Any) -> Tensor:
    """Call an operator that takes one dimension at least."""
    if x.ndim == 0:
        return ops.reshape(invoke(name, [ops.reshape(x, (1,))], attributes), ())
    return invoke(name, [x], attributes)


def relu(x: Any) -> Tensor:
    x = convert_to_tensor(x)
    if x.dtype == "float32":
        # oneDNN's, several times faster than MXNet's own.
        return _activated("_npx_activation", x, act_type="relu")
    return invoke("_npx_relu", [x])


def relu6(x: Any) -> Tensor:
    return ops.clip(x, 0.0, 6.0)


def sigmoid(x: Any) -> Tensor:
    return invoke("_npx_sigmoid", [_floating(x)])


def sparse_sigmoid(x: Any) -> Tensor:
    return ops.clip(ops.multiply(ops.add(_floating(x), 1.0), 0.5), 0.0, 1.0)


def tanh(x: Any) -> Tensor:
    return ops.tanh(x)


def tanh_shrink(x: Any) -> Tensor:
    x = _floating(x)
    return ops.subtract(x, ops.tanh(x))


def softplus(x: Any) -> Tensor:
    x = _floating(x)
    return ops.add(ops.maximum(x, 0.0), ops.log1p(ops.exp(ops.negative(ops.absolute(x)))))


def softsign(x: Any) -> Tensor:
    x = _floating(x)
    return ops.divide(x, ops.add(ops.absolute(x), 1.0))


def soft_shrink(x: Any, threshold: float = 0.5) -> Tensor:
    x = _floating(x)
    beyond = ops.maximum(ops.subtract(ops.absolute(x), threshold), 0.0)
    return ops.multiply(ops.sign(x), beyond)


def sparse_plus(x: Any) -> Tensor:
    x = _floating(x)
    curve = ops.multiply(ops.square(ops.add(x, 1.0)), 0.25)
    return ops.where(
        ops.less_equal(x, -1.0), ops.zeros_like(x), ops.where(ops.less(x, 1.0), curve, x)
    )


def silu(x: Any) -> Tensor:
    x = _floating(x)
    return ops.multiply(x, sigmoid(x))


def squareplus(x: Any, b: Any = 4) -> Tensor:
    x = _floating(x)
    return ops.multiply(ops.add(x, ops.sqrt(ops.add(ops.square(x), b))), 0.5)


def log_sigmoid(x: Any) -> Tensor:
    return ops.negative(softplus(ops.negative(_floating(x))))


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Tensor:
    return _activated(
        "_npx_leaky_relu", convert_to_tensor(x), act_type="leaky", slope=negative_slope
    )


def hard_sigmoid(x: Any) -> Tensor:
    return ops.clip(ops.add(ops.multiply(_floating(x), 1.0 / 6.0), 0.5), 0.0, 1.0)


def hard_silu(x: Any) -> Tensor:
    x = _floating(x)
    return ops.multiply(x, hard_sigmoid(x))


def elu(x: Any, alpha: float = 1.0) -> Tensor:
    return _activated("_npx_leaky_relu", _floating(x), act_type="elu", slope=alpha)


def selu(x: Any) -> Tensor:
    # Constants of Klambauer et al., "Self-Normalizing Neural Networks" (2017).
    return ops.multiply(elu(x, 1.6732632423543772), 1.0507009873554805)


def gelu(x: Any, approximate: bool = True) -> Tensor:
    x = _floating(x)
    if approximate:
        inner = ops.add(x, ops.multiply(ops.power(x, 3), 0.044715))
        curve = ops.tanh(ops.multiply(inner, python_math.sqrt(2.0 / python_math.pi)))
    else:
        curve = erf(ops.multiply(x, python_math.sqrt(0.5)))
    return ops.multiply(ops.multiply(x, ops.add(curve, 1.0)), 0.5)


def celu(x: Any, alpha: float = 1.0) -> Tensor:
    x = _floating(x)
    negative = ops.multiply(ops.expm1(ops.divide(ops.minimum(x, 0.0), alpha)), alpha)
    return ops.add(ops.maximum(x, 0.0), negative)


def glu(x: Any, axis: int = -1) -> Tensor:
    x = convert_to_tensor(x)
    if x.shape[axis] % 2:
        raise ValueError(
            f"axis size must be divisible by 2. Received: x.shape={x.shape} with axis={axis}"
        )
    left, right = ops.split(x, 2, axis)
    return ops.multiply(left, sigmoid(right))


def hard_tanh(x: Any) -> Tensor:
    return ops.clip(x, -1.0, 1.0)


def hard_shrink(x: Any, threshold: float = 0.5) -> Tensor:
    x = convert_to_tensor(x)
    return ops.where(ops.greater(ops.absolute(x), threshold), x, ops.zeros_like(x))


def threshold(x: Any, threshold: Any, default_value: Any) -> Tensor:
    x = convert_to_tensor(x)
    return ops.where(ops.greater(x, threshold), x, ops.full_like(x, default_value))


def _over_axis(op: Callable[[Tensor, int], Tensor], x: Any, axis: Any) -> Tensor:
    """Apply an op of one axis over several, or, for None, over all."""
    x = _floating(x)
    if axis is None:
        return ops.reshape(op(ops.ravel(x), -1), x.shape)
    if isinstance(axis, (list, tuple)):
        axes = [canonicalize_axis(a, x.ndim) for a in axis]
        rest = [a for a in range(x.ndim) if a not in axes]
        order = rest + axes
        moved = ops.transpose(x, order)
        flat = ops.reshape(moved, (*moved.shape[: len(rest)], -1))
        result = ops.reshape(op(flat, -1), moved.shape)
        return ops.transpose(result, [order.index(a) for a in range(x.ndim)])
    return op(x, axis)


def softmax(x: Any, axis: Any = -1) -> Tensor:
    return _over_axis(lambda v, a: invoke("_npx_softmax", [v], {"axis": a}), x, axis)


def log_softmax(x: Any, axis: Any = -1) -> Tensor:
    # MXNet's own operator is off by 5e-6 where oneDNN runs it.
    return _over_axis(lambda v, a: ops.subtract(v, logsumexp(v, a, keepdims=True)), x, axis)


def sparsemax(x: Any, axis: int = -1) -> Tensor:
    """Martins and Astudillo, "From Softmax to Sparsemax" (2016), algorithm 1."""
    x = convert_to_tensor(x)
    axis = canonicalize_axis(axis, x.ndim)
    ordered = ops.flip(ops.sort(x, axis), axis)
    place = [1] * x.ndim
    place[axis] = -1
    ranks = constant(np.arange(1, x.shape[axis] + 1).reshape(place), x.dtype)
    sums = ops.cumsum(ordered, axis)
    support = cast(ops.greater(ops.add(ops.multiply(ordered, ranks), 1.0), sums), x.dtype)
    count = ops.sum(support, axis, keepdims=True)
    total = ops.sum(ops.multiply(ordered, support), axis, keepdims=True)
    return ops.maximum(ops.subtract(x, ops.divide(ops.subtract(total, 1.0), count)), 0.0)


# Convolution and pooling. MXNet's operators are channels-first; same-padding that is not the same
# on both sides is padded beforehand.


def _spatial(value: Any, count: int) -> tuple[int, ...]:
    return (value,) * count if isinstance(value, int) else tuple(value)


def _channels_first(x: Tensor) -> Tensor:
    return ops.transpose(x, (0, x.ndim - 1, *range(1, x.ndim - 1)))


def _channels_last(x: Tensor) -> Tensor:
    return ops.transpose(x, (0, *range(2, x.ndim), 1))


def _same_padding(
    lengths: Sequence[int], windows: Sequence[int], strides: Sequence[int]
) -> list[tuple[int, int]]:
    """Return how much "same" pads before and after each spatial dimension."""
    widths = []
    for length, window, stride in zip(lengths, windows, strides, strict=True):
        total = max((-(-length // stride) - 1) * stride + window - length, 0)
        widths.append((total // 2, total - total // 2))
    return widths


def _padded(x: Tensor, widths: list[tuple[int, int]], value: float) -> Tensor:
    return ops.pad(x, [(0, 0), (0, 0), *widths], constant_values=value)


def _pool(
    inputs: Any, kind: str, pool_size: Any, strides: Any, padding: str, data_format: str | None
) -> Tensor:
    x = convert_to_tensor(inputs)
    data_format = backend.standardize_data_format(data_format)
    count = x.ndim - 2
    window = _spatial(pool_size, count)
    strides = window if strides is None else _spatial(strides, count)
    if data_format == "channels_last":
        x = _channels_first(x)
    widths = [(0, 0)] * count
    if padding == "same":
        widths = _same_padding(x.shape[2:], window, strides)
    symmetric = all(a == b for a, b in widths)
    lengths = x.shape[2:]
    if not symmetric:
        x = _padded(x, widths, float(np.finfo("float32").min) if kind == "max" else 0.0)
    attributes = {
        "kernel": window,
        "stride": strides,
        "pad": tuple(a for a, _ in widths) if symmetric else (0,) * count,
        "pool_type": kind,
        "pooling_convention": "valid",
        "count_include_pad": not symmetric,
    }
    result = invoke("_npx_pooling", [x], attributes)
    if kind == "avg" and not symmetric:
        # What was padded beforehand was counted in; scale it out.
        counted = np.ones((1, 1))
        for length, size, stride, (before, after) in zip(
            lengths, window, strides, widths, strict=True
        ):
            ones = np.pad(np.ones(length), (before, after))
            sums = np.lib.stride_tricks.sliding_window_view(ones, size)[::stride].sum(-1)
            counted = counted[..., None] * (size / sums)
        result = ops.multiply(result, constant(counted, result.dtype))
    return _channels_last(result) if data_format == "channels_last" else result


def max_pool(
    inputs: Any,
    pool_size: Any,
    strides: Any = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    return _pool(inputs, "max", pool_size, strides, padding, data_format)


def average_pool(
    inputs: Any,
    pool_size: Any,
    strides: Any = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    return _pool(inputs, "avg", pool_size, strides, padding, data_format)


def _adaptive_pool(inputs: Any, output_size: Any, data_format: str | None, reduce: Any) -> Tensor:
    x = convert_to_tensor(inputs)
    data_format = backend.standardize_data_format(data_format)
    first = 1 if data_format == "channels_last" else 2
    for i, size in enumerate(_spatial(output_size, x.ndim - 2)):
        axis, length = first + i, x.shape[first + i]
        parts = [
            reduce(
                ops._cut(x, axis, (j * length) // size, -(-((j + 1) * length) // size)),
                axis,
                keepdims=True,
            )
            for j in range(size)
        ]
        x = ops.concatenate(parts, axis)
    return x


def adaptive_average_pool(inputs: Any, output_size: Any, data_format: str | None = None) -> Tensor:
    return _adaptive_pool(inputs, output_size, data_format, ops.mean)


def adaptive_max_pool(inputs: Any, output_size: Any, data_format: str | None = None) -> Tensor:
    return _adaptive_pool(inputs, output_size, data_format, ops.max)


def conv(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Tensor:
    x, kernel = convert_to_tensor(inputs), convert_to_tensor(kernel)
    dtype = result_type(x.dtype, kernel.dtype)
    x, kernel = cast(x, dtype), cast(kernel, dtype)
    data_format = backend.standardize_data_format(data_format)
    count = x.ndim - 2
    if data_format == "channels_last":
        x = _channels_first(x)
    if x.shape[1] % kernel.shape[-2]:
        raise ValueError(
            f"The number of input channels must be evenly divisible by kernel's in_channels. "
            f"Received input channels {x.shape[1]} and kernel in_channels {kernel.shape[-2]}."
        )
    # From (spatial..., in, out) to (out, in, spatial...).
    kernel = ops.transpose(kernel, (count + 1, count, *range(count)))
    result = _convolve(x, kernel, strides, padding, dilation_rate, x.shape[1] // kernel.shape[1])
    return _channels_last(result) if data_format == "channels_last" else result


def _convolve(
    x: Tensor, kernel: Tensor, strides: Any, padding: str, dilation_rate: Any, groups: int
) -> Tensor:
    """Convolve (batch, in, spatial...) with (out, in / groups, spatial...)."""
    count = x.ndim - 2
    strides, dilation = _spatial(strides, count), _spatial(dilation_rate, count)
    size = kernel.shape[2:]
    widths = [(0, 0)] * count
    if padding == "same":
        reach = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
        widths = _same_padding(x.shape[2:], reach, strides)
    if any(a != b for a, b in widths):
        x, widths = _padded(x, widths, 0.0), [(0, 0)] * count
    return invoke(
        "_npx_convolution",
        [x, kernel],
        {
            "kernel": size,
            "stride": strides,
            "dilate": dilation,
            "pad": tuple(a for a, _ in widths),
            "num_filter": kernel.shape[0],
            "num_group": groups,
            "no_bias": True,
        },
    )


def depthwise_conv(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Tensor:
    inputs, kernel = convert_to_tensor(inputs), convert_to_tensor(kernel)
    *size, channels, multiplier = kernel.shape
    first = backend.standardize_data_format(data_format) == "channels_first"
    given = inputs.shape[1 if first else -1]
    if given != channels:
        raise ValueError(
            "The number of input channels must match the kernel's input channels. Received: "
            f"input channels={given}, kernel input channels={channels}"
        )
    kernel = ops.reshape(kernel, (*size, 1, channels * multiplier))
    return conv(inputs, kernel, strides, padding, data_format, dilation_rate)


def separable_conv(
    inputs: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Tensor:
    x = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(x, pointwise_kernel, 1, "valid", data_format, 1)


def conv_transpose(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    output_padding: Any = None,
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Tensor:
    x, kernel = convert_to_tensor(inputs), convert_to_tensor(kernel)
    dtype = result_type(x.dtype, kernel.dtype)
    x, kernel = cast(x, dtype), cast(kernel, dtype)
    data_format = backend.standardize_data_format(data_format)
    count = x.ndim - 2
    strides, dilation = _spatial(strides, count), _spatial(dilation_rate, count)
    widths = compute_conv_transpose_padding_args_for_jax(
        x.shape, kernel.shape, strides, padding, output_padding, dilation
    )
    if data_format == "channels_last":
        x = _channels_first(x)
    # The convolution of the input with zeros set between its elements: oneDNN's own
    # deconvolution, as MXNet 1.9 calls it, can crash the process.
    key: list[Any] = [slice(None), slice(None)]
    pads: list[tuple[int, int]] = []
    for i in range(count):
        before, after = widths[i]
        x = _spread(x, 2 + i, strides[i])
        pads.append((max(before, 0), max(after, 0)))
        key.append(slice(max(-before, 0), x.shape[2 + i] - max(-after, 0)))
    x = _padded(indexing.getitem(x, tuple(key)), pads, 0.0)
    kernel = ops.flip(kernel, tuple(range(count)))
    # From (spatial..., out, in) to (out, in, spatial...).
    kernel = ops.transpose(kernel, (count, count + 1, *range(count)))
    result = _convolve(x, kernel, 1, "valid", dilation, 1)
    return _channels_last(result) if data_format == "channels_last" else result


def _spread(x: Tensor, axis: int, stride: int) -> Tensor:
    """Set `stride - 1` zeros between the elements of an axis."""
    if stride == 1:
        return x
    length = x.shape[axis]
    widths = [(0, 0)] * (x.ndim + 1)
    widths[axis + 1] = (0, stride - 1)
    spread = ops.pad(ops.expand_dims(x, axis + 1), widths)
    spread = ops.reshape(spread, (*x.shape[:axis], length * stride, *x.shape[axis + 1 :]))
    return ops._cut(spread, axis, 0, (length - 1) * stride + 1)


# Categories.


def one_hot(
    x: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False
) -> Tensor:
    if sparse:
        raise ValueError("Unsupported value `sparse=True` with mxnet backend")
    x = cast(x, "int64")
    dtype = backend.standardize_dtype(dtype or backend.floatx())
    axis = canonicalize_axis(axis, x.ndim + 1)
    place = [1] * (x.ndim + 1)
    place[axis] = num_classes
    classes = constant(np.arange(num_classes).reshape(place))
    return cast(ops.equal(ops.expand_dims(x, axis), classes), dtype)


def multi_hot(
    x: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False
) -> Tensor:
    if sparse:
        raise ValueError("Unsupported value `sparse=True` with mxnet backend")
    x = convert_to_tensor(x)
    reduced = 1 if x.ndim > 1 else 0
    return ops.max(one_hot(x, num_classes, axis, dtype), reduced)


def _same_shapes(target: Tensor, output: Tensor) -> None:
    if target.shape != output.shape:
        raise ValueError(
            "Arguments `target` and `output` must have the same shape. Received: "
            f"target.shape={target.shape}, output.shape={output.shape}"
        )


def _log_probabilities(output: Tensor, from_logits: bool, axis: int) -> Tensor:
    if from_logits:
        return log_softmax(output, axis)
    output = ops.divide(output, ops.sum(output, axis, keepdims=True))
    return ops.log(ops.clip(output, backend.epsilon(), 1.0 - backend.epsilon()))


def categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Tensor:
    target, output = convert_to_tensor(target), convert_to_tensor(output)
    _same_shapes(target, output)
    if target.ndim < 1:
        raise ValueError(
            "Arguments `target` and `output` must be at least rank 1. Received: "
            f"target.shape={target.shape}, output.shape={output.shape}"
        )
    logs = _log_probabilities(output, from_logits, axis)
    return ops.negative(ops.sum(ops.multiply(target, logs), axis))


def sparse_categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Tensor:
    target, output = convert_to_tensor(target, "int32"), convert_to_tensor(output)
    if output.ndim < 1:
        raise ValueError(
            f"Argument `output` must be at least rank 1. Received: output.shape={output.shape}"
        )
    axis = canonicalize_axis(axis, output.ndim)
    if target.ndim == output.ndim and target.shape[axis] == 1:
        target = ops.squeeze(target, axis)
    if target.shape != output.shape[:axis] + output.shape[axis + 1 :]:
        raise ValueError(
            "Arguments `target` and `output` must have the same shape up until the last "
            f"dimension: target.shape={target.shape}, output.shape={output.shape}"
        )
    logs = _log_probabilities(output, from_logits, axis)
    picked = invoke("_npx_pick", [logs, target], {"axis": axis, "mode": "clip"}, logs.dtype)
    return ops.negative(picked)


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Tensor:
    target, output = convert_to_tensor(target), convert_to_tensor(output)
    _same_shapes(target, output)
    target = cast(target, output.dtype)
    if from_logits:
        # max(x, 0) - x z + log(1 + exp(-|x|)), which no x overflows.
        return ops.subtract(softplus(output), ops.multiply(output, target))
    output = ops.clip(output, backend.epsilon(), 1.0 - backend.epsilon())
    positive = ops.multiply(target, ops.log(output))
    negative = ops.multiply(ops.subtract(1.0, target), ops.log(ops.subtract(1.0, output)))
    return ops.negative(ops.add(positive, negative))


# Normalisation.


def moments(
    x: Any, axes: Any, keepdims: bool = False, synchronized: bool = False
) -> tuple[Tensor, Tensor]:
    if synchronized:
        raise NotImplementedError("Argument synchronized=True is not supported with MXNet.")
    x = convert_to_tensor(x)
    dtype = x.dtype
    compute = cast(x, "float32") if dtype == "float16" else x
    mean = ops.mean(compute, axes, keepdims=True)
    variance = ops.mean(ops.square(ops.subtract(compute, mean)), axes, keepdims=True)
    if not keepdims:
        mean, variance = ops.squeeze(mean, axes), ops.squeeze(variance, axes)
    if dtype == "float16":
        limit = float(np.finfo("float16").max)
        mean, variance = (ops.clip(m, -limit, limit) for m in (mean, variance))
    return cast(mean, dtype), cast(variance, dtype)


def batch_normalization(
    x: Any,
    mean: Any,
    variance: Any,
    axis: int,
    offset: Any = None,
    scale: Any = None,
    epsilon: float = 1e-3,
) -> Tensor:
    x, mean, variance = (convert_to_tensor(v) for v in (x, mean, variance))
    shape = [1] * x.ndim
    shape[axis] = mean.shape[0]
    factor = rsqrt(ops.add(variance, epsilon))
    if scale is not None:
        factor = ops.multiply(factor, scale)
    shift = ops.negative(ops.multiply(mean, factor))
    if offset is not None:
        shift = ops.add(shift, offset)
    return ops.add(ops.multiply(x, ops.reshape(factor, shape)), ops.reshape(shift, shape))


def psnr(x1: Any, x2: Any, max_val: float) -> Tensor:
    x1, x2 = convert_to_tensor(x1), convert_to_tensor(x2)
    if x1.shape != x2.shape:
        raise ValueError(
            f"Input shapes {x1.shape} and {x2.shape} must match for PSNR calculation. "
        )
    error = ops.mean(ops.square(ops.subtract(x1, x2)))
    peak = ops.log10(convert_to_tensor(max_val, result_type(error.dtype, float)))
    return ops.subtract(ops.multiply(peak, 20.0), ops.multiply(ops.log10(error), 10.0))


# Rearrangement.


def depth_to_space(x: Any, block_size: int, data_format: str = "channels_last") -> Tensor:
    x = convert_to_tensor(x)
    size = block_size
    if data_format == "channels_last":
        batch, height, width, channels = x.shape
        x = ops.reshape(x, (batch, height, width, size, size, channels // size**2))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (batch, height * size, width * size, channels // size**2))
    batch, channels, height, width = x.shape
    x = ops.reshape(x, (batch, size, size, channels // size**2, height, width))
    x = ops.transpose(x, (0, 3, 4, 1, 5, 2))
    return ops.reshape(x, (batch, channels // size**2, height * size, width * size))


def space_to_depth(x: Any, block_size: int, data_format: str = "channels_last") -> Tensor:
    x = convert_to_tensor(x)
    size = block_size
    if data_format == "channels_last":
        batch, height, width, channels = x.shape
        x = ops.reshape(x, (batch, height // size, size, width // size, size, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (batch, height // size, width // size, channels * size**2))
    batch, channels, height, width = x.shape
    x = ops.reshape(x, (batch, channels, height // size, size, width // size, size))
    x = ops.transpose(x, (0, 3, 5, 1, 2, 4))
    return ops.reshape(x, (batch, channels * size**2, height // size, width // size))


def _patch_places(
    sizes: Sequence[int], kernel: Any, dilation: Any, padding: Any, stride: Any
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Return where each element of each patch lies in the flattened padded image.

    The arguments are those of `unfold`, and the image's height and width. The places come as an
    array (kernel elements, patches), with the padding along each axis.
    """
    kernel, dilation, padding, stride = (
        _spatial(v, 2) for v in (kernel, dilation, padding, stride)
    )
    along = []
    for size, k, d, p, s in zip(sizes, kernel, dilation, padding, stride, strict=True):
        count = (size + 2 * p - d * (k - 1) - 1) // s + 1
        along.append((np.arange(k) * d)[:, None] + np.arange(count) * s)
    rows, columns = along
    width = sizes[1] + 2 * padding[1]
    places = rows[:, None, :, None] * width + columns[None, :, None, :]
    return places.reshape(kernel[0] * kernel[1], -1), [(p, p) for p in padding]


def unfold(
    input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    x = convert_to_tensor(input)
    places, widths = _patch_places(x.shape[2:], kernel_size, dilation, padding, stride)
    padded = ops.pad(x, [(0, 0), (0, 0), *widths])
    flat = ops.reshape(padded, (*x.shape[:2], -1))
    patches = ops.take(flat, constant(places, "int32"), -1)
    return ops.reshape(patches, (x.shape[0], x.shape[1] * places.shape[0], places.shape[1]))


def fold(
    x: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    x = convert_to_tensor(x)
    height, width = _spatial(output_size, 2)
    places, widths = _patch_places((height, width), kernel_size, dilation, padding, stride)
    shape = (height + 2 * widths[0][0], width + 2 * widths[1][0])
    patches = ops.reshape(x, (-1, places.size))
    count = patches.shape[0]

    def forward(values: np.ndarray) -> np.ndarray:
        result = np.zeros((count, shape[0] * shape[1]), values.dtype)
        np.add.at(result, (slice(None), places.reshape(-1)), values)
        return result

    folded = host(
        forward, patches, gradient=lambda inputs, outputs, g: [g[0][:, places.reshape(-1)]]
    )
    images = ops.reshape(folded, (x.shape[0], x.shape[1] // places.shape[0], *shape))
    (top, _), (left, _) = widths
    return images[:, :, top : top + height, left : left + width]


# Attention.


def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Tensor:
    if flash_attention:
        raise ValueError("Flash attention is not supported with the MXNet backend.")
    query, key, value = (convert_to_tensor(x) for x in (query, key, value))
    dtype = result_type(query.dtype, key.dtype, value.dtype, float)
    if not query.ndim == key.ndim == value.ndim == 4:
        raise ValueError(
            "`dot_product_attention` only supports 4D inputs. Received: "
            f"query.shape={query.shape}, key.shape={key.shape}, value.shape={value.shape}."
        )
    if mask is not None:
        mask = convert_to_tensor(mask)
        if mask.dtype != "bool":
            raise ValueError(f"`mask` must be of bool dtype. Received: mask.dtype={mask.dtype}")
    scale = 1.0 / python_math.sqrt(query.shape[-1]) if scale is None else scale
    # Groups of query heads share a key and a value.
    key, value = (ops.repeat(x, query.shape[2] // x.shape[2], 2) for x in (key, value))
    # From (batch, time, heads, features) to (batch, heads, time, features).
    query, key, value = (ops.swapaxes(cast(x, dtype), 1, 2) for x in (query, key, value))
    # The scores of half precision are kept in single.
    wide = result_type(dtype, "float32")
    scores = ops.multiply(cast(ops.matmul(query, ops.swapaxes(key, -1, -2)), wide), scale)
    if bias is not None:
        scores = ops.add(scores, cast(bias, wide))
    if attn_logits_soft_cap is not None:
        cap = attn_logits_soft_cap
        scores = ops.multiply(ops.tanh(ops.divide(scores, cap)), cap)
    if is_causal:
        past = constant(np.tri(*scores.shape[-2:], dtype=bool))
        mask = past if mask is None else ops.logical_and(mask, past)
    if mask is not None:
        scores = ops.where(mask, scores, float(np.finfo(wide).min) * 0.7)
    weights = cast(softmax(scores), dtype)
    return ops.swapaxes(ops.matmul(weights, value), 1, 2)


# Connectionist temporal classification.


def ctc_loss(
    target: Any, output: Any, target_length: Any, output_length: Any, mask_index: int = 0
) -> Tensor:
    """Graves et al., "Connectionist Temporal Classification" (2006), in logarithms."""
    target = convert_to_tensor(target, "int32")
    output = convert_to_tensor(output)
    target_length = convert_to_tensor(target_length, "int32")
    output_length = convert_to_tensor(output_length, "int32")
    dtype = result_type(output.dtype, "float32")
    logs = log_softmax(cast(output, dtype), -1)
    batch, times = logs.shape[:2]
    labels = target.shape[1]
    never = -1e30

    # The labels with blanks between and around them: b l b l b.
    blanks = ops.full((batch, labels, 1), mask_index, "int32")
    between = ops.reshape(
        ops.concatenate([blanks, ops.expand_dims(target, -1)], -1), (batch, 2 * labels)
    )
    path = ops.concatenate([between, blanks[:, :1, 0]], -1)
    states = 2 * labels + 1
    emitted = ops.take_along_axis(
        logs, ops.broadcast_to(ops.expand_dims(path, 1), (batch, times, states)), -1
    )
    # A blank between two labels may be left out if the labels differ.
    at_label = constant(np.arange(states) % 2 == 1)
    skips = ops.zeros_like(path, "bool")
    if states > 2:
        skips = ops.pad(ops.not_equal(path[:, 2:], path[:, :-2]), [(0, 0), (2, 0)])
        skips = ops.logical_and(skips, at_label)

    def shifted(x: Tensor, by: int) -> Tensor:
        edge = ops.full((batch, min(by, states)), never, dtype)
        return ops.concatenate([edge, x[:, : max(states - by, 0)]], -1)

    start = constant(np.arange(states) < 2)
    chances = ops.where(start, emitted[:, 0], never)
    for t in range(1, times):
        ways = ops.stack(
            [
                chances,
                shifted(chances, 1),
                ops.where(skips, shifted(chances, 2), never),
            ]
        )
        following = ops.add(logsumexp(ways, 0), emitted[:, t])
        running = ops.expand_dims(ops.less(t, output_length), -1)
        chances = ops.where(running, ops.maximum(following, never), chances)
    last = ops.expand_dims(ops.multiply(target_length, 2), -1)
    ends = ops.stack(
        [
            ops.squeeze(ops.take_along_axis(chances, last, -1), -1),
            ops.where(
                ops.greater(target_length, 0),
                ops.squeeze(
                    ops.take_along_axis(chances, ops.maximum(ops.subtract(last, 1), 0), -1), -1
                ),
                never,
            ),
        ]
    )
    return cast(ops.negative(logsumexp(ends, 0)), result_type(output.dtype, "float32"))


def ctc_decode(
    inputs: Any,
    sequence_lengths: Any,
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
    mask_index: int | None = 0,
) -> tuple[Tensor, Tensor]:
    inputs = convert_to_tensor(inputs)
    dtype = result_type(inputs.dtype, "float32")
    inputs = cast(inputs, dtype)
    lengths = convert_to_tensor(sequence_lengths, "int32")
    classes = inputs.shape[-1]
    blank = classes - 1 if mask_index is None else mask_index
    if strategy == "greedy":

        def greedy(scores: np.ndarray, counts: np.ndarray) -> Any:
            return _greedy(scores, counts, blank, merge_repeated)

        decoded, total = host(greedy, inputs, lengths)
    elif strategy == "beam_search":

        def beam(scores: np.ndarray, counts: np.ndarray) -> Any:
            return _beam(scores, counts, beam_width, top_paths, blank)

        decoded, total = host(beam, inputs, lengths)
    else:
        raise ValueError(
            f"Invalid strategy {strategy}. Supported values are 'greedy' and 'beam_search'."
        )
    return decoded, cast(total, dtype)


def _greedy(
    scores: np.ndarray, lengths: np.ndarray, blank: int, merge: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Take the best class at every time; return paths, padded with -1, and their scores."""
    best, total = scores.argmax(-1), scores.max(-1)
    inside = np.arange(scores.shape[1]) < lengths[:, None]
    paths = np.full((1, *best.shape), -1, "int32")
    for i, (row, here) in enumerate(zip(best, inside, strict=True)):
        row = row[here]
        if merge and len(row):
            row = row[np.concatenate([[True], row[1:] != row[:-1]])]
        row = row[row != blank]
        paths[0, i, : len(row)] = row
    return paths, -np.where(inside, total, 0).sum(1, keepdims=True).astype(scores.dtype)


def _beam(
    scores: np.ndarray, lengths: np.ndarray, width: int, top_paths: int, blank: int
) -> tuple[np.ndarray, np.ndarray]:
    """Prefix beam search; return the best paths, padded with -1, and their log-chances."""
    shifted = scores - scores.max(-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    batch, times, classes = logs.shape
    paths = np.full((top_paths, batch, times), -1, "int32")
    chances = np.zeros((batch, top_paths), scores.dtype)
    none = -np.inf
    for i in range(batch):
        # Log-chances of each prefix, ended by a blank and by its last label.
        beams = {(): (0.0, none)}
        for t in range(int(lengths[i])):
            step = logs[i, t]
            following: dict[tuple[int, ...], list[float]] = {}

            def add(prefix: Any, which: int, chance: float, following: Any = following) -> None:
                entry = following.setdefault(prefix, [none, none])
                entry[which] = np.logaddexp(entry[which], chance)

            for prefix, (by_blank, by_label) in beams.items():
                either = np.logaddexp(by_blank, by_label)
                add(prefix, 0, either + step[blank])
                for label in range(classes):
                    if label == blank:
                        continue
                    if prefix and prefix[-1] == label:
                        add(prefix, 1, by_label + step[label])
                        add((*prefix, label), 1, by_blank + step[label])
                    else:
                        add((*prefix, label), 1, either + step[label])
            ranked = sorted(following.items(), key=lambda item: -np.logaddexp(*item[1]))
            beams = {prefix: (pair[0], pair[1]) for prefix, pair in ranked[:width]}
        ranked = sorted(beams.items(), key=lambda item: -np.logaddexp(*item[1]))
        for rank, (prefix, pair) in enumerate(ranked[:top_paths]):
            paths[rank, i, : len(prefix)] = prefix
            chances[i, rank] = np.logaddexp(*pair)
    return paths, chances
