"""`tensor[key]`, with NumPy's meaning."""

import operator
from typing import Any

import numpy as np

from keras_mxnet.src.convert import cast, constant, convert_to_tensor
from keras_mxnet.src.invoke import invoke
from keras_mxnet.src.tensor import Tensor


def getitem(x: Tensor, key: Any) -> Tensor:
    """Return `x[key]` for integers, slices, None, ..., integer and boolean arrays."""
    keys = list(key) if isinstance(key, tuple) else [key]
    keys = [_standard(k) for k in keys]
    keys = _without_masks(keys)
    keys = _without_ellipsis(keys, x.ndim)

    begin, end, step, shape, advanced = [], [], [], [], {}
    dimension = 0
    for k in keys:
        if k is None:
            shape.append(1)
            continue
        length = x.shape[dimension]
        if isinstance(k, int):
            if not -length <= k < length:
                raise IndexError(
                    f"index {k} is out of bounds for axis {dimension} with size {length}"
                )
            k = k % length
            begin.append(k)
            end.append(k + 1)
            step.append(1)
        elif isinstance(k, slice):
            start, stop, by = k.indices(length)
            count = len(range(start, stop, by))
            begin.append(start if count else 0)
            end.append((stop if stop >= 0 else None) if count else 0)
            step.append(by if count else 1)
            shape.append(count)
        else:
            advanced[len(shape)] = k
            begin.append(0)
            end.append(length)
            step.append(1)
            shape.append(length)
        dimension += 1
    x = _sliced(x, begin, end, step)
    if x.shape != tuple(shape):
        x = reshape(x, tuple(shape))
    return _gathered(x, advanced) if advanced else x


def reshape(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return `x` in another shape of the same size."""
    if x.shape == shape:
        return x
    return invoke("_np_reshape", [x], {"newshape": shape})


def transpose(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Return `x` with its axes in another order; none of them is negative."""
    return invoke("_np_transpose", [x], {"axes": axes})


def wrapped(index: Tensor, length: int) -> Tensor:
    """Return indices with the negative ones counted from the end, as int64."""
    index = cast(index, "int64")
    below = invoke("_npi_less_scalar", [index], {"scalar": 0})
    added = invoke("_npi_add_scalar", [index], {"scalar": length, "is_int": True})
    return invoke("_npi_where", [below, added, index])


def _standard(key: Any) -> Any:
    if key is None or key is Ellipsis:
        return key
    if isinstance(key, slice):
        return slice(*[None if k is None else operator.index(k) for k in _parts(key)])
    if isinstance(key, (bool, np.bool_)):
        return constant(np.asarray(key))
    if isinstance(key, (int, np.integer)):
        return int(key)
    key = convert_to_tensor(key)
    if key.dtype.startswith("float"):
        if key.size:
            raise IndexError(f"Indices must be integers or booleans, got {key.dtype}.")
        key = cast(key, "int64")
    return key


def _parts(key: slice) -> tuple[Any, Any, Any]:
    return key.start, key.stop, key.step


def _without_masks(keys: list[Any]) -> list[Any]:
    """Put the positions of a boolean mask's true values in its place."""
    result: list[Any] = []
    for key in keys:
        if isinstance(key, Tensor) and key.dtype == "bool":
            result.extend(constant(i.astype("int64")) for i in np.nonzero(key.numpy()))
        else:
            result.append(key)
    return result


def _without_ellipsis(keys: list[Any], ndim: int) -> list[Any]:
    used = sum(k is not None and k is not Ellipsis for k in keys)
    if used > ndim:
        raise IndexError(f"too many indices: {used} for a tensor of {ndim} dimensions")
    rest = [slice(None)] * (ndim - used)
    places = [i for i, k in enumerate(keys) if k is Ellipsis]
    if len(places) > 1:
        raise IndexError("an index can have one ellipsis only")
    if places:
        return keys[: places[0]] + rest + keys[places[0] + 1 :]
    return keys + rest


def _sliced(x: Tensor, begin: list[Any], end: list[Any], step: list[Any]) -> Tensor:
    whole = all(
        b == 0 and e == n and s == 1 for b, e, s, n in zip(begin, end, step, x.shape, strict=True)
    )
    if whole:
        return x
    if any(e == 0 for e in end):
        shape = tuple(
            len(range(b, -1 if e is None else e, s))
            for b, e, s in zip(begin, end, step, strict=True)
        )
        return constant(np.zeros(shape), x.dtype)
    return invoke(
        "_npi_slice", [x], {"begin": tuple(begin), "end": tuple(end), "step": tuple(step)}
    )


def _gathered(x: Tensor, advanced: dict[int, Tensor]) -> Tensor:
    axes = sorted(advanced)
    if len(axes) == 1:
        (axis,) = axes
        return invoke(
            "_npi_take",
            [x, wrapped(advanced[axis], x.shape[axis])],
            {"axis": axis, "mode": "clip"},
            x.dtype,
        )
    common = np.broadcast_shapes(*[advanced[a].shape for a in axes])
    indices = [
        invoke("_npi_broadcast_to", [wrapped(advanced[a], x.shape[a])], {"shape": common})
        for a in axes
    ]
    stacked = invoke("_npi_stack", indices, {"axis": 0, "num_args": len(indices)})
    others = [a for a in range(x.ndim) if a not in advanced]
    if axes != list(range(len(axes))):
        x = transpose(x, tuple(axes + others))
    result = invoke("_npi_gather_nd", [x, stacked], {}, x.dtype)
    # NumPy puts the gathered dimensions where the indices stood, if they stood together.
    if axes[-1] - axes[0] == len(axes) - 1 and axes[0] > 0:
        count, first = len(common), axes[0]
        order = (
            list(range(count, count + first))
            + list(range(count))
            + list(range(count + first, result.ndim))
        )
        result = transpose(result, tuple(order))
    return result
