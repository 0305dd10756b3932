"""What one process tells: the figures of a record that came to its end; pure."""

import msgspec

from velodrome.record import Epoch, Record
from velodrome.statistics import steady_state, time_to_accuracy


class Process(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The figures of one process. Seconds, bytes and joules; None where not measured.

    Attributes:
        time: training an epoch: the median over settled epochs, validation excluded.
        time_with_validation: the same epochs with their validation pass.
        samples_sec: trained samples over `time`.
        unsettled: why the epochs had not settled; empty if they had.
        accuracy: on the validation data after the last epoch.
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
    accuracy: float
    setup: float | None
    to_target: float | None
    peak_memory: int | None
    own_memory: int | None
    joules: float | None


def process(record: Record, target: float | None = None) -> Process:
    """The figures of a record whose status is `ok`.

    Args:
        record: of a process that came to its end.
        target: validation accuracy whose time is wanted.
    """
    epochs = record.epochs
    trained = [epoch.train_seconds for epoch in epochs]
    steady = steady_state(trained)
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
    """Price of a time, in the currency of the price; None where either is not known."""
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
    return None


def _median(values: list[float]) -> float:
    # `statistics.median` takes arrays; for a dozen floats this is ten times cheaper.
    ordered = sorted(values)
    middle = len(ordered) // 2
    return (ordered[middle] + ordered[~middle]) / 2
