"""Neon's small convolutional network, from its own CIFAR10 example."""

from velodrome.workloads.base import Workload
from velodrome.workloads.graph import Graph, sequential
from velodrome.workloads.initializers import Uniform
from velodrome.workloads.layers import (
    Activation,
    AnyLayer,
    BatchNorm,
    Conv,
    Dense,
    Flatten,
    MaxPool,
)
from velodrome.workloads.recipe import Recipe

_UNIFORM = Uniform(0.1)


def _normalised(layer: Conv | Dense) -> tuple[AnyLayer, ...]:
    # Neon's batch normalisation, whose `rho` is the momentum; it takes the bias's place.
    return layer, BatchNorm(momentum=0.9, epsilon=1e-3), Activation(function="relu")


def _conv(filters: int) -> Conv:
    return Conv(filters=filters, window=(5, 5), padding="valid", bias=False, initializer=_UNIFORM)


def _graph() -> Graph:
    return sequential(
        (32, 32, 3),
        *_normalised(_conv(16)),
        MaxPool(),
        *_normalised(_conv(32)),
        MaxPool(),
        Flatten(),
        *_normalised(Dense(units=500, bias=False, initializer=_UNIFORM)),
        Dense(units=10, bias=False, initializer=_UNIFORM),
    )


WORKLOADS = (
    Workload(
        name="cifar10-conv",
        summary="Neon's CIFAR10 example; Neon ran it at rate 0.01, MXNet at 0.1",
        graph=_graph(),
        recipe=Recipe(learning_rate=0.01, momentum=0.9),
        dataset="cifar10",
        batch_size=128,
        epochs=10,
    ),
)
