"""Chains of dense layers, trained by backpropagation written out."""

import numpy as np
import numpy.typing as npt

from velodrome.engines.base import Engine, Inputs, Labels, Order, Totals
from velodrome.engines.batches import batches, in_sequence
from velodrome.failures import Unsupported
from velodrome.job import Job
from velodrome.record import Ledger
from velodrome.trial import Trial
from velodrome.workloads.graph import Weights, by_node
from velodrome.workloads.layers import Activation, Dense, Flatten
from velodrome.workloads.recipe import decays

Values = npt.NDArray[np.float32]


class NumPy(Engine):
    """NumPy on the CPU."""

    name = "numpy"
    framework = "numpy"
    summary = "NumPy, backpropagation written out"
    no_gpu = "NumPy computes on the CPU"
    one_device = "NumPy knows no second one"

    @classmethod
    def unsupported(cls, trial: Trial) -> str | None:
        """The optimizer is stochastic gradient descent."""
        if trial.recipe.optimizer != "sgd":
            return "numpy trains with SGD only"
        return super().unsupported(trial)

    def __init__(self, job: Job) -> None:
        super().__init__(job)

    def build(self) -> None:
        """See whether there is nothing but dense layers.

        Raises:
            Unsupported: there is.
        """
        for node in self.graph.nodes:
            match node.layer:
                case Flatten() | Dense() | Activation(function="relu"):
                    continue
            raise Unsupported(f"numpy has no {type(node.layer).__name__} ({node.name})")

    def load_training(self, x: Inputs, y: Labels) -> None:
        self._train = x, y

    def load_validation(self, x: Inputs, y: Labels) -> None:
        self._validation = x, y

    def set_weights(self, weights: Weights) -> None:
        self._arrays = {name: array.astype(np.float32) for name, array in weights.items()}
        self._velocity = {name: np.zeros_like(array) for name, array in self._arrays.items()}

    def weights(self) -> Weights:
        return {name: array.copy() for name, array in self._arrays.items()}

    def train(self, order: Order, learning_rate: float) -> Totals:
        recipe = self.job.trial.recipe
        rate, momentum = np.float32(learning_rate), np.float32(recipe.momentum)
        total, right = 0.0, 0
        for index in batches(order, self.job.trial.batch_size):
            loss, correct, gradients = self._differentiate(index)
            for name, gradient in gradients.items():
                array, velocity = self._arrays[name], self._velocity[name]
                if recipe.weight_decay and decays(name):
                    gradient = gradient + np.float32(recipe.weight_decay) * array
                velocity *= momentum
                velocity -= rate * gradient
                array += velocity
            total += loss
            right += correct
        return Totals(total / len(order), right / len(order))

    def evaluate(self) -> Totals:
        x, y = self._validation
        total, right = 0.0, 0
        for index in batches(in_sequence(len(y)), self.job.trial.batch_size):
            loss, correct, _ = _loss(self._forward(x[index])[-1], y[index])
            total += loss
            right += correct
        return Totals(total / len(y), right / len(y))

    def gradients(self, order: Order) -> tuple[float, Weights]:
        loss, _, gradients = self._differentiate(order)
        return loss / len(order), gradients

    def _forward(self, x: Values) -> list[Values]:
        """The inputs, and what each layer makes of them."""
        values, own = [x], by_node(self._arrays)
        for node in self.graph.nodes:
            x = values[-1]
            match node.layer:
                case Flatten():
                    x = x.reshape(len(x), -1)
                case Dense(bias=bias):
                    x = x @ own[node.name]["kernel"]
                    if bias:
                        x = x + own[node.name]["bias"]
                case _:
                    x = np.maximum(x, 0)
            values.append(x)
        return values

    def _differentiate(self, index: Order) -> tuple[float, int, Weights]:
        """Sum of losses, number told right, and the gradient of the mean loss."""
        x, y = self._train
        values = self._forward(x[index])
        loss, correct, upstream = _loss(values[-1], y[index])
        gradients: Weights = {}
        for node, before, after in zip(
            reversed(self.graph.nodes), values[-2::-1], values[::-1], strict=False
        ):
            match node.layer:
                case Flatten():
                    upstream = upstream.reshape(before.shape)
                case Dense(bias=bias):
                    gradients[f"{node.name}/kernel"] = before.T @ upstream
                    if bias:
                        gradients[f"{node.name}/bias"] = upstream.sum(0)
                    upstream = upstream @ self._arrays[f"{node.name}/kernel"].T
                case _:
                    upstream = upstream * (after > 0)
        return loss, correct, gradients

    def ledger(self) -> Ledger:
        return Ledger(
            dtype="float32",
            compile_mode="none",
            threads=None,
            memory_format="rows of samples",
            data_path="arrays in memory, indexed",
            variables={},
            versions={"numpy": np.__version__},
            device="cpu",
            determinism="the same on every run",
        )


def _loss(logits: Values, y: Labels) -> tuple[float, int, Values]:
    """Sum of cross-entropies, number told right, and the gradient of their mean by the logits."""
    rows = np.arange(len(y))
    shifted = logits - logits.max(1, keepdims=True)
    shares = np.exp(shifted)
    sums = shares.sum(1, keepdims=True)
    loss = float((np.log(sums[:, 0]) - shifted[rows, y]).sum())
    gradient = shares / sums
    gradient[rows, y] -= 1
    return loss, int((logits.argmax(1) == y).sum()), gradient / np.float32(len(y))


ENGINES = (NumPy,)
