"""Recurrent layers' loops."""

from collections.abc import Callable
from typing import Any

from keras.src import tree

from keras_mxnet.src.convert import cast, convert_to_tensor
from keras_mxnet.src.invoke import invoke_all
from keras_mxnet.src.ops import numpy as ops
from keras_mxnet.src.ops.core import unstack
from keras_mxnet.src.tensor import Tensor


def rnn(
    step_function: Callable[..., Any],
    inputs: Any,
    initial_states: Any,
    go_backwards: bool = False,
    mask: Any = None,
    constants: Any = None,
    unroll: bool = False,
    input_length: int | None = None,
    time_major: bool = False,
    zero_output_for_mask: bool = False,
    return_all_outputs: bool = True,
) -> tuple[Any, Any, Any]:
    """Step through time.

    Args:
        step_function: takes the inputs of one step and the states (with the constants), returns
            its output and the new states.
        inputs: a tensor (batch, time, ...), or a structure of them.
        initial_states: the states before the first step.
        go_backwards: begin with the last step.
        mask: (batch, time) or (batch, time, 1); where false a sample's step changes nothing.
        constants: further tensors for every step.
        unroll: here the loop always is.
        input_length: not needed, lengths are known.
        time_major: time comes first in inputs, mask and outputs.
        zero_output_for_mask: a masked step's output is zero, not the one before it.
        return_all_outputs: whether every step's output is wanted, or only the last one's.

    Returns:
        The last output; the outputs along time, of length one if only the last is wanted; the
        states after the last step.
    """
    if not time_major:
        inputs = tree.map_structure(lambda x: ops.swapaxes(x, 0, 1), inputs)
    steps = [unstack(x) for x in tree.flatten(inputs)]
    times = range(len(steps[0]))
    if unroll and not times:
        raise ValueError("Unrolling requires a fixed number of timesteps.")
    masks = None
    if mask is not None:
        mask = cast(mask, "bool")
        masks = unstack(mask if time_major else ops.swapaxes(mask, 0, 1))
    constants = tuple(constants or ())
    states = tuple(initial_states)
    outputs: list[Any] = []
    for t in reversed(times) if go_backwards else times:
        x = tree.pack_sequence_as(inputs, [step[t] for step in steps])
        output, new_states = step_function(x, states + constants)
        new_states = tuple(new_states)
        if masks is not None:
            here = masks[t]
            before = (
                outputs[-1]
                if outputs and not zero_output_for_mask
                else tree.map_structure(ops.zeros_like, output)
            )
            output = _chosen(here, output, before)
            new_states = _chosen(here, new_states, states)
        states = new_states
        if not return_all_outputs:
            outputs.clear()
        outputs.append(output)
    stacked = tree.map_structure(lambda *parts: ops.stack(parts), *outputs)
    if not time_major:
        stacked = tree.map_structure(lambda x: ops.swapaxes(x, 0, 1), stacked)
    return outputs[-1], stacked, states


def _chosen(mask: Tensor, new: Any, old: Any) -> Any:
    """Take, sample by sample, the new values where the mask is true."""

    def choose(a: Tensor, b: Tensor) -> Tensor:
        shape = (mask.shape[0],) + (1,) * (a.ndim - 1)
        return ops.where(ops.reshape(mask, shape), a, b)

    return tree.map_structure(choose, new, old)


def cudnn_ok(*args: Any, **kwargs: Any) -> bool:
    return False


# MXNet's fused operator. Where it does not fit these raise NotImplementedError, and Keras loops
# over the steps.


