"""Data of the user's own: an `.npz` file, or a function in a file of Python."""

import logging
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velodrome import user_code
from velodrome.datasets.base import (
    Data,
    PreparedData,
    Split,
    fingerprint,
    keep,
    limited,
    mixed_order,
)
from velodrome.datasets.structure import (
    Structure,
    count,
    gathered,
    mapped,
    named,
    path,
    rebuilt,
    taken,
)
from velodrome.errors import UserError
from velodrome.home import home
from velodrome.lock import locked

log = logging.getLogger(__name__)

_SHARE = 5  # one sample in five validates, where the user keeps none apart
_NAMES = (
    "x_train, y_train and, to validate on, x_test, y_test (or x and y alone); of several inputs "
    "or labels x_train/title, x_train/age or x_train/0, x_train/1"
)
Arrays = dict[str, NDArray[Any]]


def is_own(name: str) -> bool:
    """Whether a data set's name means a file of the user's."""
    return name.endswith(".npz") or user_code.is_reference(name)


def prepare(name: str, samples: int | None = None) -> PreparedData:
    """Have the user's arrays in the cache.

    A function is called anew, in a process of its own: what it gives, not what it is, names the
    data.

    Args:
        name: `FILE.npz` or `FILE.py:FUNCTION`.
        samples: training samples that will be asked of `load`.

    Raises:
        UserError: there is no such file, or its arrays cannot be trained on; says why.
    """
    prepared = _prepared(name)
    limited(prepared, samples)
    return prepared


@cache
def _prepared(name: str) -> PreparedData:
    data, note = _split(_checked(_read(name), name))
    found = fingerprint(data)
    x, y = data.train
    prepared = PreparedData(
        name=name,
        folder=str(home() / "datasets" / "own" / found[:16]),
        fingerprint=found,
        kind="own",
        shape=x.shape[1:] if isinstance(x, np.ndarray) else (),
        classes=int(y.max()) + 1 if isinstance(y, np.ndarray) and are_classes(y) else 0,
        train=count(y),
        validation=count(data.validation.y),
        inputs=tuple(named(x)),
        labels=tuple(named(y)),
        ranges=_ranges(data),
        note=note,
    )
    try:
        with locked(home() / "datasets" / "own" / ".lock"):
            return keep(data, prepared)
    except OSError as error:
        raise UserError(f"{name} cannot be kept in the cache: {error}") from error


def _ranges(data: Data) -> dict[str, tuple[float, float]]:
    return {
        path(part, name): (
            float(min(array.min(), other.min())),
            float(max(array.max(), other.max())),
        )
        for part, one, validated in zip("xy", data.train, data.validation, strict=True)
        for (name, array), other in zip(named(one).items(), named(validated).values(), strict=True)
    }


