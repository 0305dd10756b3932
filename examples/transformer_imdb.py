"""A transformer encoder that tells good film reviews from bad ones.

KERAS_BACKEND=mxnet python examples/transformer_imdb.py
"""

import data
import keras
from keras import layers, ops


class Embedding(layers.Layer):
    """Words and their places, as vectors that are added."""

    def __init__(self, words: int, length: int, width: int):
        super().__init__()
        self.words = layers.Embedding(words, width)
        self.places = layers.Embedding(length, width)

    def call(self, x):
        return self.words(x) + self.places(ops.arange(x.shape[1]))


class Encoder(layers.Layer):
    """Self-attention and two dense layers, each with a way around it and normalised."""

    def __init__(self, width: int, heads: int, hidden: int):
        super().__init__()
        self.attention = layers.MultiHeadAttention(heads, width // heads)
        self.dense = keras.Sequential([layers.Dense(hidden, "relu"), layers.Dense(width)])
        self.norms = [layers.LayerNormalization(epsilon=1e-6) for _ in range(2)]
        self.dropouts = [layers.Dropout(0.1) for _ in range(2)]

    def call(self, x):
        x = self.norms[0](x + self.dropouts[0](self.attention(x, x)))
        return self.norms[1](x + self.dropouts[1](self.dense(x)))


def main() -> keras.callbacks.History:
    options = data.options(samples=1000, epochs=5, words=5000, length=80, width=32)
    keras.utils.set_random_seed(1)
    x, y = data.reviews(options.samples, options.words, options.length)
    model = keras.Sequential(
        [
            layers.Input((options.length,)),
            Embedding(options.words, options.length, options.width),
            Encoder(options.width, heads=2, hidden=options.width),
            layers.GlobalAveragePooling1D(),
            layers.Dropout(0.1),
            layers.Dense(20, activation="relu"),
            layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model.fit(
        x, y, batch_size=options.batch_size, epochs=options.epochs, validation_split=0.1
    )


if __name__ == "__main__":
    main()
