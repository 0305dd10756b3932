import collections
import itertools
import json
import math

import msgspec
import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st

from velodrome.statistics import (
    break_even_epoch,
    compare,
    draw_verdicts,
    half_width,
    holm,
    least_processes,
    median,
    median_interval,
    noise,
    pooled_noise,
    rank,
    repeats_for_precision,
    repeats_to_add,
    scaling_efficiency,
    steady_state,
    steady_states,
    throughput,
    time_to_accuracy,
    verdict_rates,
)
from velodrome.statistics.comparison import _difference, _median_masses

OPPOSITE = {"faster": "slower", "slower": "faster", "tie": "tie", "undecided": "undecided"}


def values(low=1, high=16):
    one = st.floats(min_value=0.5, max_value=2.0)
    return st.lists(one, min_size=low, max_size=high)


def level():
    return st.sampled_from([0.9, 0.95, 0.99])


# Comparisons: known cases


def test_complete_separation_of_five_is_the_smallest_difference_shown():
    a, b = [1.10, 1.11, 1.12, 1.13, 1.14], [1.00, 1.01, 1.02, 1.03, 1.04]
    found = compare(a, b, of="throughput")
    assert found.ratio == pytest.approx(1.12 / 1.02)
    assert found.p == pytest.approx(2 / math.comb(10, 5))
    # At n = 5 the rank interval is the whole range of the 25 ratios.
    assert (found.low, found.high) == pytest.approx((1.10 / 1.04, 1.14 / 1.00))
    assert found.verdict == "faster"
    assert compare(a, b, of="time").verdict == "slower"


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_few_processes_give_no_interval_and_no_verdict(n):
    found = compare([2.0] * n, [1.0] * n, of="time")
    assert (found.ratio, found.low, found.high, found.verdict) == (2.0, None, None, "undecided")
    assert half_width(found) == math.inf
    # One short side is enough to say nothing.
    assert compare([2.0] * n, [1.0] * 30, of="time").verdict == "undecided"


def test_identical_values_are_a_tie_with_p_one():
    found = compare([3.0] * 6, [3.0] * 6, of="time")
    assert (found.low, found.high, found.p, found.verdict) == (1.0, 1.0, 1.0, "tie")


def test_a_sure_but_negligible_difference_is_a_tie_only_within_the_bound():
    a, b = np.linspace(1.009, 1.011, 10), np.linspace(0.999, 1.001, 10)
    found = compare(a, b, of="time")
    assert found.low > 1
    assert found.verdict == "tie"
    assert compare(a, b, of="time", tie=0.005).verdict == "slower"
    assert compare(a, b, of="time", tie=found.high - 1 - 1e-9).verdict == "slower"
    assert compare(a, b, of="time", tie=found.high - 1 + 1e-9).verdict == "tie"


@pytest.mark.parametrize(("family", "fewest"), [(1, 5), (2, 6), (4, 6), (5, 7), (17, 7), (18, 8)])
def test_least_processes_follow_from_the_number_of_splits(family, fewest):
    assert least_processes(0.99, family) == fewest
    assert 2 / math.comb(2 * fewest, fewest) <= 0.01 / family
    assert 2 / math.comb(2 * fewest - 2, fewest - 1) > 0.01 / family


@pytest.mark.parametrize("sizes", [(1, 1), (3, 7), (5, 5), (8, 20), (12, 9), (40, 45)])
def test_p_agrees_with_scipys_exact_test(sizes):
    rng = np.random.default_rng(1)
    for _ in range(5):
        a, b = rng.lognormal(0.2, 0.3, sizes[0]), rng.lognormal(0, 0.3, sizes[1])
        expected = scipy.stats.mannwhitneyu(a, b, method="exact").pvalue
        assert compare(a, b, of="time").p == pytest.approx(expected, rel=1e-9)


