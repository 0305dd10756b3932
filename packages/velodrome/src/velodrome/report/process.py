"""What one process tells: the figures of a record that came to its end; pure."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from velodrome.record import Epoch, Record
from velodrome.statistics import SteadyState, steady_states, time_to_accuracy


class Process(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The figures of one process. Seconds, bytes and joules; None where not measured.

    Attributes:
        time: training an epoch: the median over settled epochs, validation excluded.
        time_with_validation: the same epochs with their validation pass.
        samples_sec: trained samples over `time`.
        unsettled: why the epochs had not settled; empty if they had.
        accuracy: on the validation data after the last epoch; None where it is not told.
        setup: import, build, first step, and what warm-up epochs took beyond settled ones.
        to_target: training up to the end of the first epoch that reaches the target.
        peak_memory: largest resident size of the process tree.
        own_memory: that less what the interpreter held with the framework loaded.
        joules: to train an epoch, over all meters: the median over settled epochs.
    """

    time: float
    time_with_validation: float
    samples_sec: float
    unsettled: str
    accuracy: float | None
    setup: float | None
    to_target: float | None
    peak_memory: int | None
    own_memory: int | None
    joules: float | None


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
    found = [Result(record, None) for record in records]
    by_epochs: dict[int, list[int]] = {}
    for place, (record, _) in enumerate(found):
        if record.status == "ok":
            by_epochs.setdefault(len(record.epochs), []).append(place)
    for places in by_epochs.values():
        times = [[epoch.train_seconds for epoch in found[each].record.epochs] for each in places]
        for place, trained, steady in zip(places, times, steady_states(times), strict=True):
            record = found[place].record
            found[place] = Result(record, _process(record, trained, steady, target))
    return found


def _process(
    record: Record, trained: list[float], steady: SteadyState, target: float | None
) -> Process:
    epochs = record.epochs
    settled = epochs[steady.first :]
    memory = record.memory
    return Process(
        time=steady.median,
        time_with_validation=_median(
            [epoch.train_seconds + epoch.validation_seconds for epoch in settled]
        ),
        samples_sec=epochs[-1].samples / steady.median,
        unsettled=steady.reason,
        accuracy=epochs[-1].validation_accuracy,
        setup=_setup(record, sum(trained[: steady.first]) - steady.first * steady.median),
        to_target=None
        if target is None
        else time_to_accuracy(trained, [epoch.validation_accuracy for epoch in epochs], target),
        peak_memory=memory.peak if memory else None,
        own_memory=memory.peak - memory.imported if memory else None,
        joules=_joules(settled),
    )


def cost(seconds: float | None, price_per_hour: float | None) -> float | None:
    """What a time costs, in the currency of the price; None where either is not known."""
    if seconds is None or price_per_hour is None:
        return None
    return seconds / 3600 * price_per_hour


def _setup(record: Record, warm_up: float) -> float | None:
    clocks = record.clocks
    if clocks is None:
        return None
    parts = (clocks.import_seconds, clocks.build_seconds, clocks.first_step_seconds)
    if None in parts:
        return None
    return sum(part for part in parts if part) + max(warm_up, 0.0)


def _joules(settled: tuple[Epoch, ...]) -> float | None:
    spent = [sum(epoch.joules.values()) for epoch in settled if epoch.joules]
    return _median(spent) if spent else None


def _median(values: list[float]) -> float:
    # The standard library's costs five times as much, a hundred thousand times over.
    ordered = sorted(values)
    middle = len(ordered) // 2
    return (ordered[middle] + ordered[~middle]) / 2
