"""Every layer of the graph in plain numpy, in float64: what engines are measured against."""

import numpy as np
import numpy.typing as npt

from velodrome.workloads.graph import Graph, by_node
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
    Windowed,
    ZeroPad,
)

Floats = npt.NDArray[np.float64]
Arrays = dict[str, Floats]


def loss(
    graph: Graph, arrays: Arrays, x: Floats, y: npt.NDArray[np.int32], training: bool
) -> tuple[float, Arrays]:
    """Mean cross-entropy, and the moving statistics after the batch."""
    own = by_node(arrays)
    values = {"input": x}
    moved: Arrays = {}
    for node in graph.nodes:
        inputs = [values[name] for name in node.inputs]
        if isinstance(node.layer, BatchNorm):
            mine = dict(own[node.name])
            if training:
                axes = tuple(range(inputs[0].ndim - 1))
                batch = {
                    "moving_mean": inputs[0].mean(axes),
                    "moving_variance": inputs[0].var(axes),
                }
                for name, value in batch.items():
                    keep = node.layer.momentum
                    moved[f"{node.name}/{name}"] = keep * mine[name] + (1 - keep) * value
                mine |= batch
            values[node.name] = (inputs[0] - mine["moving_mean"]) / np.sqrt(
                mine["moving_variance"] + node.layer.epsilon
            ) * mine.get("gamma", 1.0) + mine["beta"]
        else:
            values[node.name] = _compute(node.layer, own.get(node.name, {}), inputs)
    logits = values[graph.nodes[-1].name]
    if graph.binary():
        logits = np.concatenate([np.zeros_like(logits), logits], 1)
    top = logits.max(1, keepdims=True)
    log_p = logits - top - np.log(np.exp(logits - top).sum(1, keepdims=True))
    return float(-log_p[np.arange(len(y)), y].mean()), moved


def _sigmoid(x: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-x))


def _windows(layer: Windowed, x: Floats, filler: float) -> Floats:
    """(n, *moved, channels, *window)."""
    x = np.pad(x, ((0, 0), *layer.pads(x.shape[1:]), (0, 0)), constant_values=filler)
    axes = tuple(range(1, x.ndim - 1))
    windows = np.lib.stride_tricks.sliding_window_view(x, layer.window, axes)
    return windows[(slice(None), *(slice(None, None, step) for step in layer.stride))]


def _compute(layer: AnyLayer, own: Arrays, inputs: list[Floats]) -> Floats:
    x = inputs[0]
    over = tuple(range(1, x.ndim - 1))
    match layer:
        case Conv():
            windows = np.moveaxis(_windows(layer, x, 0.0), x.ndim - 1, -1)
            rank = len(layer.window)
            y = np.tensordot(windows, own["kernel"], rank + 1)
            return y + own.get("bias", 0.0)
        case MaxPool():
            return _windows(layer, x, -np.inf).max(tuple(range(x.ndim, x.ndim + len(over))))
        case AveragePool():
            inside = tuple(range(x.ndim, x.ndim + len(over)))
            return np.nanmean(_windows(layer, x, np.nan), inside)
        case GlobalAveragePool():
            return x.mean(over)
        case ZeroPad():
            return np.pad(x, ((0, 0), *layer.pads, (0, 0)))
        case Upsample():
            return np.kron(x, np.ones((1, layer.factor, layer.factor, 1)))
        case Flatten():
            return x.reshape(len(x), -1)
        case Add():
            return np.sum(inputs, 0)
        case Concatenate():
            return np.concatenate(inputs, -1)
        case Dense():
            return x @ own["kernel"] + own.get("bias", 0.0)
        case Activation(function="relu"):
            return np.maximum(x, 0.0)
        case Activation(function="tanh"):
            return np.tanh(x)
        case Activation(function="sigmoid"):
            return _sigmoid(x)
        case Dropout():
            return x
        case LayerNorm():
            spread = np.sqrt(x.var(-1, keepdims=True) + layer.epsilon)
            return (x - x.mean(-1, keepdims=True)) / spread * own["gamma"] + own["beta"]
        case Embedding():
            return own["embeddings"][x.astype(np.int64)]
        case PositionEmbedding():
            return x + own["embeddings"]
        case LSTM():
            h = c = np.zeros((len(x), layer.units))
            for step in range(x.shape[1]):
                z = x[:, step] @ own["kernel"] + h @ own["recurrent_kernel"] + own["bias"]
                i, f, g, o = np.split(z, 4, 1)
                c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
                h = _sigmoid(o) * np.tanh(c)
            return h
        case SelfAttention():
            size = x.shape[-1] // layer.heads
            heads = []
            for head in range(layer.heads):
                part = slice(head * size, (head + 1) * size)
                q, k, v = (x @ own[f"{r}_kernel"][:, part] for r in ("query", "key", "value"))
                scores = np.exp(q @ k.swapaxes(1, 2) / np.sqrt(size))
                heads.append(scores / scores.sum(-1, keepdims=True) @ v)
            return np.concatenate(heads, -1) @ own["output_kernel"]
    raise TypeError(f"no reference for {layer}")
