"""A model as one writes it for oneself: a custom layer, a custom loss, compiled.

Which backend of Keras trains it fastest here?

    velodrome run examples/my_model/my_model.py:build --data examples/my_model/my_data.py:load
"""

import keras
from keras import layers, ops


class Gated(layers.Layer):
    """A dense layer whose outputs are weighed by a second one: relu(x A + a) * sigmoid(x B + b)."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        shape = (input_shape[-1], self.units)
        self.value = self.add_weight(shape=shape, initializer="he_normal", name="value")
        self.value_bias = self.add_weight(
            shape=(self.units,), initializer="zeros", name="value_bias"
        )
        self.gate = self.add_weight(shape=shape, initializer="glorot_uniform", name="gate")
        self.gate_bias = self.add_weight(shape=(self.units,), initializer="ones", name="gate_bias")

    def call(self, x):
        value = ops.relu(ops.matmul(x, self.value) + self.value_bias)
        return value * ops.sigmoid(ops.matmul(x, self.gate) + self.gate_bias)


def focal_loss(y_true, y_pred):
    """Cross-entropy that weighs what is told wrong more (Lin et al. 2017, gamma 2)."""
    wanted = ops.one_hot(ops.cast(ops.reshape(y_true, (-1,)), "int32"), 10, dtype=y_pred.dtype)
    right = ops.clip(ops.sum(wanted * y_pred, axis=-1), 1e-6, 1.0)
    return -ops.square(1.0 - right) * ops.log(right)


def build():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Flatten(),
            Gated(64),
            layers.Dropout(0.3),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(2e-3), loss=focal_loss, metrics=["accuracy"])
    return model
