"""Several devices, which share each batch, train what one trains."""

import contextlib
import logging

import keras
import mxnet as mx
import numpy as np
import pytest

from keras_mxnet.src.graph.sums import Sums

GENERATOR = np.random.default_rng(0)
# Six batches of 12, and a last one of 7 that neither two nor four devices share evenly.
COUNT, BATCH = 79, 12


@contextlib.contextmanager
def devices(count):
    """Let that many share each batch; None for no distribution at all."""
    keras.distribution.set_distribution(
        None
        if count is None
        else keras.distribution.DataParallel(devices=[f"cpu:{i}" for i in range(count)])
    )
    try:
        yield
    finally:
        keras.distribution.set_distribution(None)


def test_a_job_of_several_processes_is_refused(monkeypatch):
    with pytest.raises(NotImplementedError, match="num_processes=2, but MXNet trains in one"):
        keras.distribution.initialize("10.0.0.1:1,10.0.0.2:1", num_processes=2, process_id=0)
    monkeypatch.setenv("KERAS_DISTRIBUTION_NUM_PROCESSES", "2")
    with pytest.raises(NotImplementedError, match="num_processes=2"):
        keras.distribution.initialize()
    keras.distribution.initialize(num_processes=1, process_id=0)


def conv():
    return [
        keras.layers.Input((8, 8, 3)),
        keras.layers.Conv2D(6, 3, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(5, 3, kernel_regularizer=keras.regularizers.L2(0.01)),
        keras.layers.Flatten(),
        keras.layers.Dense(4, activation="softmax"),
    ]


def dense():
    return [
        keras.layers.Input((10,)),
        keras.layers.Dense(8, activation="tanh", activity_regularizer="l2"),
        keras.layers.LayerNormalization(),
        keras.layers.Dense(4, activation="softmax"),
    ]


def masked():
    """Sequences whose padding counts neither in the loss nor in the metrics."""
    return [
        keras.layers.Input((6,)),
        keras.layers.Embedding(9, 5, mask_zero=True),
        keras.layers.LSTM(6, return_sequences=True),
        keras.layers.Dense(4, activation="softmax"),
    ]


def images(count=COUNT):
    x = GENERATOR.normal(size=(count, 8, 8, 3)).astype("float32")
    return x, GENERATOR.integers(0, 4, count)


def vectors(count=COUNT):
    return GENERATOR.normal(size=(count, 10)).astype("float32"), GENERATOR.integers(0, 4, count)


def sentences(count=COUNT):
    x = GENERATOR.integers(1, 9, (count, 6))
    x *= np.arange(6) < GENERATOR.integers(1, 7, (count, 1))
    return x, GENERATOR.integers(0, 4, (count, 6))


MODELS = {"conv": (conv, images), "dense": (dense, vectors), "masked": (masked, sentences)}
OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.01, clipnorm=1.0),
}


def compiled(layers, optimizer="momentum", cls=keras.Sequential, **options):
    keras.utils.set_random_seed(1)
    model = cls(layers())
    model.compile(
        OPTIMIZERS[optimizer](),
        "sparse_categorical_crossentropy",
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2)],
        weighted_metrics=["sparse_categorical_crossentropy"],
        **options,
    )
    return model


def trained(count, layers, data, optimizer="momentum", weights=None, **options):
    """Return all that training, evaluation and prediction give on that many devices."""
    with devices(count):
        model = compiled(layers, optimizer, **options)
        fit = model.fit(
            *data,
            sample_weight=weights,
            batch_size=BATCH,
            epochs=2,
            shuffle=False,
            verbose=0,
            validation_data=(data[0][:23], data[1][:23]),
        )
        evaluated = model.evaluate(
            *data, sample_weight=weights, batch_size=BATCH, verbose=0, return_dict=True
        )
        predicted = model.predict(data[0], batch_size=BATCH, verbose=0)
    return {
        **fit.history,
        **{f"evaluated {name}": value for name, value in evaluated.items()},
        "predicted": predicted,
        **{f"weight {i}": value for i, value in enumerate(model.get_weights())},
        **{f"state {i}": np.array(v) for i, v in enumerate(model.optimizer.variables)},
    }


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=2e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_devices_train_what_one_trains(name, optimizer, caplog):
    layers, make = MODELS[name]
    data = make()
    expected = trained(None, layers, data, optimizer)
    for count in (1, 2, 4):
        assert_same(trained(count, layers, data, optimizer), expected)
    assert "eagerly" not in caplog.text