def test_p_of_large_groups_agrees_with_the_asymptotic_test():
    rng = np.random.default_rng(2)
    a, b = rng.lognormal(0.05, 0.3, 80), rng.lognormal(0, 0.3, 90)
    expected = scipy.stats.mannwhitneyu(a, b, method="asymptotic").pvalue
    assert compare(a, b, of="time").p == pytest.approx(expected, rel=1e-9)


def test_ties_between_groups_never_make_p_smaller():
    assert compare([1, 1, 2], [1, 2, 2], of="time").p == 1.0
    untied = compare([6, 7, 8, 9, 10], [1, 2, 3, 4, 5], of="time").p
    assert compare([5, 7, 8, 9, 10], [1, 2, 3, 4, 5], of="time").p > untied


@pytest.mark.parametrize("n", [5, 6, 11, 12])
def test_interval_holds_the_drawn_bootstrap(n):
    rng = np.random.default_rng(n)
    a, b = rng.lognormal(0.1, 0.2, n), rng.lognormal(0, 0.2, n)
    resamples = [np.median(rng.choice(x, (40_000, n)), axis=1) for x in (a, b)]
    drawn = np.quantile(resamples[0] / resamples[1], [0.03, 0.97])
    found = compare(a, b, of="time", level=0.95)
    assert found.low <= drawn[0] * 1.0001
    assert found.high >= drawn[1] * 0.9999


def test_wide_medians_and_narrow_ranks_leave_the_bootstrap_to_decide():
    # Bimodal groups: the median jumps between modes, which ranks alone understate.
    a = np.r_[np.linspace(1.00, 1.01, 10), np.linspace(1.50, 1.51, 10)]
    rng = np.random.default_rng(0)
    resamples = np.median(rng.choice(a, (200_000, 20)), axis=1)
    other = np.median(rng.choice(a, (200_000, 20)), axis=1)
    low, high = np.quantile(np.log(resamples / other), [0.005, 0.995])
    found = compare(a, a, of="time")
    assert math.log(found.low) == pytest.approx(low, abs=0.01)
    assert math.log(found.high) == pytest.approx(high, abs=0.01)


@given(values())
def test_median_is_numpys(group):
    assert median(group) == pytest.approx(np.median(group))


def test_median_of_nothing_is_refused():
    with pytest.raises(ValueError, match="one or more"):
        median([])


def test_median_interval_is_the_range_at_eight_and_absent_below():
    eight = [3, 1, 2, 8, 5, 4, 7, 6]
    assert median_interval(eight, level=1 - 2**-7) == pytest.approx((1, 8), abs=1e-6)
    low, high = median_interval(eight)
    assert 1 < low < 1.5
    assert high == pytest.approx(9 - low)
    assert median_interval([3, 1, 2, 5, 4, 7, 6]) is None
    # 20 values, by hand: P(Binomial(20, 1/2) < 4) = 0.129% and < 5 = 0.591%, so at 99% a
    # little inside the 4th and the 17th, and at 1 - 2 x 0.129% exactly there.
    low, high = median_interval(np.arange(1, 21))
    assert 4.5 < low < 5
    assert high == pytest.approx(21 - low)
    exact = 1 - 2 * scipy.stats.binom.cdf(3, 20, 0.5)
    assert median_interval(np.arange(1, 21), level=exact) == pytest.approx((4, 17), abs=1e-6)


@given(values(8, 40))
def test_median_interval_holds_the_median_and_lies_within_the_range(group):
    low, high = median_interval(group)
    assert min(group) <= low <= np.median(group) <= high <= max(group)


