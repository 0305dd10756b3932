"""What Keras promises of training, each against numbers worked out another way."""

import threading

import keras
import mxnet as mx
import numpy as np
import pytest
from keras import layers, ops

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(20, 3)).astype("float32")
Y = GENERATOR.normal(size=(20, 2)).astype("float32")
KERNEL = GENERATOR.normal(size=(3, 2)).astype("float32")


def linear(optimizer=None, **kwargs):
    """A matrix product that starts from KERNEL."""
    model = keras.Sequential([layers.Input((3,)), layers.Dense(2, use_bias=False)])
    model.set_weights([KERNEL])
    model.compile(optimizer or keras.optimizers.SGD(0.1), "mse", **kwargs)
    return model


def gradient(x, y, kernel=KERNEL, weights=None):
    """Of the mean squared error of a matrix product."""
    weights = np.ones(len(x)) if weights is None else np.asarray(weights)
    return 2 * x.T @ ((x @ kernel - y) * weights[:, None]) / y.size


def mse(x, y, kernel=KERNEL):
    return float(np.mean((x @ kernel - y) ** 2))


def kernel_of(model):
    return model.get_weights()[0]


def close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=tolerance, atol=tolerance)


# Batches.


def test_every_sample_counts_the_same_in_a_partial_batch():
    close(linear().evaluate(X, Y, batch_size=8, verbose=0), mse(X, Y))


def test_batches_may_change_their_shape():
    model = keras.Sequential([layers.Embedding(5, 4), layers.GRU(3), layers.Dense(1)])
    model.compile("sgd", "mse")
    whole = GENERATOR.integers(0, 5, (6, 9))

    def batches():
        for size, length in ((2, 4), (6, 9), (3, 4)):
            yield whole[:size, :length], np.zeros((size, 1))

    assert np.isfinite(model.fit(batches(), verbose=0).history["loss"]).all()
    assert model.predict(whole[:, :5], verbose=0).shape == (6, 1)


def test_several_batches_an_execution():
    model = linear(steps_per_execution=3)
    model.fit(X, Y, batch_size=5, shuffle=False, verbose=0)
    kernel = KERNEL
    for start in range(0, 20, 5):
        kernel = kernel - 0.1 * gradient(X[start : start + 5], Y[start : start + 5], kernel)
    close(kernel_of(model), kernel)
    close(model.predict(X, batch_size=3, verbose=0), X @ kernel)


def test_on_batch_methods():
    model = linear(metrics=["mae"])
    loss, error = model.train_on_batch(X, Y)
    close(loss, mse(X, Y))
    close(error, np.abs(X @ KERNEL - Y).mean())
    after = KERNEL - 0.1 * gradient(X, Y)
    model.reset_metrics()
    close(model.test_on_batch(X, Y, return_dict=True)["loss"], mse(X, Y, after))
    close(model.predict_on_batch(X), X @ after)


# Weights of samples and classes.


def test_sample_weights():
    weights = GENERATOR.uniform(size=20).astype("float32")
    model = linear()
    model.fit(X, Y, sample_weight=weights, batch_size=20, verbose=0)
    close(kernel_of(model), KERNEL - 0.1 * gradient(X, Y, weights=weights))


def test_class_weights_are_the_weights_of_their_samples():
    labels = GENERATOR.integers(0, 2, 20)
    results = []
    for how in ({"class_weight": {0: 0.2, 1: 3.0}}, {"sample_weight": np.where(labels, 3.0, 0.2)}):
        model = linear()
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(X, labels, batch_size=20, verbose=0, **how)
        results.append(kernel_of(model))
    close(results[0], results[1])
    assert np.abs(results[0] - KERNEL).max() > 1e-4


# Layers with a state or a mask.


def test_a_stateful_rnn_goes_on_where_it_stopped():
    x = GENERATOR.normal(size=(2, 6, 3)).astype("float32")
    for kind in (layers.LSTM, layers.GRU, layers.SimpleRNN):
        inputs = keras.Input(batch_shape=(2, 3, 3))
        layer = kind(4, stateful=True)
        model = keras.Model(inputs, layer(inputs))
        whole = kind(4)
        whole.build(x.shape)
        whole.set_weights(layer.get_weights()[: len(whole.weights)])
        model.predict(x[:, :3], verbose=0)
        close(model.predict(x[:, 3:], verbose=0), ops.convert_to_numpy(whole(x)))
        layer.reset_state()
        close(model.predict(x[:, :3], verbose=0), ops.convert_to_numpy(whole(x[:, :3])))


