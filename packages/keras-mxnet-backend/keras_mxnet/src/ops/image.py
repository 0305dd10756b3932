"""`keras.ops.image` on MXNet."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras.src.backend.common.dtypes import result_type
from keras.src.backend.config import standardize_data_format

from keras_mxnet.src import random
from keras_mxnet.src.convert import cast, constant, convert_to_numpy, convert_to_tensor
from keras_mxnet.src.ops import linalg, nn
from keras_mxnet.src.ops import numpy as ops
from keras_mxnet.src.ops.numpy import _is_float
from keras_mxnet.src.tensor import Tensor

RESIZE_INTERPOLATIONS = ("bilinear", "nearest", "lanczos3", "lanczos5", "bicubic")
AFFINE_TRANSFORM_INTERPOLATIONS = {"nearest": 0, "bilinear": 1}
AFFINE_TRANSFORM_FILL_MODES = ("constant", "nearest", "wrap", "mirror", "reflect")
MAP_COORDINATES_FILL_MODES = AFFINE_TRANSFORM_FILL_MODES
SCALE_AND_TRANSLATE_METHODS = {
    "linear": "linear",
    "bilinear": "linear",
    "trilinear": "linear",
    "cubic": "cubic",
    "bicubic": "cubic",
    "tricubic": "cubic",
    "lanczos3": "lanczos3",
    "lanczos5": "lanczos5",
}


def _check_rank(images: Tensor) -> None:
    if images.ndim not in (3, 4):
        raise ValueError(
            "Invalid images rank: expected rank 3 (single image) or rank 4 (batch of images). "
            f"Received input with shape: images.shape={images.shape}"
        )


def _check_choice(name: str, value: Any, choices: Any) -> None:
    if value not in choices:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected of one {set(choices)}. "
            f"Received: {name}={value}"
        )


def _batched(images: Tensor, data_format: str) -> Tensor:
    """Return images as (batch, height, width, channels)."""
    images = ops.expand_dims(images, 0) if images.ndim == 3 else images
    return ops.transpose(images, (0, 2, 3, 1)) if data_format == "channels_first" else images


def _like(result: Tensor, images: Tensor, data_format: str) -> Tensor:
    """Return (batch, height, width, channels) as the images came."""
    if data_format == "channels_first":
        result = ops.transpose(result, (0, 3, 1, 2))
    return ops.squeeze(result, 0) if images.ndim == 3 else result


# Colours.


def rgb_to_grayscale(images: Any, data_format: str | None = None) -> Tensor:
    images = convert_to_tensor(images)
    axis = -1 if standardize_data_format(data_format) == "channels_last" else -3
    _check_rank(images)
    if images.shape[axis] not in (1, 3):
        raise ValueError(
            "Invalid channel size: expected 3 (RGB) or 1 (Grayscale). "
            f"Received input with shape: images.shape={images.shape}"
        )
    if images.shape[axis] == 1:
        return images
    floats = cast(images, result_type(images.dtype, float))
    # Luma of ITU-R BT.601.
    weights = convert_to_tensor([0.2989, 0.5870, 0.1140], floats.dtype)
    gray = ops.tensordot(floats, weights, ((axis,), (0,)))
    return cast(ops.expand_dims(gray, axis), images.dtype)


def _planes(images: Any, data_format: str | None) -> tuple[list[Tensor], int, str]:
    images = convert_to_tensor(images)
    axis = -1 if standardize_data_format(data_format) == "channels_last" else -3
    _check_rank(images)
    if not _is_float(images.dtype):
        raise ValueError(
            f"Invalid images dtype: expected float dtype. Received: images.dtype={images.dtype}"
        )
    planes = [ops.squeeze(p, axis) for p in ops.split(images, 3, axis)]
    return planes, axis, images.dtype


def rgb_to_hsv(images: Any, data_format: str | None = None) -> Tensor:
    planes, axis, dtype = _planes(images, data_format)
    tiny = float(np.finfo("float16" if dtype == "float16" else "float32").eps)
    red, green, blue = (
        ops.where(ops.less(ops.absolute(p), tiny), ops.zeros_like(p), p) for p in planes
    )
    value = ops.maximum(ops.maximum(red, green), blue)
    spread = ops.subtract(value, ops.minimum(ops.minimum(red, green), blue))
    one = ops.ones_like(value)
    coloured = ops.greater(spread, 0)
    bright = ops.greater(value, 0)
    saturation = ops.where(bright, ops.divide(spread, ops.where(bright, value, one)), 0.0)
    unit = ops.divide(1.0 / 6.0, ops.where(coloured, spread, one))
    hue = ops.where(
        ops.equal(value, green),
        ops.add(ops.multiply(unit, ops.subtract(blue, red)), 2.0 / 6.0),
        ops.add(ops.multiply(unit, ops.subtract(red, green)), 4.0 / 6.0),
    )
    hue = ops.where(ops.equal(value, red), ops.multiply(unit, ops.subtract(green, blue)), hue)
    hue = ops.add(ops.where(coloured, hue, 0.0), cast(ops.less(hue, 0.0), dtype))
    return cast(ops.stack([hue, saturation, value], axis), dtype)


def hsv_to_rgb(images: Any, data_format: str | None = None) -> Tensor:
    (hue, saturation, value), axis, dtype = _planes(images, data_format)
    sixths = ops.multiply(ops.mod(hue, 1.0), 6.0)
    shares = (
        ops.subtract(ops.absolute(ops.subtract(sixths, 3.0)), 1.0),
        ops.subtract(2.0, ops.absolute(ops.subtract(sixths, 2.0))),
        ops.subtract(2.0, ops.absolute(ops.subtract(sixths, 4.0))),
    )
    pale = ops.subtract(1.0, saturation)
    planes = [
        ops.multiply(value, ops.add(pale, ops.multiply(saturation, ops.clip(s, 0.0, 1.0))))
        for s in shares
    ]
    return cast(ops.stack(planes, axis), dtype)


# Resampling along an axis: a product with a matrix of weights.


def _lanczos(radius: float, x: np.ndarray) -> np.ndarray:
    wave = radius * np.sin(np.pi * x) * np.sin(np.pi * x / radius)
    near = x <= 1e-3
    values = np.where(near, 1.0, wave / np.where(near, 1.0, np.pi**2 * x**2))
    return np.where(x > radius, 0.0, values)


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys, "Cubic convolution interpolation for digital image processing" (1981), a = -1/2."""
    near = ((1.5 * x - 2.5) * x) * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x >= 2.0, 0.0, np.where(x >= 1.0, far, near))


