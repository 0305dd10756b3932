"""The layer graph as a model of Keras."""

from typing import Any

from velodrome.workloads.graph import Graph
from velodrome.workloads.initializers import Shape
from velodrome.workloads.layers import (
    LSTM,
    Activation,
    Add,
    AnyLayer,
    AveragePool,
    BatchNorm,
    Concatenate,
    Conv,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePool,
    LayerNorm,
    MaxPool,
    PositionEmbedding,
    SelfAttention,
    Upsample,
    ZeroPad,
)


def model(graph: Graph, weight_decay: float) -> Any:
    """The graph as a functional model, a layer a node of the same name.

    An activation belongs to the layer before it where Keras takes it there: a layer costs eager
    backends time of its own.
    """
    import keras

    kind = "int32" if graph.vocabulary() else "float32"
    shapes = graph.shapes()
    activations = _activations(graph)
    values = {"input": keras.Input(graph.input_shape, dtype=kind)}
    for node in graph.nodes:
        inputs = [values[name] for name in node.inputs]
        if isinstance(node.layer, Activation) and node.inputs[0] in activations:
            (values[node.name],) = inputs
            continue
        activation = activations.get(node.name)
        layer = _layer(node.layer, node.name, shapes[node.inputs[0]], weight_decay, activation)
        match node.layer:
            case Add() | Concatenate():
                values[node.name] = layer(inputs)
            case SelfAttention():
                values[node.name] = layer(*inputs, *inputs)
            case _:
                values[node.name] = layer(*inputs)
    logits = values[graph.nodes[-1].name]
    policy = keras.config.dtype_policy()
    if policy.compute_dtype != policy.variable_dtype:
        # The loss is taken in float32, though the layers compute in less.
        logits = keras.layers.Activation("linear", dtype="float32")(logits)
    return keras.Model(values["input"], logits)


def _activations(graph: Graph) -> dict[str, str]:
    """By name of a convolution or dense layer, the activation that alone reads it."""
    readers: dict[str, list[AnyLayer]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node.layer)
    return {
        node.name: reader.function
        for node in graph.nodes
        if isinstance(node.layer, Conv | Dense)
        for reader in readers.get(node.name, ())
        if isinstance(reader, Activation) and len(readers[node.name]) == 1
    }


def _layer(
    layer: AnyLayer, name: str, shape: Shape, weight_decay: float, activation: str | None
) -> Any:
    from keras import layers, regularizers

    # Keras's L2 is factor * sum(w^2), whose gradient is twice the factor times w.
    penalty = regularizers.L2(weight_decay / 2) if weight_decay else None
    rank = f"{len(shape) - 1}D"
    match layer:
        case Conv():
            return getattr(layers, f"Conv{rank}")(
                layer.filters,
                layer.window,
                layer.stride,
                padding=layer.padding,
                activation=activation,
                use_bias=layer.bias,
                kernel_regularizer=penalty,
                name=name,
            )
        case MaxPool():
            return getattr(layers, f"MaxPooling{rank}")(
                layer.window, layer.stride, layer.padding, name=name
            )
        case AveragePool():
            return getattr(layers, f"AveragePooling{rank}")(
                layer.window, layer.stride, layer.padding, name=name
            )
        case GlobalAveragePool():
            return getattr(layers, f"GlobalAveragePooling{rank}")(name=name)
        case ZeroPad():
            return layers.ZeroPadding2D(layer.pads, name=name)
        case Upsample():
            return layers.UpSampling2D(layer.factor, interpolation="nearest", name=name)
        case Flatten():
            return layers.Flatten(name=name)
        case Add():
            return layers.Add(name=name)
        case Concatenate():
            return layers.Concatenate(name=name)
        case Dense():
            return layers.Dense(
                layer.units,
                activation=activation,
                use_bias=layer.bias,
                kernel_regularizer=penalty,
                name=name,
            )
        case Activation():
            return layers.Activation(layer.function, name=name)
        case Dropout():
            return layers.Dropout(layer.rate, name=name)
        case BatchNorm():
            return layers.BatchNormalization(
                momentum=layer.momentum, epsilon=layer.epsilon, scale=layer.scale, name=name
            )
        case LayerNorm():
            return layers.LayerNormalization(epsilon=layer.epsilon, name=name)
        case Embedding():
            return layers.Embedding(layer.vocabulary, layer.units, name=name)
        case PositionEmbedding():
            return _position_embedding(name, shape)
        case LSTM():
            return layers.LSTM(
                layer.units,
                kernel_regularizer=penalty,
                recurrent_regularizer=penalty,
                name=name,
            )
        case SelfAttention():
            return layers.MultiHeadAttention(
                layer.heads,
                shape[-1] // layer.heads,
                use_bias=False,
                kernel_regularizer=penalty,
                name=name,
            )
    raise TypeError(f"no layer of Keras for {layer}")


def _position_embedding(name: str, shape: Shape) -> Any:
    from keras import layers

    class PositionEmbedding(layers.Layer):
        def build(self, input_shape: Any) -> None:
            self.embeddings = self.add_weight(shape=shape, name="embeddings")

        def call(self, x: Any) -> Any:
            return x + self.embeddings

    return PositionEmbedding(name=name)


# What attention's arrays are called in Keras.
_PATHS = {
    "query_kernel": "query/kernel",
    "key_kernel": "key/kernel",
    "value_kernel": "value/kernel",
    "output_kernel": "attention_output/kernel",
}


def variable(model: Any, name: str) -> Any:
    """Keras's variable of an array named `node/array`; its shape may be spread over heads."""
    node, array = name.split("/")
    path = _PATHS.get(array, array)
    (variable,) = (each for each in model.get_layer(node).weights if each.path.endswith(f"/{path}"))
    return variable
