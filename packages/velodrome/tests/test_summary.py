from collections.abc import Sequence
from statistics import median

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import epoch, record, trial
from velodrome.parity.verdict import Verdict
from velodrome.record import Clocks, DeviceMemory, Memory, Record, Site
from velodrome.report import summary, table
from velodrome.report.lines import results
from velodrome.report.summary import Group


def groups(records: Sequence[Record], target: float | None = None) -> list[Group]:
    return summary.groups(results(records, target), target)


def epoch_time(one: Record) -> float:
    (time,) = results([one]).time
    return float(time)


def samples_per_second(one: Record) -> float:
    (speed,) = results([one]).samples_sec
    return float(speed)


seconds = st.floats(1e-3, 1e4)
epochs = st.lists(seconds, min_size=1, max_size=20).map(tuple)


@given(epochs)
def test_throughput_is_samples_over_the_time_of_an_epoch(times: tuple[float, ...]) -> None:
    one = record(seconds=times)
    assert min(times) <= epoch_time(one) <= max(times)
    assert samples_per_second(one) * epoch_time(one) == pytest.approx(1000)


@given(epochs, st.floats(0.01, 100))
def test_a_machine_twice_as_fast_has_twice_the_throughput(
    times: tuple[float, ...], factor: float
) -> None:
    slow = record(seconds=times)
    fast = record(seconds=tuple(each / factor for each in times))
    assert samples_per_second(fast) == pytest.approx(samples_per_second(slow) * factor)


@given(st.lists(epochs, min_size=1, max_size=6))
def test_repeats_are_put_together_by_their_median(runs: list[tuple[float, ...]]) -> None:
    records = [record(trial(repeat=n), seconds=times) for n, times in enumerate(runs)]
    ((row,),) = [group.rows for group in groups(records)]
    assert row.time == pytest.approx(median(epoch_time(each) for each in records))
    assert len(row.done) == len(runs)


def test_the_fastest_comes_first_and_failures_last() -> None:
    records = [
        record(trial(engine="torch"), seconds=(2.0, 2.0)),
        record(trial(engine="jax"), seconds=(1.0, 1.0)),
        record(trial(engine="mxnet"), status="crash"),
    ]
    (group,) = groups(records)
    assert [row.trial.engine for row in group.rows] == ["jax", "torch", "mxnet"]
    assert [row.relative for row in group.rows] == [1.0, 0.5, None]
    assert "jax is fastest" in summary.answer([group])
    assert "2.00 times torch" in summary.answer([group])


def test_the_first_sentence_says_whose_parity_is_unknown() -> None:
    jax, torch, mxnet = (trial(engine=engine) for engine in ("jax", "torch", "mxnet"))
    measured = results([record(jax, (1.0,)), record(torch, (2.0,)), record(mxnet, (3.0,))])
    known = [
        Verdict(status="parity", made="2026-01-01T00:00:00+00:00", trial=each, steps=4)
        for each in (jax, torch, mxnet)
    ]
    for verdicts, said in (
        ([], "; parity unknown."),
        (known[:1], "; parity unknown for torch, mxnet."),
        (known, "6 can show a difference)."),
    ):
        (group,) = summary.groups(measured, verdicts=verdicts)
        assert [row.trial.engine for row in group.rows] == ["jax", "torch", "mxnet"]
        assert summary.answer([group]).endswith(said)
        assert summary.headline([group]).endswith(said)
    (group,) = summary.groups(measured)
    assert summary.headline([group, group]).endswith("is certain in none; parity unknown.")


@pytest.mark.parametrize(
    ("axes", "options"),
    [
        ({}, ""),
        ({"devices": "cpu:2"}, " --devices cpu:2"),
        ({"dtype": "bfloat16", "settings": "stock"}, " --dtype bfloat16 --settings stock"),
    ],
)
def test_what_is_to_be_typed_for_parity_compares_what_was_raced(
    axes: dict[str, str], options: str
) -> None:
    (group,) = groups([record(trial(**axes))])
    (said,) = (each for each in summary.notes(group) if "find out" in each)
    assert said.endswith(f"find out: velodrome parity lenet --engine torch{options}")


def test_only_what_differs_by_engine_alone_is_compared() -> None:
    records = [
        record(trial(engine=engine, **axes))
        for engine in ("torch", "jax")
        for axes in ({}, {"batch_size": 128}, {"settings": "stock"}, {"epochs": 4}, {"seed": 1})
    ]
    assert [len(group.rows) for group in groups(records)] == [2] * 5