@pytest.mark.parametrize("n", [8, 12, 20])
def test_against_an_engine_without_noise_the_interval_is_the_medians_own(n):
    a = np.random.default_rng(n).lognormal(0, 0.05, n)
    own, found = median_interval(a), compare(a, np.ones(n), of="time")
    assert found.low <= own[0] * (1 + 1e-9)
    assert found.high >= own[1] * (1 - 1e-9)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_bootstrap_masses_are_those_of_all_resamples(n):
    ranks = [sorted(draw) for draw in itertools.product(range(n), repeat=n)]
    counted = collections.Counter((x[(n - 1) // 2], x[n // 2]) for x in ranks)
    i, j, mass = _median_masses(n)
    assert dict(zip(zip(i, j, strict=True), mass, strict=True)) == pytest.approx(
        {pair: count / n**n for pair, count in counted.items()}
    )


# Comparisons: invariants


@given(values(), values(), level(), st.floats(0.01, 100))
def test_scale_does_not_matter(a, b, level, scale):
    found = compare(a, b, of="time", level=level)
    scaled = compare(np.array(a) * scale, np.array(b) * scale, of="time", level=level)
    assert scaled.ratio == pytest.approx(found.ratio)
    assert (found.low is None) == (scaled.low is None)
    if found.low is not None:
        assert (scaled.low, scaled.high) == pytest.approx((found.low, found.high), rel=1e-7)


@given(values(), values(), level())
def test_exchanging_the_groups_inverts_the_ratio_and_the_verdict(a, b, level):
    one, other = (compare(*x, of="time", level=level) for x in ((a, b), (b, a)))
    assert other.ratio == pytest.approx(1 / one.ratio)
    assert other.p == pytest.approx(one.p)
    if one.low is not None:
        assert (other.low, other.high) == pytest.approx((1 / one.high, 1 / one.low), rel=1e-7)
        edges = [1.0, 1.02, 1 / 1.02]
        assume(min(abs(x / e - 1) for x in (one.low, one.high) for e in edges) > 1e-6)
    assert other.verdict == OPPOSITE[one.verdict]


@given(values(5), values(5), level())
def test_interval_ratio_p_and_verdict_never_contradict_each_other(a, b, level):
    found = compare(a, b, of="time", level=level)
    assume(found.low is not None)
    assert found.low <= found.ratio * (1 + 1e-12)
    assert found.ratio <= found.high * (1 + 1e-12)
    if found.verdict in ("faster", "slower"):
        assert not found.low <= 1 <= found.high
        assert found.p <= (1 - level) * (1 + 1e-6)
        assert (found.ratio < 1) == (found.verdict == "faster")
    elif found.verdict == "tie":
        assert found.low >= 1 / 1.02
        assert found.high <= 1.02
    else:
        assert found.low <= 1 <= found.high


@given(values(6), values(6))
def test_more_confidence_and_larger_families_widen_the_interval(a, b):
    steps = [compare(a, b, of="time", level=x) for x in (0.5, 0.9, 0.95, 0.99)]
    steps.append(compare(a, b, of="time", level=0.99, family=2))
    held = [x for x in steps if x.low is not None]
    for inner, outer in itertools.pairwise(held):
        assert outer.low <= inner.low * (1 + 1e-7)
        assert outer.high >= inner.high * (1 - 1e-7)


@given(values(), values(), st.floats(1.0, 3.0))
def test_slowing_a_group_moves_the_whole_interval(a, b, factor):
    before = compare(a, b, of="time")
    after = compare(np.array(a) * factor, b, of="time")
    assert after.ratio == pytest.approx(before.ratio * factor)
    if before.low is not None:
        assert after.low == pytest.approx(before.low * factor, rel=1e-7)
        assert after.high == pytest.approx(before.high * factor, rel=1e-7)


@given(values(), values())
def test_throughput_and_time_of_the_same_processes_agree(a, b):
    # Odd groups: the median of reciprocals is the reciprocal of the median.
    a, b = a[: len(a) - 1 + len(a) % 2], b[: len(b) - 1 + len(b) % 2]
    time = compare(a, b, of="time", tie=0)
    speed = compare(1 / np.array(a), 1 / np.array(b), of="throughput", tie=0)
    assert speed.ratio == pytest.approx(1 / time.ratio)
    if time.low is not None:
        assume(abs(time.low - 1) > 1e-6)
        assume(abs(time.high - 1) > 1e-6)
    assert speed.verdict == time.verdict


@pytest.mark.parametrize("bad", [[], [0.0, 1.0], [-1.0], [math.nan], [math.inf], [[1.0, 2.0]]])
def test_values_that_are_no_measurement_are_refused(bad):
    with pytest.raises(ValueError, match="process"):
        compare(bad, [1.0], of="time")
    with pytest.raises(ValueError, match="process"):
        compare([1.0], bad, of="time")


@pytest.mark.parametrize("wrong", [{"level": 1.0}, {"level": 99}, {"family": 0}, {"tie": -0.1}])
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        compare([1.0], [1.0], of="time", **wrong)


def test_comparisons_are_plain_json():
    found = json.loads(msgspec.json.encode(compare([1.0], [2.0], of="time")))
    assert found["low"] is None
    assert found["verdict"] == "undecided"


# The levels are kept


@pytest.mark.parametrize("n", [5, 6, 7, 9, 12])
def test_equal_engines_are_called_different_no_more_often_than_stated(n):
    rng = np.random.default_rng(n)
    groups = np.exp(0.02 * rng.standard_t(2, (2, 1500, n)))
    found = verdict_rates(
        [compare(a, b, of="time", level=0.95).verdict for a, b in zip(*groups, strict=True)]
    )
    assert found.differences <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1500)


@pytest.mark.parametrize("n", [8, 12, 20])
def test_the_interval_covers_the_true_ratio_of_engines_of_unequal_noise(n):
    rng = np.random.default_rng(n)
    draws, truth, missed = 1500, 1.3, 0
    for _ in range(draws):
        a, b = truth * rng.lognormal(0, 0.05, n), rng.lognormal(0, 0.005, n)
        found = compare(a, b, of="time")
        missed += not found.low <= truth <= found.high
    assert missed / draws <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / draws)


def test_five_equal_engines_against_the_luckiest():
    rng = np.random.default_rng(5)
    draws, wrong = 400, 0
    for _ in range(draws):
        groups = {str(k): rng.lognormal(0, 0.02, 8) for k in range(5)}
        found = rank(groups, of="time", level=0.95).comparisons.values()
        wrong += any(one.verdict in ("faster", "slower") for one in found)
    assert wrong / draws <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)


