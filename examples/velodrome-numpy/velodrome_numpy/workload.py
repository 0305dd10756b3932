"""Softmax regression, the smallest model there is."""

from velodrome.workloads.base import Workload
from velodrome.workloads.graph import sequential
from velodrome.workloads.layers import Dense, Flatten
from velodrome.workloads.recipe import Recipe

WORKLOADS = (
    Workload(
        name="softmax",
        summary="softmax regression on images of 28 x 28; 7,850 parameters",
        graph=sequential((28, 28, 1), Flatten(), Dense(units=10)),
        recipe=Recipe(learning_rate=0.1),
        dataset="mnist",
        batch_size=64,
        epochs=5,
    ),
)
