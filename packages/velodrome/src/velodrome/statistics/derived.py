"""What follows from measured times: throughput, scaling, break-even, time to accuracy."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from velodrome.statistics.comparison import LEVEL, compare


class Estimate(msgspec.Struct, frozen=True):
    """A number with its interval; the ends are None when there are too few processes."""

    value: float
    low: float | None
    high: float | None


def throughput(samples: int, seconds: float) -> float:
    """Samples trained per second of wall clock.

    The samples are all that went through in that time over all devices, and the time is
    that of the same epoch: a total is never divided by a mean of something else.

    Raises:
        ValueError: samples below zero, or seconds not finite and above zero.
    """
    if samples < 0:
        raise ValueError(f"samples cannot be {samples}")
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"seconds must be finite and above zero, not {seconds}")
    return samples / seconds


def scaling_efficiency(
    one: ArrayLike, many: ArrayLike, *, devices: float, level: float = LEVEL, family: int = 1
) -> Estimate:
    """Throughput on several devices over what perfect scaling would give.

    The same for strong and weak scaling, since both compare throughputs: the global batch
    is kept in the one and the batch a device in the other.

    Args:
        one: throughput of each process on the smaller number of devices, shape (n,).
        many: throughput of each process on the larger, shape (m,).
        devices: how many times more devices the latter has.
        level: confidence of the interval, over the family.
        family: number of efficiencies the level is to hold for together.

    Raises:
        ValueError: devices not above zero, or as :func:`~velodrome.statistics.compare`.
    """
    if not devices > 0:
        raise ValueError(f"devices must be above zero, not {devices}")
    speedup = compare(many, one, of="throughput", level=level, family=family)
    return Estimate(
        speedup.ratio / devices,
        None if speedup.low is None else speedup.low / devices,
        None if speedup.high is None else speedup.high / devices,
    )


def break_even_epoch(
    setup: float, epoch: float, other_setup: float, other_epoch: float
) -> int | None:
    """After how many epochs an engine has overtaken another that starts sooner.

    Args:
        setup: seconds this engine spends once: import, build, compile, warm-up's excess
            over settled epochs.
        epoch: seconds a settled epoch.
        other_setup: the same of the other.
        other_epoch: the same of the other.

    Returns:
        The smallest number of epochs after which this one's total is no longer than the
        other's: 0 when it starts no later and trains no slower; None when it never is, or
        when it is ahead at first and falls behind for good (ask the other way round).

    Raises:
        ValueError: a time that is negative or not finite.
    """
    times = (setup, epoch, other_setup, other_epoch)
    if not all(math.isfinite(time) and time >= 0 for time in times):
        raise ValueError(f"times must be finite and not negative: {times}")
    if epoch > other_epoch:
        return None
    if setup <= other_setup:
        return 0
    if epoch == other_epoch:
        return None
    return math.ceil((setup - other_setup) / (other_epoch - epoch))


def time_to_accuracy(
    seconds: Sequence[float], accuracies: Sequence[float | None], target: float
) -> float | None:
    """Seconds of training until the first epoch whose accuracy reaches the target.

    Whole epochs, from the start of the first, warm-up included, since a user waits for it
    also; nothing is interpolated, because accuracy was not measured in between.

    Args:
        seconds: each epoch's time, in the form wanted (with or without validation).
        accuracies: the validation accuracy after each, None where it was not evaluated.
        target: the accuracy to reach, in the accuracies' unit.

    Returns:
        The sum of the times up to that epoch, or None when none reached it.

    Raises:
        ValueError: the two differ in length.
    """
    if len(seconds) != len(accuracies):
        raise ValueError(f"{len(seconds)} epoch times but {len(accuracies)} accuracies")
    for epochs, accuracy in enumerate(accuracies, start=1):
        if accuracy is not None and accuracy >= target:
            return float(np.sum(seconds[:epochs]))
    return None