# Ranking


def test_rank_orders_compares_with_the_fastest_and_adjusts():
    rng = np.random.default_rng(0)
    speed = {"slow": 1.0, "fast": 2.0, "same": 1.999}
    groups = {name: s * rng.lognormal(0, 0.002, 10) for name, s in speed.items()}
    found = rank(groups, of="throughput")
    assert found.baseline == found.order[0]
    assert {found.order[0], found.order[1]} == {"fast", "same"}
    assert found.order[2] == "slow"
    assert found.comparisons["slow"].verdict == "slower"
    assert found.comparisons[found.order[1]].verdict == "tie"
    assert all(one.family == 3 for one in found.comparisons.values())
    alone = compare(groups["slow"], groups[found.baseline], of="throughput")
    assert found.comparisons["slow"].p == pytest.approx(3 * alone.p)
    assert found.comparisons["slow"].high > alone.high
    assert rank(groups, of="time").order == found.order[::-1]


def test_rank_against_a_named_baseline_corrects_for_the_comparisons_made():
    groups = {name: np.linspace(1, 1.1, 6) for name in "abc"}
    found = rank(groups, of="time", baseline="b")
    assert found.baseline == "b"
    assert set(found.comparisons) == {"a", "c"}
    assert {one.family for one in found.comparisons.values()} == {2}
    with pytest.raises(ValueError, match="baseline 'd'"):
        rank(groups, of="time", baseline="d")
    with pytest.raises(ValueError, match="nothing to rank"):
        rank({}, of="time")
    assert rank({"a": [1.0]}, of="time").comparisons == {}


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.01, 0.02], family=10) == pytest.approx([0.1, 0.18])
    assert holm([]).size == 0
    with pytest.raises(ValueError, match="family"):
        holm([0.1, 0.2], family=1)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_keeps_the_order_and_lies_between_none_and_bonferroni(p):
    p = np.array(p)
    adjusted = holm(p)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(1, p * p.size) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()


