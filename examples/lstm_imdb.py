"""An LSTM that tells good film reviews from bad ones.

KERAS_BACKEND=mxnet python examples/lstm_imdb.py
"""

import data
import keras
from keras import layers


def main() -> keras.callbacks.History:
    options = data.options(samples=1000, epochs=5, words=5000, length=80, width=32)
    keras.utils.set_random_seed(1)
    x, y = data.reviews(options.samples, options.words, options.length)
    model = keras.Sequential(
        [
            layers.Input((options.length,)),
            layers.Embedding(options.words, options.width, mask_zero=True),
            layers.LSTM(options.width),
            layers.Dropout(0.2),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(3e-3), "binary_crossentropy", metrics=["accuracy"])
    return model.fit(
        x, y, batch_size=options.batch_size, epochs=options.epochs, validation_split=0.1
    )


if __name__ == "__main__":
    main()
