"""Ratios of medians between groups of processes: intervals, p-values, verdicts.

The interval of a ratio is the smallest one that holds three, each at the level asked
for and all on the log scale:

1. the ratios that the exact Mann-Whitney test does not reject (Lehmann, *Nonparametrics*,
   1975, section 2.6). Under equal distributions it errs no more often than stated, at
   any number of processes and whatever their distribution;
2. the bootstrap percentile interval of the ratio of medians. The bootstrap distribution
   of a median is known in closed form (Maritz and Jarrett, JASA 73, 1978; Efron,
   "Bootstrap methods", 1979), so it is computed and not drawn: no seed and no
   sampling error, and exchanging the groups gives the reciprocal interval;
3. each group's distribution-free interval of the median (:func:`median_interval`) over
   the other group's median. It costs next to nothing when both groups
   are equally noisy and keeps the level when one is far noisier than the other, where
   the rank test alone does not (Pratt, JASA 59, 1964).

A verdict is read off the interval, so the two cannot disagree; and since the interval
holds the first of the three, a claimed difference always has a rank-test p below the
level.

**Few processes.** Two groups of n can be split in C(2n, n) ways, so no rank test at 1%
can reject below n = 5; a bootstrap of two or three values only repeats them, and its
"interval" holds the truth far less often than its level says. Below
:func:`least_processes` there is therefore no interval, and the verdict is undecided.
With five to seven processes at 99% the level holds for engines of the same noise; from
eight on the third interval exists at its level and it holds for unequal noise also.

**No pairing.** The repeats of a study run in rounds, one process of each engine in a
round, but the rounds are not used as pairs. Interleaving already puts a drift of the
machine on all engines alike: what is common to a round makes the unpaired intervals
wider than they need be, never too narrow. A paired test would need 8 rounds where the
unpaired needs 5 processes a side (2 / 2^8 against 2 / C(10, 5), both below 1%), and a
failed process would cost its partner. For runs that were *not* interleaved no statistic
can tell a drift from a difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special  # type: ignore[import-untyped]

Floats = NDArray[np.float64]
Interval = tuple[float, float]
Verdict = Literal["faster", "slower", "tie", "undecided"]
Quantity = Literal["throughput", "time"]

LEVEL = 0.99
"""The confidence of all intervals of one family of comparisons together."""

TIE = 0.02
"""Two engines whose whole interval lies within this of each other are a tie."""

_EXACT_PAIRS = 2500  # above this many pairs the normal approximation is exact enough
_HALVINGS = 20  # at most, where many differences are equal
_ROUNDING = 1e-12  # of logarithms; far above what a subtraction loses
_BISECTIONS = 30  # an end to a billionth of the range of all ratios
_MANY = 1000  # from here on neighbouring values around a median are as good as one
_NEGLIGIBLE = 1e-6  # bootstrap mass that may be left out, of tails of 6e-4 and more


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One group of processes against another.

    Attributes:
        ratio: median of a over median of b, in the quantity compared.
        low: lower end of the ratio's interval; None when there are too few processes.
        high: upper end, likewise.
        p: two-sided exact Mann-Whitney p, after Holm where several are compared. With
            several it can fall below ``1 - level`` while the interval, which claims a size
            for all of them at once, still holds 1: the verdict follows the interval.
        n_a: processes in a.
        n_b: processes in b.
        verdict: what is said of a against b: faster, slower, tie or undecided.
        level: confidence that all intervals of the family hold together, e.g. 0.99.
        family: how many comparisons share that level.
    """

    ratio: float
    low: float | None
    high: float | None
    p: float
    n_a: int
    n_b: int
    verdict: Verdict
    level: float
    family: int = 1


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """Several engines against one of them.

    Attributes:
        order: names, fastest median first.
        baseline: the name all others are compared with.
        comparisons: by name, each other engine against the baseline, in that order.
    """

    order: tuple[str, ...]
    baseline: str
    comparisons: dict[str, Comparison]