_KERNELS = {
    "linear": lambda x: np.maximum(0.0, 1.0 - x),
    "cubic": _cubic,
    "lanczos3": lambda x: _lanczos(3.0, x),
    "lanczos5": lambda x: _lanczos(5.0, x),
}


def _weights(
    size: int, new_size: int, scale: float, translation: float, method: str, antialias: bool
) -> np.ndarray:
    """Return the share of every old element (rows) in every new one (columns)."""
    step = 1.0 / scale
    width = max(step, 1.0) if antialias else 1.0
    places = (np.arange(new_size) + 0.5) * step - translation * step - 0.5
    weights = _KERNELS[method](np.abs(places[None, :] - np.arange(size)[:, None]) / width)
    total = weights.sum(0, keepdims=True)
    some = np.abs(total) > 1000.0 * np.finfo("float32").eps
    weights = np.where(some, weights / np.where(some, total, 1.0), 0.0)
    return np.where((places >= -0.5) & (places <= size - 0.5), weights, 0.0)


def _resampled(
    x: Tensor,
    shape: Sequence[int],
    axes: Sequence[int],
    scale: Sequence[float],
    translation: Sequence[float],
    method: str,
    antialias: bool,
) -> Tensor:
    result = x if _is_float(x.dtype) else cast(x, "float32")
    for axis, factor, shift in zip(axes, scale, translation, strict=True):
        axis = axis % x.ndim
        weights = _weights(
            x.shape[axis], shape[axis], float(factor), float(shift), method, antialias
        )
        product = ops.tensordot(result, constant(weights, result.dtype), ((axis,), (0,)))
        result = ops.moveaxis(product, -1, axis)
    if _is_float(x.dtype):
        return result
    bounds = (cast(bound, "float32") for bound in (ops.min(x), ops.max(x)))
    return cast(ops.clip(ops.round(result), *bounds), x.dtype)


