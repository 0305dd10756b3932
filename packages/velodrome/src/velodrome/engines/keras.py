"""Keras 3 as users run it, `compile` and `fit`, on each of its backends."""

import importlib
import os
from typing import Any, ClassVar

import numpy as np

from velodrome.engines.base import Engine, Inputs, Labels, Order, Totals
from velodrome.engines.mxnet import MXNet, import_mxnet
from velodrome.engines.tensorflow import TensorFlow
from velodrome.job import Job
from velodrome.record import Ledger
from velodrome.trial import Settings
from velodrome.workloads.graph import (
    Activation,
    AnyLayer,
    Conv2D,
    Dense,
    Flatten,
    Graph,
    MaxPool2D,
    Weights,
)

_LONG_STEP = 2.0**20


class Keras(Engine):
    """What the four Keras engines share.

    Attributes:
        backend: what `KERAS_BACKEND` is set to.
    """

    backend: ClassVar[str]

    @classmethod
    def variables(cls, settings: Settings, threads: int) -> dict[str, str]:
        """The backend's name, and what the framework needs besides."""
        return {"KERAS_BACKEND": cls.backend}

    def __init__(self, job: Job) -> None:
        self._job = job
        os.environ["KERAS_BACKEND"] = self.backend
        import keras

        if keras.config.backend() != self.backend:
            raise ImportError(f"Keras runs on {keras.config.backend()}, not on {self.backend}")

    def build(self) -> None:
        import keras

        recipe = self._job.trial.recipe
        self._model = self._compiled(
            keras.optimizers.SGD(recipe.learning_rate, recipe.momentum), recipe.weight_decay
        )

    def _compiled(self, optimizer: Any, weight_decay: float) -> Any:
        """A model of the job's graph, ready for `fit`.

        With a weight penalty in Keras's own loss, cross-entropy is a metric besides.
        """
        import keras

        model = _model(self._job.graph, weight_decay)
        model.compile(
            optimizer=optimizer,
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=[
                "accuracy",
                keras.metrics.SparseCategoricalCrossentropy(name="crossentropy", from_logits=True),
            ]
            if weight_decay
            else ["accuracy"],
        )
        model.optimizer.build(model.trainable_variables)
        return model

    def load(self, train: tuple[Inputs, Labels], validation: tuple[Inputs, Labels]) -> None:
        self._train = train
        self._validation = validation

    def set_weights(self, weights: Weights) -> None:
        for name, array in weights.items():
            _variable(self._model, name).assign(array)
        for variable in self._model.optimizer.variables:
            if variable is not self._model.optimizer.learning_rate:
                variable.assign(np.zeros(variable.shape, variable.dtype))

    def weights(self) -> Weights:
        return self._read(self._model)

    def _read(self, model: Any) -> Weights:
        import keras

        names = self._job.graph.parameters()
        return {name: keras.ops.convert_to_numpy(_variable(model, name)) for name in names}

    def train(self, order: Order, learning_rate: float) -> Totals:
        self._model.optimizer.learning_rate = learning_rate
        x, y = self._train
        history = self._model.fit(
            x[order],
            y[order],
            batch_size=self._job.trial.batch_size,
            shuffle=False,
            verbose=0,
        ).history
        return _totals({name: values[0] for name, values in history.items()})

    def evaluate(self) -> Totals:
        logs = self._model.evaluate(
            *self._validation,
            batch_size=self._job.trial.batch_size,
            verbose=0,
            return_dict=True,
        )
        return _totals(logs)

    def gradients(self, order: Order) -> tuple[float, Weights]:
        """What `fit` does in one step of plain gradient descent on a copy of the model.

        The step is so long that the weights it starts from vanish against it: the
        gradients keep float32's full precision, and a power of two rounds nothing.
        """
        import keras

        model = self._compiled(keras.optimizers.SGD(_LONG_STEP), 0.0)
        before = self.weights()
        for name, array in before.items():
            _variable(model, name).assign(array)
        x, y = self._train
        history = model.fit(
            x[order], y[order], batch_size=len(order), shuffle=False, verbose=0
        ).history
        after = self._read(model)
        gradients = {
            name: ((before[name].astype(np.float64) - after[name]) / _LONG_STEP).astype(np.float32)
            for name in self._job.graph.parameters()
        }
        return history["loss"][0], gradients

    def ledger(self) -> Ledger:
        import keras

        job = self._job
        framework = importlib.import_module(self.framework)
        return Ledger(
            dtype=keras.config.floatx(),
            compile_mode=f"Keras's choice (jit_compile={self._model.jit_compile})",
            threads=self._threads(),
            memory_format=keras.config.image_data_format().replace("_", " "),
            data_path="arrays in memory, reordered an epoch, model.fit",
            variables=self.variables(job.trial.settings, job.threads),
            versions={
                "keras": keras.__version__,
                self.framework: str(framework.__version__),
                "numpy": np.__version__,
            },
            device="cpu",
        )

    def _threads(self) -> int | None:
        """Threads of the framework, where it tells."""
        return None


