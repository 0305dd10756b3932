"""Graph mode: the same numbers as eager mode, and eager mode where a graph cannot be had."""

import logging

import keras
import mxnet as mx
import numpy as np
import pytest

from keras_mxnet.src.graph.function import LIMIT, LOST, GraphFunction

GENERATOR = np.random.default_rng(0)


def images(count=24, size=12, channels=3):
    x = GENERATOR.normal(size=(count, size, size, channels)).astype("float32")
    return x, GENERATOR.integers(0, 4, count)


def convolutions():
    return [
        keras.layers.Input((12, 12, 3)),
        keras.layers.Conv2D(5, 3, padding="same", use_bias=False),
        keras.layers.BatchNormalization(),
        keras.layers.Activation("relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(20, 3, strides=2, padding="same", activation="tanh"),
        keras.layers.AveragePooling2D(2, padding="same"),
        keras.layers.Dropout(0.3, seed=3),
        keras.layers.Flatten(),
        keras.layers.Dense(7, activation="relu", kernel_regularizer="l2"),
        keras.layers.LayerNormalization(),
        keras.layers.Dense(4, activation="softmax"),
    ]


def recurrent(cell):
    return lambda: [
        keras.layers.Input((9,)),
        keras.layers.Embedding(20, 6),
        cell(5, return_sequences=True, go_backwards=True),
        cell(5),
        keras.layers.Dense(4, activation="softmax"),
    ]


def tokens():
    return GENERATOR.integers(0, 20, (24, 9)), GENERATOR.integers(0, 4, 24)


MODELS = {
    "convolutions": (convolutions, images),
    "lstm": (recurrent(keras.layers.LSTM), tokens),
    "gru": (recurrent(keras.layers.GRU), tokens),
    "simple_rnn": (recurrent(keras.layers.SimpleRNN), tokens),
}
OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda: keras.optimizers.Adam(
        keras.optimizers.schedules.ExponentialDecay(0.01, 2, 0.5), clipnorm=1.0
    ),
    "accumulated": lambda: keras.optimizers.RMSprop(0.01, gradient_accumulation_steps=2),
    "averaged": lambda: keras.optimizers.Adam(
        0.01, use_ema=True, ema_overwrite_frequency=3, loss_scale_factor=8.0
    ),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.1), dynamic_growth_steps=2
    ),
}


def compiled(layers, optimizer, eager):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(layers())
    model.compile(
        optimizer(), "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=eager
    )
    return model


def assert_same_training(layers, data, optimizer, caplog):
    histories, weights, predictions = [], [], []
    for eager in (True, False):
        model = compiled(layers, optimizer, eager)
        # A batch of eight and a partial one of five.
        fitted = model.fit(
            *data, batch_size=8, epochs=3, verbose=0, shuffle=False, steps_per_epoch=None
        )
        histories.append(fitted.history)
        weights.append(model.get_weights())
        predictions.append(model.predict(data[0], batch_size=5, verbose=0))
        histories[-1]["evaluated"] = model.evaluate(*data, batch_size=7, verbose=0)
    assert "eagerly" not in caplog.text
    for name in histories[0]:
        np.testing.assert_allclose(histories[1][name], histories[0][name], rtol=1e-4, atol=1e-5)
    for graph, eager in zip(weights[1], weights[0], strict=True):
        np.testing.assert_allclose(graph, eager, rtol=1e-3, atol=2e-5)
    np.testing.assert_allclose(predictions[1], predictions[0], rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_of_model_trains_as_in_eager_mode(name, caplog):
    layers, data = MODELS[name]
    assert_same_training(layers, data(), OPTIMIZERS["sgd"], caplog)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_updates_as_in_eager_mode(name, caplog):
    assert_same_training(convolutions, images(), OPTIMIZERS[name], caplog)


def small():
    return [keras.layers.Input((3,)), keras.layers.Dense(2)]


def regression(layers, eager=False, cls=keras.Sequential):
    keras.utils.set_random_seed(1)
    model = cls(layers())
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=eager)
    return model


def vectors(count=16):
    return (
        GENERATOR.normal(size=(count, 3)).astype("float32"),
        GENERATOR.normal(size=(count, 2)).astype("float32"),
    )


