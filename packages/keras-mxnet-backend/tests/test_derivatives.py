"""The derivative of every other differentiable op along a direction, against differences."""

import keras
import mxnet as mx
import numpy as np
import pytest
from differences import weighted
from keras import ops

# Keras computes float64 and float64 in float32: small enough for that, not smaller.
STEP = 3e-3


def inside(low, high, *shape):
    """Return values away from the ends of an interval, the same in every run."""
    return np.random.RandomState(sum(shape)).uniform(low, high, shape)


def apart(*shape):
    """Return values of either sign that differ by more than the step, none near zero."""
    count = int(np.prod(shape))
    order = np.random.RandomState(count).permutation(count)
    return ((order - count / 2 + 0.25) * 0.37).reshape(shape)


ANY = [
    "abs", "arctan", "arcsinh", "celu", "cos", "cosh", "deg2rad", "elu", "exp", "exp2", "expm1",
    "gelu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu", "log_sigmoid",
    "logsumexp", "negative", "nan_to_num", "rad2deg", "relu", "relu6", "selu", "sigmoid", "silu",
    "sin", "sinc", "sinh", "soft_shrink", "softplus", "softsign", "sparse_plus", "sparse_sigmoid",
    "square", "squareplus", "tanh", "tanh_shrink", "erf", "swish", "softmax", "log_softmax",
    "sparsemax", "cumsum", "max", "min", "mean", "sum", "std", "var", "prod", "median", "nanmax",
    "nanmin", "nanmean", "nansum", "average", "amax", "amin", "ravel", "flip", "transpose",
    "sort", "diff", "trace", "diagonal", "real", "absolute", "erfc", "hard_swish", "fliplr",
    "flipud", "nancumsum", "nancumprod", "nanmedian", "nanprod", "nanstd", "nanvar", "ptp",
    "trapezoid", "squeeze", "floor", "ceil", "round", "trunc",
]  # fmt: skip
POSITIVE = [
    "tan", "sqrt", "rsqrt", "log", "log10", "log1p", "log2", "reciprocal", "cbrt", "i0",
]  # fmt: skip
UNIT = [
    "arccos", "arcsin", "arctanh", "erfinv",
]  # fmt: skip
PAIRS = [
    "add", "subtract", "multiply", "divide", "true_divide", "maximum", "minimum", "arctan2",
    "logaddexp", "power", "hypot", "fmax", "fmin", "divide_no_nan", "matmul", "dot", "inner",
    "outer", "vdot", "cross", "kron", "logaddexp2", "fmod", "mod",
]  # fmt: skip
A, B = apart(3, 4), apart(4, 3) + 0.11
IMAGE, SEQUENCE = apart(1, 6, 6, 2), apart(2, 5, 3)