class KerasMXNet(Keras):
    """Keras on MXNet, by the `keras_mxnet` plug-in."""

    name = "keras-mxnet"
    framework = "mxnet"
    backend = "mxnet"
    summary = "Keras on MXNet, by the keras_mxnet plug-in"

    @classmethod
    def variables(cls, settings: Settings, threads: int) -> dict[str, str]:
        """As for MXNet itself."""
        return super().variables(settings, threads) | MXNet.variables(settings, threads)

    def __init__(self, job: Job) -> None:
        import_mxnet()
        super().__init__(job)


class KerasTensorFlow(Keras):
    """Keras on TensorFlow."""

    name = "keras-tensorflow"
    framework = "tensorflow"
    backend = "tensorflow"
    summary = "Keras on TensorFlow"

    @classmethod
    def variables(cls, settings: Settings, threads: int) -> dict[str, str]:
        """As for TensorFlow itself."""
        return super().variables(settings, threads) | TensorFlow.variables(settings, threads)


class KerasJax(Keras):
    """Keras on JAX."""

    name = "keras-jax"
    framework = "jax"
    backend = "jax"
    summary = "Keras on JAX"


class KerasTorch(Keras):
    """Keras on PyTorch."""

    name = "keras-torch"
    framework = "torch"
    backend = "torch"
    summary = "Keras on PyTorch"

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        if job.trial.settings == "tuned":
            import torch

            torch.set_num_threads(job.threads)

    def _threads(self) -> int | None:
        import torch

        return int(torch.get_num_threads())


def _totals(logs: dict[str, float]) -> Totals:
    return Totals(logs.get("crossentropy", logs["loss"]), logs["accuracy"])


def _variable(model: Any, name: str) -> Any:
    node, array = name.split("/")
    return getattr(model.get_layer(node), array)


ENGINES = (KerasMXNet, KerasTensorFlow, KerasJax, KerasTorch)


def _model(graph: Graph, weight_decay: float) -> Any:
    """The graph as a functional model, a layer a node of the same name."""
    import keras

    values = {"input": keras.Input(graph.input_shape)}
    for node in graph.nodes:
        layer = _layer(node.layer, node.name, weight_decay)
        values[node.name] = layer(*(values[name] for name in node.inputs))
    return keras.Model(values["input"], values[graph.nodes[-1].name])


def _layer(layer: AnyLayer, name: str, weight_decay: float) -> Any:
    from keras import layers, regularizers

    # Keras's L2 is factor * sum(w^2), whose gradient is twice the factor times w.
    penalty = regularizers.L2(weight_decay / 2) if weight_decay else None
    match layer:
        case Conv2D():
            return layers.Conv2D(
                layer.filters,
                layer.kernel,
                padding=layer.padding,
                kernel_regularizer=penalty,
                name=name,
            )
        case MaxPool2D():
            return layers.MaxPooling2D(layer.pool, layer.stride, name=name)
        case Flatten():
            return layers.Flatten(name=name)
        case Dense():
            return layers.Dense(layer.units, kernel_regularizer=penalty, name=name)
        case Activation():
            return layers.Activation(layer.function, name=name)
