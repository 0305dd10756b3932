"""From which epoch on a process has settled, and whether it has."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

_TOLERANCE = 0.05  # a difference below this is never called warm-up or drift
_NOISE = 4.0  # nor is one below this many standard deviations of the noise
_DRIFT = 3.0  # or, between two medians, standard errors
_FEWEST = 3
_MAD_TO_SD = 1.4826  # of a normal distribution


class SteadyState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a process settled.

    Attributes:
        first: index, from 0, of the first epoch that counts.
        settled: whether the epochs from there on are steady.
        median: median time of the epochs from ``first`` on, in the unit given. It is given
            when they have not settled too, and must then be shown with that reservation.
        reason: why they have not settled, in words; empty when they have.
    """

    first: int
    settled: bool
    median: float
    reason: str = ""


def steady_state(times: ArrayLike) -> SteadyState:
    """Find the steady state of one process from its epoch times (or its step times).

    The rule is relative to the median of the later half (of the last four when that is
    more, never of the first), which stands for the state the process ended in. Noise is
    the standard deviation of an epoch there, from the spread (MAD) of successive
    differences, which a slow trend does not inflate (after von Neumann et al., Ann. Math.
    Statist. 12, 1941).

    1. *Warm-up* is the leading epochs that lie further from that median than 5% or 4
       standard deviations, whichever is more, in either direction. A stray slow epoch
       after the first settled one does not prolong it: the median sees to that.
    2. *Settled* means that warm-up ended within the first half, and that the medians of
       the two halves of the remaining epochs differ by less than 5% or 3 standard errors
       of such a difference, whichever is more.

    So a process is compared with the state it came to rest in, and one that does not rest
    is said not to, as Barrett et al. do with changepoints ("Virtual machine warmup blows
    hot and cold", OOPSLA 2017); theirs needs hundreds of iterations, and a training run
    has from 3 to 100 epochs, for which a threshold on the spread is the customary form
    (Georges, Buytaert and Eeckhout, OOPSLA 2007).

    With fewer than three epochs nothing can be said: not settled, and the first of two,
    which holds compilation, is left out.

    Args:
        times: seconds of each epoch in order, shape (n,).

    Raises:
        ValueError: no times, or one that is not finite and above zero.
    """
    values = np.asarray(times, dtype=float)
    if values.ndim != 1:
        raise ValueError(f"expected a time for each epoch, got an array of shape {values.shape}")
    found = steady_states(values[np.newaxis])
    (first,), (middle,), (reason,) = found.first.tolist(), found.median.tolist(), found.reasons
    return SteadyState(first=first, settled=not reason, median=middle, reason=reason)


class SteadyStates(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Where each of many processes settled, as `SteadyState` has it.

    Attributes:
        first: index of the first epoch that counts, shape (processes,).
        median: median time of the epochs from there on, shape (processes,).
        reasons: why they have not settled, a text a process; empty when they have.
    """

    first: NDArray[np.int64]
    median: NDArray[np.float64]
    reasons: list[str]


def steady_states(times: ArrayLike) -> SteadyStates:
    """:func:`steady_state` of many processes with the same number of epochs, at once.

    Args:
        times: seconds of each epoch in order, a row a process, shape (processes, epochs).

    Raises:
        ValueError: no times, or one that is not finite and above zero.
    """
    values = np.asarray(times, dtype=float)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"expected a row of times a process, got an array of shape {values.shape}")
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise ValueError("every time must be a finite number above zero")
    processes, n = values.shape
    if n < _FEWEST:
        reason = f"{n} of the {_FEWEST} epochs needed to tell"
        return SteadyStates(
            first=np.full(processes, n - 1), median=values[:, -1], reasons=[reason] * processes
        )
    later = values[:, min(n // 2, max(n - 4, 1)) :]
    centre = np.median(later, axis=1)
    noise = _noise(later)
    bounds = np.maximum(_TOLERANCE * centre, _NOISE * noise)
    rest = np.abs(values - centre[:, np.newaxis]) <= bounds[:, np.newaxis]
    first = np.where(rest.any(axis=1), rest.argmax(axis=1), n)
    late = first > n // 2
    first[late] = n // 2
    reasons = ["the first half of the epochs is all warm-up" if each else "" for each in late]
    middle = np.empty(processes)
    for start in np.unique(first).tolist():
        (rows,) = np.nonzero(first == start)
        settled = values[rows, start:]
        middle[rows] = np.median(settled, axis=1)
        moved, error = _moved(settled, noise[rows])
        drifting = np.abs(moved) > np.maximum(_TOLERANCE * middle[rows], _DRIFT * error)
        for row, by in zip(rows[drifting].tolist(), moved[drifting].tolist(), strict=True):
            reasons[row] = reasons[row] or _drift(float(middle[row]), by)
    return SteadyStates(first=first, median=middle, reasons=reasons)


def _moved(
    settled: NDArray[np.float64], noise: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From the median of the earlier half to that of the latest, and that step's standard error."""
    half = (settled.shape[1] + 1) // 2
    earlier, latest = settled[:, :half], settled[:, half:]
    moved = np.median(latest, axis=1) - np.median(earlier, axis=1)
    # The standard error of a median is sqrt(pi / 2) that of a mean.
    error = noise * math.sqrt(math.pi / 2 * (1 / earlier.shape[1] + 1 / latest.shape[1]))
    return moved, error


def _drift(middle: float, moved: float) -> str:
    direction = "slower" if moved > 0 else "faster"
    return f"epochs were still getting {direction}: {abs(moved) / middle:.1%} over the rest"


def _noise(values: NDArray[np.float64]) -> NDArray[np.float64]:
    steps = np.diff(values, axis=1)
    spread = np.median(np.abs(steps - np.median(steps, axis=1, keepdims=True)), axis=1)
    noise: NDArray[np.float64] = _MAD_TO_SD * spread / math.sqrt(2)
    return noise
