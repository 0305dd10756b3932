"""Operations of a training step, counted from the layer graph: no framework, no clock.

Counted are the multiplications and additions of matrix products, a fused pair as two, as
matrix-multiply ceilings are. What is elementwise (activations, pooling, normalisation, the
optimizer) is left out: a few per cent in these workloads, and of another ceiling.
"""

import math

from velodrome.workloads.graph import Graph
from velodrome.workloads.initializers import Shape
from velodrome.workloads.layers import LSTM, AnyLayer, Conv, Dense, SelfAttention


def forward(layer: AnyLayer, shape: Shape, output: Shape) -> int:
    """Operations of one sample through a layer.

    Args:
        layer: what is computed.
        shape: of its first input, without the batch axis.
        output: of what comes out.
    """
    match layer:
        case Conv():
            return 2 * math.prod(output) * math.prod(layer.window) * shape[-1]
        case Dense():
            return 2 * math.prod(output) * shape[-1]
        case LSTM():
            length, features = shape
            return 2 * length * 4 * layer.units * (features + layer.units)
        case SelfAttention():
            length, units = shape
            return 4 * 2 * length * units * units + 2 * 2 * length * length * units
        case _:
            return 0


def training(graph: Graph) -> int:
    """Operations to train on one sample: forward, and backward to weights and inputs.

    Each direction costs what forward does. The gradient of the data is not needed, so layers
    that no trained array comes before go backward to their weights only.
    """
    shapes = graph.shapes()
    learns = {"input": False}
    total = 0
    for node in graph.nodes:
        before = any(learns[name] for name in node.inputs)
        shape = shapes[node.inputs[0]]
        own = any(array.trained for array in node.layer.arrays(shape).values())
        learns[node.name] = before or own
        total += forward(node.layer, shape, shapes[node.name]) * (3 if before else 2)
    return total