@pytest.mark.parametrize("changed", ["environment", "graph", "data"])
def test_results_of_older_code_are_superseded_not_mixed(changed: str) -> None:
    old = [record(trial(repeat=n, **{changed: "old"}), seconds=(9.0,)) for n in range(5)]
    new = [
        msgspec.structs.replace(
            record(trial(repeat=n, **{changed: "new"}), seconds=(1.0,)),
            started="2026-01-02T00:00:00+00:00",
        )
        for n in range(2)
    ]
    # Whichever come first, the newest record says what counts.
    for records in (old + new, new + old):
        (group,) = groups(records)
        (row,) = group.rows
        assert row.trial in [each.trial for each in new]
        assert list(row.runs.records) == new
        assert row.time == 1.0
        assert "left out: 5 older results of other code" in summary.notes(group)[0]
        assert list(summary.latest(results(records)).records) == new
    assert not any("left out" in note for note in summary.notes(groups(new)[0]))


several = st.lists(
    st.tuples(
        st.sampled_from(["jax", "torch"]),
        st.sampled_from(["new", "old"]),
        st.integers(0, 2),
        st.integers(1, 3),
    ),
    max_size=12,
)


@given(several)
def test_of_each_repeat_of_the_newest_code_the_last_attempt_counts(
    ran: list[tuple[str, str, int, int]],
) -> None:
    records = [
        msgspec.structs.replace(
            record(trial(engine=engine, environment=code, repeat=repeat)),
            started=f"2026-01-0{day}T00:00:00+00:00",
        )
        for engine, code, repeat, day in ran
    ]
    expected = {}
    for engine in ("jax", "torch"):
        own = [(n, one) for n, one in enumerate(records) if one.trial.engine == engine]
        if own:
            _, newest = max(own, key=lambda each: (each[1].started, each[0]))
            last = {(one.trial.environment, one.trial.repeat): n for n, one in own}
            counts = {n for (code, _), n in last.items() if code == newest.trial.environment}
            expected[engine] = newest.trial, sorted(counts), len(last) - len(counts)
    found = summary.repeats(results(records))
    assert {
        trial.engine: (each.trial, each.numbers.tolist(), each.superseded)
        for (trial, _, _), each in found.items()
    } == expected
    assert list(dict.fromkeys(one.trial.engine for one in records)) == [
        trial.engine for trial, _, _ in found
    ]


def test_a_later_attempt_replaces_a_failed_one() -> None:
    failed, done = record(status="timeout"), record(attempt=2)
    (group,) = groups([failed, done])
    assert not group.rows[0].failed
    assert len(group.rows[0].done) == 1


def runs(engine: str, seconds: float, count: int, **axes: object) -> list[Record]:
    """So many processes of an engine, a little apart from each other."""
    return [
        record(trial(engine=engine, repeat=n, **axes), seconds=(seconds * (1 + n / 1000),) * 4)
        for n in range(count)
    ]


def test_a_verdict_holds_its_interval_and_needs_enough_runs() -> None:
    (group,) = groups(runs("jax", 1.0, 8) + runs("torch", 1.5, 8) + runs("mxnet", 1.0, 8))
    by_name = {row.trial.engine: row for row in group.rows}
    torch = by_name["torch"].comparison
    assert torch is not None
    assert torch.verdict == "slower"
    assert torch.low is not None
    assert torch.high is not None
    assert torch.low < 1 / 1.5 < torch.high < 1
    tied = next(row for row in group.rows[1:] if row.trial.engine != "torch").comparison
    assert tied is not None
    assert tied.verdict == "tie"
    assert table.verdict(group.rows[0], group) == "fastest"


def test_two_values_are_never_called_a_difference() -> None:
    (group,) = groups(runs("jax", 1.0, 2) + runs("torch", 9.0, 2))
    assert table.verdict(group.rows[1], group) == f"undecided, {group.needed} runs needed"
    assert table.interval(group.rows[1]) == ""
    assert "not sure: 2 runs an engine, 5 can show a difference" in summary.answer([group])


def test_the_unit_is_the_process_not_the_epoch() -> None:
    # A hundred epochs of one process are still one process.
    records = [
        record(trial(engine=engine), seconds=(seconds,) * 100)
        for engine, seconds in (("jax", 1.0), ("torch", 2.0))
    ]
    (group,) = groups(records)
    comparison = group.rows[1].comparison
    assert comparison is not None
    assert (comparison.n_a, comparison.n_b, comparison.verdict) == (1, 1, "undecided")


def test_validation_is_left_out_of_the_time_and_shown_beside_it() -> None:
    ((row,),) = [group.rows for group in groups([record(seconds=(2.0, 1.0, 1.0, 1.0))])]
    assert row.time == pytest.approx(1.0)
    assert row.time_with_validation == pytest.approx(1.1)


