"""How much each known difference between frameworks changes, with nothing else changed.

Both sides run in float64 on the PyTorch engine, so that rounding has no part in it. Run with the
interpreter of PyTorch's environment: $(velodrome env python torch) benchmarks/parity_differences.py
"""

import math

import msgspec
import numpy as np

from velodrome.datasets.base import PreparedData
from velodrome.engines.torch import Torch
from velodrome.job import Job
from velodrome.trial import Trial
from velodrome.worker import randomness
from velodrome.workloads import registry
from velodrome.workloads.layers import BatchNorm

BATCH, STEPS = 16, 5


def job_of(name):
    workload = registry.get(name)
    trial = Trial(
        engine="torch", workload=name, graph="", recipe=workload.recipe, dataset="", data="",
        samples=None, devices="cpu", batch_size=BATCH, epochs=1, drop_last=False,
        dtype="float64", settings="stock", seed=0, repeat=0, environment="",
    )  # fmt: skip
    data = PreparedData(
        name="", folder="", fingerprint="", kind="image", shape=(), classes=2, train=0, validation=0
    )
    return Job(trial=trial, graph=workload.graph, data=data, threads=2, dropout=False)


def outcome(job, engine=Torch):
    """Gradient at the start, update after the steps, loss in inference mode."""
    rng = np.random.default_rng(0)
    shape, classes = job.graph.input_shape, max(2, job.graph.classes())
    count = BATCH * STEPS + BATCH // 2
    if len(shape) == 1:
        x = rng.integers(1, 100, (count, *shape)).astype(np.int32)
    else:
        x = rng.uniform(0, 1, (count, *shape)).astype(np.float32)
    y = rng.integers(0, classes, count).astype(np.int32)
    made = engine(job)
    made.build()
    made.load_training(x, y)
    made.load_validation(x[:BATCH], y[:BATCH])
    start = randomness.telling_weights(job)
    start = {name: array.astype(np.float64) for name, array in start.items()}
    made.set_weights(start)
    order = np.arange(count)
    _, gradient = made.gradients(order[:BATCH])
    made.train(order, job.trial.recipe.learning_rate)
    after = made.weights()
    update = {name: after[name] - start[name] for name in job.graph.parameters()}
    return gradient, update, made.evaluate().loss


def with_recipe(job, **changes):
    recipe = msgspec.structs.replace(job.trial.recipe, **changes)
    return msgspec.structs.replace(job, trial=msgspec.structs.replace(job.trial, recipe=recipe))


def with_norm(job, **changes):
    nodes = tuple(
        msgspec.structs.replace(node, layer=msgspec.structs.replace(node.layer, **changes))
        if isinstance(node.layer, BatchNorm)
        else node
        for node in job.graph.nodes
    )
    return msgspec.structs.replace(job, graph=msgspec.structs.replace(job.graph, nodes=nodes))


class Nesterov(Torch):
    def set_weights(self, weights):
        super().set_weights(weights)
        for group in self._optimizer.param_groups:
            group["nesterov"] = True


class DecayEverywhere(Torch):
    def set_weights(self, weights):
        super().set_weights(weights)
        for group in self._optimizer.param_groups:
            group["weight_decay"] = self.job.trial.recipe.weight_decay


class VelocityNotRescaled(Torch):
    """A lowered rate in the last step and a half, as PyTorch's optimizer takes it."""

    rescale = False

    def train(self, order, learning_rate):
        super().train(order[: 3 * BATCH], learning_rate)
        return super().train(order[3 * BATCH :], learning_rate / 10)

    def _set_learning_rate(self, learning_rate):
        if self.rescale:
            return super()._set_learning_rate(learning_rate)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        return None


class VelocityRescaled(VelocityNotRescaled):
    rescale = True


class AdamAsPyTorch(Torch):
    def _step(self):
        self._optimizer.step()


class AdamEpsilon(Torch):
    def _step(self):
        self._steps += 1
        for group in self._optimizer.param_groups:
            group["eps"] = 1e-8 / math.sqrt(1.0 - 0.999**self._steps)
        self._optimizer.step()


class LastBatchOverFull(Torch):
    def train(self, order, learning_rate):
        rest = len(order) % BATCH
        super().train(order[:-rest], learning_rate)
        return super().train(order[-rest:], learning_rate * rest / BATCH)


class GatesSwapped(Torch):
    """Gates read as i, g, f, o where they are i, f, g, o."""

    def set_weights(self, weights):
        def swapped(name, array):
            if not name.startswith("lstm"):
                return array
            i, f, g, o = np.split(array, 4, axis=-1)
            return np.concatenate([i, g, f, o], axis=-1)

        super().set_weights({name: swapped(name, array) for name, array in weights.items()})


def show(what, ours, theirs):
    def off(a, b):
        # The array that is furthest off: a norm over all layers hides much.
        return max(
            np.linalg.norm(a[name] - b[name]) / (np.linalg.norm(b[name]) or 1.0) for name in b
        )

    loss = abs(theirs[2] - ours[2]) / abs(ours[2])
    print(
        f"| {what} | {off(theirs[0], ours[0]):.0e} | {off(theirs[1], ours[1]):.0e} | {loss:.0e} |"
    )


def main():
    print("| difference | gradient | update | loss in inference |\n| --- | --- | --- | --- |")
    conv = job_of("cifar10-conv")
    base = outcome(conv)
    show("epsilon 1e-5 for 1e-3 (cifar10-conv)", base, outcome(with_norm(conv, epsilon=1e-5)))
    keras = outcome(with_norm(conv, momentum=0.99))
    framework = outcome(with_norm(conv, momentum=0.9))
    show("moving statistics' momentum 0.9 for 0.99", keras, framework)
    mlp = job_of("mlp")
    base = outcome(mlp)
    show("Nesterov's momentum (mlp)", base, outcome(mlp, Nesterov))
    show("weight decay left out", base, outcome(with_recipe(mlp, weight_decay=0.0)))
    show("Keras's L2(1e-4) for decay 1e-4", base, outcome(with_recipe(mlp, weight_decay=2e-4)))
    show("weight decay on biases too", base, outcome(mlp, DecayEverywhere))
    show("last batch over a full one's size", base, outcome(mlp, LastBatchOverFull))
    show(
        "velocity kept over a lowered rate",
        outcome(mlp, VelocityRescaled),
        outcome(mlp, VelocityNotRescaled),
    )
    rnn = job_of("imdb-rnn")
    base = outcome(rnn)
    show("Adam's epsilon after the correction (imdb-rnn)", base, outcome(rnn, AdamAsPyTorch))
    show("Adam's epsilon 1e-8 for 1e-7", base, outcome(rnn, AdamEpsilon))
    show("LSTM's gates i, g, f, o for i, f, g, o", base, outcome(rnn, GatesSwapped))


if __name__ == "__main__":
    main()
