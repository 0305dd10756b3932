"""Tensors, control flow, scatter, and inference of shapes."""

import builtins
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from keras.src import tree
from keras.src.backend.common import standardize_dtype
from keras.src.backend.common.backend_utils import slice_along_axis
from keras.src.backend.common.keras_tensor import KerasTensor
from keras.src.backend.common.stateless_scope import StatelessScope
from keras.src.backend.common.symbolic_scope import SymbolicScope

from keras_mxnet.src import autograd, indexing, tracing
from keras_mxnet.src import tensor as tensors
from keras_mxnet.src.convert import (
    cast,
    constant,
    convert_to_numpy,
    convert_to_tensor,
    is_tensor,
    shape,
)
from keras_mxnet.src.distribution_lib import context_of
from keras_mxnet.src.invoke import invoke
from keras_mxnet.src.ops import numpy as ops
from keras_mxnet.src.tensor import AbstractValueError, Tensor, abstract
from keras_mxnet.src.variable import Variable

__all__ = ["Variable", "cast", "convert_to_numpy", "convert_to_tensor", "is_tensor", "shape"]

SUPPORTS_SPARSE_TENSORS = False
SUPPORTS_RAGGED_TENSORS = False
SUPPORTS_COMPLEX_DTYPES = False
IS_THREAD_SAFE = True


# Inference of shapes: the function runs on tensors that have no values. A dimension that is not
# known is filled with one length, then with another; where the results differ it stays unknown.

_FILL = (83, 89)