# Steady state


def test_a_slow_first_epoch_is_warm_up():
    found = steady_state([9.0, 1.0, 1.01, 0.99, 1.0])
    assert (found.first, found.settled, found.reason) == (1, True, "")
    assert found.median == pytest.approx(1.0)
    assert steady_state([9.0, 1.0, 1.0]).first == 1


def test_a_cold_machine_that_slows_down_has_a_warm_up_too():
    found = steady_state([0.5, 0.6, 1.0, 1.0, 1.01, 1.0, 0.99, 1.0])
    assert (found.first, found.settled) == (2, True)


def test_a_stray_epoch_neither_prolongs_warm_up_nor_unsettles():
    found = steady_state([3.0, 1.0, 1.01, 5.0, 1.0, 0.99, 1.0, 1.02, 1.0, 1.0])
    assert (found.first, found.settled) == (1, True)
    assert found.median == pytest.approx(1.0)


def test_an_ever_faster_process_has_not_settled():
    found = steady_state(np.linspace(2, 1, 20))
    assert not found.settled
    assert "faster" in found.reason or "warm-up" in found.reason
    drifting = steady_state(np.linspace(1, 1.3, 20))
    assert not drifting.settled
    assert drifting.reason


@pytest.mark.parametrize(("times", "median"), [([2.0], 2.0), ([9.0, 1.0], 1.0)])
def test_too_few_epochs_are_said_not_to_have_settled(times, median):
    found = steady_state(times)
    assert (found.settled, found.median) == (False, median)
    assert "needed" in found.reason


@pytest.mark.parametrize("bad", [[], [0.0, 1, 1], [math.nan, 1, 1], [[1.0]]])
def test_times_that_are_none_are_refused(bad):
    with pytest.raises(ValueError, match="time"):
        steady_state(bad)


@given(values(3, 100), st.floats(0.01, 100))
def test_steady_state_does_not_depend_on_the_unit(times, scale):
    found, scaled = steady_state(times), steady_state(np.array(times) * scale)
    assume(found.settled == scaled.settled)  # a difference at a bound may round either way
    assume(found.first == scaled.first)
    assert scaled.median == pytest.approx(found.median * scale)


@given(values(1, 100))
def test_the_settled_part_is_at_least_half_and_its_median_is_given(times):
    found = steady_state(times)
    assert 0 <= found.first <= len(times) // 2
    assert found.median == pytest.approx(np.median(times[found.first :]))
    assert found.settled == (not found.reason)


@given(
    st.integers(0, 10),
    st.integers(0, 80),
    st.floats(1.5, 50),
    st.floats(0.001, 1000),
    st.randoms(use_true_random=False),
)
def test_a_plain_warm_up_is_cut_where_it_ends(warm, extra, slow, unit, random):
    calm = max(warm, 3) + extra
    times = [slow * unit] * warm + [unit * random.uniform(0.99, 1.01) for _ in range(calm)]
    found = steady_state(times)
    assert (found.first, found.settled) == (warm, True)


# Planning


def test_noise_by_hand():
    assert noise([1.0, math.e]) == pytest.approx(math.sqrt(0.5))
    assert pooled_noise([[1.0, math.e], [5.0], [7.0, 7.0, 7.0]]) == pytest.approx(
        math.sqrt(0.5 / 3)
    )
    with pytest.raises(ValueError, match="two or more"):
        noise([1.0])
    with pytest.raises(ValueError, match="two or more"):
        pooled_noise([[1.0], [2.0]])


