"""The layer graph: a model written once, with no framework in it.

Conventions, the same for every engine: images are channels last (height, width,
channels); convolution kernels are (height, width, in, out); dense kernels are
(in, out); a flattened image runs over height, then width, then channels. Shapes
leave out the batch axis. The last layer gives logits: the loss applies softmax.
"""

import math
from collections.abc import Iterator
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

Shape = tuple[int, ...]
Weights = dict[str, npt.NDArray[np.float32]]


class Layer(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """What one node of the graph computes."""

    def output(self, shapes: tuple[Shape, ...]) -> Shape:
        """Shape that comes out for inputs of these shapes."""
        return shapes[0]

    def parameters(self, shapes: tuple[Shape, ...]) -> dict[str, Shape]:
        """Trained arrays by name, and their shapes."""
        return {}


Initializer = Literal["glorot_uniform", "he_normal"]
Padding = Literal["same", "valid"]


class Conv2D(Layer, frozen=True, kw_only=True):
    """2-D convolution (cross-correlation) with stride 1, followed by a bias."""

    filters: int
    kernel: tuple[int, int]
    padding: Padding = "same"
    initializer: Initializer = "glorot_uniform"

    def output(self, shapes: tuple[Shape, ...]) -> Shape:
        """(height, width, filters)."""
        height, width, _ = shapes[0]
        if self.padding == "valid":
            height, width = height - self.kernel[0] + 1, width - self.kernel[1] + 1
        return height, width, self.filters

    def parameters(self, shapes: tuple[Shape, ...]) -> dict[str, Shape]:
        """Kernel (height, width, in, out) and bias (out)."""
        return {"kernel": (*self.kernel, shapes[0][-1], self.filters), "bias": (self.filters,)}


class MaxPool2D(Layer, frozen=True, kw_only=True):
    """Maximum over windows of `pool`, moved by `stride`, with no padding."""

    pool: tuple[int, int] = (2, 2)
    stride: tuple[int, int] = (2, 2)

    def output(self, shapes: tuple[Shape, ...]) -> Shape:
        """(height, width, channels) after pooling; an incomplete window is dropped."""
        height, width, channels = shapes[0]
        return (
            (height - self.pool[0]) // self.stride[0] + 1,
            (width - self.pool[1]) // self.stride[1] + 1,
            channels,
        )


class Flatten(Layer, frozen=True, kw_only=True):
    """All axes into one, the last axis running fastest."""

    def output(self, shapes: tuple[Shape, ...]) -> Shape:
        """(product of the axes,)."""
        return (math.prod(shapes[0]),)


class Dense(Layer, frozen=True, kw_only=True):
    """Matrix product with a kernel, plus a bias."""

    units: int
    initializer: Initializer = "glorot_uniform"

    def output(self, shapes: tuple[Shape, ...]) -> Shape:
        """(units,)."""
        return (self.units,)

    def parameters(self, shapes: tuple[Shape, ...]) -> dict[str, Shape]:
        """Kernel (in, units) and bias (units)."""
        return {"kernel": (shapes[0][-1], self.units), "bias": (self.units,)}


class Activation(Layer, frozen=True, kw_only=True):
    """An elementwise function."""

    function: Literal["relu", "tanh"]


AnyLayer = Conv2D | MaxPool2D | Flatten | Dense | Activation


class Node(msgspec.Struct, frozen=True):
    """A layer, its name, and the names of the nodes it reads (`input` is the data)."""

    name: str
    layer: AnyLayer
    inputs: tuple[str, ...]


class Graph(msgspec.Struct, frozen=True):
    """A model: nodes in an order in which each comes after its inputs."""

    input_shape: Shape
    nodes: tuple[Node, ...]

    def shapes(self) -> dict[str, Shape]:
        """Output shape of every node, and of `input`."""
        shapes = {"input": self.input_shape}
        for node in self.nodes:
            shapes[node.name] = node.layer.output(tuple(shapes[name] for name in node.inputs))
        return shapes

    def parameters(self) -> dict[str, Shape]:
        """Shape of every trained array, by `node/array`."""
        shapes = self.shapes()
        return {
            f"{node.name}/{name}": shape
            for node in self.nodes
            for name, shape in node.layer.parameters(
                tuple(shapes[name] for name in node.inputs)
            ).items()
        }

    def parameter_count(self) -> int:
        """Number of trained scalars."""
        return sum(math.prod(shape) for shape in self.parameters().values())

    def classes(self) -> int:
        """Number of classes that the last layer tells apart."""
        return self.shapes()[self.nodes[-1].name][-1]

    def flattened_image(self, node: Node) -> Shape | None:
        """Shape of the image that a dense node reads through a flatten, else None.

        An engine that keeps channels first needs it to order that node's kernel.
        """
        by_name = {each.name: each for each in self.nodes}
        shapes = self.shapes()
        source = node.inputs[0]
        while source != "input":
            reader = by_name[source]
            before = shapes[reader.inputs[0]]
            if isinstance(reader.layer, Flatten):
                return before if len(before) == 3 else None
            if not isinstance(reader.layer, Activation):
                return None
            source = reader.inputs[0]
        return None

    def initial_weights(self, rng: np.random.Generator) -> Weights:
        """Draw every trained array: kernels by their initializer, biases zero."""
        weights: Weights = {}
        initializers = {
            node.name: node.layer.initializer
            for node in self.nodes
            if isinstance(node.layer, Conv2D | Dense)
        }
        for name, shape in self.parameters().items():
            node, array = name.split("/")
            if array == "bias":
                weights[name] = np.zeros(shape, np.float32)
            else:
                weights[name] = _draw(initializers[node], shape, rng)
        return weights


def _draw(
    initializer: Initializer, shape: Shape, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Glorot and Bengio 2010 (uniform), He et al. 2015 (normal, truncated at two sigma)."""
    receptive = math.prod(shape[:-2])
    fan_in, fan_out = shape[-2] * receptive, shape[-1] * receptive
    if initializer == "glorot_uniform":
        limit = math.sqrt(6.0 / (fan_in + fan_out))
        return rng.uniform(-limit, limit, shape).astype(np.float32)
    # 0.8796...: standard deviation of a unit normal cut off at two sigma.
    sigma = math.sqrt(2.0 / fan_in) / 0.87962566103423978
    draws = rng.standard_normal(shape)
    while (outside := np.abs(draws) > 2.0).any():
        draws[outside] = rng.standard_normal(int(outside.sum()))
    return (draws * sigma).astype(np.float32)


def sequential(input_shape: Shape, *layers: AnyLayer) -> Graph:
    """A graph in which each layer reads the one before; nodes are named by kind and count."""
    return Graph(input_shape, tuple(_chain(layers)))


def _chain(layers: tuple[AnyLayer, ...]) -> Iterator[Node]:
    counts: dict[str, int] = {}
    before = "input"
    for layer in layers:
        kind = type(layer).__name__.lower()
        counts[kind] = counts.get(kind, 0) + 1
        name = f"{kind}{counts[kind]}"
        yield Node(name, layer, (before,))
        before = name