CASES = {
    "arccosh": (ops.arccosh, inside(1.5, 3.0, 4)),
    "max_over_axis": (lambda x: ops.max(x, axis=1), A),
    "sum_over_axes": (lambda x: ops.sum(x, axis=(0, 1), keepdims=True), A),
    "argsort_taken": (lambda x: ops.take_along_axis(x, ops.argsort(x, 1), 1), A),
    "broadcast_to": (lambda x: ops.broadcast_to(x, (2, 3, 4)), A),
    "clip": (lambda x: ops.clip(x, -1.0, 1.0), A),
    "concatenate": (lambda x, y: ops.concatenate([x, ops.transpose(y)], 0), A, B),
    "stack": (lambda x, y: ops.stack([x, ops.transpose(y)], 1), A, B),
    "split": (lambda x: ops.split(x, 2, 1)[1] * 2.0, A),
    "hstack": (lambda x: ops.hstack([x, x * 2.0]), A),
    "vstack": (lambda x: ops.vstack([x, x * 2.0]), A),
    "expand_dims": (lambda x: ops.expand_dims(x, 1), A),
    "reshape": (lambda x: ops.reshape(x, (2, 6)), A),
    "repeat": (lambda x: ops.repeat(x, 2, 1), A),
    "tile": (lambda x: ops.tile(x, (2, 1)), A),
    "roll": (lambda x: ops.roll(x, 1, 0), A),
    "rot90": (ops.rot90, A),
    "pad": (lambda x: ops.pad(x, ((1, 0), (0, 2))), A),
    "pad_reflect": (lambda x: ops.pad(x, ((1, 0), (0, 2)), "reflect"), A),
    "moveaxis": (lambda x: ops.moveaxis(x, 0, 1), A),
    "swapaxes": (lambda x: ops.swapaxes(x, 0, 1), A),
    "tril": (ops.tril, A),
    "triu": (ops.triu, A),
    "diag": (ops.diag, apart(4)),
    "diagflat": (ops.diagflat, apart(4)),
    "take": (lambda x: ops.take(x, np.array([2, 0, 2]), 0), A),
    "indexing": (lambda x: x[1:, ::2] * x[np.array([0, 2])][:, :2], A),
    "where": (lambda x, y: ops.where(x > 0, x * x, ops.transpose(y)), A, B),
    "select": (lambda x: ops.select([x > 0, x <= 0], [x * x, x * 3.0], 0.0), A),
    "slice": (lambda x: ops.slice(x, (1, 1), (2, 2)), A),
    "slice_update": (lambda x, y: ops.slice_update(x, (0, 1), y[:3, :3]), A, B),
    "scatter": (lambda x: ops.scatter([[0], [2], [0]], x, (4, 4)), A),
    "scatter_update": (lambda x, y: ops.scatter_update(x, [[0, 1], [2, 2]], y[0, :2]), A, B),
    "unstack": (lambda x: ops.unstack(x, axis=1)[2] * 2.0, A),
    "einsum": (lambda x, y: ops.einsum("ij,jk->ki", x, y), A, B),
    "norm": (ops.norm, A),
    "normalize": (lambda x: ops.normalize(x, axis=1), A),
    "inv": (ops.inv, A[:, :3] + 4 * np.eye(3)),
    "det": (ops.det, A[:, :3] + 4 * np.eye(3)),
    "solve_triangular": (
        lambda a, b: ops.solve_triangular(a, b, lower=True),
        np.tril(A[:, :3]) + 4 * np.eye(3), B[:3],
    ),
    "cumprod": (lambda x: ops.cumprod(x, 0), inside(0.5, 2.0, 3, 2)),
    "logsumexp": (lambda x: ops.logsumexp(x, axis=1), A),
    "segment_sum": (lambda x: ops.segment_sum(x, np.array([0, 1, 0]), 2), A),
    "extract_sequences": (lambda x: ops.extract_sequences(x, 3, 1), apart(2, 6)),
    "max_pool": (lambda x: ops.max_pool(x, 2), IMAGE),
    "average_pool": (lambda x: ops.average_pool(x, 2, 1, "same"), IMAGE),
    "depthwise_conv": (lambda x, k: ops.depthwise_conv(x, k, 1, "same"), IMAGE, apart(3, 3, 2, 2)),
    "separable_conv": (
        lambda x, d, p: ops.separable_conv(x, d, p, 1, "valid"),
        IMAGE, apart(3, 3, 2, 1), apart(1, 1, 2, 3),
    ),
    "conv1d": (lambda x, k: ops.conv(x, k, 1, "same"), SEQUENCE, apart(3, 3, 2)),
    "batch_normalization": (
        lambda x, m, v, g, b: ops.batch_normalization(x, m, v, -1, b, g),
        SEQUENCE, apart(3), inside(0.5, 2.0, 3), apart(3) + 0.1, apart(3) + 0.2,
    ),
    "moments": (lambda x: ops.moments(x, (0, 1))[1], SEQUENCE),
    "layer_normalization": (
        lambda x, g, b: ops.layer_normalization(x, g, b), SEQUENCE, apart(3), apart(3) + 0.1
    ),
    "rms_normalization": (lambda x, g: ops.rms_normalization(x, g), SEQUENCE, apart(3)),
    "glu": (ops.glu, A),
    "threshold": (lambda x: ops.threshold(x, 0.5, 2.0), A),
    "binary_crossentropy": (
        lambda p: ops.binary_crossentropy(np.array([0.0, 1.0, 1.0]), p), inside(0.2, 0.8, 3)
    ),
    "categorical_crossentropy": (
        lambda p: ops.categorical_crossentropy(np.eye(4)[:3], p, from_logits=True), A
    ),
    "sparse_categorical_crossentropy": (
        lambda p: ops.sparse_categorical_crossentropy(np.array([0, 3, 1]), p, from_logits=True), A
    ),
    "rgb_to_grayscale": (ops.image.rgb_to_grayscale, apart(1, 3, 3, 3)),
    "crop_images": (lambda x: ops.image.crop_images(x, 1, 1, 1, 1), IMAGE),
    "extract_patches": (lambda x: ops.image.extract_patches(x, (2, 2)), IMAGE),
    "resize_nearest": (lambda x: ops.image.resize(x, (3, 3), "nearest"), IMAGE),
    "vectorized_map": (lambda x: ops.vectorized_map(lambda row: row * row, x), A),
    "scan": (lambda x: ops.scan(lambda c, r: (c * 0.5 + r, c * r), x[0] * 0.0, x)[1], A),
    "cond": (lambda x: ops.cond(True, lambda: x * x, lambda: x), A),
    "while_loop": (
        lambda x: ops.while_loop(
            lambda i, y: i < 3, lambda i, y: (i + 1, y * x * 0.5), (0, ops.ones_like(x))
        )[1], A,
    ),
    "fori_loop": (lambda x: ops.fori_loop(0, 3, lambda i, y: y * 0.5 + x * x, x), A),
    "associative_scan": (lambda x: ops.associative_scan(lambda a, b: a * b, x), A * 0.5),
    "map": (lambda x: ops.map(lambda row: row * row, x), A),
    "switch": (lambda x: ops.switch(1, [lambda y: y, lambda y: y * y], x), A),
    "cast": (lambda x: ops.cast(ops.cast(x, "float32"), "float64") * x, A),
    "get_item": (lambda x: ops.get_item(x, (slice(1, 3), 2)), A),
    "angle": (lambda x: ops.angle(x) + x, A),
    "adaptive_average_pool": (lambda x: ops.adaptive_average_pool(x, (3, 2)), IMAGE),
    "adaptive_max_pool": (lambda x: ops.adaptive_max_pool(x, (3, 2)), IMAGE),
    "depth_to_space": (lambda x: ops.depth_to_space(x, 2), apart(1, 2, 2, 4)),
    "space_to_depth": (lambda x: ops.space_to_depth(x, 2), IMAGE),
    "fold": (lambda x: ops.fold(x, (4, 4), 2, stride=2), apart(1, 4, 4)),
    "unfold": (lambda x: ops.unfold(x, 2), apart(1, 2, 4, 4)),
    "rearrange": (lambda x: ops.rearrange(x, "a (b c) -> b a c", b=2), A),
    "array_split": (lambda x: ops.array_split(x, 3, 1)[0] * 2.0, A),
    "dsplit": (lambda x: ops.dsplit(x, 2)[1] * 2.0, apart(2, 2, 4)),
    "hsplit": (lambda x: ops.hsplit(x, 2)[1] * 2.0, A),
    "vsplit": (lambda x: ops.vsplit(x, 3)[1] * 2.0, A),
    "dstack": (lambda x: ops.dstack([x, x * 2.0]), A),
    "meshgrid": (lambda x, y: ops.meshgrid(x, y), apart(3), apart(4)),
    "linspace": (lambda a, b: ops.linspace(a, b, 5), apart(3), apart(3) + 0.2),
    "ldexp": (lambda x: ops.ldexp(x, np.array([1, 2, 0, 3])), A),
    "tensordot": (lambda x, y: ops.tensordot(x, y, 1), A, B),
    "vander": (lambda x: ops.vander(x, 3), apart(4)),
    "cdist": (ops.cdist, A[:2], A[1:] + 0.3),
    "correlate": (lambda x, y: ops.correlate(x, y, "full"), apart(4), apart(3)),
    "corrcoef": (ops.corrcoef, inside(-1.0, 1.0, 3, 4)),
    "percentile": (lambda x: ops.percentile(x, 30.0, 1), A),
    "quantile": (lambda x: ops.quantile(x, 0.3, 1), A),
    "nanpercentile": (lambda x: ops.nanpercentile(x, 30.0, 1), A),
    "nanquantile": (lambda x: ops.nanquantile(x, 0.3, 1), A),
    "slogdet": (lambda x: ops.slogdet(x)[1], A[:, :3] + 4 * np.eye(3)),
    "logdet": (lambda x: ops.logdet(x @ ops.transpose(x)), A[:, :3] + 4 * np.eye(3)),
    "lstsq": (ops.lstsq, B[:, :2] + 3 * np.eye(4, 2), B[:, 2]),
    "cholesky_inverse": (ops.cholesky_inverse, np.tril(A[:, :3]) + 4 * np.eye(3)),
    "fft2": (lambda a, b: ops.fft2((a, b)), A, A + 0.2),
    "psnr": (lambda x, y: ops.psnr(x, y, 1.0), inside(0.0, 1.0, 3, 4), inside(0.0, 1.0, 4, 3).T),
    "segment_min": (lambda x: ops.segment_min(x, np.array([0, 1, 0]), 2), A),
    "segment_prod": (lambda x: ops.segment_prod(x, np.array([0, 1, 0]), 2), A),
    "affine_transform": (
        lambda x: ops.image.affine_transform(x, np.array([1.0, 0.2, 0.1, -0.1, 0.9, 0.3, 0, 0])),
        IMAGE,
    ),
    "perspective_transform": (
        lambda x: ops.image.perspective_transform(
            x,
            np.array([[[0.0, 0.0], [0.0, 5.0], [5.0, 0.0], [5.0, 5.0]]]),
            np.array([[[0.2, 0.1], [0.0, 4.7], [4.6, 0.3], [4.9, 4.8]]]),
        ),
        IMAGE,
    ),
    "scale_and_translate": (
        lambda x: ops.image.scale_and_translate(
            x, (1, 4, 4, 2), np.array([0.7, 0.6]), np.array([0.1, 0.2]), (1, 2), "linear"
        ),
        IMAGE,
    ),
    "hsv_to_rgb": (ops.image.hsv_to_rgb, inside(0.35, 0.48, 2, 2, 3)),
    "rgb_to_hsv": (ops.image.rgb_to_hsv, inside(0.1, 0.9, 2, 2, 3)),
    "pad_images": (lambda x: ops.image.pad_images(x, 1, 1, None, None, 8, 8), IMAGE),
    "extract_patches_3d": (
        lambda x: ops.image.extract_patches_3d(x, (2, 2, 2)), apart(1, 2, 4, 4, 1)
    ),
    "sobel_edges": (ops.image.sobel_edges, IMAGE),
    "ssim": (
        lambda x, y: ops.image.ssim(x, y, 1.0, filter_size=3),
        inside(0.0, 1.0, 1, 6, 6, 2), inside(0.2, 0.9, 1, 6, 6, 2),
    ),
    "stop_gradient": (lambda x: x * ops.stop_gradient(ops.ones_like(x) * 2.0), A),
}  # fmt: skip
_SECOND = {"matmul": B, "dot": B, "cross": A[:, :3] + 0.2}
# No quotient near a whole number.
_SECOND |= dict.fromkeys(("mod", "fmod"), A / np.linspace(1.3, 1.7, 12).reshape(3, 4))


