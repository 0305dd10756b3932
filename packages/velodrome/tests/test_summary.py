from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import record, trial
from velodrome.report import summary

seconds = st.floats(1e-3, 1e4)
epochs = st.lists(seconds, min_size=1, max_size=20).map(tuple)


@given(epochs)
def test_throughput_is_samples_over_the_time_of_an_epoch(times: tuple[float, ...]) -> None:
    one = record(seconds=times)
    assert min(times) <= summary.epoch_time(one) <= max(times)
    assert summary.samples_per_second(one) * summary.epoch_time(one) == pytest.approx(1000)


@given(epochs, st.floats(0.01, 100))
def test_a_machine_twice_as_fast_has_twice_the_throughput(
    times: tuple[float, ...], factor: float
) -> None:
    slow = record(seconds=times)
    fast = record(seconds=tuple(each / factor for each in times))
    assert summary.samples_per_second(fast) == pytest.approx(
        summary.samples_per_second(slow) * factor
    )


@given(st.lists(epochs, min_size=1, max_size=6))
def test_repeats_are_put_together_by_their_median(runs: list[tuple[float, ...]]) -> None:
    records = [record(trial(repeat=n), seconds=times) for n, times in enumerate(runs)]
    ((row,),) = [group.rows for group in summary.groups(records)]
    assert row.time == pytest.approx(median(summary.epoch_time(each) for each in records))
    assert len(row.done) == len(runs)


def test_the_fastest_comes_first_and_failures_last() -> None:
    records = [
        record(trial(engine="torch"), seconds=(2.0, 2.0)),
        record(trial(engine="jax"), seconds=(1.0, 1.0)),
        record(trial(engine="mxnet"), status="crash"),
    ]
    (group,) = summary.groups(records)
    assert [row.trial.engine for row in group.rows] == ["jax", "torch", "mxnet"]
    assert [row.relative for row in group.rows] == [1.0, 0.5, None]
    assert "jax is fastest" in summary.answer([group])
    assert "2.00 times torch" in summary.answer([group])


def test_only_what_differs_by_engine_alone_is_compared() -> None:
    records = [
        record(trial(engine=engine, **axes))
        for engine in ("torch", "jax")
        for axes in ({}, {"batch_size": 128}, {"settings": "stock"}, {"epochs": 4}, {"seed": 1})
    ]
    assert [len(group.rows) for group in summary.groups(records)] == [2] * 5


def test_a_result_of_older_code_is_superseded_not_mixed() -> None:
    old = record(trial(environment="old"), seconds=(9.0, 9.0))
    new = record(trial(environment="new"), seconds=(1.0, 1.0))
    (group,) = summary.groups([old, new])
    assert group.rows[0].time == 1.0


def test_a_later_attempt_replaces_a_failed_one() -> None:
    failed, done = record(status="timeout"), record(attempt=2)
    (group,) = summary.groups([failed, done])
    assert not group.rows[0].failed
    assert len(group.rows[0].done) == 1
