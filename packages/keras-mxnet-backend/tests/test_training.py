import keras
import numpy as np
import pytest


@pytest.fixture
def lenet():
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.layers.Input((12, 12, 1)),
            keras.layers.Conv2D(6, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(16, activation="tanh"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.01),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


@pytest.fixture
def digits():
    generator = np.random.default_rng(0)
    y = generator.integers(0, 10, 100)
    x = generator.normal(size=(100, 12, 12, 1)).astype("float32") * 0.1
    x += (y[:, None, None, None] / 5.0 - 1.0).astype("float32")
    return x, y


def test_fit_learns_and_a_partial_last_batch_counts(lenet, digits):
    history = lenet.fit(*digits, batch_size=32, epochs=30, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert lenet.predict(digits[0], verbose=0).shape == (100, 10)


def test_the_first_step_is_that_of_the_written_out_gradient(digits):
    x, y = digits[0].reshape(100, -1), digits[1]
    model = keras.Sequential([keras.layers.Input((144,)), keras.layers.Dense(10)])
    model.compile(
        keras.optimizers.SGD(0.5), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    kernel, bias = model.get_weights()
    logits = x @ kernel + bias
    chances = np.exp(logits - logits.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    error = (chances - np.eye(10)[y]) / len(x)
    model.fit(x, y, batch_size=100, epochs=1, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], kernel - 0.5 * x.T @ error, atol=1e-5)
    np.testing.assert_allclose(model.get_weights()[1], bias - 0.5 * error.sum(0), atol=1e-5)


def test_saving_keeps_predictions(lenet, digits, tmp_path):
    lenet.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        loaded.predict(digits[0], verbose=0), lenet.predict(digits[0], verbose=0)
    )


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_compiled_steps_are_the_eager_ones_where_a_convolution_is_normalised(rank):
    # Sixteen channels: oneDNN keeps what such a convolution makes in a layout of its own.
    rng = np.random.default_rng(0)
    x, y = rng.random((6, *[7] * rank, 16), "f4"), rng.random((6, 1), "f4")
    losses = []
    for eagerly in (True, False):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.Input(x.shape[1:]),
                getattr(keras.layers, f"Conv{rank}D")(16, 3, padding="same"),
                keras.layers.BatchNormalization(),
                getattr(keras.layers, f"GlobalAveragePooling{rank}D")(),
                keras.layers.Dense(1),
            ]
        )
        model.compile("sgd", "mse", run_eagerly=eagerly)
        losses.append([model.train_on_batch(x, y) for _ in range(3)])
        losses[-1].append(model.evaluate(x, y, verbose=0))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