@pytest.mark.parametrize("kind", [layers.LSTM, layers.GRU, layers.SimpleRNN])
def test_masked_steps_change_nothing(kind):
    model = keras.Sequential([layers.Embedding(9, 4, mask_zero=True), kind(3), layers.Dense(1)])
    words = GENERATOR.integers(1, 9, (4, 5))
    padded = np.concatenate([words, np.zeros((4, 3), int)], axis=1)
    close(model.predict(padded, verbose=0), model.predict(words, verbose=0))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = model.get_weights()
    model.train_on_batch(words, np.ones((4, 1)))
    expected = model.get_weights()
    model.set_weights(before)
    model.train_on_batch(padded, np.ones((4, 1)))
    for actual, wanted in zip(model.get_weights(), expected, strict=True):
        close(actual, wanted)


def test_masked_steps_have_no_loss():
    x = GENERATOR.normal(size=(2, 4, 3)).astype("float32")
    x[:, 2:] = 0
    y = GENERATOR.normal(size=(2, 4, 2)).astype("float32")
    model = keras.Sequential(
        [layers.Input((4, 3)), layers.Masking(), layers.Dense(2, use_bias=False)]
    )
    model.set_weights([KERNEL])
    model.compile("sgd", "mse")
    close(model.evaluate(x, y, verbose=0), np.mean((x[:, :2] @ KERNEL - y[:, :2]) ** 2))


def test_batch_normalisation_keeps_moving_averages():
    layer = layers.BatchNormalization(momentum=0.9, epsilon=1e-3)
    model = keras.Sequential([layers.Input((3,)), layer])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.fit(X, X, batch_size=20, epochs=2, verbose=0)
    mean, variance = 0.19 * X.mean(0), 0.81 + 0.19 * X.var(0)
    close(layer.moving_mean, mean)
    close(layer.moving_variance, variance)
    close(model.predict(X, verbose=0), (X - mean) / np.sqrt(variance + 1e-3), 1e-4)


def test_dropout_drops_in_training_only():
    x = np.ones((100, 50), "float32")
    layer = layers.Dropout(0.3, seed=1)
    trained = ops.convert_to_numpy(layer(x, training=True))
    close(np.unique(trained), [0, 1 / 0.7])
    assert 0.25 < (trained == 0).mean() < 0.35
    close(layer(x, training=False), x)


# Optimizers.


def test_gradients_accumulate():
    model = linear(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2))
    model.train_on_batch(X[:10], Y[:10])
    np.testing.assert_array_equal(kernel_of(model), KERNEL)
    model.train_on_batch(X[10:], Y[10:])
    close(kernel_of(model), KERNEL - 0.1 * gradient(X, Y))


@pytest.mark.parametrize(
    ("how", "clipped"),
    [
        ({"clipvalue": 0.01}, lambda g: np.clip(g, -0.01, 0.01)),
        ({"clipnorm": 0.05}, lambda g: g * min(1, 0.05 / np.linalg.norm(g))),
        ({"global_clipnorm": 0.05}, lambda g: g * min(1, 0.05 / np.linalg.norm(g))),
    ],
)
def test_gradients_are_clipped(how, clipped):
    model = linear(keras.optimizers.SGD(1.0, **how))
    model.train_on_batch(X, Y)
    close(kernel_of(model), KERNEL - clipped(gradient(X, Y)))


