"""Gradients against central differences, in float32 with inputs kept off the kinks."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_mxnet.src import autograd

CASES = {
    "tanh": (ops.tanh, [(3, 4)]),
    "softmax": (ops.softmax, [(3, 4)]),
    "matmul": (ops.matmul, [(3, 4), (4, 5)]),
    "batched matmul": (ops.matmul, [(2, 3, 4), (2, 4, 5)]),
    "broadcast divide": (lambda x, y: x / (y * y + 1.0), [(3, 4), (1, 4)]),
    "reversed subtract": (lambda x: 1.0 - x * x, [(3, 4)]),
    "einsum": (lambda x, y: ops.einsum("abc,cde->abde", x, y), [(2, 3, 4), (4, 2, 3)]),
    "convolution": (lambda x, k: ops.conv(x, k, 1, "same"), [(2, 5, 5, 2), (3, 3, 2, 3)]),
    "uneven padding": (lambda x, k: ops.conv(x, k, 2, "same"), [(2, 5, 5, 2), (2, 2, 2, 3)]),
    "transposed convolution": (
        lambda x, k: ops.conv_transpose(x, k, 2, "same"),
        [(2, 4, 4, 2), (3, 3, 3, 2)],
    ),
    "average pool": (lambda x: ops.average_pool(x, 2, 1, "same"), [(2, 5, 5, 2)]),
    "pool of convolution": (
        lambda x, k: ops.max_pool(ops.conv(x, k, 1, "same"), 2),
        [(2, 6, 6, 2), (3, 3, 2, 3)],
    ),
    "take": (lambda x: ops.take(x, [0, 2, 2, -1], axis=1), [(3, 4)]),
    "gather": (lambda x: x[np.array([0, 1, 1]), :, np.array([2, 0, 2])], [(2, 3, 4)]),
    "slices": (lambda x: x[1:, ::-2], [(3, 4)]),
    "scatter": (lambda u: ops.scatter([[0], [2], [2]], u, (4, 2)), [(3, 2)]),
    "sort": (lambda x: ops.sort(x, axis=0) * np.arange(4.0), [(5, 4)]),
    "cumulative product": (lambda x: ops.cumprod(x, axis=1), [(3, 5)]),
    "quantile": (lambda x: ops.quantile(x, 0.3, axis=0), [(5, 2)]),
    "variance": (lambda x: ops.var(x, axis=1), [(3, 5)]),
    "log sum exp": (lambda x: ops.logsumexp(x, axis=1), [(3, 5)]),
    "moments": (lambda x: ops.moments(x, (0,))[1], [(5, 3)]),
    "Bessel function on the host": (lambda x: ops.i0(x), [(3, 4)]),
}


@pytest.mark.parametrize("name", CASES)
def test_gradient(name):
    function, shapes = CASES[name]
    generator = np.random.default_rng(3)
    values = [generator.normal(size=shape) for shape in shapes]
    variables = [keras.Variable(v, dtype="float32") for v in values]
    with autograd.recording():
        output = function(*[v.value for v in variables])
        weights = generator.normal(size=output.shape)
        loss = ops.sum(output * weights)
    gradients = autograd.gradients(loss, [v.value for v in variables])

    def evaluate(points):
        tensors = [ops.convert_to_tensor(p, "float32") for p in points]
        return float((np.asarray(function(*tensors), "float64") * weights).sum())

    step = 2e-3
    for i, (value, gradient) in enumerate(zip(values, gradients, strict=True)):
        expected = np.zeros_like(value)
        for index in np.ndindex(*value.shape):
            sides = []
            for sign in (1, -1):
                moved = [v.copy() for v in values]
                moved[i][index] += sign * step
                sides.append(evaluate(moved))
            expected[index] = (sides[0] - sides[1]) / (2 * step)
        np.testing.assert_allclose(np.asarray(gradient), expected, atol=5e-3, rtol=5e-3)