class Penalised(keras.Sequential):
    """Two steps of gradients in one training step, the second from updated weights."""

    def train_step(self, data):
        x, y = data
        for factor in (1.0, 0.5):
            with mx.autograd.record():
                loss = self.compute_loss(y=y, y_pred=self(x, training=True)) * factor
            loss.backward()
            weights = self.trainable_weights
            self.optimizer.apply([w.grad for w in weights], weights)
        return {"loss": loss}


def test_a_training_step_may_take_gradients_twice(caplog):
    data, results = vectors(), []
    for eager in (True, False):
        model = regression(small, eager, Penalised)
        model.fit(*data, batch_size=8, epochs=2, verbose=0, shuffle=False)
        results.append(model.get_weights())
    assert "eagerly" not in caplog.text
    for graph, eager in zip(*reversed(results), strict=True):
        np.testing.assert_allclose(graph, eager, rtol=1e-5, atol=1e-6)


class Reading(keras.Sequential):
    def train_step(self, data):
        logs = super().train_step(data)
        float(logs["loss"])
        return logs


def test_a_step_that_reads_a_value_runs_eagerly_and_the_log_says_where(caplog):
    data = vectors()
    model = regression(small, cls=Reading)
    model.fit(*data, batch_size=8, verbose=0, shuffle=False)
    assert "Reading.train_step runs eagerly" in caplog.text
    assert "test_graph.py" in caplog.text
    model.predict(data[0], verbose=0)
    assert list(model.eager_steps) == ["train_step"]
    assert model.eager_steps["train_step"] in caplog.text
    other = regression(small, eager=True)
    other.fit(*data, batch_size=8, verbose=0, shuffle=False)
    for graph, eager in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(graph, eager)


def test_an_error_of_the_users_is_raised_and_changes_no_mode(caplog):
    model = regression(small)
    x, y = vectors()
    with pytest.raises(ValueError, match="incompatible"):
        model.train_on_batch(x[:, :2], y)
    model.train_on_batch(x, y)
    assert "eagerly" not in caplog.text


class Offset(keras.layers.Layer):
    """Adds an attribute that is no variable."""

    def __init__(self, offset):
        super().__init__()
        self.offset = offset

    def call(self, x):
        return x + self.offset


OFFSETS = {
    "tensor": lambda: keras.ops.ones((3,)),
    "numpy": lambda: np.ones(3, "float32"),
    "view": lambda: np.ones((2, 3), "float32")[0],
}


@pytest.mark.parametrize("name", OFFSETS)
def test_an_attribute_is_part_of_the_graph_for_as_long_as_it_stays(name, caplog):
    caplog.set_level(logging.INFO)
    layer = Offset(OFFSETS[name]())
    model = regression(lambda: [keras.layers.Input((3,)), layer, keras.layers.Dense(2)])
    x, _ = vectors()
    before = model.predict(x, verbose=0)
    kernel = model.get_weights()[0].sum(0)
    layer.offset = layer.offset * 5.0
    np.testing.assert_allclose(
        model.predict(x, verbose=0) - before, np.tile(4.0 * kernel, (16, 1)), rtol=1e-4
    )
    if name != "tensor":
        layer.offset[...] = 2.0
        np.testing.assert_allclose(
            model.predict(x, verbose=0) - before, np.tile(kernel, (16, 1)), rtol=1e-4
        )
    assert "eagerly" not in caplog.text


SHARED = np.ones((2, 3), "float32")
SHARING = {
    "tensor": lambda: (lambda one: (one, one))(keras.ops.ones((3,))),
    "numpy": lambda: (SHARED[0], SHARED[1]),
}


@pytest.mark.parametrize("name", SHARING)
@pytest.mark.parametrize("changed", [0, 1])
def test_of_attributes_that_share_memory_each_is_looked_at(name, changed):
    both = [Offset(offset) for offset in SHARING[name]()]
    model = keras.Sequential([keras.layers.Input((3,)), *both])
    x = np.zeros((2, 3), "float32")
    np.testing.assert_array_equal(model.predict(x, verbose=0), np.full((2, 3), 2.0))
    both[changed].offset = keras.ops.full((3,), 5.0)
    np.testing.assert_array_equal(model.predict(x, verbose=0), np.full((2, 3), 6.0))