def test_a_step_that_overflows_is_left_out_and_halves_the_scale():
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.1), initial_scale=1e4, dynamic_growth_steps=2
    )
    model = linear(optimizer)
    model.train_on_batch(X * 1e30, Y * 1e30)
    np.testing.assert_array_equal(kernel_of(model), KERNEL)
    close(optimizer.dynamic_scale, 5e3)
    model.train_on_batch(X, Y)
    close(kernel_of(model), KERNEL - 0.1 * gradient(X, Y))
    model.train_on_batch(X, Y)
    close(optimizer.dynamic_scale, 1e4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_learns(policy):
    model = keras.Sequential(
        [
            layers.Input((3,)),
            layers.Dense(8, activation="relu", dtype=policy),
            layers.Dense(2, dtype=policy),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1), "mse")
    assert model.layers[0].kernel.dtype == "float32"
    assert model.layers[0].compute_dtype == policy.removeprefix("mixed_")
    losses = model.fit(X, Y, batch_size=20, epochs=10, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_a_schedule_sets_the_rate_of_each_step():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0, 1], [0.1, 0.05, 0.01])
    model = linear(keras.optimizers.SGD(schedule))
    model.fit(X, Y, batch_size=20, epochs=3, verbose=0)
    kernel = KERNEL
    for rate in (0.1, 0.05, 0.01):
        kernel = kernel - rate * gradient(X, Y, kernel)
    close(kernel_of(model), kernel)


def test_weights_end_as_their_moving_average():
    model = linear(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5))
    model.fit(X, Y, batch_size=20, epochs=3, verbose=0)
    kernel, average = KERNEL, KERNEL
    for step in range(3):
        kernel = kernel - 0.1 * gradient(X, Y, kernel)
        average = kernel if step == 0 else 0.5 * average + 0.5 * kernel
    close(kernel_of(model), average, 1e-4)


# Models.


def test_several_inputs_and_outputs_by_name():
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    sum_ = layers.Add(name="sum")([layers.Dense(2)(a), b])
    model = keras.Model(
        {"a": a, "b": b}, {"sum": sum_, "label": layers.Dense(1, name="label")(sum_)}
    )
    model.compile(
        "adam",
        {"sum": "mse", "label": keras.losses.BinaryCrossentropy(from_logits=True)},
        loss_weights={"sum": 0.5, "label": 2.0},
        metrics={"label": ["accuracy"]},
    )
    labels = GENERATOR.integers(0, 2, (20, 1))
    data = {"a": X, "b": Y}, {"sum": Y, "label": labels}
    history = model.fit(*data, batch_size=8, epochs=5, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    logs = model.evaluate(*data, verbose=0, return_dict=True)
    close(logs["loss"], 0.5 * logs["sum_loss"] + 2.0 * logs["label_loss"], 1e-4)
    outputs = model.predict(data[0], batch_size=7, verbose=0)
    assert outputs["sum"].shape == (20, 2)
    close(logs["label_accuracy"], ((outputs["label"] > 0.5) == labels).mean())


class Nested(keras.Model):
    """A subclassed model with a Sequential in it, and a loss added by a layer."""

    def __init__(self):
        super().__init__()
        self.inner = keras.Sequential([layers.Dense(4, activation="tanh"), layers.Dense(4)])
        self.outer = layers.Dense(2)

    def call(self, x):
        hidden = self.inner(x)
        self.add_loss(0.1 * ops.mean(ops.square(hidden)))
        return self.outer(hidden)


def test_nested_and_subclassed_models():
    model = Nested()
    model.compile(keras.optimizers.SGD(0.1), "mse")
    losses = model.fit(X, Y, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert len(model.trainable_weights) == 6
    hidden = ops.convert_to_numpy(model.inner(X))
    prediction = model.predict(X, verbose=0)
    expected = np.mean((prediction - Y) ** 2) + 0.1 * np.mean(hidden**2)
    close(model.evaluate(X, Y, verbose=0), expected, 1e-4)


def test_a_frozen_batch_normalisation_is_in_inference_mode():
    model = keras.Sequential([layers.Input((3,)), layers.BatchNormalization(), layers.Dense(2)])
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    before = model.layers[0].get_weights()
    model.fit(X, Y, verbose=0)
    for actual, expected in zip(model.layers[0].get_weights(), before, strict=True):
        np.testing.assert_array_equal(actual, expected)
    assert len(model.trainable_weights) == 2


# Callbacks.


class Stopping(keras.callbacks.Callback):
    def __init__(self, after):
        super().__init__()
        self.after, self.batches = after, 0

    def on_train_batch_end(self, batch, logs=None):
        assert np.isfinite(logs["loss"])
        self.batches += 1
        if self.batches == self.after:
            self.model.stop_training = True


def test_stop_training_stops_after_the_batch():
    callback = Stopping(3)
    history = linear().fit(X, Y, batch_size=5, epochs=9, verbose=0, callbacks=[callback])
    assert callback.batches == 3
    assert history.epoch == [0]


def test_callbacks_of_keras(tmp_path):
    model = linear(metrics=["mae"])
    model.fit(
        X,
        Y,
        validation_data=(X[:6], Y[:6]),
        epochs=4,
        verbose=0,
        callbacks=[
            keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1)),
            keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", save_best_only=True),
            keras.callbacks.CSVLogger(tmp_path / "log.csv"),
            keras.callbacks.BackupAndRestore(tmp_path / "backup"),
            keras.callbacks.EarlyStopping(patience=4, restore_best_weights=True),
            keras.callbacks.TerminateOnNaN(),
        ],
    )
    close(model.optimizer.learning_rate, 0.025)
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 5
    saved = keras.models.load_model(tmp_path / "best.keras")
    close(saved.predict(X, verbose=0), model.predict(X, verbose=0))