def _read(name: str) -> Arrays:
    if name.endswith(".npz"):
        return _npz(Path(name), name)
    reference = user_code.parse(name)
    user_code.digest(reference)  # says at once what is no file, or no Python
    log.info("calling %s for the data", name)
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch) / "data.npz"
        done = subprocess.run(
            [sys.executable, "-m", "velodrome.user_data", name, str(answer)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
        )
        if done.returncode:
            words = done.stderr.strip().splitlines()
            raise UserError(words[-1] if words else f"{name} ended with {done.returncode}")
        return _npz(answer, name)


def _npz(path: Path, name: str) -> Arrays:
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{name} is no .npz file; numpy.savez writes one")
    arrays: Arrays = {}
    each = ""
    try:
        with np.load(path, allow_pickle=False) as file:
            for each in file.files:
                arrays[each] = file[each]
    except (ValueError, OSError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        if "Object arrays" in str(error):
            raise UserError(
                f"{name}: {each} holds Python objects (None, text or arrays of "
                "uneven lengths, perhaps); give numbers of one dtype"
            ) from None
        raise UserError(f"{name} is no .npz file of arrays: {error}") from None
    return arrays


def _checked(arrays: Arrays, name: str) -> dict[str, Structure]:
    """As they are trained on, if they can be."""
    try:
        parts = gathered(arrays)
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    if set(parts) not in (
        {"x", "y"},
        {"x_train", "y_train"},
        {"x_train", "y_train", "x_test", "y_test"},
    ):
        raise UserError(f"{name} has {', '.join(arrays) or 'no array'}; it must have {_NAMES}")
    found = {
        part: {each: _numbers(array, f"{name}: {path(part, each)}") for each, array in held.items()}
        for part, held in parts.items()
    }
    for part in (each for each in found if each.startswith("x")):
        _check_counts(
            {
                path(role, each): len(array)
                for role in (part, part.replace("x", "y"))
                for each, array in found[role].items()
            },
            name,
        )
    if "x_test" in found:
        for train in ("x_train", "y_train"):
            test = train.replace("train", "test")
            _check_same(found, train, test, name)
            # In one order.
            found[test] = {each: found[test][each] for each in found[train]}
    return {part: rebuilt(held) for part, held in found.items()}


def _check_counts(samples: dict[str, int], name: str) -> None:
    first, expected = next(iter(samples.items()))
    for each, number in samples.items():
        if number != expected:
            listed = first.endswith("/0") or each.endswith("/0")
            hint = " (in a list each array has all samples: stack what are samples)"
            raise UserError(
                f"{name}: {first} has {expected} samples and {each} {number}; "
                f"give as many of both{hint if listed else ''}"
            )


def _check_same(found: dict[str, Arrays], train: str, test: str, name: str) -> None:
    if set(found[train]) != set(found[test]):
        has, other = (", ".join(path(part, each) for each in found[part]) for part in (train, test))
        raise UserError(f"{name} has {has} and {other}; give the same arrays of both")
    for each, array in found[train].items():
        shape, other_shape = array.shape[1:], found[test][each].shape[1:]
        if shape != other_shape:
            raise UserError(
                f"{name}: a sample of {path(train, each)} has shape {shape}, "
                f"of {path(test, each)} {other_shape}; give one shape"
            )


def _numbers(array: NDArray[Any], what: str) -> NDArray[Any]:
    """In float32 or int32, as every backend takes them."""
    if array.ndim < 1:
        raise UserError(f"{what} is a single value; its first axis must count the samples")
    if not array.size:
        raise UserError(f"{what} is empty")
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise UserError(f"{what} holds values that are not finite; remove or replace them")
        return array.astype(np.float32)
    if array.dtype.kind in "iub":
        if array.dtype.itemsize > 2:
            least, most = np.iinfo(np.int32).min, np.iinfo(np.int32).max
            if array.min() < least or array.max() > most:
                raise UserError(f"{what} holds whole numbers beyond 32 bits")
        return array.astype(np.int32)
    if array.dtype.kind in "US":
        raise UserError(
            f"{what} holds text; give numbers (of classes, numpy.unique(..., return_inverse=True))"
        )
    raise UserError(f"{what} is of dtype {array.dtype}; give numbers")


def _split(parts: dict[str, Structure]) -> tuple[Data, str]:
    """What to train and to validate on, mixed, and what must be said of it."""
    if "x_test" in parts:
        train = _mixed(parts["x_train"], parts["y_train"])
        return Data(train, _mixed(parts["x_test"], parts["y_test"])), ""
    whole = _mixed(*(parts[each] if each in parts else parts[f"{each}_train"] for each in "xy"))
    samples = count(whole.y)
    if samples < 2:
        raise UserError("one sample cannot be trained and validated on; give more")
    apart = -(-samples // _SHARE)
    note = f"{apart} of {samples} samples, at random, are kept apart to validate on"
    return Data(
        Split(*(taken(each, slice(apart, None)) for each in whole)),
        Split(*(taken(each, slice(apart)) for each in whole)),
    ), note


def are_classes(y: NDArray[Any]) -> bool:
    """Whether labels are a class a sample: one whole number each."""
    return y.dtype.kind == "i" and y.size == len(y)


def _mixed(x: Structure, y: Structure) -> Split:
    """By the first labels that are classes; at random if there are none."""
    classes = (each.reshape(-1) for each in named(y).values() if are_classes(each))
    order = mixed_order(next(classes, np.zeros(count(y), np.int32)))
    return Split(
        *(mapped(lambda array: np.ascontiguousarray(array[order]), each) for each in (x, y))
    )
