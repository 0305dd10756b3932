"""A model called on several devices, each with its part of the batch.

Only the model's call is shared: its outputs are joined again on the first device, where losses,
metrics and the optimizer see the whole batch, as they would without a distribution. So the
gradient is that of the whole batch's loss, whatever the loss is and however the batch divides.
"""

import itertools
from collections.abc import Callable
from typing import Any

from keras.src import tree
from keras.src.backend.common import global_state
from keras.src.backend.common.masking import get_keras_mask, set_keras_mask

from keras_mxnet.src import autograd, tracing
from keras_mxnet.src.ops import numpy as ops
from keras_mxnet.src.tensor import Tensor
from keras_mxnet.src.tracing import Untraceable
from keras_mxnet.src.variable import Variable


def is_shared(args: Any, kwargs: Any) -> bool:
    """Tell whether a model's call on these arguments is to be shared among devices.

    It is while a trace for several devices calls a model, not a layer inside one, on tensors
    that all have one number of samples.
    """
    tracer = tracing.current()
    if tracer is None or len(tracer.devices) < 2 or tracer.device is not None:
        return False
    if global_state.get_global_attribute("current_call_ctx") is not None:
        return False
    lengths = {x.shape[:1] for x in tree.flatten((args, kwargs)) if isinstance(x, Tensor)}
    return len(lengths) == 1 and lengths.pop() > (1,)


def call(model: Any, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Trace a model's call once for each device, and join what comes out.

    Args:
        model: the model.
        function: calls it.
        args: what it is called with; tensors are divided along the first axis, as evenly as they
            can be.
        kwargs: what else, by name, divided likewise.

    Returns:
        The outputs for all samples, with their masks.

    Raises:
        Untraceable: if an output has no axis of samples.
    """
    tracer = tracing.current()
    samples = next(len(x) for x in tree.flatten((args, kwargs)) if isinstance(x, Tensor))
    replicas = min(len(tracer.devices), samples)
    edges = [-(-samples * i // replicas) for i in range(replicas + 1)]
    sizes = [end - begin for begin, end in itertools.pairwise(edges)]
    layers = model._flatten_layers()
    losses: list[list[list[Tensor]]] = []

    def average(tensors: Any) -> Tensor:
        """Return the mean over samples of what each replica gives for its own."""
        first, *others = tensors
        mean = first
        for size, other in zip(sizes[1:], others, strict=True):
            mean = mean + (other - first) * (size / samples)
        return mean

    def merge(variable: Variable, values: Any) -> Tensor:
        """Return what a variable holds that each replica has assigned."""
        first = values[0]
        with autograd.recording(False):
            if variable.aggregation == "sum":
                before = variable._value
                return before + sum((v - before for v in values[1:]), first - before)
            if variable.aggregation == "only_first_replica" or not variable.is_differentiable:
                return first
            return average(values)

    def replica(device: int) -> Callable[[], Any]:
        def run() -> Any:
            part = slice(edges[device], edges[device + 1])
            given = tree.map_structure(lambda x: _rows(x, part), (args, kwargs))
            tracer.device = device
            try:
                outputs = function(*given[0], **given[1])
            finally:
                tracer.device = None
            losses.append([list(layer._losses) for layer in layers])
            return outputs

        return run

    results = tracer.separately([replica(i) for i in range(replicas)], merge)
    model._clear_losses()
    for layer, *parts in zip(layers, *losses, strict=True):
        for values in zip(*parts, strict=True):
            layer.add_loss(average(values))
    return tree.map_structure(lambda *parts: _joined(parts, sizes), *results)


def _rows(x: Any, part: slice) -> Any:
    if not isinstance(x, Tensor):
        return x
    rows = x[part]
    mask = get_keras_mask(x)
    if mask is not None:
        set_keras_mask(rows, mask[part])
    return rows


def _joined(parts: tuple[Any, ...], sizes: list[int]) -> Any:
    if not isinstance(parts[0], Tensor):
        return parts[0]
    if [part.shape[:1] for part in parts] != [(size,) for size in sizes]:
        raise Untraceable(
            f"an output of shape {parts[0].shape} for {sizes[0]} samples cannot be put together "
            "from the parts of several devices"
        )
    whole = ops.concatenate(parts)
    masks = [get_keras_mask(part) for part in parts]
    if masks[0] is not None:
        set_keras_mask(whole, ops.concatenate(masks))
    return whole
