"""Keras on any backend: `Sequential`, `compile` and `fit`, as its guides begin."""

import keras
from keras import layers


def trainer(x, y, batch_size, threads, learning_rate):
    if keras.config.backend() == "torch":
        import torch

        torch.set_num_threads(threads)
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(20, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(50, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(500, activation="relu"),
            layers.Dense(10),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.SGD(learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )

    def epoch(order):
        history = model.fit(
            x[order], y[order], batch_size=batch_size, shuffle=False, verbose=0
        ).history
        return history["loss"][0], history["accuracy"][0]

    return epoch
