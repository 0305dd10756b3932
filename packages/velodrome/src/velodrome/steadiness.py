"""Is the machine steady: a fixed small kernel, timed between trials and never during one."""

import time
from statistics import median

import numpy as np

_VALUES = 200_000
_RUNS = 5
UNSTEADY = 0.05
"""A spread of the kernel's time above this is said with the results."""


def probe() -> float:
    """Seconds of the fixed kernel: median of five runs, a tenth of a second in all.

    It sorts and copies the same random numbers on one thread, and so feels the clock rate,
    the caches and whoever else uses the processor.
    """
    values = np.random.default_rng(0).random(_VALUES)
    seconds = []
    for _ in range(_RUNS):
        begin = time.perf_counter()
        np.sort(values)
        seconds.append(time.perf_counter() - begin)
    return median(seconds)


def spread(readings: list[float]) -> float:
    """How far readings lie apart: the largest over the median, less one."""
    return max(readings) / median(readings) - 1


def at_start() -> float:
    """The spread of the nine readings that are taken before a run begins."""
    return spread([probe() for _ in range(9)])