@given(st.floats(0.005, 0.5), st.floats(0, 0.3), st.integers(1, 20))
def test_repeats_grow_with_noise_and_with_precision(precision, between, family):
    n = repeats_for_precision(precision, between, family=family)
    assert n >= least_processes(0.99, family)
    assert repeats_for_precision(precision / 2, between, family=family) >= n
    assert repeats_for_precision(precision, between * 2, family=family) >= n
    assert repeats_for_precision(precision, between, family=family + 1) >= n


def test_the_repeats_planned_reach_the_precision_wanted():
    rng = np.random.default_rng(3)
    between, precision = 0.02, 0.02
    n = repeats_for_precision(precision, between)
    widths = [
        half_width(compare(*rng.lognormal(0, between, (2, n)), of="time")) for _ in range(200)
    ]
    assert np.median(widths) == pytest.approx(precision, rel=0.15)


def grow(between, precision, most, seed=0):
    """Run the stopping rule on simulated processes; the sizes it passed through."""
    rng = np.random.default_rng(seed)
    groups = {"a": [], "b": []}
    sizes, more = [], 1
    while more:
        for group in groups.values():
            group.extend(rng.lognormal(0, between, more))
        sizes.append(len(groups["a"]))
        found = compare(groups["a"], groups["b"], of="time")
        more = repeats_to_add([found], groups, precision=precision, max_repeats=most)
    return sizes, found


def test_repeats_stop_at_the_precision():
    sizes, found = grow(0.02, 0.03, 200)
    assert half_width(found) <= 0.03
    assert sizes[:2] == [1, 5]
    assert 5 < sizes[-1] < 60
    assert all(later <= 2 * earlier for earlier, later in itertools.pairwise(sizes[1:]))


def test_repeats_stop_at_the_bound():
    sizes, found = grow(0.2, 0.01, 32)
    assert sizes == [1, 5, 10, 20, 32]
    assert half_width(found) > 0.01


def test_quiet_engines_need_no_more_than_the_least():
    assert grow(0.0001, 0.02, 50)[0] == [1, 5]


def test_draws_find_what_is_planted_and_nothing_else():
    pool = np.random.default_rng(4).lognormal(8, 0.01, 60)
    same = draw_verdicts(pool, 8, of="throughput", draws=300, seed=1)
    planted = draw_verdicts(pool, 8, of="throughput", draws=300, seed=1, slowdown=0.05)
    assert same.differences <= 0.03
    assert planted.slower > 0.9
    assert planted.faster == 0
    assert same == draw_verdicts(pool, 8, of="throughput", draws=300, seed=1)
    of_time = draw_verdicts(1 / pool, 8, of="time", draws=300, seed=1, slowdown=0.05)
    assert of_time.slower > 0.9
    with pytest.raises(ValueError, match="pool of 62"):
        draw_verdicts(pool, 31, of="time", draws=1, seed=0)


@given(st.lists(st.sampled_from(list(OPPOSITE)), min_size=1))
def test_verdict_rates_are_shares_of_a_whole(verdicts):
    found = verdict_rates(verdicts)
    assert found.draws == len(verdicts)
    assert found.differences + found.tie + found.undecided == pytest.approx(1)


# Derived figures


def test_throughput_is_samples_over_time():
    assert throughput(60_000, 12.0) == 5000.0
    assert throughput(0, 1.0) == 0.0
    for samples, seconds in ((-1, 1.0), (1, 0.0), (1, math.nan), (1, math.inf)):
        with pytest.raises(ValueError, match=r"samples|seconds"):
            throughput(samples, seconds)


@given(st.integers(1, 10**9), st.floats(1e-3, 1e6), st.floats(1e-3, 1e6))
def test_throughput_of_the_whole_lies_between_that_of_its_parts(samples, first, second):
    parts = throughput(samples, first), throughput(samples, second)
    whole = throughput(2 * samples, first + second)
    assert min(parts) * (1 - 1e-9) <= whole <= max(parts) * (1 + 1e-9)