def test_an_attribute_that_is_another_again_and_again_makes_the_step_eager(caplog):
    layer = Offset(keras.ops.ones((3,)))
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(3), layer])
    x = np.zeros((2, 3), "float32")
    for value in range(LOST + 3):
        layer.offset = keras.ops.full((3,), float(value))
        np.testing.assert_array_equal(model.predict(x, verbose=0), np.full((2, 3), value))
    assert "`offset` of Offset is another array again and again" in caplog.text


class Remembering(keras.Sequential):
    """Tells the loss of the step before."""

    def train_step(self, data):
        logs = super().train_step(data)
        told, self.before = self.before, logs["loss"] + 0.0
        return {**logs, "before": told}


def test_a_step_that_changes_an_attribute_it_reads_runs_eagerly(caplog):
    x, y = vectors()
    model = regression(small, cls=Remembering)
    model.before = keras.ops.zeros(())
    losses = [model.train_on_batch(x, y, return_dict=True) for _ in range(3)]
    assert "it changes `before` of Remembering, an array that it uses" in caplog.text
    assert [float(each["before"]) for each in losses] == [
        0.0,
        *(pytest.approx(float(each["loss"])) for each in losses[:2]),
    ]


class Counting(keras.layers.Layer):
    """Counts its calls in an array of NumPy's, in place."""

    def __init__(self):
        super().__init__()
        self.count = np.zeros(1, "float32")

    def call(self, x):
        self.count += 1.0
        return x + self.count


def test_a_layer_that_changes_an_array_in_place_counts_as_in_eager_mode(caplog):
    x, y = vectors()
    told = []
    for eager in (False, True):
        layer = Counting()
        model = regression(lambda: [keras.layers.Input((3,)), layer, keras.layers.Dense(2)], eager)  # noqa: B023
        model.fit(x, y, epochs=2, batch_size=8, verbose=0, shuffle=False)
        told.append((layer.count.tolist(), model.get_weights()))
    assert "it changes `count` of Counting" in caplog.text
    assert told[0][0] == told[1][0]
    np.testing.assert_array_equal(told[0][1][0], told[1][1][0])


class Choosing(keras.losses.Loss):
    """Takes labels or weights by value."""

    def __init__(self, of_labels):
        super().__init__()
        self.of_labels = of_labels

    def call(self, y_true, y_pred):
        value = y_true if self.of_labels else y_pred
        value = keras.ops.cond(
            keras.ops.all(y_true > 0), lambda: value * 2.0, lambda: keras.ops.sqrt(value + 9.0)
        )
        return keras.ops.square(value - y_pred)


@pytest.mark.parametrize("of_labels", [True, False])
def test_a_choice_stays_in_the_graph_unless_gradients_flow_through_it(of_labels, caplog):
    x, y = vectors()
    weights = []
    for eager in (False, True):
        model = regression(small, eager)
        model.compile("sgd", Choosing(of_labels), run_eagerly=eager)
        model.train_on_batch(x, y)
        model.train_on_batch(x, abs(y) + 1.0)
        weights.append(model.get_weights())
    for graph, other in zip(*weights, strict=True):
        np.testing.assert_allclose(graph, other, rtol=1e-5)
    assert ("depends on a value" in caplog.text) != of_labels


def test_layers_and_metrics_of_keras_that_hold_arrays_stay_in_the_graph(caplog):
    x, y = vectors()
    y = (y[:, :1] > 0).astype("float32")
    normalization = keras.layers.Normalization()
    normalization.adapt(x)
    told = []
    for eager in (False, True):
        keras.utils.set_random_seed(3)
        model = keras.Sequential(
            [keras.layers.Input((3,)), normalization, keras.layers.Dense(1, activation="sigmoid")]
        )
        metrics = [keras.metrics.AUC(), keras.metrics.AUC(thresholds=[0.2, 0.5, 0.8])]
        model.compile("sgd", "binary_crossentropy", metrics=metrics, run_eagerly=eager)
        history = model.fit(x, y, epochs=2, batch_size=8, verbose=0, shuffle=False).history
        told.append(np.array(list(history.values())))
    assert "eagerly" not in caplog.text
    np.testing.assert_allclose(told[0], told[1], rtol=1e-5)