def _pair(name):
    first = {"power": inside(0.5, 2.0, 3, 4), "cross": A[:, :3]}.get(name, A)
    return first, _SECOND.get(name, A * 0.7 + 0.13)


CASES |= {name: (getattr(ops, name), A) for name in ANY}
CASES |= {name: (getattr(ops, name), inside(0.5, 2.0, 3, 4)) for name in POSITIVE}
CASES |= {name: (getattr(ops, name), inside(-0.8, 0.8, 3, 4)) for name in UNIT}
CASES |= {name: (getattr(ops, name), *_pair(name)) for name in PAIRS if hasattr(ops, name)}


@pytest.mark.parametrize("name", CASES)
def test_derivative(name):
    function, *values = CASES[name]
    random = np.random.RandomState(3)
    directions = [random.uniform(-1, 1, v.shape) for v in values]

    variables = [keras.Variable(value, dtype="float64") for value in values]
    with mx.autograd.record():
        loss = weighted(function, [v.value for v in variables])
    loss.backward()
    found = sum(
        float((v.grad.numpy() * d).sum()) for v, d in zip(variables, directions, strict=True)
    )
    ends = [
        weighted(function, [
            ops.convert_to_tensor(v + sign * STEP * d, "float64")
            for v, d in zip(values, directions, strict=True)
        ]).numpy().astype("float64")
        for sign in (1, -1)
    ]  # fmt: skip
    expected = float(ends[0] - ends[1]) / (2 * STEP)
    scale = sum(
        float(np.abs(v.grad.numpy() * d).sum()) for v, d in zip(variables, directions, strict=True)
    )
    assert found == pytest.approx(expected, abs=2e-3 * (1 + scale))