def scale_and_translate(
    images: Any,
    output_shape: Any,
    scale: Any,
    translation: Any,
    spatial_dims: Any,
    method: str,
    antialias: bool = True,
) -> Tensor:
    _check_choice("method", method, SCALE_AND_TRANSLATE_METHODS)
    return _resampled(
        convert_to_tensor(images),
        output_shape,
        spatial_dims,
        convert_to_numpy(scale),
        convert_to_numpy(translation),
        SCALE_AND_TRANSLATE_METHODS[method],
        antialias,
    )


def resize(
    images: Any,
    size: Any,
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> Tensor:
    data_format = standardize_data_format(data_format)
    _check_choice("interpolation", interpolation, RESIZE_INTERPOLATIONS)
    if fill_mode != "constant":
        raise ValueError(
            "Invalid value for argument `fill_mode`. Only `'constant'` is supported. "
            f"Received: fill_mode={fill_mode}"
        )
    if pad_to_aspect_ratio and crop_to_aspect_ratio:
        raise ValueError(
            "Only one of `pad_to_aspect_ratio` & `crop_to_aspect_ratio` can be `True`."
        )
    if len(size) != 2:
        raise ValueError(
            "Argument `size` must be a tuple of two elements (height, width). "
            f"Received: size={size}"
        )
    images = convert_to_tensor(images)
    _check_rank(images)
    first = images.ndim - 3 if data_format == "channels_last" else images.ndim - 2
    axes = (first, first + 1)
    target = tuple(int(n) for n in size)
    height, width = (images.shape[a] for a in axes)
    # What of the image has the ratio of the target, or holds all of it.
    wanted = (int(width * target[0] / target[1]), int(height * target[1] / target[0]))
    if crop_to_aspect_ratio:
        for axis, have, want in zip(axes, (height, width), wanted, strict=True):
            kept = max(min(have, want), 1)
            start = (have - kept) // 2
            images = ops._cut(images, axis, start, start + kept)
    elif pad_to_aspect_ratio:
        # Only one of the sides is too short; it grows by the same on both ends.
        widths = [(0, 0)] * images.ndim
        edges = [
            (max(have, want) - have) // 2
            for have, want in zip((height, width), wanted, strict=True)
        ]
        if edges[0] > 0:
            widths[axes[0]] = (edges[0], edges[0])
        elif edges[1] > 0:
            widths[axes[1]] = (edges[1], edges[1])
        images = ops.pad(images, widths, constant_values=fill_value)

    shape = list(images.shape)
    for axis, n in zip(axes, target, strict=True):
        shape[axis] = n
    changed = [a for a in axes if images.shape[a] != shape[a]]
    if interpolation == "nearest":
        for axis in changed:
            places = (np.arange(shape[axis], dtype="float32") + 0.5) * images.shape[axis]
            places = np.floor(places / shape[axis]).astype("int32")
            images = ops.take(images, constant(places), axis)
        return images
    method = SCALE_AND_TRANSLATE_METHODS[interpolation]
    scale = [shape[a] / images.shape[a] for a in changed]
    return _resampled(images, shape, changed, scale, [0.0] * len(changed), method, antialias)


# Interpolation at coordinates.


def _inside(index: Tensor, size: int, fill_mode: str) -> Tensor:
    """Return where an index lies, as `fill_mode` continues an axis beyond its ends."""
    if fill_mode == "wrap":
        return ops.mod(index, size)
    if fill_mode == "mirror" and size > 1:
        period = 2 * (size - 1)
        index = ops.mod(index, period)
        return ops.minimum(index, ops.subtract(period, index))
    if fill_mode == "reflect":
        index = ops.mod(index, 2 * size)
        index = ops.minimum(index, ops.subtract(2 * size - 1, index))
    return ops.clip(index, 0, size - 1)


def _interpolated(
    values: Tensor,
    sizes: Sequence[int],
    coordinates: Sequence[Tensor],
    order: int,
    fill_mode: str,
    fill_value: float,
    offset: Any = 0,
) -> Tensor:
    """Interpolate between the nearest elements.

    Args:
        values: a tensor (elements, ...): an array with its leading axes flattened.
        sizes: lengths of the axes that the coordinates run along.
        coordinates: a floating tensor an axis, all of one shape.
        order: 0 for the nearest element, 1 for linear interpolation.
        fill_mode: how the array goes on beyond its ends.
        fill_value: what it is there if `fill_mode` is "constant".
        offset: added to the places in `values`.

    Returns:
        A tensor of the coordinates' shape and then that of one element.
    """
    dtype = values.dtype
    floats = values if _is_float(dtype) else cast(values, "float32")
    choices = []
    for coordinate in coordinates:
        if order == 0:
            nearest = ops.floor(ops.add(coordinate, 0.5))
            choices.append([(cast(nearest, "int32"), None)])
            continue
        below = ops.floor(coordinate)
        share = cast(ops.subtract(coordinate, below), floats.dtype)
        index = cast(below, "int32")
        choices.append([(index, ops.subtract(1.0, share)), (ops.add(index, 1), share)])
    more = values.ndim - 1
    total: Any = None
    for corner in itertools.product(*choices):
        place: Any = offset
        valid: Any = None
        weight: Any = None
        for (index, share), size in zip(corner, sizes, strict=True):
            place = ops.add(ops.multiply(place, size), _inside(index, size, fill_mode))
            here = ops.logical_and(ops.greater_equal(index, 0), ops.less(index, size))
            valid = here if valid is None else ops.logical_and(valid, here)
            if share is not None:
                weight = share if weight is None else ops.multiply(weight, share)
        part = ops.take(floats, place, 0)
        shape = (*place.shape, *(1,) * more)
        if fill_mode == "constant":
            part = ops.where(ops.reshape(valid, shape), part, float(fill_value))
        if weight is not None:
            part = ops.multiply(part, ops.reshape(weight, shape))
        total = part if total is None else ops.add(total, part)
    return total if _is_float(dtype) else cast(ops.round(total), dtype)


def map_coordinates(
    inputs: Any, coordinates: Any, order: int, fill_mode: str = "constant", fill_value: float = 0.0
) -> Tensor:
    inputs, coordinates = convert_to_tensor(inputs), convert_to_tensor(coordinates)
    if coordinates.shape[0] != inputs.ndim:
        raise ValueError(
            "First dim of `coordinates` must be the same as the rank of `inputs`. "
            f"Received inputs with shape: {inputs.shape} and coordinate leading dim of "
            f"{coordinates.shape[0]}"
        )
    if coordinates.ndim < 2:
        raise ValueError(
            "Invalid coordinates rank: expected at least rank 2. "
            f"Received input with shape: {coordinates.shape}"
        )
    _check_choice("fill_mode", fill_mode, MAP_COORDINATES_FILL_MODES)
    _check_choice("order", order, (0, 1))
    coordinates = cast(coordinates, result_type(coordinates.dtype, "float32"))
    along = [coordinates[i] for i in range(inputs.ndim)]
    return _interpolated(ops.ravel(inputs), inputs.shape, along, order, fill_mode, fill_value)


def _sampled(
    images: Tensor, y: Tensor, x: Tensor, interpolation: str, fill_mode: str, fill_value: float
) -> Tensor:
    """Sample (batch, height, width, channels) at coordinates (batch, new height, new width)."""
    batch, height, width, channels = images.shape
    flat = ops.reshape(images, (batch * height * width, channels))
    offset = constant(np.arange(batch).reshape(batch, 1, 1), "int32")
    order = AFFINE_TRANSFORM_INTERPOLATIONS[interpolation]
    return _interpolated(flat, (height, width), [y, x], order, fill_mode, fill_value, offset)


def _grid(height: int, width: int) -> tuple[Tensor, Tensor]:
    y, x = np.mgrid[:height, :width].astype("float32")
    return constant(y[None]), constant(x[None])


def affine_transform(
    images: Any,
    transform: Any,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Tensor:
    data_format = standardize_data_format(data_format)
    _check_choice("interpolation", interpolation, AFFINE_TRANSFORM_INTERPOLATIONS)
    _check_choice("fill_mode", fill_mode, AFFINE_TRANSFORM_FILL_MODES)
    images, transform = convert_to_tensor(images), convert_to_tensor(transform)
    _check_rank(images)
    if transform.ndim not in (1, 2):
        raise ValueError(
            "Invalid transform rank: expected rank 1 (single transform) or rank 2 (batch of "
            f"transforms). Received input with shape: transform.shape={transform.shape}"
        )
    transform = ops.reshape(cast(transform, "float32"), (-1, 8))
    batch = _batched(images, data_format)
    floats = cast(batch, result_type(images.dtype, "float32"))
    a0, a1, a2, b0, b1, b2, _, _ = (ops.reshape(transform[:, i], (-1, 1, 1)) for i in range(8))
    y, x = _grid(*batch.shape[1:3])

    def line(p: Tensor, q: Tensor, r: Tensor) -> Tensor:
        value = ops.add(ops.add(ops.multiply(p, x), ops.multiply(q, y)), r)
        return ops.broadcast_to(value, batch.shape[:3])

    result = _sampled(
        floats, line(b0, b1, b2), line(a0, a1, a2), interpolation, fill_mode, fill_value
    )
    return cast(_like(result, images, data_format), images.dtype)


def perspective_transform(
    images: Any,
    start_points: Any,
    end_points: Any,
    interpolation: str = "bilinear",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Tensor:
    data_format = standardize_data_format(data_format)
    images = convert_to_tensor(images)
    points = {
        "start_points": convert_to_tensor(start_points),
        "end_points": convert_to_tensor(end_points),
    }
    _check_choice("interpolation", interpolation, AFFINE_TRANSFORM_INTERPOLATIONS)
    _check_rank(images)
    for name, value in points.items():
        if value.ndim not in (2, 3) or value.shape[-2:] != (4, 2):
            raise ValueError(
                f"Invalid {name} shape: expected (4,2) for a single image or (N,4,2) for a "
                f"batch. Received shape: {value.shape}"
            )
    start, end = points.values()
    if start.shape != end.shape:
        raise ValueError(
            "start_points and end_points must have the same shape. Received "
            f"start_points.shape={start.shape}, end_points.shape={end.shape}"
        )
    matrices = compute_homography_matrix(
        ops.reshape(start, (-1, 4, 2)), ops.reshape(end, (-1, 4, 2))
    )
    batch = _batched(images, data_format)
    floats = cast(batch, result_type(images.dtype, "float32"))
    a = [ops.reshape(cast(matrices[:, i], "float32"), (-1, 1, 1)) for i in range(8)]
    y, x = _grid(*batch.shape[1:3])

    def line(p: Tensor, q: Tensor, r: Any) -> Tensor:
        return ops.add(ops.add(ops.multiply(p, x), ops.multiply(q, y)), r)

    depth = line(a[6], a[7], 1.0)

    def seen(value: Tensor) -> Tensor:
        return ops.broadcast_to(ops.divide(value, depth), batch.shape[:3])

    result = _sampled(
        floats,
        seen(line(a[3], a[4], a[5])),
        seen(line(a[0], a[1], a[2])),
        interpolation,
        "constant",
        fill_value,
    )
    return cast(_like(result, images, data_format), images.dtype)


def compute_homography_matrix(start_points: Any, end_points: Any) -> Tensor:
    start, end = convert_to_tensor(start_points), convert_to_tensor(end_points)
    dtype = result_type(start.dtype, end.dtype, float)
    wide = result_type(dtype, "float32")
    start, end = cast(start, wide), cast(end, wide)
    rows, targets = [], []
    for i in range(4):
        x, y = end[:, i, 0], end[:, i, 1]
        one, zero = ops.ones_like(x), ops.zeros_like(x)
        for axis in range(2):
            goal = start[:, i, axis]
            line = [x, y, one, zero, zero, zero] if axis == 0 else [zero, zero, zero, x, y, one]
            back = ops.negative(goal)
            rows.append(ops.stack([*line, ops.multiply(back, x), ops.multiply(back, y)], -1))
            targets.append(goal)
    matrix = linalg.solve(ops.stack(rows, 1), ops.expand_dims(ops.stack(targets, -1), -1))
    return cast(ops.reshape(matrix, (-1, 8)), dtype)


# Filters.


def gaussian_blur(
    images: Any,
    kernel_size: Any = (3, 3),
    sigma: Any = (1.0, 1.0),
    data_format: str | None = None,
) -> Tensor:
    data_format = standardize_data_format(data_format)
    images = convert_to_tensor(images)
    _check_rank(images)
    floats = cast(images, result_type(images.dtype, "float32"))
    size = [int(n) for n in convert_to_numpy(kernel_size)]
    widths = cast(convert_to_tensor(sigma), floats.dtype)

    def bell(length: int, width: Tensor) -> Tensor:
        x = constant(np.arange(length) - (length - 1) / 2, floats.dtype)
        values = ops.exp(ops.multiply(ops.square(ops.divide(x, width)), -0.5))
        return ops.divide(values, ops.sum(values))

    kernel = ops.outer(bell(size[1], widths[1]), bell(size[0], widths[0]))
    batch = _batched(floats, data_format)
    channels = batch.shape[-1]
    kernel = ops.broadcast_to(
        ops.reshape(kernel, (*kernel.shape, 1, 1)), (*kernel.shape, channels, 1)
    )
    blurred = nn.depthwise_conv(batch, kernel, padding="same", data_format="channels_last")
    return cast(_like(blurred, images, data_format), images.dtype)


def elastic_transform(
    images: Any,
    alpha: float = 20.0,
    sigma: float = 5.0,
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
    seed: Any = None,
    data_format: str | None = None,
) -> Tensor:
    data_format = standardize_data_format(data_format)
    _check_choice("interpolation", interpolation, AFFINE_TRANSFORM_INTERPOLATIONS)
    _check_choice("fill_mode", fill_mode, AFFINE_TRANSFORM_FILL_MODES)
    images = convert_to_tensor(images)
    _check_rank(images)
    batch = _batched(images, data_format)
    count, height, width, _ = batch.shape
    floats = cast(batch, result_type(images.dtype, "float32"))
    sigma = float(convert_to_numpy(sigma))
    length = int(6 * sigma) | 1
    noise = random.normal((count, height, width, 2), stddev=sigma, seed=seed)
    shifts = gaussian_blur(noise, (length, length), (sigma, sigma), data_format="channels_last")
    shifts = ops.multiply(shifts, cast(alpha, "float32"))
    y, x = _grid(height, width)
    result = _sampled(
        floats,
        ops.add(y, shifts[..., 1]),
        ops.add(x, shifts[..., 0]),
        interpolation,
        fill_mode,
        fill_value,
    )
    return cast(_like(result, images, data_format), images.dtype)


def sobel_edges(images: Any, data_format: str | None = None) -> Tensor:
    data_format = standardize_data_format(data_format)
    images = convert_to_tensor(images)
    batch = _batched(images, data_format)
    padded = ops.pad(batch, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="symmetric")

    def difference(x: Tensor, axis: int) -> Tensor:
        size = x.shape[axis]
        return ops.subtract(ops._cut(x, axis, 2, size), ops._cut(x, axis, 0, size - 2))

    def smooth(x: Tensor, axis: int) -> Tensor:
        size = x.shape[axis]
        middle = ops.multiply(ops._cut(x, axis, 1, size - 1), 2)
        ends = ops.add(ops._cut(x, axis, 0, size - 2), ops._cut(x, axis, 2, size))
        return ops.add(middle, ends)

    edges = ops.stack([smooth(difference(padded, 1), 2), smooth(difference(padded, 2), 1)], -1)
    if data_format == "channels_first":
        edges = ops.transpose(edges, (0, 3, 1, 2, 4))
    return ops.squeeze(edges, 0) if images.ndim == 3 else edges