def lstm(
    inputs: Any,
    initial_state_h: Any,
    initial_state_c: Any,
    mask: Any,
    kernel: Any,
    recurrent_kernel: Any,
    bias: Any,
    activation: Any,
    recurrent_activation: Any,
    return_sequences: bool = False,
    go_backwards: bool = False,
    unroll: bool = False,
    batch_first: bool = True,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    _refuse_unless_fusible(mask, activation, recurrent_activation)
    kernel, recurrent = convert_to_tensor(kernel), convert_to_tensor(recurrent_kernel)
    bias = ops.zeros((kernel.shape[1],), kernel.dtype) if bias is None else convert_to_tensor(bias)
    # Keras's order of the gates is MXNet's: input, forget, cell, output.
    parameters = [ops.transpose(kernel), ops.transpose(recurrent), bias, ops.zeros_like(bias)]
    states = [initial_state_h, initial_state_c]
    outputs, states = _fused("lstm", inputs, states, parameters, go_backwards, batch_first)
    return states[0], outputs, states


def gru(
    inputs: Any,
    initial_state: Any,
    mask: Any,
    kernel: Any,
    recurrent_kernel: Any,
    bias: Any,
    activation: Any,
    recurrent_activation: Any,
    return_sequences: bool = False,
    go_backwards: bool = False,
    unroll: bool = False,
    reset_after: bool = True,
    batch_first: bool = True,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    _refuse_unless_fusible(mask, activation, recurrent_activation)
    if not reset_after:
        raise NotImplementedError
    kernel, recurrent = convert_to_tensor(kernel), convert_to_tensor(recurrent_kernel)
    bias = (
        ops.zeros((2, kernel.shape[1]), kernel.dtype) if bias is None else convert_to_tensor(bias)
    )

    def reset_first(gates: Tensor) -> Tensor:
        # Keras's order of the gates: update, reset, new; MXNet's: reset, update, new.
        update, reset, new = ops.split(gates, 3, -1)
        return ops.concatenate([reset, update, new], -1)

    kernel, recurrent, bias = (reset_first(gates) for gates in (kernel, recurrent, bias))
    parameters = [ops.transpose(kernel), ops.transpose(recurrent), bias]
    outputs, states = _fused("gru", inputs, [initial_state], parameters, go_backwards, batch_first)
    return states[0], outputs, states


def bidirectional_lstm(*args: Any, **kwargs: Any) -> Any:
    raise NotImplementedError


def bidirectional_gru(*args: Any, **kwargs: Any) -> Any:
    raise NotImplementedError


def _refuse_unless_fusible(mask: Any, activation: Any, recurrent_activation: Any) -> None:
    # Keras's activations import the backend: they are not there yet when this module is.
    from keras.src import activations

    if (
        mask is not None
        or activation is not activations.tanh
        or recurrent_activation is not activations.sigmoid
    ):
        raise NotImplementedError


def _fused(
    mode: str,
    inputs: Any,
    states: list[Any],
    parameters: list[Tensor],
    go_backwards: bool,
    batch_first: bool,
) -> tuple[Tensor, list[Tensor]]:
    """Run MXNet's recurrent operator.

    Args:
        mode: which cell.
        inputs: (batch, time, features), or time first.
        states: each (batch, units).
        parameters: weights of the input, (gates, features), of the state, (gates, units), and
            the biases of both.
        go_backwards: begin with the last step.
        batch_first: whether the batch comes first in inputs and outputs.

    Returns:
        The outputs along time, in the order in which they were computed; the states after the
        last step, each (batch, units).
    """
    dtype = parameters[0].dtype
    if dtype not in ("float32", "float64"):
        raise NotImplementedError
    x = cast(inputs, dtype)
    if batch_first:
        x = ops.swapaxes(x, 0, 1)
    if go_backwards:
        x = ops.flip(x, 0)
    flat = ops.concatenate([ops.reshape(p, (-1,)) for p in parameters], 0)
    before = [ops.expand_dims(cast(state, dtype), 0) for state in states]
    outputs, *after = invoke_all(
        "_npx_rnn",
        [x, flat, *before],
        {
            "mode": mode,
            "state_size": states[0].shape[-1],
            "num_layers": 1,
            "state_outputs": True,
            "p": 0.0,
        },
    )
    if batch_first:
        outputs = ops.swapaxes(outputs, 0, 1)
    return outputs, [ops.squeeze(state, 0) for state in after]
