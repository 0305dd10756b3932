"""Engines with one fault each, such as real ones have had; a comparison must catch them all."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from velodrome.engines.base import Order, Totals
from velodrome.engines.mxnet import MXNet
from velodrome.engines.torch import Torch
from velodrome.job import Job
from velodrome.workloads.graph import Weights
from velodrome.workloads.layers import Dropout


class WeightsIgnored(Torch):
    """One layer starts from weights of its own."""

    name = "fault-weights-ignored"

    def set_weights(self, weights: Weights) -> None:
        name = next(name for name in reversed(weights) if name.endswith("/kernel"))
        super().set_weights(weights | {name: np.ascontiguousarray(weights[name][::-1])})


class BiasForgotten(Torch):
    """The first dense layer adds no bias."""

    name = "fault-bias-forgotten"

    def __init__(self, job: Job) -> None:
        self._bias = "dense1/bias"
        super().__init__(msgspec.structs.replace(job, graph=_changed(job, "dense1", bias=False)))

    def set_weights(self, weights: Weights) -> None:
        self._given = weights[self._bias]
        super().set_weights({n: each for n, each in weights.items() if n != self._bias})

    def weights(self) -> Weights:
        return super().weights() | {self._bias: self._given}

    def gradients(self, order: Order) -> tuple[float, Weights]:
        loss, gradients = super().gradients(order)
        return loss, gradients | {self._bias: np.zeros_like(self._given)}


class MomentumAhead(Torch):
    """The velocity is applied one step ahead of itself, as Nesterov's is."""

    name = "fault-momentum-off-by-one"

    def set_weights(self, weights: Weights) -> None:
        super().set_weights(weights)
        for group in self._optimizer.param_groups:
            group["nesterov"] = True


class BatchSummed(Torch):
    """Steps along the sum over the batch, where the mean belongs."""

    name = "fault-sum-for-mean"

    def train(self, order: Order, learning_rate: float) -> Totals:
        return super().train(order, learning_rate * self.job.trial.batch_size)


class MeanForSum(MXNet):
    """Sums a batch's gradients as means: what the trainer divides is divided already."""

    name = "fault-mean-for-sum"

    def set_weights(self, weights: Weights) -> None:
        super().set_weights(weights)
        step = self._trainer.step
        self._trainer.step = lambda samples: step(samples * samples)


class LastBatchShort(Torch):
    """Averages a last batch that is not full over a full one's size."""

    name = "fault-mean-of-last-batch"

    def train(self, order: Order, learning_rate: float) -> Totals:
        size = self.job.trial.batch_size
        rest = len(order) % size
        if not rest or rest == len(order):
            return super().train(order, learning_rate)
        whole = super().train(order[:-rest], learning_rate)
        last = super().train(order[-rest:], learning_rate * rest / size)
        share = rest / len(order)
        mean: Any = np.average([whole, last], axis=0, weights=[1.0 - share, share])
        return Totals(*mean)


class PenaltyLeftOut(Torch):
    """Trains without weight decay."""

    name = "fault-l2-left-out"

    def __init__(self, job: Job) -> None:
        recipe = msgspec.structs.replace(job.trial.recipe, weight_decay=0.0)
        trial = msgspec.structs.replace(job.trial, recipe=recipe)
        super().__init__(msgspec.structs.replace(job, trial=trial))


class OtherEpsilon(Torch):
    """Normalises batches with PyTorch's own epsilon instead of the graph's."""

    name = "fault-epsilon"

    def __init__(self, job: Job) -> None:
        super().__init__(
            msgspec.structs.replace(job, graph=_changed(job, "batchnorm1", epsilon=1e-5))
        )


class Noisy(Torch):
    """Is right on average only: every gradient and every step is off by up to a third."""

    name = "fault-noise"

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._rng = np.random.default_rng(0)

    def train(self, order: Order, learning_rate: float) -> Totals:
        return super().train(order, learning_rate * self._rng.uniform(0.7, 1.3))

    def gradients(self, order: Order) -> tuple[float, Weights]:
        loss, gradients = super().gradients(order)
        return loss, {
            name: each * self._rng.uniform(0.7, 1.3, each.shape) for name, each in gradients.items()
        }


class ShareKept(Torch):
    """Takes dropout's rate for the share to keep."""

    name = "fault-dropout-kept"

    def __init__(self, job: Job) -> None:
        super().__init__(msgspec.structs.replace(job, graph=_rates(job, lambda rate: 1.0 - rate)))


class NotScaled(Torch):
    """Hands on what dropout keeps as it is."""

    name = "fault-dropout-not-scaled"

    def build(self) -> None:
        import torch

        whole = torch.nn.functional.dropout
        torch.nn.functional.dropout = lambda x, p, training: (
            whole(x, p, training) * (1.0 - p if training else 1.0)
        )
        super().build()


class SameMask(Torch):
    """Draws its masks from the same seed in every epoch."""

    name = "fault-dropout-repeated"

    def train(self, order: Order, learning_rate: float) -> Totals:
        import torch

        torch.manual_seed(0)
        return super().train(order, learning_rate)


class DropsAlways(Torch):
    """Drops in inference too."""

    name = "fault-dropout-in-inference"

    def build(self) -> None:
        import torch

        drop = torch.nn.functional.dropout
        torch.nn.functional.dropout = lambda x, p, training: drop(x, p, True)
        super().build()


class NothingDropped(Torch):
    """Leaves dropout out."""

    name = "fault-dropout-left-out"

    def __init__(self, job: Job) -> None:
        super().__init__(msgspec.structs.replace(job, dropout=False))


ENGINES = (
    WeightsIgnored,
    BiasForgotten,
    MomentumAhead,
    BatchSummed,
    MeanForSum,
    LastBatchShort,
    PenaltyLeftOut,
    OtherEpsilon,
    Noisy,
    ShareKept,
    NotScaled,
    SameMask,
    DropsAlways,
    NothingDropped,
)


def _rates(job: Job, changed: Callable[[float], float]) -> Any:
    """The job's graph with other rates of dropout."""
    nodes = tuple(
        msgspec.structs.replace(node, layer=Dropout(rate=changed(node.layer.rate)))
        if isinstance(node.layer, Dropout)
        else node
        for node in job.graph.nodes
    )
    return msgspec.structs.replace(job.graph, nodes=nodes)


def _changed(job: Job, name: str, **changes: Any) -> Any:
    """The job's graph with other parameters in one layer."""
    nodes = tuple(
        msgspec.structs.replace(node, layer=msgspec.structs.replace(node.layer, **changes))
        if node.name == name
        else node
        for node in job.graph.nodes
    )
    assert nodes != job.graph.nodes
    return msgspec.structs.replace(job.graph, nodes=nodes)
