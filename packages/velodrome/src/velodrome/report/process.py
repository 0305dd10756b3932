"""What one process tells: the figures of trials that came to their end; pure."""

import math
from collections.abc import Callable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from velodrome.record import Epoch
from velodrome.statistics import steady_states, time_to_accuracy

Floats = NDArray[np.float64]
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


Processes = Sequence[Sequence[Epoch]]
"""The epochs of each of some processes."""


def figures(processes: Processes, target: float | None = None) -> Figures:
    """The figures of processes, in the order given.

    Args:
        processes: each with one epoch or more.
        target: validation accuracy whose time is wanted.

    Raises:
        ValueError: one has no epochs, or a time that is not above zero.
    """
    lengths = np.fromiter(map(len, processes), int)
    alike = [np.nonzero(lengths == length)[0] for length in np.unique(lengths)]
    found = [_alike([processes[one] for one in numbers.tolist()], target) for numbers in alike]
    order = np.argsort(np.concatenate([_NONE, *alike]))
    columns: dict[str, Any] = {
        name: np.concatenate([_NONE, *(getattr(each, name) for each in found)])[order]
        for name in Figures.__struct_fields__
    }
    return Figures(**columns)


_NONE = np.array([])


def _alike(processes: Processes, target: float | None) -> Figures:
    """Of processes with the same number of epochs."""
    training = _by_process(attrgetter("train_seconds"), processes)
    evaluation = _by_process(attrgetter("validation_seconds"), processes)
    steady = steady_states(training)
    before = np.arange(training.shape[1]) < steady.first[:, np.newaxis]
    samples, accuracy, loss, validation_loss = columns(
        [epochs[-1] for epochs in processes],
        "samples", "validation_accuracy", "loss", "validation_loss",
    )  # fmt: skip
    return Figures(
        time=steady.median,
        time_with_validation=_settled_medians(training + evaluation, steady.first),
        samples_sec=samples / steady.median,
        trained=training.sum(axis=1),
        evaluated=evaluation.sum(axis=1),
        warm_up=np.maximum((training * before).sum(axis=1) - steady.first * steady.median, 0.0),
        accuracy=accuracy,
        loss=loss,
        validation_loss=validation_loss,
        last_time=training[:, -1],
        last_validation=evaluation[:, -1],
        to_target=_to_target(processes, target),
        joules=_joules(_by_process(_spent, processes), before),
        unsettled=np.array(steady.reasons, object),
    )


def columns(parts: Sequence[object | None], *names: str) -> Floats:
    """Two attributes or more of each part, (names, parts); NaN where one is None, or the part."""
    read, nothing = attrgetter(*names), (None,) * len(names)
    rows = [nothing if each is None else read(each) for each in parts]
    return np.array(rows, float).reshape(len(parts), len(names)).T


def _by_process(figure: Callable[[Epoch], float], processes: Processes) -> Floats:
    """A figure of every epoch, shape (processes, epochs)."""
    values = np.fromiter(map(figure, chain.from_iterable(processes)), float)
    return values.reshape(len(processes), -1)


def _settled_medians(seconds: Floats, first: NDArray[np.int64]) -> Floats:
    """The median of each process from its `first` epoch on; `seconds`: (processes, epochs)."""
    medians = np.empty(len(seconds))
    for start in np.unique(first):
        medians[first == start] = np.median(seconds[first == start, start:], axis=1)
    return medians


def _to_target(processes: Processes, target: float | None) -> Floats:
    if target is None:
        return np.full(len(processes), np.nan)
    found = [
        time_to_accuracy(
            [epoch.train_seconds for epoch in epochs],
            [epoch.validation_accuracy for epoch in epochs],
            target,
        )
        for epochs in processes
    ]
    return np.array(found, float)


def _spent(epoch: Epoch) -> float:
    return sum(epoch.joules.values()) if epoch.joules else math.nan


def _joules(spent: Floats, before: NDArray[np.bool_]) -> Floats:
    """Medians over the settled epochs of each process; both: (processes, epochs)."""
    found = np.full(len(spent), np.nan)
    settled = np.where(before, np.nan, spent)
    (metered,) = np.nonzero(~np.isnan(settled).all(axis=1))
    found[metered] = np.nanmedian(settled[metered], axis=1)
    return found


def cost(seconds: float | None, price_per_hour: float | None) -> float | None:
    """What a time costs, in the currency of the price; None where either is not known."""
    if seconds is None or price_per_hour is None:
        return None
    return seconds / 3600 * price_per_hour
