"""PyTorch used directly: an eager training loop, channels last in memory when tuned."""

from typing import Any

import numpy as np

from velodrome.engines import channels_first
from velodrome.engines.base import Engine, Inputs, Labels, Order, Totals
from velodrome.engines.batches import batches
from velodrome.job import Job
from velodrome.record import Ledger
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


class Torch(Engine):
    """PyTorch: `nn.Module`, autograd, `torch.optim.SGD`."""

    name = "torch"
    framework = "torch"
    summary = "PyTorch, its own modules and training loop"

    def __init__(self, job: Job) -> None:
        import torch

        self._job = job
        self._tuned = job.trial.settings == "tuned"
        if self._tuned:
            torch.set_num_threads(job.threads)
        self._dtype = torch.float64 if job.trial.dtype == "float64" else torch.float32

    def build(self) -> None:
        import torch

        self._model = _model(self._job.graph).to(self._dtype)
        if self._tuned:
            self._model = self._model.to(memory_format=torch.channels_last)
        self._loss = torch.nn.CrossEntropyLoss()

    def load(self, train: tuple[Inputs, Labels], validation: tuple[Inputs, Labels]) -> None:
        self._train = self._tensors(*train)
        self._validation = self._tensors(*validation)

    def _tensors(self, x: Inputs, y: Labels) -> tuple[Any, Any]:
        """Images kept as the model reads them: a view with channels first, of either order."""
        import torch

        images = torch.from_numpy(x).to(self._dtype)
        if images.ndim == 4 and not self._tuned:
            images = images.permute(0, 3, 1, 2).contiguous()
        return images, torch.from_numpy(y).long()

    def _batch(self, data: tuple[Any, Any], index: Any) -> tuple[Any, Any]:
        x, y = data
        images = x[index]
        return images.permute(0, 3, 1, 2) if self._tuned and x.ndim == 4 else images, y[index]

    def set_weights(self, weights: Weights) -> None:
        import torch

        parameters = dict(self._model.named_parameters())
        with torch.no_grad():
            for name, array in channels_first.from_graph(self._job.graph, weights).items():
                parameters[_parameter(name)].copy_(torch.from_numpy(array))
        recipe = self._job.trial.recipe
        kernels = [value for name, value in parameters.items() if name.endswith(".weight")]
        biases = [value for name, value in parameters.items() if name.endswith(".bias")]
        self._optimizer = torch.optim.SGD(
            [
                {"params": kernels, "weight_decay": recipe.weight_decay},
                {"params": biases, "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            fused=self._tuned or None,
        )

    def weights(self) -> Weights:
        arrays = {
            _graph_name(name): value.detach().cpu().numpy()
            for name, value in self._model.named_parameters()
        }
        return channels_first.to_graph(self._job.graph, arrays)

    def train(self, order: Order, learning_rate: float) -> Totals:
        import torch

        self._set_learning_rate(learning_rate)
        model, optimizer = self._model, self._optimizer
        model.train()
        loss_sum = torch.zeros((), dtype=self._dtype)
        correct = torch.zeros((), dtype=torch.long)
        for index in batches(order, self._job.trial.batch_size):
            x, y = self._batch(self._train, torch.from_numpy(index))
            logits = model(x)
            loss = self._loss(logits, y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            loss_sum += loss.detach() * len(index)
            correct += (logits.argmax(1) == y).sum()
        return Totals(loss_sum.item() / len(order), correct.item() / len(order))

    def _set_learning_rate(self, learning_rate: float) -> None:
        """PyTorch keeps the velocity divided by -learning_rate: rescale it with the rate."""
        for group in self._optimizer.param_groups:
            factor = group["lr"] / learning_rate
            group["lr"] = learning_rate
            for parameter in group["params"]:
                velocity = self._optimizer.state[parameter].get("momentum_buffer")
                if velocity is not None and factor != 1.0:
                    velocity.mul_(factor)

    def evaluate(self) -> Totals:
        import torch

        x, y = self._validation
        loss_sum = correct = 0.0
        self._model.eval()
        with torch.inference_mode():
            for index in torch.arange(len(y)).split(self._job.trial.batch_size):
                images, labels = self._batch((x, y), index)
                logits = self._model(images)
                loss_sum += self._loss(logits, labels) * len(index)
                correct += (logits.argmax(1) == labels).sum()
        return Totals(float(loss_sum) / len(y), float(correct) / len(y))

    def gradients(self, order: Order) -> tuple[float, Weights]:
        import torch

        self._model.train()
        x, y = self._batch(self._train, torch.from_numpy(order))
        loss = self._loss(self._model(x), y)
        names, parameters = zip(*self._model.named_parameters(), strict=True)
        gradients = torch.autograd.grad(loss, parameters)
        arrays = {
            _graph_name(name): each.numpy() for name, each in zip(names, gradients, strict=True)
        }
        return loss.item(), channels_first.to_graph(self._job.graph, arrays)

    def ledger(self) -> Ledger:
        import torch

        return Ledger(
            dtype=str(next(self._model.parameters()).dtype).removeprefix("torch."),
            compile_mode="eager",
            threads=torch.get_num_threads(),
            memory_format="channels last" if self._tuned else "channels first",
            data_path="tensors in memory, indexed",
            variables={},
            versions={"torch": str(torch.__version__), "numpy": np.__version__},
            device="cpu",
            notes=(
                f"oneDNN {'available' if torch.backends.mkldnn.is_available() else 'missing'}",
                "fused SGD" if self._tuned else "SGD",
            ),
        )


ENGINES = (Torch,)


def _parameter(name: str) -> str:
    node, array = name.split("/")
    return f"{node}.{'weight' if array == 'kernel' else array}"


def _graph_name(parameter: str) -> str:
    node, array = parameter.split(".")
    return f"{node}/{'kernel' if array == 'weight' else array}"


def _model(graph: Graph) -> Any:
    """The graph as an `nn.Module`, a child a node, channels first."""
    from torch import nn

    class Model(nn.Module):
        def forward(self, x: Any) -> Any:
            values = {"input": x}
            for node in graph.nodes:
                layer = getattr(self, node.name)
                values[node.name] = layer(*(values[name] for name in node.inputs))
            return values[graph.nodes[-1].name]

    model = Model()
    shapes = graph.shapes()
    for node in graph.nodes:
        model.add_module(node.name, _module(node.layer, shapes[node.inputs[0]]))
    return model


def _module(layer: AnyLayer, shape: Shape) -> Any:
    from torch import nn

    match layer:
        case Conv2D():
            return nn.Conv2d(shape[-1], layer.filters, layer.kernel, padding=layer.padding)
        case MaxPool2D():
            return nn.MaxPool2d(layer.pool, layer.stride)
        case Flatten():
            return nn.Flatten()
        case Dense():
            return nn.Linear(shape[-1], layer.units)
        case Activation(function="relu"):
            return nn.ReLU()
        case Activation(function="tanh"):
            return nn.Tanh()
