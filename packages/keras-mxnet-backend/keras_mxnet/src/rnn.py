"""Recurrent layers' loops."""

from collections.abc import Callable
from typing import Any

from keras.src import tree

from keras_mxnet.src.convert import cast
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


# Keras loops over steps where these raise.


def lstm(*args: Any, **kwargs: Any) -> Any:
    raise NotImplementedError


def gru(*args: Any, **kwargs: Any) -> Any:
    raise NotImplementedError


def bidirectional_lstm(*args: Any, **kwargs: Any) -> Any:
    raise NotImplementedError


def bidirectional_gru(*args: Any, **kwargs: Any) -> Any:
    raise NotImplementedError
