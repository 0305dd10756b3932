"""MXNet used directly: a Gluon block, hybridized with static allocation."""

from typing import Any

import numpy as np

from velodrome.engines import channels_first
from velodrome.engines.base import Engine, Inputs, Labels, Order, Totals
from velodrome.engines.batches import batches, in_sequence
from velodrome.job import Job
from velodrome.machine import openblas_core_type
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
    Shape,
    Weights,
)


class MXNet(Engine):
    """MXNet: Gluon, `autograd`, `gluon.Trainer`."""

    name = "mxnet"
    framework = "mxnet"
    summary = "Apache MXNet, hybridized Gluon"

    @classmethod
    def variables(cls, settings: Settings, threads: int) -> dict[str, str]:
        """One OpenMP thread a core, and OpenBLAS told which processor this is.

        Left alone, MXNet 1.9 runs OpenMP as if on one core, and its OpenBLAS takes
        processors younger than itself for a Prescott.
        """
        if settings == "stock":
            return {}
        core_type = openblas_core_type()
        return {"OMP_NUM_THREADS": str(threads)} | (
            {"OPENBLAS_CORETYPE": core_type} if core_type else {}
        )

    def __init__(self, job: Job) -> None:
        import_mxnet()
        self._job = job

    def build(self) -> None:
        import mxnet as mx

        self._block = _block(self._job.graph)
        self._block.initialize(ctx=mx.cpu())
        self._block.hybridize(static_alloc=True, static_shape=True)

    def load(self, train: tuple[Inputs, Labels], validation: tuple[Inputs, Labels]) -> None:
        self._train = _channels_first(train[0]), train[1].astype(np.float32)
        self._validation = _channels_first(validation[0]), validation[1].astype(np.float32)

    def set_weights(self, weights: Weights) -> None:
        import mxnet as mx

        recipe = self._job.trial.recipe
        for name, array in channels_first.from_graph(self._job.graph, weights).items():
            self._parameter(name).set_data(mx.nd.array(array))
        for name, parameter in self._block.collect_params().items():
            parameter.wd_mult = 1.0 if name.endswith("weight") else 0.0
        self._trainer = mx.gluon.Trainer(
            self._block.collect_params(),
            "sgd",
            {
                "learning_rate": recipe.learning_rate,
                "momentum": recipe.momentum,
                "wd": recipe.weight_decay,
            },
            kvstore=None,
        )

    def _parameter(self, name: str) -> Any:
        node, array = name.split("/")
        return getattr(self._block.layers[node], "weight" if array == "kernel" else array)

    def weights(self) -> Weights:
        names = self._job.graph.parameters()
        arrays = {name: self._parameter(name).data().asnumpy() for name in names}
        return channels_first.to_graph(self._job.graph, arrays)

    def train(self, order: Order, learning_rate: float) -> Totals:
        import mxnet as mx

        self._trainer.set_learning_rate(learning_rate)
        block, trainer = self._block, self._trainer
        images, labels = self._train
        loss_sum = mx.nd.zeros(1)
        correct = mx.nd.zeros(1)
        for index in batches(order, self._job.trial.batch_size):
            x, y = mx.nd.array(images[index]), mx.nd.array(labels[index])
            with mx.autograd.record():
                loss, right = block(x, y)
            loss.backward()
            trainer.step(len(index))
            loss_sum += loss.sum()
            correct += right
        mx.nd.waitall()
        return _totals(loss_sum, correct, len(order))

    def evaluate(self) -> Totals:
        import mxnet as mx

        images, labels = self._validation
        loss_sum = mx.nd.zeros(1)
        correct = mx.nd.zeros(1)
        for index in batches(in_sequence(len(labels)), self._job.trial.batch_size):
            loss, right = self._block(mx.nd.array(images[index]), mx.nd.array(labels[index]))
            loss_sum += loss.sum()
            correct += right
        mx.nd.waitall()
        return _totals(loss_sum, correct, len(labels))

    def gradients(self, order: Order) -> tuple[float, Weights]:
        import mxnet as mx

        images, labels = self._train
        with mx.autograd.record():
            loss, _ = self._block(mx.nd.array(images[order]), mx.nd.array(labels[order]))
            loss = loss.mean()
        loss.backward()
        names = self._job.graph.parameters()
        arrays = {name: self._parameter(name).grad().asnumpy() for name in names}
        return float(loss.asscalar()), channels_first.to_graph(self._job.graph, arrays)

    def ledger(self) -> Ledger:
        import mxnet as mx

        trial = self._job.trial
        parameter = next(iter(self._block.collect_params().values()))
        features = mx.runtime.Features()
        return Ledger(
            dtype=np.dtype(parameter.dtype).name,
            compile_mode="hybridized, static_alloc, static_shape",
            threads=self._job.threads if trial.settings == "tuned" else None,
            memory_format="channels first",
            data_path="arrays in memory, indexed, copied to an NDArray a batch",
            variables=self.variables(trial.settings, self._job.threads),
            versions={"mxnet": mx.__version__, "numpy": np.__version__},
            device=str(mx.cpu()),
            notes=(f"oneDNN {'built in' if features.is_enabled('MKLDNN') else 'missing'}",),
        )


ENGINES = (MXNet,)


def import_mxnet() -> Any:
    """Import MXNet 1.9, which still asks for the `numpy.bool` that numpy 1.24 dropped."""
    if "bool" not in vars(np):
        setattr(np, "bool", bool)  # noqa: B010
    import mxnet

    return mxnet


def _totals(loss_sum: Any, correct: Any, samples: int) -> Totals:
    return Totals(float(loss_sum.asscalar()) / samples, float(correct.asscalar()) / samples)


def _channels_first(x: Inputs) -> Inputs:
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x


def _block(graph: Graph) -> Any:
    """The graph with its loss as one hybrid block: (inputs, labels) to (loss, number right).

    The loss has one value a sample; labels are float32, as MXNet's operators take them.
    """
    from mxnet import gluon

    class Block(gluon.HybridBlock):
        def __init__(self) -> None:
            super().__init__()
            shapes = graph.shapes()
            self.layers: dict[str, Any] = {}
            for node in graph.nodes:
                layer = _layer(node.layer, shapes[node.inputs[0]])
                self.register_child(layer)
                self.layers[node.name] = layer
            self.loss = gluon.loss.SoftmaxCrossEntropyLoss()

        def hybrid_forward(self, F: Any, x: Any, y: Any) -> tuple[Any, Any]:
            values = {"input": x}
            for node in graph.nodes:
                layer = self.layers[node.name]
                values[node.name] = layer(*(values[name] for name in node.inputs))
            logits = values[graph.nodes[-1].name]
            right = F.BlockGrad(F.argmax(logits, axis=1) == y).sum()
            return self.loss(logits, y), right

    return Block()


def _layer(layer: AnyLayer, shape: Shape) -> Any:
    from mxnet.gluon import nn

    match layer:
        case Conv2D():
            padding = (
                (layer.kernel[0] // 2, layer.kernel[1] // 2) if layer.padding == "same" else (0, 0)
            )
            return nn.Conv2D(layer.filters, layer.kernel, padding=padding, in_channels=shape[-1])
        case MaxPool2D():
            return nn.MaxPool2D(layer.pool, layer.stride)
        case Flatten():
            return nn.Flatten()
        case Dense():
            return nn.Dense(layer.units, flatten=False, in_units=shape[-1])
        case Activation():
            return nn.Activation(layer.function)