class Scaling(keras.layers.Layer):
    """Multiplies by what `factor()` gives."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def call(self, x):
        return x * self.factor()


def predictions_of_ones(factor, change=lambda: None):
    """Return what a `Scaling` predicts for ones, before and after a change."""
    model = keras.Sequential([keras.layers.Input((3,)), Scaling(factor)])
    x = np.ones((2, 3), "float32")
    first = model.predict(x, verbose=0)
    change()
    return first, model.predict(x, verbose=0)


HELD = np.ones(3, "float32")
FACTORS = {
    "operand": lambda: HELD,
    "no dimensions": lambda: HELD[:1].reshape(()),
    "converted": lambda: keras.ops.convert_to_tensor(HELD),
    "read on the host": lambda: keras.ops.convert_to_tensor(keras.ops.convert_to_numpy(HELD)),
    "in a list": lambda: keras.ops.convert_to_tensor([HELD])[0],
    "beside tensors": lambda: keras.ops.stack([HELD, keras.ops.ones(3)])[0],
    "repeats": lambda: float(keras.ops.repeat([1.0], HELD[:1].astype(int)).shape[0]),
}


@pytest.mark.parametrize("name", FACTORS)
def test_a_numpy_array_that_is_changed_in_place_is_never_frozen(name, caplog):
    HELD.fill(1.0)
    first, second = predictions_of_ones(FACTORS[name], lambda: HELD.fill(7.0))
    assert "Sequential.predict_step runs eagerly: it uses a numpy array of shape" in caplog.text
    assert "test_graph.py" in caplog.text
    np.testing.assert_array_equal(second, 7.0 * first)


def test_random_numbers_of_numpy_are_never_frozen(caplog):
    first, second = predictions_of_ones(lambda: np.random.default_rng().normal(size=3))
    assert "runs eagerly: it uses a numpy array of shape (3,)" in caplog.text
    assert (first != second).any()


READINGS = {
    "convert_to_numpy": keras.ops.convert_to_numpy,
    "asarray": np.asarray,
    "float": float,
    "item": lambda tensor: tensor.item(),
}


@pytest.mark.parametrize("name", READINGS)
def test_a_tensor_from_elsewhere_that_is_read_on_the_host_is_never_frozen(name, caplog):
    held = [keras.ops.ones(())]
    first, second = predictions_of_ones(
        lambda: keras.ops.convert_to_tensor(READINGS[name](held[0])),
        lambda: held.__setitem__(0, keras.ops.full((), 7.0)),
    )
    assert "runs eagerly: it reads an array of shape () and dtype float32" in caplog.text
    assert "test_graph.py" in caplog.text
    np.testing.assert_array_equal(second, 7.0 * first)


def test_a_tensor_from_elsewhere_is_never_frozen(caplog):
    held = [keras.ops.ones((3,))]
    first, second = predictions_of_ones(
        lambda: held[0], lambda: held.__setitem__(0, keras.ops.full((3,), 7.0))
    )
    assert "runs eagerly: it uses an array of shape (3,) and dtype float32" in caplog.text
    np.testing.assert_array_equal(second, 7.0 * first)


class Constant(keras.layers.Layer):
    """Uses what hangs on shapes and Python's numbers alone, on the host as well."""

    def call(self, x):
        count = int(np.prod(x.shape[1:]))
        x = x * [1.0, 2.0, 3.0] / np.sqrt(count) + np.float32(0.5)
        x = x + keras.ops.convert_to_numpy(keras.ops.arange(count))[-1]
        x = keras.ops.pad(keras.ops.repeat(x, 2, axis=1), ((0, 0), (1, 1)), "reflect")
        return keras.ops.take_along_axis(x, keras.ops.zeros((x.shape[0], 1), "int32"), 1)


def test_what_hangs_on_shapes_and_numbers_alone_stays_in_the_graph(caplog):
    x = np.ones((2, 3), "float32")
    graph, eager = (
        regression(lambda: [keras.layers.Input((3,)), Constant(), keras.layers.Dense(2)], eager)
        for eager in (False, True)
    )
    np.testing.assert_allclose(graph.predict(x, verbose=0), eager.predict(x, verbose=0), rtol=1e-6)
    assert "eagerly" not in caplog.text


