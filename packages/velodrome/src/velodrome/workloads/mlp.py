"""The multi-layer perceptron of MXNet's own MNIST example."""

from velodrome.workloads.base import Workload
from velodrome.workloads.graph import sequential
from velodrome.workloads.layers import Activation, Dense, Flatten
from velodrome.workloads.recipe import Recipe

WORKLOADS = (
    Workload(
        name="mlp",
        summary="784-128-64-10 perceptron of MXNet's own example; 109,386 parameters",
        graph=sequential(
            (28, 28, 1),
            Flatten(),
            Dense(units=128, initializer="he_normal"),
            Activation(function="relu"),
            Dense(units=64, initializer="he_normal"),
            Activation(function="relu"),
            Dense(units=10, initializer="he_normal"),
        ),
        recipe=Recipe(learning_rate=0.05, momentum=0.9, weight_decay=1e-4, decay_epochs=(10,)),
        dataset="mnist",
        batch_size=64,
        epochs=20,
    ),
)