@pytest.mark.parametrize("name", ["conv", "dense"])
def test_samples_of_different_weight(name):
    layers, make = MODELS[name]
    data = make()
    # The parts of a batch weigh differently, so that a mean of means would be wrong.
    weights = np.linspace(0.0, 3.0, COUNT, dtype="float32")
    expected = trained(None, layers, data, weights=weights)
    for count in (2, 4):
        assert_same(trained(count, layers, data, weights=weights), expected)


def normalised():
    return [
        keras.layers.Input((8, 8, 3)),
        keras.layers.Conv2D(5, 3, use_bias=False),
        keras.layers.BatchNormalization(momentum=0.5),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(4, activation="softmax"),
    ]


def test_batch_normalisation_is_each_devices_own_and_its_averages_are_shared(caplog):
    """As one device that takes the two halves of the batch one after the other."""
    x, y = images(12)
    with devices(2):
        model = compiled(normalised)
        before = model.get_weights()
        loss = model.train_on_batch(x, y)[0]
    assert "eagerly" not in caplog.text
    halves = []
    for part in (slice(0, 6), slice(6, 12)):
        one = compiled(normalised)
        halves.append([one.train_on_batch(x[part], y[part])[0], *one.get_weights()])
    # SGD's first step is linear in the gradient: the mean of the halves' is the whole's.
    np.testing.assert_allclose(loss, (halves[0][0] + halves[1][0]) / 2, rtol=1e-5)
    for start, whole, *parts in zip(
        before, model.get_weights(), *(h[1:] for h in halves), strict=True
    ):
        assert np.abs(whole - start).max() > 0
        np.testing.assert_allclose(whole, (parts[0] + parts[1]) / 2, rtol=1e-4, atol=1e-6)


class Adversarial(keras.Sequential):
    """Two calls of the model in a step of one's own, and a penalty on its weights."""

    def train_step(self, data):
        x, y = data
        with mx.autograd.record():
            loss = self.compute_loss(y=y, y_pred=self(x, training=True))
            mirrored = self.compute_loss(y=y, y_pred=self(-2.0 * x, training=True))
            total = loss + 0.5 * mirrored + 0.1 * keras.ops.sum(self.trainable_weights[0] ** 2)
        total.backward()
        weights = self.trainable_weights
        self.optimizer.apply([w.grad for w in weights], weights)
        return {"loss": loss, "mirrored": mirrored, **self.compute_metrics(x, y, self(x))}


def test_a_training_step_of_ones_own(caplog):
    data = vectors()
    expected = trained(None, dense, data, cls=Adversarial)
    for count in (2, 4):
        assert_same(trained(count, dense, data, cls=Adversarial), expected)
    assert "eagerly" not in caplog.text


class Autoencoder(keras.Model):
    """Several inputs and outputs by name, a loss from within, a counter and a metric of its own."""

    def __init__(self):
        super().__init__()
        self.encode = keras.layers.Dense(3)
        self.decode = keras.layers.Dense(10)
        self.size = keras.metrics.Mean(name="size")
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, dtype="int32")

    def call(self, inputs):
        code = self.encode(inputs["x"] * inputs["scale"])
        self.add_loss(keras.ops.mean(code**2))
        self.size.update_state(keras.ops.abs(code))
        self.calls.assign_add(1)
        return {"code": code, "again": self.decode(code)}


