"""From which epoch on a process has settled, and whether it has."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from velodrome.statistics.comparison import median

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
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"expected a time for each epoch, got an array of shape {values.shape}")
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise ValueError("every time must be a finite number above zero")
    n = values.size
    if n < _FEWEST:
        return SteadyState(
            first=n - 1,
            settled=False,
            median=float(values[-1]),
            reason=f"{n} of the {_FEWEST} epochs needed to tell",
        )
    later = values[min(n // 2, max(n - 4, 1)) :]
    centre = median(later)
    noise = _noise(later)
    rest = np.abs(values - centre) <= max(_TOLERANCE * centre, _NOISE * noise)
    first = int(np.argmax(rest)) if rest.any() else n
    if first > n // 2:
        return SteadyState(
            first=n // 2,
            settled=False,
            median=median(values[n // 2 :]),
            reason="the first half of the epochs is all warm-up",
        )
    settled = values[first:]
    middle = median(settled)
    half = (settled.size + 1) // 2
    earlier, latest = settled[:half], settled[half:]
    moved = median(latest) - median(earlier)
    # The standard error of a median is sqrt(pi / 2) that of a mean.
    error = noise * math.sqrt(math.pi / 2 * (1 / earlier.size + 1 / latest.size))
    if abs(moved) > max(_TOLERANCE * middle, _DRIFT * error):
        direction = "slower" if moved > 0 else "faster"
        reason = f"epochs were still getting {direction}: {abs(moved) / middle:.1%} over the rest"
        return SteadyState(first=first, settled=False, median=middle, reason=reason)
    return SteadyState(first=first, settled=True, median=middle)


def _noise(values: NDArray[np.float64]) -> float:
    steps = np.diff(values)
    spread = median(np.abs(steps - median(steps)))
    return _MAD_TO_SD * spread / math.sqrt(2)
