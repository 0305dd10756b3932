"""Inception v3 of Szegedy et al. 2015, "Rethinking", on CIFAR10 brought to 299x299.

The images are enlarged by the graph itself: each pixel is repeated nine times, and zeros
are put five before and six after. As in the published network and its descendants,
convolutions have no bias and batch normalisation no gamma.
"""

from velodrome.workloads.base import Workload
from velodrome.workloads.graph import Builder, Graph
from velodrome.workloads.layers import (
    Activation,
    AveragePool,
    BatchNorm,
    Concatenate,
    Conv,
    Dense,
    GlobalAveragePool,
    MaxPool,
    Padding,
    Upsample,
    ZeroPad,
)
from velodrome.workloads.recipe import Recipe


class _Inception(Builder):
    def conv(
        self,
        filters: int,
        window: tuple[int, int],
        *inputs: str,
        stride: int = 1,
        padding: Padding = "same",
    ) -> str:
        """Convolution, batch normalisation, ReLU."""
        convolution = Conv(
            filters=filters, window=window, stride=(stride, stride), padding=padding, bias=False
        )
        self.add(convolution, *inputs)
        self.add(BatchNorm(scale=False))
        return self.add(Activation(function="relu"))

    def halving(self, filters: int, window: tuple[int, int], *inputs: str) -> str:
        return self.conv(filters, window, *inputs, stride=2, padding="valid")

    def pool(self, *inputs: str) -> str:
        return self.add(MaxPool(window=(3, 3), stride=(2, 2)), *inputs)

    def projected(self, filters: int, x: str) -> str:
        self.add(AveragePool(window=(3, 3), stride=(1, 1), padding="same"), x)
        return self.conv(filters, (1, 1))

    def stem(self) -> str:
        self.halving(32, (3, 3))
        self.conv(32, (3, 3), padding="valid")
        self.conv(64, (3, 3))
        self.pool()
        self.conv(80, (1, 1), padding="valid")
        self.conv(192, (3, 3), padding="valid")
        return self.pool()

    def block_a(self, x: str, projection: int) -> str:
        ones = self.conv(64, (1, 1), x)
        self.conv(48, (1, 1), x)
        fives = self.conv(64, (5, 5))
        self.conv(64, (1, 1), x)
        self.conv(96, (3, 3))
        threes = self.conv(96, (3, 3))
        return self.add(Concatenate(), ones, fives, threes, self.projected(projection, x))

    def block_b(self, x: str) -> str:
        threes = self.halving(384, (3, 3), x)
        self.conv(64, (1, 1), x)
        self.conv(96, (3, 3))
        doubled = self.halving(96, (3, 3))
        return self.add(Concatenate(), threes, doubled, self.pool(x))

    def block_c(self, x: str, filters: int) -> str:
        ones = self.conv(192, (1, 1), x)
        self.conv(filters, (1, 1), x)
        self.conv(filters, (1, 7))
        sevens = self.conv(192, (7, 1))
        self.conv(filters, (1, 1), x)
        self.conv(filters, (7, 1))
        self.conv(filters, (1, 7))
        self.conv(filters, (7, 1))
        doubled = self.conv(192, (1, 7))
        return self.add(Concatenate(), ones, sevens, doubled, self.projected(192, x))

    def block_d(self, x: str) -> str:
        self.conv(192, (1, 1), x)
        threes = self.halving(320, (3, 3))
        self.conv(192, (1, 1), x)
        self.conv(192, (1, 7))
        self.conv(192, (7, 1))
        sevens = self.halving(192, (3, 3))
        return self.add(Concatenate(), threes, sevens, self.pool(x))

    def block_e(self, x: str) -> str:
        ones = self.conv(320, (1, 1), x)
        threes = self.split(self.conv(384, (1, 1), x))
        self.conv(448, (1, 1), x)
        doubled = self.split(self.conv(384, (3, 3)))
        return self.add(Concatenate(), ones, *threes, *doubled, self.projected(192, x))

    def split(self, x: str) -> tuple[str, str]:
        return self.conv(384, (1, 3), x), self.conv(384, (3, 1), x)


def _graph() -> Graph:
    net = _Inception((32, 32, 3))
    net.add(Upsample(factor=9))
    net.add(ZeroPad(pads=((5, 6), (5, 6))))
    value = net.stem()
    for projection in (32, 64, 64):
        value = net.block_a(value, projection)
    value = net.block_b(value)
    for filters in (128, 160, 160, 192):
        value = net.block_c(value, filters)
    value = net.block_d(value)
    for _ in range(2):
        value = net.block_e(value)
    # The average pool over 8x8: all that is left of the image.
    net.add(GlobalAveragePool())
    net.add(Dense(units=10))
    return net.graph()


WORKLOADS = (
    Workload(
        name="inception-v3",
        summary="Inception v3 on 32x32 images enlarged to 299x299 as they are read",
        graph=_graph(),
        recipe=Recipe(learning_rate=0.01),
        dataset="cifar10",
        batch_size=32,
        epochs=10,
    ),
)
