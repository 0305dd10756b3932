"""What a node of the layer graph computes: shapes and arrays, and no framework.

Conventions, the same for every engine: shapes leave out the batch axis. Channels
come last: (height, width, channels) or (length, channels). Convolution kernels are
(*window, in, out), dense kernels (in, out). What a layer has besides is stated at it.
"""

import math
from typing import Literal, NamedTuple

import msgspec

from velodrome.workloads.initializers import Initializer, Shape, Uniform


class Array(NamedTuple):
    """One array of a layer.

    Attributes:
        shape: its shape.
        initializer: how it starts.
        trained: by the optimizer; else a statistic that training keeps up to date.
    """

    shape: Shape
    initializer: Initializer
    trained: bool = True


class Layer(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """What one node of the graph computes."""

    def output(self, shapes: tuple[Shape, ...]) -> Shape:
        """Shape that comes out for inputs of these shapes."""
        return shapes[0]

    def arrays(self, shape: Shape) -> dict[str, Array]:
        """Its arrays by name, for a first input of that shape."""
        return {}


Padding = Literal["same", "valid"]


class Windowed(Layer, frozen=True, kw_only=True):
    """A window that moves over all axes but the last.

    `same` pads so that ceil(length / stride) values come out, the odd one at the end
    (TensorFlow's and Keras's rule); `valid` pads nothing and drops what does not fill
    a window.
    """

    window: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Padding

    def moved(self, shape: Shape) -> Shape:
        """Lengths of the axes that come out."""
        if self.padding == "same":
            return tuple(
                -(-length // step) for length, step in zip(shape[:-1], self.stride, strict=True)
            )
        return tuple(
            (length - window) // step + 1
            for length, window, step in zip(shape[:-1], self.window, self.stride, strict=True)
        )

    def pads(self, shape: Shape) -> tuple[tuple[int, int], ...]:
        """Values to pad before and after each axis of an input of that shape."""
        if self.padding == "valid":
            return ((0, 0),) * len(self.window)
        totals = [
            max((count - 1) * step + window - length, 0)
            for count, step, window, length in zip(
                self.moved(shape), self.stride, self.window, shape[:-1], strict=True
            )
        ]
        return tuple((total // 2, total - total // 2) for total in totals)


class Conv(Windowed, frozen=True, kw_only=True):
    """Convolution (cross-correlation) over one or two axes, plus a bias, zero-padded."""

    filters: int
    stride: tuple[int, ...] = (1, 1)
    padding: Padding = "same"
    bias: bool = True
    initializer: Initializer = "glorot_uniform"

    def output(self, shapes: tuple[Shape, ...]) -> Shape:
        """(*moved, filters)."""
        return *self.moved(shapes[0]), self.filters

    def arrays(self, shape: Shape) -> dict[str, Array]:
        """Kernel (*window, in, filters) and bias (filters)."""
        kernel = Array((*self.window, shape[-1], self.filters), self.initializer)
        bias = Array((self.filters,), "zeros")
        return {"kernel": kernel, "bias": bias} if self.bias else {"kernel": kernel}


class MaxPool(Windowed, frozen=True, kw_only=True):
    """Maximum over each window; what is padded does not count."""

    window: tuple[int, ...] = (2, 2)
    stride: tuple[int, ...] = (2, 2)
    padding: Padding = "valid"

    def output(self, shapes: tuple[Shape, ...]) -> Shape:
        """(*moved, channels)."""
        return *self.moved(shapes[0]), shapes[0][-1]


class AveragePool(Windowed, frozen=True, kw_only=True):
    """Mean over each window; what is padded does not count."""

    window: tuple[int, ...] = (2, 2)
    stride: tuple[int, ...] = (2, 2)
    padding: Padding = "valid"

    def output(self, shapes: tuple[Shape, ...]) -> Shape:
        """(*moved, channels)."""
        return *self.moved(shapes[0]), shapes[0][-1]


class GlobalAveragePool(Layer, frozen=True, kw_only=True):
    """Mean over all axes but the last."""

    def output(self, shapes: tuple[Shape, ...]) -> Shape:
        """(channels,)."""
        return (shapes[0][-1],)


class ZeroPad(Layer, frozen=True, kw_only=True):
    """Zeros around an image: (before, after) of height and of width."""

    pads: tuple[tuple[int, int], tuple[int, int]]

    def output(self, shapes: tuple[Shape, ...]) -> Shape:
        """(height, width, channels), grown by the pads."""
        height, width, channels = shapes[0]
        return height + sum(self.pads[0]), width + sum(self.pads[1]), channels


class Upsample(Layer, frozen=True, kw_only=True):
    """Each pixel of an image repeated `factor` times in height and in width."""

    factor: int

    def output(self, shapes: tuple[Shape, ...]) -> Shape:
        """(height * factor, width * factor, channels)."""
        height, width, channels = shapes[0]
        return height * self.factor, width * self.factor, channels


class Flatten(Layer, frozen=True, kw_only=True):
    """All axes into one, the last axis running fastest."""

    def output(self, shapes: tuple[Shape, ...]) -> Shape:
        """(product of the axes,)."""
        return (math.prod(shapes[0]),)


class Add(Layer, frozen=True, kw_only=True):
    """Sum of inputs of one shape."""


class Concatenate(Layer, frozen=True, kw_only=True):
    """Inputs behind each other along the last axis."""

    def output(self, shapes: tuple[Shape, ...]) -> Shape:
        """(..., sum of the last axes)."""
        return *shapes[0][:-1], sum(shape[-1] for shape in shapes)


class Dense(Layer, frozen=True, kw_only=True):
    """Matrix product of the last axis with a kernel, plus a bias."""

    units: int
    bias: bool = True
    initializer: Initializer = "glorot_uniform"

    def output(self, shapes: tuple[Shape, ...]) -> Shape:
        """(..., units)."""
        return *shapes[0][:-1], self.units

    def arrays(self, shape: Shape) -> dict[str, Array]:
        """Kernel (in, units) and bias (units)."""
        kernel = Array((shape[-1], self.units), self.initializer)
        bias = Array((self.units,), "zeros")
        return {"kernel": kernel, "bias": bias} if self.bias else {"kernel": kernel}


class Activation(Layer, frozen=True, kw_only=True):
    """An elementwise function."""

    function: Literal["relu", "tanh", "sigmoid"]


class Dropout(Layer, frozen=True, kw_only=True):
    """While training, zero a share of the values and divide the others by 1 - rate."""

    rate: float


class BatchNorm(Layer, frozen=True, kw_only=True):
    """Normalise each channel over batch and window axes (Ioffe and Szegedy 2015).

    gamma * (x - mean) / sqrt(variance + epsilon) + beta, where variance divides by
    the number of values, in training and in the moving statistic alike. A moving
    statistic becomes momentum * itself + (1 - momentum) * the batch's.

    Attributes:
        momentum: share of the moving statistics that a batch leaves as it was.
        epsilon: added to the variance.
        scale: whether there is a gamma.
    """

    momentum: float = 0.99
    epsilon: float = 1e-3
    scale: bool = True

    def arrays(self, shape: Shape) -> dict[str, Array]:
        """Gamma, beta, moving mean and moving variance, each (channels)."""
        channels = (shape[-1],)
        gamma = {"gamma": Array(channels, "ones")} if self.scale else {}
        return gamma | {
            "beta": Array(channels, "zeros"),
            "moving_mean": Array(channels, "zeros", trained=False),
            "moving_variance": Array(channels, "ones", trained=False),
        }


class LayerNorm(Layer, frozen=True, kw_only=True):
    """Normalise over the last axis (Ba et al. 2016), variance dividing by the length."""

    epsilon: float = 1e-5

    def arrays(self, shape: Shape) -> dict[str, Array]:
        """Gamma and beta, each (channels)."""
        return {"gamma": Array(shape[-1:], "ones"), "beta": Array(shape[-1:], "zeros")}


class Embedding(Layer, frozen=True, kw_only=True):
    """A vector for each token; 0, the padding, has one too and nothing is masked."""

    vocabulary: int
    units: int
    initializer: Initializer = Uniform(0.05)

    def output(self, shapes: tuple[Shape, ...]) -> Shape:
        """(length, units)."""
        return *shapes[0], self.units

    def arrays(self, shape: Shape) -> dict[str, Array]:
        """The vectors (vocabulary, units)."""
        return {"embeddings": Array((self.vocabulary, self.units), self.initializer)}


class PositionEmbedding(Layer, frozen=True, kw_only=True):
    """Add a trained vector for each position."""

    initializer: Initializer = Uniform(0.05)

    def arrays(self, shape: Shape) -> dict[str, Array]:
        """The vectors (length, units)."""
        return {"embeddings": Array(shape, self.initializer)}


class LSTM(Layer, frozen=True, kw_only=True):
    """Long short-term memory over the length, its last output (Gers et al. 2000).

    From zero states, with z = x @ kernel + h @ recurrent_kernel + bias cut in four,
    in this order::

        i, f, g, o = sigmoid(z1), sigmoid(z2), tanh(z3), sigmoid(z4)
        c = f * c + i * g
        h = o * tanh(c)
    """

    units: int

    def output(self, shapes: tuple[Shape, ...]) -> Shape:
        """(units,)."""
        return (self.units,)

    def arrays(self, shape: Shape) -> dict[str, Array]:
        """Kernel (in, 4 units), recurrent kernel (units, 4 units) and bias (4 units)."""
        gates = 4 * self.units
        return {
            "kernel": Array((shape[-1], gates), "glorot_uniform"),
            "recurrent_kernel": Array((self.units, gates), "orthogonal"),
            "bias": Array((gates,), "lstm_bias"),
        }


class SelfAttention(Layer, frozen=True, kw_only=True):
    """Scaled dot-product attention of a sequence to itself (Vaswani et al. 2017).

    Queries, keys and values are products with their kernels, cut into heads along the
    last axis; softmax(q k' / sqrt(units / heads)) v of each head, side by side, is
    multiplied with the output kernel. No biases and no mask.
    """

    heads: int

    def arrays(self, shape: Shape) -> dict[str, Array]:
        """Four kernels (units, units)."""
        kernel = Array((shape[-1], shape[-1]), "glorot_uniform")
        return {f"{role}_kernel": kernel for role in ("query", "key", "value", "output")}


AnyLayer = (
    Conv
    | MaxPool
    | AveragePool
    | GlobalAveragePool
    | ZeroPad
    | Upsample
    | Flatten
    | Add
    | Concatenate
    | Dense
    | Activation
    | Dropout
    | BatchNorm
    | LayerNorm
    | Embedding
    | PositionEmbedding
    | LSTM
    | SelfAttention
)
