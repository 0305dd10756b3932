"""What one process tells: the figures of trials that came to their end; pure."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from velodrome.statistics import steady_states

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Objects = NDArray[np.object_]


class Figures(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The figures of processes, an array a figure: seconds and joules; NaN where not measured.

    Attributes:
        time: training an epoch: the median over settled epochs, validation excluded.
        time_with_validation: the same epochs with their validation pass.
        samples_sec: trained samples over `time`.
        trained: training all epochs, warm-up too.
        evaluated: all validation passes.
        warm_up: what the epochs before the settled ones took beyond as many settled ones.
        accuracy: on the validation data after the last epoch.
        loss: mean over the last epoch's training.
        validation_loss: on the validation data after the last epoch.
        last_time: training the last epoch.
        last_validation: the validation pass after it.
        to_target: training up to the end of the first epoch that reaches the target.
        joules: to train an epoch, over all meters: the median over settled epochs.
        unsettled: why the epochs had not settled, a text; empty if they had.
    """

    time: Floats
    time_with_validation: Floats
    samples_sec: Floats
    trained: Floats
    evaluated: Floats
    warm_up: Floats
    accuracy: Floats
    loss: Floats
    validation_loss: Floats
    last_time: Floats
    last_validation: Floats
    to_target: Floats
    joules: Floats
    unsettled: Objects


class Epochs(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The epochs of processes, those of the first process first.

    Attributes:
        lengths: how many each process has, shape (processes,).
        train_seconds, validation_seconds: of each epoch, shape (epochs,).
        joules: of each epoch, over all meters; NaN where none is read.
        last: of the last epoch of each process its samples, validation accuracy, loss and
            validation loss, shape (4, processes).
        to_target: training up to the end of the first epoch that reaches the target, a value a
            process; NaN where none does.
    """

    lengths: Integers
    train_seconds: Floats
    validation_seconds: Floats
    joules: Floats
    last: Floats
    to_target: Floats


def figures(epochs: Epochs) -> Figures:
    """The figures of processes, in the order given.

    Raises:
        ValueError: one has no epochs, or a time that is not above zero.
    """
    if not epochs.lengths.all():
        raise ValueError("a trial came to its end without an epoch")
    samples, accuracy, loss, validation_loss = epochs.last
    own: dict[str, Any] = {name: np.empty(len(samples)) for name in _OF_ALIKE}
    own["unsettled"] = np.empty(len(samples), object)
    for length in np.unique(epochs.lengths):
        alike = epochs.lengths == length
        for name, values in _alike(epochs, alike, length).items():
            own[name][alike] = values
    return Figures(
        **own,
        samples_sec=samples / own["time"],
        accuracy=accuracy,
        loss=loss,
        validation_loss=validation_loss,
        to_target=epochs.to_target,
    )


_OF_ALIKE = (
    "time", "time_with_validation", "trained", "evaluated", "warm_up", "last_time",
    "last_validation", "joules",
)  # fmt: skip


def _alike(epochs: Epochs, which: NDArray[np.bool_], length: int) -> dict[str, Floats | Objects]:
    """Of those processes, which have the same number of epochs."""
    within = np.repeat(which, epochs.lengths)
    training, evaluation, joules = (
        each[within].reshape(-1, length)
        for each in (epochs.train_seconds, epochs.validation_seconds, epochs.joules)
    )
    steady = steady_states(training)
    first = steady.first
    before = np.arange(length) < first[:, np.newaxis]
    return {
        "time": steady.median,
        "time_with_validation": _medians(training + evaluation, first),
        "trained": training.sum(axis=1),
        "evaluated": evaluation.sum(axis=1),
        "warm_up": np.maximum((training * before).sum(axis=1) - first * steady.median, 0.0),
        "last_time": training[:, -1],
        "last_validation": evaluation[:, -1],
        "joules": _metered(joules, first),
        "unsettled": np.array(steady.reasons, object),
    }


def _medians(values: Floats, first: Integers) -> Floats:
    """Of each row from its `first` on."""
    found = np.empty(len(values))
    for start in np.unique(first):
        found[first == start] = np.median(values[first == start, start:], axis=1)
    return found


def _metered(joules: Floats, first: Integers) -> Floats:
    """The same, less where there is no meter; NaN where there is none at all."""
    settled = np.where(np.arange(joules.shape[1]) < first[:, np.newaxis], np.nan, joules)
    found = np.full(len(joules), np.nan)
    some = ~np.isnan(settled).all(axis=1)
    found[some] = np.nanmedian(settled[some], axis=1) if some.any() else np.nan
    return found


def numbers(rows: Sequence[Sequence[float | None]], width: int) -> Floats:
    """Rows of numbers as columns, shape (width, rows); NaN for None."""
    return np.array(list(chain.from_iterable(rows)), float).reshape(len(rows), width).T


def cost(seconds: float | None, price_per_hour: float | None) -> float | None:
    """What a time costs, in the currency of the price; None where either is not known."""
    if seconds is None or price_per_hour is None:
        return None
    return seconds / 3600 * price_per_hour