def compare(
    a: ArrayLike,
    b: ArrayLike,
    *,
    of: Quantity,
    level: float = LEVEL,
    tie: float = TIE,
    family: int = 1,
) -> Comparison:
    """Compare two groups of independent processes.

    Args:
        a: one value a process, shape (n_a,): samples/s or seconds, above zero.
        b: likewise, shape (n_b,).
        of: whether the values are a throughput (more is faster) or a time.
        level: confidence of the interval, over the whole family.
        tie: largest difference that counts as none: 0.02 is a ratio of 1/1.02 to 1.02.
        family: number of comparisons that the level is to hold for together (Bonferroni).

    Returns:
        Comparison: its verdict is *tie* when the whole interval lies within the tie's
        bounds, else *faster* or *slower* when it excludes 1, else *undecided*. Its p is
        that of this comparison alone; :func:`rank` adjusts it.

    Raises:
        ValueError: no values, values not finite or not above zero, a level outside (0, 1),
            a tie below zero, or a family below one.
    """
    a, b = np.sort(_processes(a)), np.sort(_processes(b))
    alpha = _error_rate(level, family)
    if tie < 0:
        raise ValueError(f"tie is a relative difference of zero or more, not {tie}")
    ratio = _middle(a) / _middle(b)
    interval = _ratio_interval(a, b, alpha)
    return Comparison(
        ratio=ratio,
        low=interval and interval[0],
        high=interval and interval[1],
        p=_rank_p(a, b),
        n_a=a.size,
        n_b=b.size,
        verdict=_verdict(interval, of, tie),
        level=level,
        family=family,
    )


def rank(
    groups: Mapping[str, Sequence[float] | Floats],
    *,
    of: Quantity,
    baseline: str | None = None,
    level: float = LEVEL,
    tie: float = TIE,
) -> Ranking:
    """Compare several engines with the fastest, or with a named one.

    The level holds for all verdicts together. Against a named baseline the family is the
    k - 1 comparisons made. The fastest is chosen by looking at the data, and could have
    been any of the k: the family is then all k (k - 1) / 2 pairs, since without that the
    luckiest engine would be called faster too often. Intervals are Bonferroni's, which
    hold together; p-values are Holm's.

    Args:
        groups: one value a process, by engine.
        of: whether values are a throughput or a time.
        baseline: the engine to compare with; the fastest median when None.
        level: confidence over all comparisons together.
        tie: largest difference that counts as none.

    Raises:
        ValueError: no groups, an unknown baseline, or as :func:`compare`.
    """
    if not groups:
        raise ValueError("nothing to rank: no engine has a measured process")
    values = {name: _processes(group) for name, group in groups.items()}
    order = sorted(values, key=lambda name: median(values[name]))
    if of == "throughput":
        order.reverse()
    others = len(values) - 1
    if baseline is None:
        baseline, family = order[0], others * (others + 1) // 2
    elif baseline in values:
        family = others
    else:
        raise ValueError(f"no processes of baseline {baseline!r}; there are {', '.join(values)}")
    found = {
        name: compare(
            values[name], values[baseline], of=of, level=level, tie=tie, family=max(family, 1)
        )
        for name in order
        if name != baseline
    }
    adjusted = holm([one.p for one in found.values()], family=family)
    return Ranking(
        order=tuple(order),
        baseline=baseline,
        comparisons={
            name: msgspec.structs.replace(one, p=float(p))
            for (name, one), p in zip(found.items(), adjusted, strict=True)
        },
    )