# Saving.


def test_training_goes_on_from_a_saved_model(tmp_path):
    model = linear(keras.optimizers.Adam(0.1))
    model.fit(X, Y, batch_size=20, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for each in (model, loaded):
        each.fit(X, Y, batch_size=20, epochs=2, shuffle=False, verbose=0)
    close(kernel_of(loaded), kernel_of(model))
    model.save_weights(tmp_path / "model.weights.h5")
    fresh = linear()
    fresh.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(kernel_of(fresh), kernel_of(model))


# The process.


def test_a_seed_reproduces_training():
    def run():
        keras.utils.set_random_seed(7)
        model = keras.Sequential([layers.Dense(8), layers.Dropout(0.5), layers.Dense(2)])
        model.compile("adam", "mse")
        model.fit(X, Y, batch_size=6, epochs=2, verbose=0)
        return model.get_weights()

    for first, second in zip(run(), run(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_device_scopes():
    with keras.device("cpu:1"):
        assert ops.ones((2,)).array.context == mx.cpu(1)
    assert ops.ones((2,)).array.context == mx.cpu(0)


class Squares(keras.utils.PyDataset):
    """Batches made with the backend's ops, by threads."""

    def __init__(self):
        super().__init__(workers=3, max_queue_size=4)
        self.threads = set()

    def __len__(self):
        return 6

    def __getitem__(self, index):
        self.threads.add(threading.get_ident())
        x = ops.convert_to_tensor(X) * (index + 1.0)
        return ops.convert_to_numpy(x), ops.convert_to_numpy(ops.matmul(x, KERNEL))


def test_data_may_come_from_threads():
    data = Squares()
    losses = linear().fit(data, epochs=2, verbose=0).history["loss"]
    assert threading.get_ident() not in data.threads
    close(losses, [0.0, 0.0])


@pytest.mark.parametrize("numpy_mode", [False, True])
def test_gluon_code_trains_between_the_steps_of_keras(numpy_mode):
    class Gluon(keras.callbacks.Callback):
        """Trains the same matrix product with Gluon, a step after each of Keras's."""

        def __init__(self):
            super().__init__()
            array = mx.np.array if numpy_mode else mx.nd.array
            self.data = array(X), array(Y)
            self.net = mx.gluon.nn.Dense(2, use_bias=False, in_units=3)
            self.net.initialize()
            self.net.weight.set_data(array(KERNEL.T))
            self.net.hybridize()
            parameters = self.net.collect_params()
            self.trainer = mx.gluon.Trainer(parameters, "sgd", {"learning_rate": 0.1})

        def on_train_batch_end(self, batch, logs=None):
            assert not mx.autograd.is_recording()
            assert not mx.autograd.is_training()
            assert mx.util.is_np_array() == mx.util.is_np_shape() == numpy_mode
            with mx.autograd.record():
                loss = mx.gluon.loss.L2Loss(2.0)(self.net(self.data[0]), self.data[1])
            loss.backward()
            self.trainer.step(len(X))

    if numpy_mode:
        mx.npx.set_np()
    try:
        callback, model = Gluon(), linear()
        model.fit(X, Y, batch_size=20, epochs=3, verbose=0, callbacks=[callback])
        close(callback.net.weight.data().asnumpy().T, kernel_of(model))
    finally:
        mx.npx.reset_np()
