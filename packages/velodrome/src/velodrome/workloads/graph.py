"""The layer graph: a model written once, with no framework in it.

The last layer gives logits: one for each class, to which the loss applies softmax,
or a single one, the second of two classes against the first, to which it applies a
sigmoid. Layers and their conventions are in `layers.py`.
"""

import math
from collections.abc import Mapping
from typing import TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from velodrome.workloads import initializers
from velodrome.workloads.initializers import Shape
from velodrome.workloads.layers import Activation, AnyLayer, Array, Dropout, Embedding, Flatten

T = TypeVar("T")
Weights = dict[str, npt.NDArray[np.float32]]


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

    def arrays(self) -> dict[str, Array]:
        """Every array, by `node/array`: what is trained, and the moving statistics."""
        shapes = self.shapes()
        return {
            f"{node.name}/{name}": array
            for node in self.nodes
            for name, array in node.layer.arrays(shapes[node.inputs[0]]).items()
        }

    def parameters(self) -> dict[str, Shape]:
        """Shape of every trained array, by `node/array`."""
        return {name: array.shape for name, array in self.arrays().items() if array.trained}

    def parameter_count(self) -> int:
        """Number of trained scalars."""
        return sum(math.prod(shape) for shape in self.parameters().values())

    def layer_of(self, array: str) -> AnyLayer:
        """The layer that an array named `node/array` belongs to."""
        (node,) = (each for each in self.nodes if each.name == array.split("/")[0])
        return node.layer

    def has(self, kind: type) -> bool:
        """Whether a layer is of that kind."""
        return any(isinstance(node.layer, kind) for node in self.nodes)

    def binary(self) -> bool:
        """Whether a single logit tells two classes apart."""
        return self.shapes()[self.nodes[-1].name] == (1,)

    def classes(self) -> int:
        """Number of classes that the last layer tells apart."""
        return 2 if self.binary() else self.shapes()[self.nodes[-1].name][-1]

    def vocabulary(self) -> int | None:
        """Number of tokens that an embedding of the input knows; None for images."""
        for node in self.nodes:
            if isinstance(node.layer, Embedding):
                return node.layer.vocabulary
        return None

    def without_dropout(self) -> "Graph":
        """The same graph, its dropout layers passing everything on."""
        nodes = tuple(
            msgspec.structs.replace(node, layer=Dropout(rate=0.0))
            if isinstance(node.layer, Dropout)
            else node
            for node in self.nodes
        )
        return msgspec.structs.replace(self, nodes=nodes)

    def flattened_image(self, name: str) -> Shape | None:
        """Shape of the image that a node reads through a flatten, else None.

        An engine that keeps channels first needs it to order that node's kernel.
        """
        by_name = {each.name: each for each in self.nodes}
        shapes = self.shapes()
        source = by_name[name].inputs[0]
        while source != "input":
            reader = by_name[source]
            before = shapes[reader.inputs[0]]
            if isinstance(reader.layer, Flatten):
                return before if len(before) == 3 else None
            if not isinstance(reader.layer, Activation | Dropout):
                return None
            source = reader.inputs[0]
        return None

    def initial_weights(self, rng: np.random.Generator) -> Weights:
        """Draw every array by its initializer."""
        return {
            name: initializers.draw(array.initializer, array.shape, rng)
            for name, array in self.arrays().items()
        }


def by_node(arrays: Mapping[str, T]) -> dict[str, dict[str, T]]:
    """Arrays named `node/array`, by node and then by their own name."""
    nodes: dict[str, dict[str, T]] = {}
    for name, array in arrays.items():
        node, own = name.split("/")
        nodes.setdefault(node, {})[own] = array
    return nodes


class Builder:
    """Puts a graph together, naming nodes by kind and count (`conv1`, `conv2`, ...)."""

    def __init__(self, input_shape: Shape) -> None:
        self._input_shape = input_shape
        self._nodes: list[Node] = []
        self._counts: dict[str, int] = {}

    def add(self, layer: AnyLayer, *inputs: str) -> str:
        """Add a layer that reads these nodes, the last one added unless given.

        Returns:
            The new node's name.
        """
        kind = type(layer).__name__.lower()
        self._counts[kind] = self._counts.get(kind, 0) + 1
        name = f"{kind}{self._counts[kind]}"
        last = self._nodes[-1].name if self._nodes else "input"
        self._nodes.append(Node(name, layer, inputs or (last,)))
        return name

    def graph(self) -> Graph:
        """What was added; the last node gives the logits."""
        return Graph(self._input_shape, tuple(self._nodes))


def sequential(input_shape: Shape, *layers: AnyLayer) -> Graph:
    """A graph in which each layer reads the one before."""
    builder = Builder(input_shape)
    for layer in layers:
        builder.add(layer)
    return builder.graph()