def holm(p: ArrayLike, *, family: int | None = None) -> Floats:
    """Adjust p-values for their number (Holm, Scand. J. Statist. 6, 1979).

    Args:
        p: p-values, shape (k,).
        family: number of hypotheses they were picked from, k or more; k when None. With
            more than k the result is an upper bound of Holm's.

    Returns:
        Adjusted p-values in the order given, none below its own, none above 1.

    Raises:
        ValueError: a family smaller than k.
    """
    values = np.asarray(p, dtype=float)
    size = values.size if family is None else family
    if size < values.size:
        raise ValueError(f"a family of {size} cannot hold {values.size} p-values")
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    steps = values[order] * (size - np.arange(values.size))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def median(values: ArrayLike) -> float:
    """The middle value, or the mean of the two in the middle.

    As ``numpy.median``, at a fraction of its cost for the dozen values of a group.

    Raises:
        ValueError: no values.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    if ordered.ndim != 1 or ordered.size == 0:
        raise ValueError(f"expected one or more values in a row, got shape {ordered.shape}")
    return _middle(ordered)


def median_interval(values: ArrayLike, *, level: float = LEVEL) -> Interval | None:
    """Interval of one group's median, free of any assumed distribution.

    Between two order statistics, interpolated after Hettmansperger and Sheather (Stat.
    Prob. Letters 4, 1986). None where even the whole range is short of the level: below 8
    processes at 99%.

    Raises:
        ValueError: as :func:`compare`.
    """
    ordered = np.sort(_processes(values))
    rank, _ = depth = _sign_depth(ordered.size, _error_rate(level, 1))
    return _at_depth(ordered, depth) if rank else None


def least_processes(level: float = LEVEL, family: int = 1) -> int:
    """Fewest processes a side with which a difference can be shown at all.

    The smallest n with 2 / C(2n, n) <= (1 - level) / family: 5 for one comparison at 99%,
    6 for three, 7 for ten.

    Raises:
        ValueError: a level outside (0, 1) or a family below one.
    """
    return _least(_error_rate(level, family))


def _processes(values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"expected one value a process, got an array of shape {array.shape}")
    if not (np.isfinite(array).all() and (array > 0).all()):
        raise ValueError("every process's value must be a finite number above zero")
    return array


def _middle(ordered: Floats) -> float:
    return float(ordered[(ordered.size - 1) // 2] + ordered[ordered.size // 2]) / 2


def _error_rate(level: float, family: int) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level is a confidence between 0 and 1, e.g. 0.99, not {level}")
    if family < 1:
        raise ValueError(f"a family of comparisons has at least one, not {family}")
    return (1 - level) / family * (1 + 1e-9)  # an attainable level is not lost to rounding


def _verdict(interval: Interval | None, of: Quantity, tie: float) -> Verdict:
    if interval is None:
        return "undecided"
    low, high = interval
    if high <= 1 + tie and low >= 1 / (1 + tie):
        return "tie"
    if low <= 1 <= high:
        return "undecided"
    return "faster" if (low > 1) == (of == "throughput") else "slower"


def _ratio_interval(a: Floats, b: Floats, alpha: float) -> Interval | None:
    """Of two ordered groups; None when either is too small."""
    if min(a.size, b.size) < _least(alpha):
        return None
    rank_low, rank_high = _rank_interval(np.log(a), np.log(b), alpha)
    sign_low, sign_high = _sign_interval(a, b, alpha)
    held = min(rank_low, sign_low), max(rank_high, sign_high)
    low, high = _widen_to_bootstrap(a, b, alpha, held)
    return float(np.exp(low)), float(np.exp(high))


@cache
def _least(alpha: float) -> int:
    n = 1
    while 2 / special.comb(2 * n, n) > alpha:
        n += 1
    return n


def _rank_p(a: Floats, b: Floats) -> float:
    """Two-sided p; tied pairs count against a difference, so p is never too small."""
    a_not_above = int((b.size - np.searchsorted(b, a, "left")).sum())
    b_not_above = int(np.searchsorted(b, a, "right").sum())
    least = min(a_not_above, b_not_above)
    return min(1.0, 2 * _rank_cdf(a.size, b.size, least))


def _rank_interval(log_a: Floats, log_b: Floats, alpha: float) -> Interval:
    k = max(_rank_critical(log_a.size, log_b.size, alpha), 1)
    pairs = log_a.size * log_b.size
    return _difference(log_a, log_b, k), _difference(log_a, log_b, pairs - k + 1)


def _difference(a: Floats, b: Floats, k: int) -> float:
    """The k-th smallest, from 1, of the differences of all pairs of two ordered groups.

    Of many pairs only those are formed that lie in a range halved until it holds few others.
    """
    first, last = np.zeros(a.size, int), np.full(a.size, b.size)
    if a.size * b.size > _EXACT_PAIRS:
        low, high = a[0] - b[-1], a[-1] - b[0]
        below, within = 0, a.size * b.size
        for _ in range(_HALVINGS):
            if within - below <= _EXACT_PAIRS:
                break
            middle = (low + high) / 2
            reached = int((b.size - np.searchsorted(b, a - middle)).sum())
            if reached >= k:
                high, within = middle, reached
            else:
                low, below = middle, reached
        first = np.searchsorted(b, a - high - _ROUNDING)
        last = np.searchsorted(b, a - low + _ROUNDING, "right")
    held = last - first
    starts = np.cumsum(held) - held
    columns = np.arange(held.sum()) + np.repeat(first - starts, held)
    differences = np.repeat(a, held) - b[columns]
    place = k - 1 - int((b.size - last).sum())
    return float(np.partition(differences, place)[place])


@cache
def _rank_critical(n: int, m: int, alpha: float) -> int:
    """Number of values of U, from 0 up, that the two-sided test rejects on one side."""
    low, high = 0, n * m // 2 + 1
    while low < high:
        middle = (low + high) // 2
        if 2 * _rank_cdf(n, m, middle) <= alpha:
            low = middle + 1
        else:
            high = middle
    return low


def _rank_cdf(n: int, m: int, u: int) -> float:
    """P(U <= u) for groups of n and m of one continuous distribution."""
    if n * m <= _EXACT_PAIRS:
        return float(_rank_table(min(n, m), max(n, m))[u])
    sd = np.sqrt(n * m * (n + m + 1) / 12)
    return float(special.ndtr((u + 0.5 - n * m / 2) / sd))


@cache
def _rank_table(n: int, m: int) -> Floats:
    """The exact distribution of U by Mann and Whitney's recursion (1947), as sums of ranks."""
    first = n * (n + 1) // 2
    ways = np.zeros((n + 1, first + n * m + 1))  # ways[k, s]: k ranks that sum to s
    ways[0, 0] = 1
    for one in range(1, n + m + 1):
        ways[1:, one:] += ways[:-1, :-one].copy()
    counts = ways[n, first:]
    table: Floats = np.cumsum(counts) / counts.sum()
    return table


