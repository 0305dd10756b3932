"""The one point through which every MXNet operator is called."""

from collections.abc import Sequence
from typing import Any

from keras_mxnet.src import arrays, dimensions, dtypes, tracing
from keras_mxnet.src.tensor import Tensor, context


def invoke_all(
    name: str,
    inputs: Sequence[Tensor],
    attributes: dict[str, Any] | None = None,
    dtype: str | None = None,
) -> list[Tensor]:
    """Call an MXNet operator and return every output.

    Args:
        name: the operator, as MXNet registers it.
        inputs: its tensors.
        attributes: its attributes; None means "None" to MXNet.
        dtype: the logical dtype of the outputs. By default an output that is held as the first
            input is has the first input's, another one the dtype it is held in.
    """
    attributes = attributes or {}
    if dimensions.exceeded(name, inputs, attributes):
        result = dimensions.run(invoke_all, name, inputs, attributes)
        # The steps kept the dtype: only its name can differ from what a caller asked for.
        result.dtype = dtype or result.dtype
        return [result]
    wider = dtypes.WIDENED.get(name)
    if wider is not None and inputs:
        held = dtypes.STORAGE[inputs[0].dtype]
        if held in wider:
            return _invoke_wider(name, inputs, attributes, dtype, held, wider[held])
    specs: Sequence[arrays.Spec] = ()
    if any(tensor.array is None for tensor in inputs):
        text = tuple((key, arrays.text(value)) for key, value in attributes.items())
        given = tuple((t.shape, dtypes.STORAGE[t.dtype]) for t in inputs)
        specs = arrays.infer(name, text, given)
        outputs = [Tensor(None, _logical(inputs, held, dtype), shape) for shape, held in specs]
    else:
        results = arrays.call(name, [t.array for t in inputs], attributes)
        outputs = [
            Tensor(result, _logical(inputs, arrays.dtype_of(result), dtype)) for result in results
        ]
    tracer = tracing.current()
    if tracer is not None:
        tracer.record(name, inputs, attributes, outputs, specs)
    return outputs


def invoke(
    name: str,
    inputs: Sequence[Tensor],
    attributes: dict[str, Any] | None = None,
    dtype: str | None = None,
) -> Tensor:
    """Call an MXNet operator and return its first output."""
    return invoke_all(name, inputs, attributes, dtype)[0]


def create(name: str, attributes: dict[str, Any], dtype: str) -> Tensor:
    """Call an MXNet operator that has no inputs, on the current device."""
    attributes = {**attributes, "dtype": dtypes.storage(dtype), "ctx": context()}
    return invoke(name, [], attributes, dtype)


def _logical(inputs: Sequence[Tensor], held: str, dtype: str | None) -> str:
    if dtype is not None:
        return dtype
    if inputs and dtypes.STORAGE[inputs[0].dtype] == held:
        return inputs[0].dtype
    return held


def _invoke_wider(
    name: str,
    inputs: Sequence[Tensor],
    attributes: dict[str, Any],
    dtype: str | None,
    held: str,
    wider: str,
) -> list[Tensor]:
    """Call an operator in a dtype it has a kernel for, and cast back what comes in that dtype."""
    logical = inputs[0].dtype
    cast = [
        invoke("_npx_cast", [t], {"dtype": wider}, wider) if dtypes.STORAGE[t.dtype] == held else t
        for t in inputs
    ]
    outputs = invoke_all(name, cast, attributes)
    return [
        invoke("_npx_cast", [o], {"dtype": dtypes.storage(dtype or logical)}, dtype or logical)
        if o.dtype == wider
        else o
        for o in outputs
    ]
