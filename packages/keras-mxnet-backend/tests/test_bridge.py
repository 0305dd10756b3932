import ast
import os
import subprocess
import sys

from keras_mxnet import bridge


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


def test_a_backend_chosen_in_the_program_counts():
    code = (
        "import os; os.environ['KERAS_BACKEND'] = 'mxnet'\n"
        "import keras; print(keras.backend.backend())"
    )
    result = python(code, KERAS_BACKEND="numpy")
    assert result.stdout == "mxnet\n", result.stderr


def test_nothing_is_imported_before_keras_is():
    result = python("import sys; print([name for name in sys.modules if 'mxnet' in name])")
    assert result.stdout == "[]\n", result.stderr


def test_another_backend_is_left_alone():
    code = (
        "import keras, sys; print(keras.backend.backend(), 'mxnet' in sys.modules,"
        " 'keras_mxnet.src' in sys.modules)"
    )
    result = python(code, KERAS_BACKEND="numpy")
    assert result.stdout == "numpy False False\n", result.stderr


def test_a_keras_that_makes_no_choice_is_left_alone():
    module = ast.parse("import importlib\nimportlib.import_module('keras_mxnet.src')")
    before = ast.dump(module)
    assert not bridge.add_branch(module, "raise SystemExit")
    assert ast.dump(module) == before


def test_preprocessing_layers_know_the_backend():
    code = (
        "from keras.src.utils.backend_utils import DynamicBackend\n"
        "print(DynamicBackend('mxnet').numpy.ones((2,)).tolist())"
    )
    result = python(code, KERAS_BACKEND="mxnet")
    assert result.stdout == "[1.0, 1.0]\n", result.stderr


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