def compute_output_spec(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    def unknown(x: Any) -> bool:
        return isinstance(x, KerasTensor) and None in x.shape

    def run(fill: int, make: Callable[[tuple[int, ...], str], Tensor]) -> Any:
        def filled(x: Any) -> Any:
            if not isinstance(x, KerasTensor):
                return x
            return make(tuple(fill if n is None else n for n in x.shape), x.dtype)

        some_args, some_kwargs = tree.map_structure(filled, (args, kwargs))
        return fn(*some_args, **some_kwargs)

    def infer(fill: int) -> Any:
        try:
            with tensors.inference():
                return run(fill, abstract)
        except AbstractValueError:
            # The function reads values: give it some.
            with tensors.inference(False):
                return run(fill, lambda s, d: ops.ones(s, d))

    def spec(x: Any, other: Any) -> Any:
        if not is_tensor(x):
            return x
        lengths = [a if a == b else None for a, b in zip(x.shape, other.shape, strict=True)]
        return KerasTensor(tuple(lengths), standardize_dtype(x.dtype))

    with StatelessScope(), SymbolicScope(), autograd.recording(False), tracing.using(None):
        outputs = infer(_FILL[0])
        others = outputs
        if any(unknown(x) for x in tree.flatten((args, kwargs))):
            others = infer(_FILL[1])
        flat = [
            spec(x, y) for x, y in zip(tree.flatten(outputs), tree.flatten(others), strict=True)
        ]
        return tree.pack_sequence_as(outputs, flat)


# Devices.


@contextmanager
def device_scope(device_name: str) -> Iterator[Any]:
    context = context_of(device_name)
    with tensors.on_context(context):
        yield context


# Control flow.


def cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    if is_tensor(pred) and pred.is_abstract:
        tracer = tracing.current()
        if tracer is not None:
            return tracer.choose(pred, (true_fn, false_fn), lambda p, pair: ops.where(p, *pair))
        return true_fn()
    return true_fn() if pred else false_fn()


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    index = convert_to_tensor(index, "int32")
    if index.is_abstract:
        tracer = tracing.current()
        if tracer is not None:
            last = len(branches) - 1
            return tracer.choose(
                ops.clip(index, 0, last),
                [functools.partial(branch, *operands) for branch in branches],
                lambda i, values: functools.reduce(
                    lambda rest, n: ops.where(ops.equal(i, n), values[n], rest),
                    range(last),
                    values[last],
                ),
            )
        return branches[0](*operands)
    return branches[builtins.min(builtins.max(int(index), 0), len(branches) - 1)](*operands)


def while_loop(
    cond: Callable[..., Any],
    body: Callable[..., Any],
    loop_vars: Any,
    maximum_iterations: int | None = None,
) -> Any:
    is_tuple = isinstance(loop_vars, (tuple, list))
    loop_vars = tuple(loop_vars) if is_tuple else (loop_vars,)
    loop_vars = tree.map_structure(convert_to_tensor, loop_vars)
    iteration = 0
    while (maximum_iterations is None or iteration < maximum_iterations) and cond(*loop_vars):
        loop_vars = body(*loop_vars)
        loop_vars = tuple(loop_vars) if isinstance(loop_vars, (list, tuple)) else (loop_vars,)
        iteration += 1
    return loop_vars if is_tuple else loop_vars[0]


def fori_loop(lower: Any, upper: Any, body_fun: Callable[..., Any], init_val: Any) -> Any:
    value = init_val
    for i in range(int(lower), int(upper)):
        value = body_fun(i, value)
    return value


def vectorized_map(function: Callable[..., Any], elements: Any) -> Any:
    flat = tree.flatten(elements)
    results = [
        function(tree.pack_sequence_as(elements, [x[i] for x in flat]))
        for i in range(flat[0].shape[0])
    ]
    return tree.map_structure(lambda *items: ops.stack(items), *results)


def map(f: Callable[..., Any], xs: Any) -> Any:
    _, ys = scan(lambda _, x: ((), f(x)), (), xs)
    return ys


def scan(
    f: Callable[..., Any],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: Any = 1,
) -> Any:
    if not callable(f):
        raise TypeError(f"`f` should be a callable. Received: f={f}")
    if not isinstance(unroll, bool) and (not isinstance(unroll, int) or unroll < 1):
        raise ValueError(
            f"`unroll` must be an positive integer or boolean. Received: unroll={unroll}"
        )
    if xs is None and length is None:
        raise ValueError("Got no `xs` to scan over and `length` not provided.")
    flat = [] if xs is None else [convert_to_tensor(x) for x in tree.flatten(xs)]
    count = int(length) if length is not None else flat[0].shape[0]
    carry = tree.map_structure(convert_to_tensor, init)
    nothing = tree.map_structure(ops.zeros_like, carry)
    ys = []
    for i in reversed(range(count)) if reverse else range(count):
        item = tree.pack_sequence_as(xs, [x[i] for x in flat]) if flat else None
        carry, y = f(carry, item)
        ys.append(nothing if y is None else y)
    if reverse:
        ys.reverse()
    return carry, tree.map_structure(lambda *items: ops.stack(items), *ys)


def associative_scan(
    f: Callable[..., Any], elems: Any, reverse: bool = False, axis: int = 0
) -> Any:
    if not callable(f):
        raise TypeError(f"`f` should be a callable. Received: f={f}")
    flat = [convert_to_tensor(x) for x in tree.flatten(elems)]
    if reverse:
        flat = [ops.flip(x, (axis,)) for x in flat]
    count = flat[0].shape[axis]
    if any(x.shape[axis] != count for x in flat):
        raise ValueError(
            "Array inputs to associative_scan must have the same first dimension. (saw: "
            f"{[x.shape for x in flat]})"
        )

    def combine(a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
        result = f(tree.pack_sequence_as(elems, a), tree.pack_sequence_as(elems, b))
        return tree.flatten(result)

    def along(xs: list[Tensor], start: int, stop: int | None, step: int = 1) -> list[Tensor]:
        return [slice_along_axis(x, start, stop, step, axis) for x in xs]

    def interleave(even: Tensor, odd: Tensor) -> Tensor:
        pairs = odd.shape[axis]
        both = ops.stack([slice_along_axis(even, 0, pairs, 1, axis), odd], axis % even.ndim + 1)
        merged = list(even.shape)
        merged[axis] = 2 * pairs
        rest = slice_along_axis(even, pairs, None, 1, axis)
        return ops.concatenate([ops.reshape(both, merged), rest], axis)

    def inclusive(xs: list[Tensor]) -> list[Tensor]:
        length = xs[0].shape[axis]
        if length < 2:
            return xs
        odd = inclusive(combine(along(xs, 0, -1, 2), along(xs, 1, None, 2)))
        before = along(odd, 0, -1) if length % 2 == 0 else odd
        even = combine(before, along(xs, 2, None, 2))
        even = [
            ops.concatenate([slice_along_axis(x, 0, 1, 1, axis), e], axis)
            for x, e in zip(xs, even, strict=True)
        ]
        return [interleave(e, o) for e, o in zip(even, odd, strict=True)]

    scans = inclusive(flat)
    if reverse:
        scans = [ops.flip(x, (axis,)) for x in scans]
    return tree.pack_sequence_as(elems, scans)


# Slices and scatter.


def _ints(values: Any) -> list[int]:
    if isinstance(values, (list, tuple)):
        return [int(v) for v in values]
    return [int(v) for v in convert_to_numpy(values)]


def slice(inputs: Any, start_indices: Any, shape: Any) -> Tensor:
    inputs = convert_to_tensor(inputs)
    starts, lengths = _ints(start_indices), _ints(shape)
    if len(starts) != len(lengths):
        raise ValueError(
            "Length of `start_indices` must match length of `shape`. "
            f"Received: start_indices={start_indices}, shape={shape}"
        )
    key = tuple(
        builtins.slice(a, n if b == -1 else a + b)
        for a, b, n in zip(starts, lengths, inputs.shape, strict=False)
    )
    return indexing.getitem(inputs, key)


def slice_update(inputs: Any, start_indices: Any, updates: Any) -> Tensor:
    inputs = convert_to_tensor(inputs)
    updates = convert_to_tensor(updates, inputs.dtype)
    # The update with zeros around it, and where it is: exact, and both have gradients.
    starts = _ints(start_indices)
    starts = [
        builtins.max(0, builtins.min(a, n - m))
        for a, n, m in zip(starts, inputs.shape, updates.shape, strict=True)
    ]
    widths = [(a, n - a - m) for a, n, m in zip(starts, inputs.shape, updates.shape, strict=True)]
    mask = constant(np.pad(np.ones(updates.shape, bool), widths))
    return ops.where(mask, ops.pad(updates, widths), inputs)


def scatter(indices: Any, values: Any, shape: Any) -> Tensor:
    values = convert_to_tensor(values)
    return scatter_update(ops.zeros(shape, values.dtype), indices, values, "add")


def _places(indices: Any, shape: tuple[int, ...]) -> Tensor:
    """Return indices as a matrix with a column a place, counted from the start."""
    indices = convert_to_tensor(indices)
    depth = indices.shape[-1]
    indices = ops.reshape(cast(indices, "int64"), (-1, depth))
    columns = [indexing.wrapped(indices[:, i], shape[i]) for i in range(depth)]
    return ops.stack(columns)


def scatter_update(inputs: Any, indices: Any, updates: Any, reduction: str | None = None) -> Tensor:
    inputs = convert_to_tensor(inputs)
    updates = convert_to_tensor(updates, inputs.dtype)
    dtype = inputs.dtype
    places = _places(indices, inputs.shape)
    updates = ops.reshape(updates, (places.shape[1], *inputs.shape[places.shape[0] :]))
    if reduction == "add":
        return ops.add(inputs, added(places, updates, inputs.shape))
    if reduction not in (None, "max", "min", "mul"):
        raise ValueError(f"Unsupported reduction: {reduction}")
    held = places.numpy().T
    if reduction is None:
        # Where a place comes twice the last update counts.
        last = {tuple(place): i for i, place in enumerate(held)}
        kept = list(last.values())
        if len(kept) < len(held):
            places, updates = places[:, kept], updates[kept]
        covered = np.zeros(inputs.shape, bool)
        covered[tuple(held.T)] = True
        return ops.where(constant(covered), added(places, updates, inputs.shape), inputs)
    combine = {"max": ops.maximum, "min": ops.minimum, "mul": ops.multiply}[reduction]
    for i, place in enumerate(held):
        here = tuple(int(p) for p in place)
        new = combine(inputs[here], updates[i])
        inputs = scatter_update(inputs, [here], ops.expand_dims(new, 0))
    return cast(inputs, dtype)


def added(places: Tensor, updates: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return zeros with updates added at places: the gradient of a gather, as an operator."""
    dtype = updates.dtype
    if dtype == "bool":
        updates = cast(updates, "int32")
    result = invoke(
        "_backward_gather_nd",
        [updates, places],
        {"shape": tuple(shape)},
        updates.dtype,
    )
    return cast(result, dtype)


def unstack(x: Any, num: int | None = None, axis: int = 0) -> list[Tensor]:
    x = ops.moveaxis(convert_to_tensor(x), axis, 0)
    return [x[i] for i in range(x.shape[0])]


# Gradients.


def stop_gradient(variable: Any) -> Tensor:
    x = convert_to_tensor(variable)
    return invoke("BlockGrad", [x], {}, x.dtype)


class custom_gradient:
    """Gives a function a gradient of its own.

    Args:
        function: returns its outputs and a function that takes `(*args, upstream=)` and returns
            the gradient of each argument.
    """

    def __init__(self, function: Callable[..., Any]):
        self.function = function
        functools.update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        inputs = [convert_to_tensor(a) if _is_data(a) else a for a in args]
        recorded = [x for x in inputs if is_tensor(x)]
        if autograd.is_recording() and any(x.is_abstract for x in recorded):
            raise tracing.Untraceable("a function with a gradient of its own is differentiated")
        if not autograd.is_recording():
            return self.function(*args, **kwargs)[0]
        return _with_gradient(self.function, args, kwargs, inputs)


def _is_data(x: Any) -> bool:
    return is_tensor(x) or isinstance(x, (Variable, np.ndarray))


def _with_gradient(function: Callable[..., Any], args: Any, kwargs: Any, inputs: list[Any]) -> Any:
    given = [x for x in inputs if is_tensor(x)]
    with autograd.recording(False):
        outputs, gradient = function(*inputs, **kwargs)
        # Results of their own, for a function may return an input as it is.
        flat = [ops.copy(o) for o in tree.flatten(outputs)]

    def backward(upstream: list[Tensor]) -> list[Tensor]:
        packed = tree.pack_sequence_as(outputs, upstream)
        found = gradient(*inputs, upstream=packed)
        found = list(found) if isinstance(found, (tuple, list)) else [found]
        found += [None] * (len(given) - len(found))
        return [
            ops.zeros_like(x) if g is None else ops.broadcast_to(cast(g, x.dtype), x.shape)
            for g, x in zip(found, given, strict=False)
        ]

    autograd.record_function(given, flat, backward)
    return tree.pack_sequence_as(outputs, flat)


def remat(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return `f`: MXNet keeps what backward needs, and recomputes only where told to mirror."""
    return f


def random_seed_dtype() -> str:
    return "uint32"
