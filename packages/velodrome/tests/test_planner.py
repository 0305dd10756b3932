"""Repeats are added until the ratios are as sure as was asked for, or to the bound."""

import msgspec
import pytest

from builders import record, trial
from velodrome import planner, study
from velodrome.errors import UserError
from velodrome.record import Record
from velodrome.report import summary
from velodrome.report.lines import results


def wanted(**keys: object) -> study.Study:
    raw = {"name": "x", "workloads": "lenet", "engines": ["torch", "jax"], "dataset": "digits"}
    return study.parse(raw | keys)


def runs(engine: str, spread: float, count: int) -> list[Record]:
    """Processes evenly spread about one second an epoch."""
    return [
        record(
            trial(engine=engine, repeat=n),
            seconds=(1 + spread * (2 * n / max(count - 1, 1) - 1),) * 4,
        )
        for n in range(count)
    ]


def further(of: study.Study, *records: Record) -> int:
    return planner.further_repeats(of, summary.groups(results(records)))


def test_too_few_to_tell_anything_asks_for_the_fewest_that_can() -> None:
    one = wanted(precision="2%")
    assert further(one, *runs("torch", 0.01, 1), *runs("jax", 0.01, 1)) == 4


def test_narrow_intervals_stop_it_and_wide_ones_go_on() -> None:
    eight = wanted(precision="2%", repeats=8)
    assert further(eight, *runs("torch", 0.001, 8), *runs("jax", 0.001, 8)) == 0
    assert further(eight, *runs("torch", 0.1, 8), *runs("jax", 0.1, 8)) > 0


def test_never_beyond_the_bound() -> None:
    eight = wanted(precision="1%", repeats=8, max_repeats=10)
    noisy = (*runs("torch", 0.2, 8), *runs("jax", 0.2, 8))
    assert further(eight, *noisy) == 2
    assert further(msgspec.structs.replace(eight, repeats=10), *noisy) == 0


def test_an_engine_by_itself_gets_its_repeats_too() -> None:
    one = wanted(precision="2%", engines="torch", repeats=8)
    assert further(one, *runs("torch", 0.1, 8)) > 0
    assert further(one, *runs("torch", 0.001, 8)) == 0


def test_a_failing_engine_does_not_keep_it_going() -> None:
    eight = wanted(precision="2%", repeats=8, max_repeats=9)
    records = [*runs("torch", 0.2, 8), *runs("jax", 0.2, 2)]
    assert further(eight, *records) == 1


def test_precision_is_a_share() -> None:
    assert wanted(precision="2%").precision == pytest.approx(0.02)
    assert wanted(precision=0.02).precision == pytest.approx(0.02)
    with pytest.raises(UserError, match="precision: fine is no share"):
        wanted(precision="fine")
    with pytest.raises(UserError, match="max_repeats"):
        wanted(precision="2%", repeats=9, max_repeats=3)


def test_a_pin_must_concern_an_engine_of_the_study() -> None:
    assert wanted(engines="keras-torch", pins="keras==3.14.1").pins == ("keras==3.14.1",)
    with pytest.raises(UserError, match="no engine of this study has the package of kerras==3"):
        wanted(engines="keras-torch", pins="kerras==3.14.1")
    with pytest.raises(UserError, match="pins"):
        wanted(pins="keras>=3")
