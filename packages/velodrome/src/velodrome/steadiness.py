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


def check(readings: int = 9) -> str:
    """What must be said of the machine before a run begins; empty if it is steady."""
    taken = [probe() for _ in range(readings)]
    if spread(taken) <= UNSTEADY:
        return ""
    return (
        f"the machine is not steady: a fixed kernel took up to {spread(taken):.0%} longer than "
        f"its median of {median(taken) * 1e3:.1f} ms; close what else runs"
    )