def test_an_unsettled_process_is_said_to_be_one() -> None:
    (group,) = groups([record(seconds=(4.0, 3.0, 2.0, 1.5, 1.1, 0.8))])
    note, _ = summary.notes(group)
    assert "torch: 1 of 1 runs had not settled" in note
    (settled,) = groups([record(seconds=(4.0, 1.0, 1.0, 1.0, 1.0, 1.0))])
    assert not any("settled" in note for note in summary.notes(settled))


def test_the_epoch_at_which_a_slow_starter_has_overtaken() -> None:
    def with_setup(engine: str, setup: float, seconds: float) -> Record:
        clocks = Clocks(
            import_seconds=1.0,
            build_seconds=1.0,
            first_step_seconds=setup - 2.0,
            real=99.0,
            user=1.0,
            sys=1.0,
        )
        one = record(trial(engine=engine), seconds=(seconds,) * 4)
        return msgspec.structs.replace(one, clocks=clocks)

    (group,) = groups([with_setup("jax", 12.0, 1.0), with_setup("torch", 3.0, 2.0)])
    assert [row.break_even for row in group.rows] == [None, 9]  # 12 + 9 * 1 <= 3 + 9 * 2


def test_time_to_accuracy_counts_whole_epochs_and_every_repeat_must_reach_it() -> None:
    def climbing(repeat: int, accuracies: tuple[float, ...]) -> Record:
        whole = record(trial(repeat=repeat))
        return msgspec.structs.replace(
            whole, epochs=tuple(epoch(1.0, accuracy=accuracy) for accuracy in accuracies)
        )

    both = [climbing(0, (0.5, 0.9, 0.95)), climbing(1, (0.5, 0.8, 0.95))]
    (group,) = groups(both, target=0.9)
    assert group.rows[0].to_target == pytest.approx(2.5)
    (group,) = groups([*both, climbing(2, (0.5, 0.6, 0.7))], target=0.9)
    assert (group.rows[0].to_target, group.rows[0].reached) == (None, 2)


def test_two_machines_or_two_versions_are_not_one_row() -> None:
    here = record()
    there = msgspec.structs.replace(
        here, machine=msgspec.structs.replace(here.machine, cpu="Another")
    )
    assert [len(group.rows) for group in groups([here, there])] == [1, 1]
    pinned = msgspec.structs.replace(
        here, environment={**here.environment, "pins": "keras==3.14.1"}
    )
    (group,) = groups([here, pinned])
    assert {row.label for row in group.rows} == {"torch", "torch (keras==3.14.1)"}


def test_only_columns_with_something_in_them_are_shown() -> None:
    (group,) = groups([record()])
    text = table.markdown(group)
    assert "own MiB" in text
    assert "to target" not in text
    (group,) = groups([record()], target=0.5)
    assert "to target" in table.markdown(group)


def test_memory_is_less_what_the_framework_holds_and_energy_is_of_settled_epochs() -> None:
    one = record(seconds=(9.0, 1.0, 1.0, 1.0, 1.0))
    epochs = tuple(
        msgspec.structs.replace(each, joules={"package-0": 10 * each.train_seconds, "gpu-0": 1.0})
        for each in one.epochs
    )
    one = msgspec.structs.replace(one, epochs=epochs)
    (group,) = groups([one])
    assert group.rows[0].own_memory == 2**21 - 2**20
    assert group.rows[0].joules == pytest.approx(11.0)


def test_a_price_gives_the_cost_of_an_epoch_and_of_the_target() -> None:
    one = record(seconds=(3.0, 3.0, 3.0))
    one = msgspec.structs.replace(one, site=Site(price_per_hour=12.0))
    text = table.markdown(groups([one], target=0.5)[0])
    assert "cost/epoch" in text
    assert "| 0.01 | 0.01 |" in text  # 3 s of 12 an hour, and the first epoch reaches it
    assert "cost/epoch" not in table.markdown(groups([record()])[0])


def test_each_gpu_stands_by_itself() -> None:
    devices = (
        DeviceMemory(index=0, idle=5, process=512 * 2**20, framework=400 * 2**20),
        DeviceMemory(index=1, idle=5, process=256 * 2**20, framework=None),
    )
    one = msgspec.structs.replace(record(), memory=Memory(imported=0, peak=1, devices=devices))
    text = table.markdown(groups([one])[0])
    assert "gpu 0: 512, gpu 1: 256" in text
    assert "gpu 0: 400 |" in text
