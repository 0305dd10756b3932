"""Operators over more dimensions than MXNet's kernels take.

Dimensions that are neighbours and treated alike are taken as one; what still has too many is done
in several steps, each of which has few. All of it is operators, so that gradients need nothing.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_mxnet.src.tensor import Tensor

# `invoke.invoke_all`, which calls what is here.
Call = Callable[..., list[Tensor]]
Shape = tuple[int, ...]

# What MXNet's kernels for broadcasts, reductions and slices take (`broadcast::MAX_DIM`).
MOST = 5
MOST_TRANSPOSED = 6


def exceeded(name: str, inputs: Sequence[Tensor], attributes: dict[str, Any]) -> bool:
    """Tell whether a call of an operator has too many dimensions for its kernel."""
    if name not in HANDLERS:
        return False
    most = MOST_TRANSPOSED if name == "_np_transpose" else MOST
    result = attributes.get("shape") or attributes.get("reps") or ()
    return len(result) > most or any(x.ndim > most for x in inputs)


def run(call: Call, name: str, inputs: Sequence[Tensor], attributes: dict[str, Any]) -> Tensor:
    """Compute what one call of an operator would give if its kernel took all dimensions."""
    return HANDLERS[name](call, name, inputs, attributes)


def _reshape(call: Call, x: Tensor, shape: Sequence[int]) -> Tensor:
    shape = tuple(shape)
    return x if x.shape == shape else call("_np_reshape", [x], {"newshape": shape})[0]


def _around(shape: Sequence[int], start: int, stop: int) -> Shape:
    """Return a shape with all before, between and behind two places taken as one dimension."""
    return tuple(math.prod(part) for part in (shape[:start], shape[start:stop], shape[stop:]))


def _runs(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """Return where runs of true values begin and end, the last one first."""
    edges = np.flatnonzero(np.diff([0, *map(int, flags), 0]))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)][::-1]


def _broadcast(call: Call, x: Tensor, shape: Sequence[int]) -> Tensor:
    now = [1] * (len(shape) - x.ndim) + list(x.shape)
    for start, stop in _runs([a != b for a, b in zip(now, shape, strict=True)]):
        before, _, behind = _around(now, start, stop)
        size = math.prod(shape[start:stop])
        x = _reshape(call, x, (before, 1, behind))
        (x,) = call("_npi_broadcast_to", [x], {"shape": (before, size, behind)})
        now[start:stop] = shape[start:stop]
    return _reshape(call, x, shape)


def _broadcast_to(call: Call, name: str, inputs: Sequence[Tensor], attributes: Any) -> Tensor:
    return _broadcast(call, inputs[0], attributes["shape"])


def _elementwise(call: Call, name: str, inputs: Sequence[Tensor], attributes: Any) -> Tensor:
    """Neighbours that are broadcast alike are one; if too many are left, broadcast beforehand."""
    shape = np.broadcast_shapes(*[x.shape for x in inputs])
    given = [(1,) * (len(shape) - x.ndim) + x.shape for x in inputs]
    kinds = [tuple(s[i] == 1 for s in given) for i in range(len(shape))]
    starts = [i for i in range(len(shape)) if i == 0 or kinds[i] != kinds[i - 1]]
    if len(starts) > MOST:
        starts = [0]
        inputs = [_broadcast(call, x, shape) for x in inputs]
        given = [shape] * len(inputs)
    stops = [*starts[1:], len(shape)]
    merged = [[math.prod(s[a:b]) for a, b in zip(starts, stops, strict=True)] for s in given]
    flat = [_reshape(call, x, s) for x, s in zip(inputs, merged, strict=True)]
    return _reshape(call, call(name, flat, attributes)[0], shape)


def _reduction(call: Call, name: str, inputs: Sequence[Tensor], attributes: Any) -> Tensor:
    (x,) = inputs
    shape = list(x.shape)
    axes = attributes.get("axis")
    reduced = [axes is None or i in axes for i in range(len(shape))]
    for start, stop in _runs(reduced):
        x = _reshape(call, x, _around(shape, start, stop))
        (x,) = call(name, [x], {**attributes, "axis": (1,), "keepdims": False})
        shape[start:stop] = [1] * (stop - start)
    if not attributes.get("keepdims"):
        shape = [n for n, gone in zip(shape, reduced, strict=True) if not gone]
    return _reshape(call, x, shape)


def _pad(call: Call, name: str, inputs: Sequence[Tensor], attributes: Any) -> Tensor:
    (x,) = inputs
    shape = list(x.shape)
    for axis, (before, behind) in enumerate(attributes["pad_width"]):
        if before or behind:
            x = _reshape(call, x, _around(shape, axis, axis + 1))
            width = ((0, 0), (before, behind), (0, 0))
            (x,) = call(name, [x], {**attributes, "pad_width": width})
            shape[axis] += before + behind
    return _reshape(call, x, shape)


def _slice(call: Call, name: str, inputs: Sequence[Tensor], attributes: Any) -> Tensor:
    (x,) = inputs
    shape = list(x.shape)
    parts = zip(attributes["begin"], attributes["end"], attributes["step"], strict=True)
    for axis, (begin, end, step) in enumerate(parts):
        if (begin, end, step) != (0, shape[axis], 1):
            x = _reshape(call, x, _around(shape, axis, axis + 1))
            before, _, behind = x.shape
            part = {"begin": (0, begin, 0), "end": (before, end, behind), "step": (1, step, 1)}
            (x,) = call(name, [x], part)
            shape[axis] = x.shape[1]
    return _reshape(call, x, shape)


def _tile(call: Call, name: str, inputs: Sequence[Tensor], attributes: Any) -> Tensor:
    (x,) = inputs
    ndim = max(x.ndim, len(attributes["reps"]))
    shape = (1,) * (ndim - x.ndim) + x.shape
    reps = (1,) * (ndim - len(attributes["reps"])) + tuple(attributes["reps"])
    x = _reshape(call, x, [n for length in shape for n in (1, length)])
    x = _broadcast(call, x, [n for pair in zip(reps, shape, strict=True) for n in pair])
    return _reshape(call, x, [r * n for r, n in zip(reps, shape, strict=True)])


def _matmul(call: Call, name: str, inputs: Sequence[Tensor], attributes: Any) -> Tensor:
    batch = np.broadcast_shapes(*[x.shape[:-2] for x in inputs])
    rows, columns = inputs[0].shape[-2], inputs[1].shape[-1]
    left, right = (
        _reshape(call, _broadcast(call, x, batch + x.shape[-2:]), (-1, *x.shape[-2:]))
        for x in inputs
    )
    return _reshape(call, call(name, [left, right], attributes)[0], (*batch, rows, columns))


def _transpose(call: Call, name: str, inputs: Sequence[Tensor], attributes: Any) -> Tensor:
    (x,) = inputs
    axes = attributes["axes"]
    result = [x.shape[a] for a in axes]
    # Axes that stay neighbours are one.
    groups: list[list[int]] = []
    for axis in axes:
        if groups and axis == groups[-1][-1] + 1:
            groups[-1].append(axis)
        else:
            groups.append([axis])
    order = sorted(groups)
    sizes = [math.prod(x.shape[a] for a in group) for group in order]
    if len(groups) <= MOST_TRANSPOSED:
        x = _reshape(call, x, sizes)
        (x,) = call(name, [x], {"axes": tuple(order.index(group) for group in groups)})
    else:
        # Bring one group after another to its place, past those that stand before it.
        for place, group in enumerate(groups):
            at = order.index(group)
            passed = math.prod(sizes[place:at])
            x = _reshape(call, x, (math.prod(sizes[:place]), passed, sizes[at], -1))
            (x,) = call(name, [x], {"axes": (0, 2, 1, 3)})
            order.insert(place, order.pop(at))
            sizes.insert(place, sizes.pop(at))
    return _reshape(call, x, result)


_ELEMENTWISE = (
    "add",
    "arctan2",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "equal",
    "greater",
    "greater_equal",
    "hypot",
    "less",
    "less_equal",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "not_equal",
    "power",
    "subtract",
    "true_divide",
    "where",
)
HANDLERS: dict[str, Callable[..., Tensor]] = {
    **{f"_npi_{name}": _elementwise for name in _ELEMENTWISE},
    "_np_max": _reduction,
    "_np_min": _reduction,
    "_np_prod": _reduction,
    "_np_sum": _reduction,
    "_np_transpose": _transpose,
    "_npi_broadcast_to": _broadcast_to,
    "_npi_matmul": _matmul,
    "_npi_mean": _reduction,
    "_npi_pad": _pad,
    "_npi_slice": _slice,
    "_npi_tile": _tile,
}
