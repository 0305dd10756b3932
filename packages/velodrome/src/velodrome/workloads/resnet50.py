"""ResNet50 with pre-activation for CIFAR10, after He et al. 2016, "Identity mappings"."""

from velodrome.workloads.base import Workload
from velodrome.workloads.graph import Builder, Graph
from velodrome.workloads.layers import (
    Activation,
    Add,
    BatchNorm,
    Conv,
    Dense,
    GlobalAveragePool,
    MaxPool,
)
from velodrome.workloads.recipe import Recipe

_STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))


class _ResNet(Builder):
    """Convolutions have biases, as the Keras of 2017 gave them unless told otherwise."""

    def conv(self, filters: int, window: int, stride: int, *inputs: str) -> str:
        return self.add(
            Conv(
                filters=filters,
                window=(window, window),
                stride=(stride, stride),
                initializer="he_normal",
            ),
            *inputs,
        )

    def activated(self, *inputs: str) -> str:
        self.add(BatchNorm(), *inputs)
        return self.add(Activation(function="relu"))

    def bottleneck(self, filters: int, stride: int, before: str, *, first: bool) -> str:
        """Add a block; the first one of all reads what is already normalised.

        The shortcut reads the block's input, or a 1x1 convolution of it where shapes differ.
        """
        start = before if first else self.activated(before)
        self.conv(filters, 1, stride, start)
        self.activated()
        self.conv(filters, 3, 1)
        self.activated()
        residual = self.conv(4 * filters, 1, 1)
        if first or stride > 1:
            before = self.conv(4 * filters, 1, stride, before)
        return self.add(Add(), before, residual)


def _graph() -> Graph:
    net = _ResNet((32, 32, 3))
    net.conv(64, 7, 2, "input")
    net.activated()
    value = net.add(MaxPool(window=(3, 3), stride=(2, 2)))
    for stage, (blocks, filters) in enumerate(_STAGES):
        for block in range(blocks):
            entering = stage > 0 and block == 0
            value = net.bottleneck(
                filters, 2 if entering else 1, value, first=stage == 0 and block == 0
            )
    net.activated(value)
    net.add(GlobalAveragePool())
    net.add(Dense(units=10, initializer="he_normal"))
    return net.graph()


WORKLOADS = (
    Workload(
        name="resnet50",
        summary="ResNet50, pre-activation, on 32x32 images, L2 and augmentation",
        graph=_graph(),
        # Keras's L2(1e-4), whose gradient is 2e-4 * w.
        recipe=Recipe(learning_rate=0.01, weight_decay=2e-4, shift=0.1, flip=True),
        dataset="cifar10",
        batch_size=32,
        epochs=10,
    ),
)
