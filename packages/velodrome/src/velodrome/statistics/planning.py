"""How many processes to run, and what a number of them can and cannot show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike
from scipy import special  # type: ignore[import-untyped]

from velodrome.statistics.comparison import (
    LEVEL,
    TIE,
    Comparison,
    Floats,
    Quantity,
    Verdict,
    compare,
    least_processes,
)


def noise(values: ArrayLike) -> float:
    """Standard deviation of the log of a group's values: 0.02 is about 2% between processes.

    Raises:
        ValueError: fewer than two values, or one not above zero.
    """
    array = np.asarray(values, dtype=float)
    if array.size < 2 or not (np.isfinite(array).all() and (array > 0).all()):
        raise ValueError("noise between processes needs two or more finite values above zero")
    return float(np.std(np.log(array), ddof=1))


def pooled_noise(groups: Iterable[ArrayLike]) -> float:
    """Noise common to several groups, each about its own centre (pooled variance).

    Groups of one say nothing and are passed over.

    Raises:
        ValueError: no group has two values.
    """
    several = [np.asarray(group, dtype=float) for group in groups]
    several = [group for group in several if group.size > 1]
    if not several:
        raise ValueError("noise between processes needs a group of two or more")
    freedom = sum(group.size - 1 for group in several)
    squares = sum((group.size - 1) * noise(group) ** 2 for group in several)
    return math.sqrt(squares / freedom)


def half_width(comparison: Comparison) -> float:
    """Half the width of the ratio's interval, on the log scale, relative: 0.02 is 2%.

    That is sqrt(high / low) - 1; infinite when there are too few processes.
    """
    if comparison.low is None or comparison.high is None:
        return math.inf
    return math.sqrt(comparison.high / comparison.low) - 1


def repeats_for_precision(
    precision: float, between: float, *, level: float = LEVEL, family: int = 1
) -> int:
    """Processes an engine needs for intervals of a wanted half width, planned beforehand.

    From the standard error of the log of a ratio of two medians of n, under normal noise:
    sqrt(2 / n * pi / 2) times the noise. :func:`repeats_to_add` then looks at the
    intervals themselves.

    Args:
        precision: wanted half width, relative: 0.02 is 2%.
        between: noise between processes, as :func:`pooled_noise` gives it.
        level: confidence over the family.
        family: number of comparisons made.

    Returns:
        A number of processes, never below :func:`~velodrome.statistics.least_processes`.

    Raises:
        ValueError: precision not above zero, noise below zero, or a bad level or family.
    """
    if not precision > 0:
        raise ValueError(f"precision is a relative half width above zero, not {precision}")
    if not between >= 0:
        raise ValueError(f"noise cannot be {between}")
    fewest = least_processes(level, family)
    z = -float(special.ndtri((1 - level) / family / 2))
    return max(fewest, math.ceil(math.pi * (z * between / math.log1p(precision)) ** 2))


def repeats_to_add(
    comparisons: Sequence[Comparison],
    groups: Mapping[str, Sequence[float] | Floats],
    *,
    precision: float,
    max_repeats: int,
) -> int:
    """Further processes to run of every engine before looking again; 0 to stop.

    Stops when every interval's half width is within the precision, or at the bound. Until
    then it asks for what the noise seen so far calls for, at most doubling the number, so
    that a first lucky or unlucky handful does not settle the size of the study.

    Looking at *widths* and stopping is not looking at *p-values* and stopping: width says
    nothing of the direction, so false verdicts do not gather. It does stop a little sooner
    on samples whose spread came out small by chance, so intervals cover slightly less than
    stated at small numbers and the stated level in the limit (Chow and Robbins, Ann. Math.
    Statist. 36, 1965). ``docs/measurement.md`` has the size of it.

    Args:
        comparisons: those of interest, as :func:`~velodrome.statistics.rank` gives them.
        groups: one value a process, by engine.
        precision: wanted half width, relative.
        max_repeats: most processes an engine may get.

    Raises:
        ValueError: no group, or a precision not above zero.
    """
    if not groups:
        raise ValueError("no engine to plan repeats for")
    if not precision > 0:
        raise ValueError(f"precision is a relative half width above zero, not {precision}")
    have = min(len(group) for group in groups.values())
    left = max(max_repeats - have, 0)
    if not comparisons or all(half_width(one) <= precision for one in comparisons):
        return 0
    strictest = max(comparisons, key=lambda one: one.family)
    fewest = least_processes(strictest.level, strictest.family)
    if have < fewest:
        return min(fewest - have, left)
    wanted = repeats_for_precision(
        precision,
        pooled_noise(groups.values()),
        level=strictest.level,
        family=strictest.family,
    )
    return min(max(wanted - have, 1), have, left)


class VerdictRates(msgspec.Struct, frozen=True):
    """How often each verdict came, as shares of the draws."""

    draws: int
    faster: float
    slower: float
    tie: float
    undecided: float

    @property
    def differences(self) -> float:
        """Share of draws with a difference claimed: false ones, when nothing was planted."""
        return self.faster + self.slower


def verdict_rates(verdicts: Sequence[Verdict]) -> VerdictRates:
    """Count verdicts into shares.

    Raises:
        ValueError: there are none.
    """
    draws = len(verdicts)
    if not draws:
        raise ValueError("no verdicts to count")
    return VerdictRates(
        draws,
        *(verdicts.count(one) / draws for one in ("faster", "slower", "tie", "undecided")),
    )


def draw_verdicts(
    pool: ArrayLike,
    processes: int,
    *,
    of: Quantity,
    draws: int,
    seed: int,
    slowdown: float = 0.0,
    level: float = LEVEL,
    tie: float = TIE,
) -> VerdictRates:
    """Compare a pool of processes of one engine with itself, over and over.

    Each draw takes two groups from the pool with no process in both, slows the first down
    and compares it with the second. Without a slowdown every claimed difference is false;
    with one, the share called slower is the power.

    Args:
        pool: one value a process, shape (m,).
        processes: processes a group, at most m / 2.
        of: whether values are a throughput or a time.
        draws: number of comparisons.
        seed: of the draws.
        slowdown: planted: 0.05 takes 5% more time.
        level: confidence of each comparison.
        tie: largest difference that counts as none.

    Raises:
        ValueError: the pool is smaller than two groups, or as
            :func:`~velodrome.statistics.compare`.
    """
    values = np.asarray(pool, dtype=float)
    if 2 * processes > values.size:
        raise ValueError(f"two groups of {processes} need a pool of {2 * processes} or more")
    factor = 1 + slowdown if of == "time" else 1 / (1 + slowdown)
    rng = np.random.default_rng(seed)
    verdicts: list[Verdict] = []
    for _ in range(draws):
        drawn = rng.permutation(values)[: 2 * processes]
        a, b = drawn[:processes] * factor, drawn[processes:]
        verdicts.append(compare(a, b, of=of, level=level, tie=tie).verdict)
    return verdict_rates(verdicts)