def test_what_a_model_keeps_within_counts_every_sample_once(caplog):
    x, _ = vectors(12 + 7)
    scale = np.linspace(0.5, 2.0, len(x), dtype="float32")[:, None]
    results = []
    for count in (None, 2, 4):
        with devices(count):
            keras.utils.set_random_seed(1)
            model = Autoencoder()
            model.compile("adam", loss={"again": "mse"})
            history = model.fit(
                {"x": x, "scale": scale},
                {"again": x},
                batch_size=12,
                epochs=2,
                shuffle=False,
                verbose=0,
            ).history
            results.append([history["loss"], history["size"], *model.get_weights()])
        assert int(model.calls.value) == 4
    assert "eagerly" not in caplog.text
    for several in results[1:]:
        for found, expected in zip(several, results[0], strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_every_device_computes_and_only_the_samples_of_its_own():
    class Watched(keras.layers.Layer):
        def call(self, x):
            shapes.append(x.shape)
            return x

    shapes = []
    x, y = vectors(10)
    with devices(4):
        model = compiled(lambda: [*dense()[:1], Watched(), *dense()[1:]])
        model.train_on_batch(x, y)
        shapes.clear()
        # Of three samples, the fourth device gets none.
        for count in (10, 3, 1):
            model.predict_on_batch(x[:count])
    sizes = [shape[0] for shape in shapes]
    assert sizes == [3, 2, 3, 2, 1, 1, 1, 1]
    kernel = model.trainable_weights[0]
    copies = [mx.cpu(i) for i in range(4)]
    assert [kernel.on(context).ctx for context in copies] == copies
    for context in copies:
        np.testing.assert_array_equal(kernel.on(context).asnumpy(), kernel.numpy())


def test_copies_follow_a_weight_that_is_assigned():
    x, _ = vectors(8)
    with devices(2):
        model = compiled(dense)
        before = model.predict(x, verbose=0)
        model.set_weights([w * 0.5 for w in model.get_weights()])
        after = model.predict(x, verbose=0)
    expected = model.predict(x, verbose=0)
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(after, expected, rtol=1e-5, atol=1e-6)


def test_dropout_differs_from_device_to_device():
    with devices(2):
        model = keras.Sequential([keras.layers.Input((50,)), keras.layers.Dropout(0.5, seed=1)])

        class Training(keras.Model):
            def call(self, x):
                return model(x, training=True)

        dropped = Training()
        dropped.compile()
        kept = dropped.predict(np.ones((2, 50), "float32"), verbose=0) > 0
    assert 0 < kept.mean() < 1
    assert (kept[0] != kept[1]).any()


def test_a_step_that_reads_a_value_runs_on_one_device_and_says_so(caplog):
    class Reading(keras.Sequential):
        def train_step(self, data):
            logs = super().train_step(data)
            float(logs["loss"])
            return logs

    data = vectors()
    expected = trained(None, dense, data)
    assert_same(trained(2, dense, data, cls=Reading), expected)
    assert "Reading.train_step runs eagerly, on one device" in caplog.text
    assert_same(trained(2, dense, data, run_eagerly=True), expected)
    assert "Sequential.train_step runs eagerly, on one device" in caplog.text


def test_a_distribution_may_change_between_steps(caplog):
    caplog.set_level(logging.INFO, "keras_mxnet")
    x, y = vectors(12)
    model, other = compiled(dense), compiled(dense)
    for count in (None, 2, None, 2):
        with devices(count):
            model.train_on_batch(x, y)
        other.train_on_batch(x, y)
    for found, expected in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert caplog.text.count("traced again") == 1


def test_devices_that_are_not_there_and_distributions_that_are_not_built():
    x, y = vectors(8)
    model = compiled(dense)
    assert keras.distribution.list_devices("cpu") == ["cpu:0"]
    assert keras.distribution.get_device_count("cpu") == 1
    if not mx.context.num_gpus():
        several = keras.distribution.DataParallel(devices=["gpu:0", "gpu:1"])
        with several.scope(), pytest.raises(ValueError, match="MXNet sees 0 GPUs"):
            model.fit(x, y, verbose=0)
    mesh = keras.distribution.DeviceMesh((2,), ("model",), ["cpu:0", "cpu:1"])
    layouts = keras.distribution.LayoutMap(mesh)
    layouts[".*kernel"] = (None, "model")
    sharded = keras.distribution.ModelParallel(layout_map=layouts)
    with sharded.scope(), pytest.raises(NotImplementedError, match="use keras"):
        model.fit(x, y, verbose=0)


def test_sums_are_those_of_this_call():
    contexts = [mx.cpu(i) for i in range(3)]
    for used in (contexts, contexts[:2], contexts):
        sums = Sums()
        for factor in (1.0, 10.0):
            parts, others = (
                [mx.np.array([f * (i + 1)], ctx=c) for i, c in enumerate(used)]
                for f in (factor, -factor)
            )
            alone = mx.np.array([7.0])
            whole, same, negative = sums([parts, [alone], others])
            expected = factor * sum(range(1, len(used) + 1))
            assert (whole.asnumpy(), negative.asnumpy()) == ([expected], [-expected])
            assert same is alone
