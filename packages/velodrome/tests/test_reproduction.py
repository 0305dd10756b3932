"""Ours beside the published figures: the right rows, in the same meaning."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import record, trial
from test_cli import velodrome
from velodrome import environment, study, workloads
from velodrome.devices import Devices
from velodrome.environment import Environment
from velodrome.published import load, select
from velodrome.record import Record
from velodrome.report import reproduction, reproduction_table, summary
from velodrome.report.lines import results
from velodrome.report.reproduction import Line, side_by_side
from velodrome.store import read
from velodrome.study import Study, configurations

ROWS = {row.row_id: row for row in load()}
BY_HAND = "003-031"  # MXNet's LeNet, batch 512, on the CPU: validation excluded
RESNET = "002-001"  # the mean over 10 epochs, validation included and counted, graph too
NEON = "004-007"  # whole process


def ran(seconds: Sequence[float] = (2.0, 1.0, 1.0), samples: int = 1000, **changes: Any) -> Record:
    one = record(trial(epochs=len(seconds), **changes), seconds=tuple(seconds))
    epochs = tuple(
        msgspec.structs.replace(each, samples=samples, validation_samples=samples // 10)
        for each in one.epochs
    )
    return msgspec.structs.replace(one, epochs=epochs)


def lines(wanted: Study, *records: Record) -> list[Line]:
    measured = [row for group in summary.groups(results(records)) for row in group.rows]
    return side_by_side(wanted, measured, select(load(), **(wanted.beside or {})))


def by_row(found: list[Line]) -> dict[str, Line]:
    assert len({line.row.row_id for line in found}) == len(found)
    return {line.row.row_id: line for line in found}


def reruns() -> list[str]:
    return [name for name in study.bundled() if study.load(name).beside is not None]


@pytest.mark.parametrize("name", reruns())
def test_a_study_holds_together_and_its_rows_find_a_configuration(name: str) -> None:
    wanted = study.load(name)
    planned = list(configurations(wanted))
    records = [
        record(
            trial(
                engine=each.engine,
                workload=each.workload,
                devices=each.devices,
                batch_size=each.batch_size,
                epochs=each.epochs,
                recipe=each.recipe,
            )
        )
        for each in planned
    ]
    found = lines(wanted, *records)
    assert all(line.ours for line in found), [line.reason for line in found if not line.ours]
    exact = [line for line in found if line.trial and line.row.epochs == line.trial.epochs]
    assert len(exact) == len(found)


def test_the_rates_of_2017_fall_from_four_devices_on() -> None:
    planned = list(configurations(study.load("keras-on-mxnet-lenet")))
    rates = {
        (
            each.workload,
            each.devices,
            each.recipe.learning_rate_on(Devices.parse(each.devices).total),
        )
        for each in planned
    }
    for workload in ("lenet", "lenet-tanh"):
        assert {(d, r) for w, d, r in rates if w == workload} == {
            ("cpu", 0.05),
            ("gpu", 0.05),
            ("gpu:4", 0.01),
            ("gpu:8", 0.01),
        }
    assert {r for w, _, r in rates if w == "lenet-official"} == {0.05}


def test_one_schedule_of_2017_is_another_configuration() -> None:
    planned = configurations(study.load("mxnet-train-mnist"))
    late = [each for each in planned if each.recipe.decay_epochs == (13,)]
    assert [(each.devices, each.batch_size, each.recipe.learning_rate) for each in late] == [
        ("gpu:4", 2048, 0.07)
    ]


def test_neon_and_mxnet_have_each_their_own_rate_of_2017() -> None:
    planned = configurations(study.load("neon-vs-mxnet-cifar10-conv"))
    rates = {(each.engine, each.recipe.learning_rate) for each in planned}
    assert rates == {("mxnet", 0.1), ("neon", 0.01)}
    assert rates == {(row.engine, row.lr) for row in ROWS.values() if row.seed == "004"}


times = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=15)


@given(times, st.integers(100, 60_000))
def test_the_time_of_an_epoch_takes_the_meaning_of_the_row(
    seconds: list[float], samples: int
) -> None:
    one = ran(seconds, samples)
    share = samples / 60_000
    official = ROWS[BY_HAND]
    assert reproduction.epoch_seconds(one, official) == pytest.approx(median(seconds) / share)
    last = ROWS["000-047"]
    assert reproduction.epoch_seconds(one, last) == pytest.approx(seconds[-1] / share)
    resnet = ROWS[RESNET]
    validation = 0.1 * 10_000 / (samples // 10)
    whole = sum(seconds) * (50_000 / samples + validation) + 0.5
    assert reproduction.epoch_seconds(one, resnet) == pytest.approx(whole / len(seconds))


@given(times)
def test_samples_are_counted_as_the_row_counts_them(seconds: list[float]) -> None:
    one = ran(seconds, 50_000)
    resnet = reproduction.ours(one, ROWS[RESNET])
    assert resnet.samples_sec is not None
    # 60,000: the validation samples too.
    assert resnet.samples_sec * (resnet.epoch_seconds or 0) == pytest.approx(60_000)


@given(times)
def test_a_whole_process_is_as_long_as_their_epochs_would_take(seconds: list[float]) -> None:
    one = ran(seconds, 50_000)
    spent = sum(seconds) * 1.1
    assert one.clocks
    one = msgspec.structs.replace(one, clocks=msgspec.structs.replace(one.clocks, real=spent + 3.0))
    figures = reproduction.ours(one, ROWS[NEON])
    # builders: validation takes a tenth of training, and has half of their samples.
    epoch = mean(seconds) * (1 + 0.1 * 10_000 / 5_000)
    assert figures.run_seconds == pytest.approx(3.0 + 10 * epoch)
    assert figures.samples_sec is None


def test_the_ratio_is_our_speed_over_theirs() -> None:
    wanted = study.load("mxnet-train-mnist", {"devices": ["cpu"]})
    official = workloads.registry.get("lenet-official")
    ours = ran(
        (20.0, 10.0, 10.0),
        60_000,
        engine="mxnet",
        workload="lenet-official",
        batch_size=512,
        recipe=official.recipe,
    )
    line = by_row(lines(wanted, ours))[BY_HAND]
    assert line.theirs.samples_sec == 1800
    assert line.ours is not None
    assert line.ours.samples_sec == pytest.approx(6000)
    assert line.ratio == pytest.approx(6000 / 1800)


def test_a_row_without_a_result_says_why() -> None:
    wanted = study.load("mxnet-train-mnist", {"devices": ["cpu"]})
    found = by_row(lines(wanted))
    assert found["003-001"].reason == "gpu not asked for"
    failed = record(
        trial(
            engine="mxnet",
            workload="lenet-official",
            batch_size=512,
            recipe=workloads.registry.get("lenet-official").recipe,
        ),
        status="out-of-memory",
    )
    assert by_row(lines(wanted, failed))[BY_HAND].reason == "out-of-memory: it broke"


def test_what_the_table_has_nothing_of_stands_in() -> None:
    wanted = study.load("mxnet-train-mnist")
    mlp = workloads.registry.get("mlp").recipe
    given = {"workload": "mlp", "batch_size": 128, "recipe": mlp}
    found = lines(
        wanted,
        ran(engine="mxnet", devices="cpu", **given),
        ran(engine="mxnet", devices="cpu:4", **given),
        ran(engine="torch", devices="gpu", **given),
    )
    beside = {
        (line.row.row_id, line.trial.engine, line.trial.devices) for line in found if line.trial
    }
    # The table has the perceptron on GPUs alone, and on MXNet alone.
    assert beside == {
        ("003-012", "mxnet", "cpu"),
        ("003-015", "mxnet", "cpu:4"),
        ("003-012", "torch", "gpu"),
    }
    (four,) = [line for line in found if line.trial and line.trial.devices == "cpu:4"]
    assert four.theirs.speedup == pytest.approx(46_000 / 80_000)
    assert four.ours is not None
    assert four.ours.speedup == pytest.approx(1.0)
    text = reproduction_table.markdown(found)
    assert "torch (for mxnet)" in text
    assert "stand in" in text


def test_a_cpu_does_not_stand_in_where_their_cpu_is_in_the_table() -> None:
    wanted = study.load("keras-on-mxnet-lenet")
    recipe = workloads.registry.get("lenet").recipe
    found = lines(wanted, ran(engine="keras-mxnet", batch_size=64, recipe=recipe))
    assert [line.row.row_id for line in found if line.ours] == ["000-001"]


def test_corrected_values_are_compared_not_misprints() -> None:
    row = ROWS["002-010"]
    assert row.epoch_time_s == 304.02
    (line,) = side_by_side(study.load("keras-on-mxnet-lenet"), [], [row])
    assert line.theirs.epoch_seconds == pytest.approx(30.40)


@given(st.lists(st.sampled_from(sorted(ROWS)), unique=True))
def test_rows_are_named_as_spans_that_hold_each(names: list[str]) -> None:
    given = [Line(row=ROWS[name], theirs=reproduction.Figures(), reason="x") for name in names]
    rich_text = reproduction_table.markdown(given)
    assert all(f"| {name} |" in rich_text for name in names)


def test_batches_larger_than_the_samples_are_left_out() -> None:
    wanted = study.rerun("mxnet-train-mnist", {"samples": 600})
    assert wanted.batch_sizes == (64, 128, 256, 512)


def test_a_key_of_the_mapping_is_a_field_of_a_row() -> None:
    from velodrome.errors import UserError

    with pytest.raises(UserError, match="workload"):
        study.parse({"name": "x", "workloads": "mlp", "engines": "mxnet", "beside": {"wrkload": 1}})


def test_a_study_of_no_table_is_refused() -> None:
    answer = velodrome("reproduce", "quickstart")
    assert answer.returncode == 2
    assert "mxnet-train-mnist" in answer.stderr


def test_a_table_is_rerun(tmp_path: Path, mxnet_environment: Environment) -> None:
    """The perceptron of 2017, on the digits."""
    path = tmp_path / "small.yaml"
    path.write_text(
        'workloads: mlp\nengines: mxnet\nbatch_sizes: 128\nbeside: {seed: "003", workload: mlp}\n'
    )
    folder = tmp_path / "run"
    again = ["reproduce", str(path), "--dataset", "digits", "--epochs", "2"]
    again += ["--samples", "500", "--out", str(folder)]
    answer = velodrome(*again)
    assert answer.returncode == 0, answer.stderr
    assert "003-012" in answer.stdout
    assert "gpu:8 not asked for" in answer.stdout
    text = (folder / "reproduction.md").read_text()
    (row,) = (line for line in text.splitlines() if line.startswith("| 003-012"))
    assert "1 x NVIDIA Tesla K80" in row
    assert "80,000" in row
    assert "Ours trained on digits, theirs on mnist." in text
    assert len((folder / "results.jsonl").read_text().splitlines()) == 1
    assert velodrome(*again).returncode == 0
    assert len((folder / "results.jsonl").read_text().splitlines()) == 1


def test_where_nobody_has_neon_its_rows_say_so(
    tmp_path: Path, mxnet_environment: Environment
) -> None:
    folder = tmp_path / "run"
    limits = ["--dataset", "synthetic", "--samples", "128", "--epochs", "1", "--devices", "cpu"]
    answer = velodrome("reproduce", "neon-vs-mxnet-cifar10-conv", *limits, "--out", str(folder))
    assert answer.returncode == 0, answer.stderr
    records = {each.trial.engine: each for each in read(folder)}
    assert records["mxnet"].status == "ok"
    text = (folder / "reproduction.md").read_text()
    if "neon" not in environment.frameworks("cpu"):
        assert records["neon"].status == "import"
        assert "velodrome env adopt neon" in text
    assert "004-003" in text
    assert "004-007" in text


def test_where_no_figures_were_published_ours_stand_alone(
    tmp_path: Path, mxnet_environment: Environment
) -> None:
    path = tmp_path / "announced.yaml"
    path.write_text(
        "workloads: mlp\nengines: mxnet\ndataset: digits\nepochs: 1\nbeside: {workload: imdb-rnn}\n"
    )
    answer = velodrome("reproduce", str(path), "--out", str(tmp_path / "run"))
    assert answer.returncode == 0, answer.stderr
    assert "no figures were published" in answer.stdout
    assert "samples/s" in answer.stdout
    assert not (tmp_path / "run" / "reproduction.md").exists()


def test_every_published_row_is_an_engine_and_devices_that_users_type() -> None:
    for row in ROWS.values():
        assert row.engine in {"keras-mxnet", "keras-tensorflow", "mxnet", "neon"}
        assert reproduction.devices(row).total == max(row.gpus, 1)
