import os
import subprocess
import sys


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_keras_finds_the_backend_with_nothing_imported_first():
    result = python("import keras; print(keras.backend.backend())", KERAS_BACKEND="mxnet")
    assert result.stdout == "mxnet\n", result.stderr


def test_another_backend_is_left_alone():
    result = python(
        "import sys; print([name for name in sys.modules if 'mxnet' in name])",
        KERAS_BACKEND="numpy",
    )
    assert result.stdout == "[]\n", result.stderr


def test_users_gluon_code_is_undisturbed():
    code = """
import keras, mxnet as mx, numpy as np
keras.ops.sum(keras.ops.ones((2, 3)))
assert not mx.util.is_np_shape() and not mx.util.is_np_array()
net = mx.gluon.nn.Dense(1)
net.initialize()
with mx.autograd.record():
    loss = net(mx.nd.ones((4, 2))).sum()
loss.backward()
assert isinstance(net.weight.grad(), mx.nd.NDArray)
print(net.weight.grad().asnumpy().sum())
"""
    result = python(code, KERAS_BACKEND="mxnet")
    assert result.stdout == "8.0\n", result.stderr
