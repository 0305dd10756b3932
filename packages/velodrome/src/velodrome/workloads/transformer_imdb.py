"""A small transformer encoder on film reviews, so that the suite is not all of 2017.

Two blocks with normalisation first (Xiong et al. 2020), 64 units, 4 heads, a feed-forward
layer of 256, over 200 words of 10,000; the mean over the words goes into one logit.
"""

from velodrome.workloads.base import Workload
from velodrome.workloads.graph import Builder, Graph
from velodrome.workloads.layers import (
    Activation,
    Add,
    Dense,
    Dropout,
    Embedding,
    GlobalAveragePool,
    LayerNorm,
    PositionEmbedding,
    SelfAttention,
)
from velodrome.workloads.recipe import Recipe

_LENGTH, _VOCABULARY, _UNITS, _HEADS, _HIDDEN, _BLOCKS, _DROPOUT = 200, 10_000, 64, 4, 256, 2, 0.1


def _graph() -> Graph:
    net = Builder((_LENGTH,))
    net.add(Embedding(vocabulary=_VOCABULARY, units=_UNITS))
    net.add(PositionEmbedding())
    value = net.add(Dropout(rate=_DROPOUT))
    for _ in range(_BLOCKS):
        net.add(LayerNorm(), value)
        net.add(SelfAttention(heads=_HEADS))
        value = net.add(Add(), value, net.add(Dropout(rate=_DROPOUT)))
        net.add(LayerNorm(), value)
        net.add(Dense(units=_HIDDEN))
        net.add(Activation(function="relu"))
        net.add(Dense(units=_UNITS))
        value = net.add(Add(), value, net.add(Dropout(rate=_DROPOUT)))
    net.add(LayerNorm(), value)
    net.add(GlobalAveragePool())
    net.add(Dense(units=1))
    return net.graph()


WORKLOADS = (
    Workload(
        name="transformer-imdb",
        summary="a transformer encoder of two blocks, 200 words of 10,000",
        graph=_graph(),
        recipe=Recipe(optimizer="adam", learning_rate=0.001),
        dataset="imdb",
        batch_size=64,
        epochs=5,
    ),
)
