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
from velodrome.errors import UserError
from velodrome.home import home
from velodrome.lock import locked

log = logging.getLogger(__name__)

_SHARE = 5  # one sample in five validates, where the user keeps none apart
_NAMES = "x_train, y_train and, to validate on, x_test, y_test (or x and y alone)"
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
    labels = data.train.y
    prepared = PreparedData(
        name=name,
        folder=str(home() / "datasets" / "own" / found[:16]),
        fingerprint=found,
        kind="own",
        shape=data.train.x.shape[1:],
        classes=int(labels.max()) + 1 if _are_classes(labels) else 0,
        train=len(labels),
        validation=len(data.validation.y),
        note=note,
    )
    try:
        with locked(home() / "datasets" / "own" / ".lock"):
            return keep(data, prepared)
    except OSError as error:
        raise UserError(f"{name} cannot be kept in the cache: {error}") from error


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
    try:
        with np.load(path, allow_pickle=False) as file:
            return {each: file[each] for each in file.files}
    except (ValueError, OSError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        if "Object arrays" in str(error):
            raise UserError(
                f"{name}: an array holds Python objects (of uneven lengths, perhaps); "
                "give numbers of one dtype"
            ) from None
        raise UserError(f"{name} is no .npz file of arrays: {error}") from None


def _checked(arrays: Arrays, name: str) -> Arrays:
    """As they are trained on, if they can be."""
    if set(arrays) not in (
        {"x", "y"},
        {"x_train", "y_train"},
        {"x_train", "y_train", "x_test", "y_test"},
    ):
        raise UserError(f"{name} has {', '.join(arrays) or 'no array'}; it must have {_NAMES}")
    found = {each: _numbers(array, f"{name}: {each}") for each, array in arrays.items()}
    for x in (each for each in found if each.startswith("x")):
        y = x.replace("x", "y")
        if len(found[x]) != len(found[y]):
            raise UserError(
                f"{name}: {x} has {len(found[x])} samples and {y} {len(found[y])}; "
                "give as many of both"
            )
        if len(found[x]) < 1:
            raise UserError(f"{name}: {x} is empty")
    if "x_test" in found:
        for train in ("x_train", "y_train"):
            test = train.replace("train", "test")
            if found[train].shape[1:] != found[test].shape[1:]:
                raise UserError(
                    f"{name}: a sample of {train} has shape {found[train].shape[1:]}, "
                    f"of {test} {found[test].shape[1:]}; give one shape"
                )
    return found


def _numbers(array: NDArray[Any], what: str) -> NDArray[Any]:
    """In float32 or int32, as every backend takes them."""
    if array.ndim < 1:
        raise UserError(f"{what} is a single value; its first axis must count the samples")
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise UserError(f"{what} holds values that are not finite; remove or replace them")
        return array.astype(np.float32)
    if array.dtype.kind in "iub":
        if array.size and array.dtype.itemsize > 2:
            least, most = np.iinfo(np.int32).min, np.iinfo(np.int32).max
            if array.min() < least or array.max() > most:
                raise UserError(f"{what} holds whole numbers beyond 32 bits")
        return array.astype(np.int32)
    raise UserError(f"{what} is of dtype {array.dtype}; give numbers")


def _split(arrays: Arrays) -> tuple[Data, str]:
    """What to train and to validate on, mixed, and what must be said of it."""
    if "x_test" in arrays:
        train = _mixed(arrays["x_train"], arrays["y_train"])
        return Data(train, _mixed(arrays["x_test"], arrays["y_test"])), ""
    x, y = (arrays[each] if each in arrays else arrays[f"{each}_train"] for each in "xy")
    whole = _mixed(x, y)
    if len(y) < 2:
        raise UserError("one sample cannot be trained and validated on; give more")
    apart = -(-len(y) // _SHARE)
    note = f"{apart} of {len(y)} samples, at random, are kept apart to validate on"
    return Data(
        Split(whole.x[apart:], whole.y[apart:]), Split(whole.x[:apart], whole.y[:apart])
    ), note


def _are_classes(y: NDArray[Any]) -> bool:
    return y.dtype.kind == "i" and y.size == len(y)


def _mixed(x: NDArray[Any], y: NDArray[Any]) -> Split:
    order = mixed_order(y.reshape(-1) if _are_classes(y) else np.zeros(len(y), np.int32))
    return Split(np.ascontiguousarray(x[order]), np.ascontiguousarray(y[order]))
