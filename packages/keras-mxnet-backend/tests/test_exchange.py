"""Against Keras on JAX: models exchanged both ways, and the same training steps."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

pytest.importorskip("jax")

# Loads our model, predicts with it, trains it on the same batches and hands it back.
JAX = """
import sys
import keras, numpy as np
folder = sys.argv[1]
assert keras.backend.backend() == "jax"
with np.load(f"{folder}/data.npz") as data:
    x, y = data["x"], data["y"]
model = keras.models.load_model(f"{folder}/ours.keras")
before = model.predict(x, verbose=0)
losses = [model.train_on_batch(x[i : i + 8], y[i : i + 8]) for i in range(0, 20, 8)]
model.save(f"{folder}/theirs.keras")
model.save_weights(f"{folder}/theirs.weights.h5")
np.savez(f"{folder}/theirs.npz", before=before, losses=losses, after=model.predict(x, verbose=0))
"""


def test_models_and_training_agree_with_jax(tmp_path):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Conv2D(4, 3, padding="same", strides=2),
            layers.BatchNormalization(),
            layers.Activation("gelu"),
            layers.MaxPooling2D(),
            layers.Reshape((4, 4)),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
            layers.GRU(4),
            layers.LayerNormalization(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    generator = np.random.default_rng(0)
    x = generator.normal(size=(20, 8, 8, 3)).astype("float32")
    y = generator.integers(0, 3, 20)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    model.save(tmp_path / "ours.keras")
    child = subprocess.run(
        [sys.executable, "-c", JAX, tmp_path],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    theirs = np.load(tmp_path / "theirs.npz")
    np.testing.assert_allclose(model.predict(x, verbose=0), theirs["before"], atol=1e-5)
    losses = [model.train_on_batch(x[i : i + 8], y[i : i + 8]) for i in range(0, 20, 8)]
    np.testing.assert_allclose(losses, theirs["losses"], rtol=1e-4)
    loaded = keras.models.load_model(tmp_path / "theirs.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), theirs["after"], atol=1e-5)
    model.load_weights(tmp_path / "theirs.weights.h5")
    np.testing.assert_allclose(model.predict(x, verbose=0), theirs["after"], atol=1e-5)
