"""ResNet50 of keras.applications, from random weights, on images of ten classes.

KERAS_BACKEND=mxnet python examples/resnet50.py
"""

import data
import keras


def main() -> keras.callbacks.History:
    options = data.options(samples=128, epochs=3, size=64)
    keras.utils.set_random_seed(1)
    x, y = data.images(options.samples, options.size, classes=10)
    model = keras.applications.ResNet50(
        weights=None, input_shape=(options.size, options.size, 3), classes=10
    )
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model.fit(x, y, batch_size=options.batch_size, epochs=options.epochs)


if __name__ == "__main__":
    main()
