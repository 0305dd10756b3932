"""The machine's own steadiness, told apart from what is measured on it."""

from itertools import pairwise

import msgspec
import pytest

from builders import record, trial
from velodrome import steadiness
from velodrome.record import Record, Steadiness
from velodrome.report import markdown, summary
from velodrome.report import steadiness as report
from velodrome.report.lines import results


def run(*seconds: float) -> list[Record]:
    """Trials with a reading of the kernel between them."""
    return [
        msgspec.structs.replace(
            record(trial(repeat=n)),
            started=f"2026-01-01T00:00:{n:02}+00:00",
            steadiness=Steadiness(before=before, after=after),
        )
        for n, (before, after) in enumerate(pairwise(seconds))
    ]


def test_a_steady_machine_is_said_to_be_one() -> None:
    found = report.drift([results(run(*[0.010] * 10))])
    assert found is not None
    assert found.steady
    assert found.seconds == pytest.approx(0.010)
    assert "not steady" not in report.sentence(found)


def test_a_drift_is_told_with_its_size_whatever_the_order_of_records() -> None:
    readings = [0.010 * (1 + n / 100) for n in range(13)]
    found = report.drift([results(reversed(run(*readings)))])
    assert found is not None
    assert found.drift == pytest.approx(0.08, abs=0.01)
    assert "slower than it began: it was not steady" in report.sentence(found)


def test_a_single_burst_of_other_load_is_told() -> None:
    found = report.drift([results(run(*[0.010] * 8, 0.020, *[0.010] * 8))])
    assert found is not None
    assert found.slowest == pytest.approx(1.0)
    assert abs(found.drift) < 0.01
    assert not found.steady


def test_a_slower_machine_beside_a_faster_one_is_no_drift() -> None:
    fast = run(*[0.010] * 5)
    other = msgspec.structs.replace(fast[0].machine, cpu="another")
    slow = [msgspec.structs.replace(each, machine=other) for each in run(*[0.020] * 5)]
    found = report.drifts(summary.groups(results([*fast, *slow])))
    assert [each.seconds for each in found.values() if each and each.steady] == pytest.approx(
        [0.010, 0.020]
    )


def test_what_was_seen_before_the_run_is_told_in_the_report() -> None:
    one = run(*[0.010] * 10)
    late = [
        msgspec.structs.replace(
            each, steadiness=Steadiness(before=0.010, after=0.010, at_start=spread)
        )
        for each, spread in zip(one, [None, *[0.02] * 4, *[0.17] * 4], strict=True)
    ]
    found = report.drift([results(late)])
    assert found is not None
    assert found.at_start == 0.17
    assert not found.steady
    (text,) = markdown.machines(summary.groups(results(late)))
    assert "at most 0% more, 17% before the run; " in text


def test_records_without_readings_say_nothing() -> None:
    assert report.drift([results([record()])]) is None


def test_the_report_tells_it_and_that_energy_was_not_measured() -> None:
    (text,) = markdown.machines(summary.groups(results(run(*[0.010] * 10))))
    assert "fixed kernel took 10.0 ms" in text
    assert "Energy was not measured" in text


def test_the_kernel_is_short_and_takes_time() -> None:
    assert 0 < steadiness.probe() < 5
    assert steadiness.spread([1.0, 1.0, 1.2]) == pytest.approx(0.2)