class SelfAttention(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.attention = keras.layers.MultiHeadAttention(2, 4)

    def call(self, x):
        return self.attention(x, x, use_causal_mask=True)


LAYERS = {
    "attention": (SelfAttention, (5, 3)),
    "bidirectional": (lambda: keras.layers.Bidirectional(keras.layers.GRU(3)), (5, 3)),
    "category encoding": (lambda: keras.layers.CategoryEncoding(9, "multi_hot"), (3,)),
    "rescaling": (lambda: keras.layers.Rescaling([0.1, 0.2, 0.3], 1.0), (4, 4, 3)),
    "resizing": (lambda: keras.layers.Resizing(6, 6), (4, 4, 3)),
    "padded average": (lambda: keras.layers.AveragePooling2D(2, 2, "same"), (5, 5, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_keras_run_as_graphs(name, caplog):
    layer, shape = LAYERS[name]
    model = keras.Sequential([keras.layers.Input(shape), layer()])
    x = GENERATOR.integers(0, 9, (4, *shape)).astype("float32")
    np.testing.assert_allclose(model.predict(x, verbose=0), model(x).numpy(), rtol=1e-5, atol=1e-6)
    assert "eagerly" not in caplog.text


def test_freezing_a_layer_changes_the_graph(caplog):
    caplog.set_level(logging.INFO, "keras_mxnet")
    data = vectors()
    model = regression(lambda: [*small(), keras.layers.Dense(2)])
    for trained in (True, False, True):
        model.layers[0].trainable = trained
        before = model.get_weights()
        model.train_on_batch(*data)
        after = model.get_weights()
        assert (np.abs(after[0] - before[0]).max() > 0) == trained
        assert np.abs(after[2] - before[2]).max() > 0
    # The third step has the graph of the first.
    assert caplog.text.count("traced again") == 1


def test_random_numbers_differ_from_step_to_step_and_repeat_from_a_seed():
    def run():
        keras.utils.set_random_seed(5)
        model = keras.Sequential(
            [keras.layers.Input((50,)), keras.layers.GaussianNoise(1.0, seed=2)]
        )
        noisy = GraphFunction(lambda x: model(x, training=True), "noise")
        zeros = keras.ops.zeros((2, 50))
        return [noisy(zeros).numpy() for _ in range(3)]

    first, second = run(), run()
    np.testing.assert_array_equal(first, second)
    assert np.abs(first[0] - first[1]).max() > 0.1


def test_many_shapes_keep_a_bounded_number_of_graphs(caplog):
    caplog.set_level(logging.INFO, "keras_mxnet")
    double = GraphFunction(lambda x: x * 2.0, "double")
    for length in range(1, 51):
        x = keras.ops.arange(length, dtype="float32")
        np.testing.assert_array_equal(double(x).numpy(), 2.0 * np.arange(length))
    assert len(double._programs) == LIMIT
    assert "traced again" in caplog.text


def test_a_condition_on_a_value_selects(caplog):
    counter = keras.Variable(0.0, trainable=False)

    def step(x):
        total = keras.ops.sum(x)

        def bigger():
            counter.assign_add(1.0)
            return total * 2.0

        return keras.ops.cond(total > 0, bigger, lambda: total - 1.0)

    graph = GraphFunction(step, "step")
    results = [float(graph(keras.ops.full((2,), value))) for value in (3.0, -2.0, 1.0)]
    assert results == [12.0, -5.0, 4.0]
    assert float(counter.value) == 2.0
    assert "eagerly" not in caplog.text


def test_a_layer_of_ones_own_with_state(caplog):
    class Counting(keras.layers.Layer):
        def build(self, shape):
            self.seen = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, x):
            self.seen.assign_add(1.0)
            return x * self.seen

    results = []
    for eager in (True, False):
        layer = Counting()
        model = regression(
            lambda layer=layer: [keras.layers.Input((3,)), layer, keras.layers.Dense(2)], eager
        )
        x = np.ones((8, 3), "float32")
        model.fit(x, np.ones((8, 2), "float32"), batch_size=2, epochs=2, verbose=0)
        results.append([layer.seen.numpy(), *model.get_weights()])
    assert "eagerly" not in caplog.text
    for graph, eager in zip(*reversed(results), strict=True):
        np.testing.assert_allclose(graph, eager, rtol=1e-5, atol=1e-6)
