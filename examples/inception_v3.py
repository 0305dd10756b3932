"""Inception v3 of keras.applications, from random weights, on images of ten classes.

KERAS_BACKEND=mxnet python examples/inception_v3.py
"""

import data
import keras


def main() -> keras.callbacks.History:
    options = data.options(samples=64, epochs=3, size=96)
    keras.utils.set_random_seed(1)
    x, y = data.images(options.samples, options.size, classes=10)
    model = keras.applications.InceptionV3(
        weights=None, input_shape=(options.size, options.size, 3), classes=10
    )
    model.compile(
        keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model.fit(x, y, batch_size=options.batch_size, epochs=options.epochs)


if __name__ == "__main__":
    main()
