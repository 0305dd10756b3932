"""Exported models, loaded by MXNet in a process that knows no Keras."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

LOAD = """
import sys
import numpy as np
sys.path.insert(0, "")
np.bool = np.bool_
import mxnet as mx
assert "keras" not in sys.modules
mx.npx.set_np()
folder, count = sys.argv[1], int(sys.argv[2])
names = ["data"] if count == 1 else [f"data{i}" for i in range(count)]
given = np.load(f"{folder}/inputs.npz")
inputs = [mx.np.array(given[name], dtype=given[name].dtype) for name in names]
block = mx.gluon.SymbolBlock.imports(f"{folder}/m-symbol.json", names, f"{folder}/m-0000.params")
block.hybridize()
outputs = block(*inputs)
outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
symbol, arguments, auxiliary = mx.model.load_checkpoint(f"{folder}/m", 0)
arguments.update(zip(names, inputs))
bound = symbol.as_np_ndarray().bind(mx.cpu(), arguments, aux_states=auxiliary, grad_req="null")
for one, other in zip(outputs, bound.forward()):
    np.testing.assert_allclose(one.asnumpy(), other.asnumpy(), rtol=1e-5, atol=1e-6)
np.savez(f"{folder}/outputs.npz", *[o.asnumpy() for o in outputs])
"""


def assert_same_in_mxnet(model, folder, inputs, **how):
    model.export(str(folder / "m"), format="mxnet", verbose=False, **how)
    names = ["data"] if len(inputs) == 1 else [f"data{i}" for i in range(len(inputs))]
    np.savez(folder / "inputs.npz", **dict(zip(names, inputs, strict=True)))
    child = subprocess.run(
        [sys.executable, "-c", LOAD, folder, str(len(inputs))],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    expected = model.predict(inputs[0] if len(inputs) == 1 else list(inputs), verbose=0)
    expected = expected if isinstance(expected, list) else [expected]
    loaded = np.load(folder / "outputs.npz")
    for name, wanted in zip(loaded.files, expected, strict=True):
        np.testing.assert_allclose(loaded[name], wanted, rtol=1e-4, atol=1e-5)


def trained(model, x):
    """Give batch normalisation averages of its own."""
    model.compile("sgd", "mse")
    model.fit(x, np.zeros((len(x), *model.output_shape[1:])), verbose=0)
    return model


def test_convolutions_for_any_batch(tmp_path):
    x = np.random.default_rng(0).normal(size=(7, 8, 8, 3)).astype("float32")
    model = keras.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0]),
            layers.Conv2D(5, 3, padding="same", strides=2),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Dropout(0.5),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    assert_same_in_mxnet(trained(model, x), tmp_path, [x])


def test_attention_and_several_inputs(tmp_path):
    generator = np.random.default_rng(0)
    words = keras.Input((6,), dtype="int32")
    other = keras.Input((3,))
    x = layers.Embedding(9, 8)(words)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 4)(x, x))
    x = layers.Concatenate()([layers.GlobalAveragePooling1D()(x), other])
    model = keras.Model([words, other], [layers.Dense(2)(x), layers.Dense(1)(x)])
    inputs = [
        generator.integers(0, 9, (5, 6)).astype("int32"),
        generator.normal(size=(5, 3)).astype("float32"),
    ]
    assert_same_in_mxnet(model, tmp_path, inputs)


def test_a_recurrent_model_for_any_batch(tmp_path):
    x = np.random.default_rng(0).normal(size=(4, 5, 3)).astype("float32")
    model = keras.Sequential(
        [
            layers.Input((5, 3)),
            layers.Bidirectional(layers.LSTM(6, return_sequences=True)),
            layers.GRU(4),
            layers.Dense(2),
        ]
    )
    assert_same_in_mxnet(model, tmp_path, [x])


def test_masks(tmp_path):
    words = np.random.default_rng(0).integers(0, 4, (5, 6)).astype("int32")
    model = keras.Sequential(
        [
            layers.Input((6,), dtype="int32"),
            layers.Embedding(4, 3, mask_zero=True),
            layers.LSTM(2),
        ]
    )
    assert_same_in_mxnet(model, tmp_path, [words])


class Weighted(layers.Layer):
    """Weighs each sample by its place in the batch."""

    def call(self, x):
        return x * keras.ops.expand_dims(keras.ops.arange(x.shape[0], dtype=x.dtype), 1)


def test_a_graph_that_holds_the_batch_is_exported_for_one_size(tmp_path):
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    inputs = keras.Input(batch_shape=(4, 3))
    model = keras.Model(inputs, Weighted()(inputs))
    with pytest.raises(NotImplementedError, match="input_signature"):
        model.export(str(tmp_path / "m"), format="mxnet")
    signature = [keras.InputSpec(shape=(4, 3), dtype="float32")]
    assert_same_in_mxnet(model, tmp_path, [x], input_signature=signature)


def test_what_is_no_graph_is_refused(tmp_path):
    model = keras.Sequential([layers.Input((None, 3)), layers.Dense(2)])
    with pytest.raises(ValueError, match="unknown beyond the batch"):
        model.export(str(tmp_path / "m"), format="mxnet")
    with pytest.raises(ValueError, match="Unrecognized format"):
        model.export(str(tmp_path / "m"), format="no such")
