"""What one process tells: the figures of a record that came to its end; pure."""

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import attrgetter
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from velodrome.errors import UserError
from velodrome.record import Epoch, Record
from velodrome.statistics import SteadyState, median, steady_states, time_to_accuracy


class Process(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The figures of one process. Seconds, bytes and joules; None where not measured.

    Attributes:
        time: training an epoch: the median over settled epochs, validation excluded.
        time_with_validation: the same epochs with their validation pass.
        samples_sec: trained samples over `time`.
        trained: training all epochs, warm-up too.
        evaluated: all validation passes.
        unsettled: why the epochs had not settled; empty if they had.
        accuracy: on the validation data after the last epoch; None where it is not told.
        setup: import, build, first step, and what warm-up epochs took beyond settled ones.
        to_target: training up to the end of the first epoch that reaches the target.
        peak_memory: largest resident size of the process tree.
        own_memory: that less what the interpreter held with the framework loaded.
        joules: to train an epoch, over all meters: the median over settled epochs.
        last: the last epoch.
    """

    time: float
    time_with_validation: float
    samples_sec: float
    trained: float
    evaluated: float
    unsettled: str
    accuracy: float | None
    setup: float | None
    to_target: float | None
    peak_memory: int | None
    own_memory: int | None
    joules: float | None
    last: Epoch


class Result(NamedTuple):
    """A record, and its figures if it came to its end."""

    record: Record
    figures: Process | None


def results(records: Iterable[Record], target: float | None = None) -> list[Result]:
    """Records with their figures, in the order given.

    Args:
        records: of any status.
        target: validation accuracy whose time is wanted.
    """
    results = [Result(record, None) for record in records]
    alike: dict[int, list[_Run]] = {}
    for number, (record, _) in enumerate(results):
        if record.status == "ok":
            run = _Run(number, record, _epochs(record))
            alike.setdefault(len(run.epochs), []).append(run)
    for runs in alike.values():
        for run, figures in zip(runs, _processes(runs, target), strict=True):
            results[run.number] = Result(run.record, figures)
    return results


class _Run(NamedTuple):
    """A record that came to its end, its place among the others, and its epochs."""

    number: int
    record: Record
    epochs: Sequence[Epoch]


def _epochs(record: Record) -> Sequence[Epoch]:
    """All of them, decoded once."""
    try:
        return record.epochs[:]
    except msgspec.DecodeError as error:
        raise UserError(f"the record of trial {record.id} cannot be read: {error}") from None


def _processes(runs: list[_Run], target: float | None) -> list[Process]:
    """Of processes that came to their end after the same number of epochs."""
    training = _by_process("train_seconds", runs)
    evaluation = _by_process("validation_seconds", runs)
    steady = steady_states(training)
    columns = zip(
        runs,
        steady,
        _settled_medians(training + evaluation, steady),
        training.sum(axis=1).tolist(),
        evaluation.sum(axis=1).tolist(),
        strict=True,
    )
    return [_process(*each, target) for each in columns]


def _by_process(figure: str, runs: list[_Run]) -> NDArray[np.float64]:
    """A figure of every epoch, shape (processes, epochs)."""
    epochs = chain.from_iterable(run.epochs for run in runs)
    values = np.fromiter(map(attrgetter(figure), epochs), float)
    return values.reshape(len(runs), -1)


def _settled_medians(seconds: NDArray[np.float64], steady: list[SteadyState]) -> list[float]:
    """The median over the settled epochs of each process; `seconds`: (processes, epochs)."""
    first = np.array([each.first for each in steady])
    medians = np.empty(len(seconds))
    for start in np.unique(first):
        medians[first == start] = np.median(seconds[first == start, start:], axis=1)
    found: list[float] = medians.tolist()
    return found


def _process(
    run: _Run,
    steady: SteadyState,
    time_with_validation: float,
    trained: float,
    evaluated: float,
    target: float | None,
) -> Process:
    _, record, epochs = run
    memory = record.memory
    return Process(
        time=steady.median,
        time_with_validation=time_with_validation,
        samples_sec=epochs[-1].samples / steady.median,
        trained=trained,
        evaluated=evaluated,
        unsettled=steady.reason,
        accuracy=epochs[-1].validation_accuracy,
        setup=_setup(run, steady),
        to_target=None if target is None else _to_target(epochs, target),
        peak_memory=memory.peak if memory else None,
        own_memory=memory.peak - memory.imported if memory else None,
        joules=_joules(epochs[steady.first :]),
        last=epochs[-1],
    )


def _setup(run: _Run, steady: SteadyState) -> float | None:
    clocks = run.record.clocks
    if (
        clocks is None
        or clocks.import_seconds is None
        or clocks.build_seconds is None
        or clocks.first_step_seconds is None
    ):
        return None
    start = clocks.import_seconds + clocks.build_seconds + clocks.first_step_seconds
    if steady.first == 0:
        return start
    warm_up = sum(epoch.train_seconds for epoch in run.epochs[: steady.first])
    return start + max(warm_up - steady.first * steady.median, 0.0)


def _to_target(epochs: Sequence[Epoch], target: float) -> float | None:
    times = [epoch.train_seconds for epoch in epochs]
    return time_to_accuracy(times, [epoch.validation_accuracy for epoch in epochs], target)


def cost(seconds: float | None, price_per_hour: float | None) -> float | None:
    """What a time costs, in the currency of the price; None where either is not known."""
    if seconds is None or price_per_hour is None:
        return None
    return seconds / 3600 * price_per_hour


def _joules(settled: Sequence[Epoch]) -> float | None:
    spent = [sum(epoch.joules.values()) for epoch in settled if epoch.joules]
    return median(spent) if spent else None