def test_break_even_by_hand():
    assert break_even_epoch(30.0, 1.0, 5.0, 2.0) == 25
    assert break_even_epoch(30.0, 1.0, 5.5, 2.0) == 25
    assert break_even_epoch(5.0, 2.0, 30.0, 1.0) is None
    assert break_even_epoch(30.0, 1.0, 5.0, 1.0) is None
    assert break_even_epoch(5.0, 1.0, 30.0, 1.0) == 0
    with pytest.raises(ValueError, match="not negative"):
        break_even_epoch(-1.0, 1.0, 1.0, 1.0)


@given(*[st.integers(0, 1000)] * 4)
def test_break_even_is_the_first_epoch_that_is_no_later(setup, epoch, other_setup, other_epoch):
    found = break_even_epoch(setup, epoch, other_setup, other_epoch)
    if found is None:
        return
    assert setup + found * epoch <= other_setup + found * other_epoch
    if found:
        assert setup + (found - 1) * epoch > other_setup + (found - 1) * other_epoch


def test_time_to_accuracy_counts_whole_epochs_from_the_start():
    seconds, accuracies = [5.0, 1.0, 1.0, 1.0], [0.8, None, 0.97, 0.96]
    assert time_to_accuracy(seconds, accuracies, 0.97) == 7.0
    assert time_to_accuracy(seconds, accuracies, 0.5) == 5.0
    assert time_to_accuracy(seconds, accuracies, 0.98) is None
    with pytest.raises(ValueError, match="accuracies"):
        time_to_accuracy([1.0], [], 0.5)


def test_scaling_efficiency_carries_the_interval_of_the_ratio():
    one, many = np.linspace(99, 101, 8), np.linspace(356, 364, 8)
    found = scaling_efficiency(one, many, devices=4)
    speedup = compare(many, one, of="throughput")
    assert found.value == pytest.approx(0.9)
    assert (found.low, found.high) == (speedup.low / 4, speedup.high / 4)
    alone = scaling_efficiency([100.0], [360.0], devices=4)
    assert (alone.low, alone.high) == (None, None)
    with pytest.raises(ValueError, match="devices"):
        scaling_efficiency(one, many, devices=0)


@pytest.mark.parametrize("n", [999, 1000, 1001, 2000, 2001])
def test_thousands_of_processes_have_an_interval_too(n: int) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.lognormal(np.log(1.1), 0.02, n), rng.lognormal(0, 0.02, n)
    found = compare(a, b, of="throughput")
    assert found.low is not None
    assert found.high is not None
    assert 1.09 < found.low < found.ratio < found.high < 1.11
    assert found.verdict == "faster"


@given(st.lists(st.tuples(*[st.floats(0.5, 2.0)] * 6), min_size=1, max_size=7))
def test_many_processes_at_once_are_each_as_by_itself(times: list[tuple[float, ...]]) -> None:
    found = steady_states(times)
    each = [steady_state(row) for row in times]
    assert found.first.tolist() == [one.first for one in each]
    assert found.median.tolist() == [one.median for one in each]
    assert found.reasons == [one.reason for one in each]


@pytest.mark.parametrize("decimals", [16, 2, 0])
def test_differences_of_many_pairs_are_those_of_all_pairs(decimals: int) -> None:
    rng = np.random.default_rng(7)
    a = np.sort(rng.standard_t(2, 301).round(decimals))
    b = np.sort(rng.normal(0.1, 0.01, 257).round(decimals))
    every = np.sort(np.subtract.outer(a, b), axis=None)
    for k in (1, 2, 1000, every.size // 2, every.size - 1, every.size):
        assert _difference(a, b, k) == every[k - 1]
        assert (
            _difference(a[:5], b[:7], min(k, 35))
            == np.sort(np.subtract.outer(a[:5], b[:7]), axis=None)[min(k, 35) - 1]
        )