def _widen_to_bootstrap(a: Floats, b: Floats, alpha: float, interval: Interval) -> Interval:
    """Widen an interval, where need be, to the bootstrap percentiles of the log ratio.

    The bootstrap's distribution function at t is the sum over a's medians x of the mass of
    x times the mass of b's medians at or above x - t; a percentile is found by bisection,
    and only where the interval given does not hold it already.
    """
    medians_a, mass_a = _bootstrap_medians(a)
    medians_b, mass_b = _bootstrap_medians(b)
    order = np.argsort(medians_b)
    medians_b = medians_b[order]
    at_or_above = np.append(np.cumsum(mass_b[order][::-1])[::-1], 0.0)
    total = mass_a.sum() * at_or_above[0]

    def share(log_ratio: float) -> float:
        reach = np.searchsorted(medians_b, medians_a - log_ratio)
        return float(at_or_above[reach] @ mass_a / total)

    def percentile(wanted: float, below: float, above: float) -> Interval:
        for _ in range(_BISECTIONS):
            middle = (below + above) / 2
            if share(middle) >= wanted:
                above = middle
            else:
                below = middle
        return below, above

    low, high = interval
    if share(low) > alpha / 2:
        low, _ = percentile(alpha / 2, float(medians_a.min() - medians_b[-1]), low)
    if share(high) < 1 - alpha / 2:
        _, high = percentile(1 - alpha / 2, high, float(medians_a.max() - medians_b[0]))
    return low, high


def _bootstrap_medians(ordered: Floats) -> tuple[Floats, Floats]:
    """The log medians a resample can have, and how often it has each."""
    i, j, mass = _median_masses(ordered.size)
    return np.log((ordered[i] + ordered[j]) / 2), mass


@cache
def _median_masses(n: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """Which pairs of order statistics a resample of n has in its middle, and how often.

    For odd n the two are one. For even n = 2m, the m-th is x_i and the next x_j with i < j
    when m draws are at most x_i, one of them x_i itself, and m at least x_j, one of them
    x_j; what is left of the m-th's own distribution has i = j. Above a thousand values the
    m-th stands for both.
    """
    share = np.arange(n + 1) / n
    if n % 2 or n > _MANY:
        mass = np.diff(special.bdtrc(n // 2, n, share))
        i = j = np.arange(n)
    else:
        m = n // 2
        reach = np.diff(share**m)
        apart = np.triu(special.comb(n, m) * np.multiply.outer(reach, reach[::-1]), 1)
        both = np.diff(special.bdtrc(m - 1, n, share)) - apart.sum(axis=1)
        joint = apart + np.diag(np.maximum(both, 0.0))
        i, j = np.triu_indices(n)
        mass = joint[i, j]
    order = np.argsort(mass, kind="stable")
    keep = np.sort(order[np.cumsum(mass[order]) > _NEGLIGIBLE])
    return i[keep], j[keep], mass[keep]


def _sign_interval(a: Floats, b: Floats, alpha: float) -> Interval:
    """Each group's own median interval (or range, where short of it) over the other's median."""
    own_a, own_b = (_at_depth(group, _sign_depth(group.size, alpha)) for group in (a, b))
    middle_a, middle_b = _middle(a), _middle(b)
    low = min(own_a[0] / middle_b, middle_a / own_b[1])
    high = max(own_a[1] / middle_b, middle_a / own_b[0])
    return math.log(low), math.log(high)


def _at_depth(ordered: Floats, depth: tuple[int, float]) -> Interval:
    """From the k-th value, a share of the way to the next inwards, to its mirror image."""
    k, share = max(depth[0], 1), depth[1]
    low = ordered[k - 1] + share * (ordered[k] - ordered[k - 1]) if share else ordered[k - 1]
    high = ordered[-k] - share * (ordered[-k] - ordered[-k - 1]) if share else ordered[-k]
    return float(low), float(high)


@cache
def _sign_depth(n: int, alpha: float) -> tuple[int, float]:
    """How deep into n ordered values the median's interval begins: a rank and a share.

    The rank k is the largest with 2 P(Binomial(n, 1/2) < k) <= alpha, 0 when there is none.
    """
    missed = 2 * special.bdtr(np.arange(n // 2 + 1), n, 0.5)
    k = int(np.searchsorted(missed, alpha, "right"))
    if not 0 < k < n / 2:
        return k, 0.0
    spare = (alpha - missed[k - 1]) / (missed[k] - missed[k - 1])
    return k, float((n - k) * spare / (k + (n - 2 * k) * spare))
