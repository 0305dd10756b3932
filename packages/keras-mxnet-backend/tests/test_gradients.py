"""Gradients against central differences."""

import keras
import mxnet as mx
import numpy as np
import pytest
from differences import weighted
from keras import ops

random = np.random.RandomState(0)
square = random.rand(3, 3)
positive = square @ square.T + np.diag([3.0, 6.0, 9.0])

CASES = {
    "cholesky": (lambda x: ops.cholesky((x + ops.transpose(x)) * 0.5), positive),
    "eigh": (lambda x: ops.eigh((x + ops.transpose(x)) * 0.5)[0], positive),
    "svd": (lambda x: [o * o for o in ops.svd(x, full_matrices=False)], random.rand(4, 3)),
    "qr": (lambda x: ops.qr(x), random.rand(4, 3)),
    "pinv": (lambda x: ops.pinv(x), random.rand(4, 3)),
    "solve": (ops.solve, positive, random.rand(3, 2)),
    "nuclear_norm": (lambda x: ops.norm(x, ord="nuc"), square),
    "fft": (lambda a, b: ops.fft((a, b)), random.rand(6), random.rand(6)),
    "ifft2": (lambda a, b: ops.ifft2((a, b)), random.rand(3, 4), random.rand(3, 4)),
    "rfft": (lambda a: ops.rfft(a, 8), random.rand(6)),
    "irfft": (lambda a, b: ops.irfft((a, b), 7), random.rand(5), random.rand(5)),
    "stft": (lambda a: ops.stft(a, 8, 4, 8), random.rand(20)),
    "istft": (lambda a, b: ops.istft((a, b), 8, 4, 8), random.rand(4, 5), random.rand(4, 5)),
    "segment_max": (lambda a: ops.segment_max(a, np.array([0, 1, 0, 1]), 2), random.rand(4, 2)),
    "ctc_loss": (
        lambda a: ops.ctc_loss(np.array([[1, 2, 2]]), a, np.array([3]), np.array([6])),
        random.rand(1, 6, 4),
    ),
    "map_coordinates": (
        lambda a, c: ops.image.map_coordinates(a, c, 1, fill_mode="reflect"),
        random.rand(4, 4),
        np.array([[0.3, 1.4, 2.6], [2.2, 0.5, 1.7]]),
    ),
    "resize": (lambda a: ops.image.resize(a, (3, 5)), random.rand(4, 4, 1)),
    "gaussian_blur": (ops.image.gaussian_blur, random.rand(4, 4, 2)),
    "attention": (
        lambda q, k: ops.dot_product_attention(q, k, k),
        random.rand(1, 3, 2, 2),
        random.rand(1, 3, 2, 2),
    ),
    "conv": (
        lambda x, k: ops.conv(x, k, 2, "same"),
        random.rand(1, 5, 5, 2),
        random.rand(3, 3, 2, 2),
    ),
    "conv_transpose": (
        lambda x, k: ops.conv_transpose(x, k, 2, "same"),
        random.rand(1, 3, 3, 2),
        random.rand(3, 3, 2, 2),
    ),
    "average_pool": (lambda x: ops.average_pool(x, 2, 1, "same"), random.rand(1, 3, 3, 1)),
    "top_k": (lambda x: ops.top_k(x, 2)[0], np.array([0.1, 0.9, 0.4, 0.7])),
    "log_softmax": (ops.log_softmax, random.rand(3, 2)),
}


@pytest.mark.parametrize("name", CASES)
def test_gradient(name):
    if name == "pinv" and not hasattr(ops, name):
        pytest.skip("Keras has it from 3.15 on")
    function, *values = CASES[name]

    variables = [keras.Variable(value, dtype="float64") for value in values]
    with mx.autograd.record():
        loss = weighted(function, [v.value for v in variables])
    loss.backward()
    step = 1e-2
    for i, value in enumerate(values):
        expected = np.zeros_like(value)
        for place in np.ndindex(value.shape):
            ends = []
            for sign in (1, -1):
                moved = [v.copy() for v in values]
                moved[i][place] += sign * step
                ends.append(float(weighted(function, [ops.convert_to_tensor(m) for m in moved])))
            expected[place] = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(variables[i].grad.numpy(), expected, atol=2e-3, rtol=2e-3)
