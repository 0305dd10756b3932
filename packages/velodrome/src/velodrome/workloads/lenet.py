"""The LeNets of the 2017 measurements, after LeCun et al. 1998."""

from typing import Literal

from velodrome.workloads.base import Workload
from velodrome.workloads.graph import Graph, sequential
from velodrome.workloads.initializers import Initializer
from velodrome.workloads.layers import Activation, Conv, Dense, Flatten, MaxPool, Padding
from velodrome.workloads.recipe import Recipe


def _lenet(
    activation: Literal["relu", "tanh"],
    padding: Padding,
    initializer: Initializer = "glorot_uniform",
) -> Graph:
    return sequential(
        (28, 28, 1),
        Conv(filters=20, window=(5, 5), padding=padding, initializer=initializer),
        Activation(function=activation),
        MaxPool(),
        Conv(filters=50, window=(5, 5), padding=padding, initializer=initializer),
        Activation(function=activation),
        MaxPool(),
        Flatten(),
        Dense(units=500, initializer=initializer),
        Activation(function=activation),
        Dense(units=10, initializer=initializer),
    )


_KERAS = Recipe(learning_rate=0.05)
_OFFICIAL = Recipe(learning_rate=0.05, momentum=0.9, weight_decay=1e-4, decay_epochs=(10,))

WORKLOADS = (
    Workload(
        name="lenet",
        summary="Keras LeNet, same padding, ReLU; 1,256,080 parameters",
        graph=_lenet("relu", "same"),
        recipe=_KERAS,
        dataset="mnist",
        batch_size=64,
        epochs=12,
    ),
    Workload(
        name="lenet-tanh",
        summary="Keras LeNet, same padding, tanh; 1,256,080 parameters",
        graph=_lenet("tanh", "same"),
        recipe=_KERAS,
        dataset="mnist",
        batch_size=64,
        epochs=12,
    ),
    Workload(
        name="lenet-official",
        summary="LeNet of MXNet's own example, valid padding, tanh; 431,080 parameters",
        graph=_lenet("tanh", "valid", "he_normal"),
        recipe=_OFFICIAL,
        dataset="mnist",
        batch_size=64,
        epochs=20,
    ),
)
