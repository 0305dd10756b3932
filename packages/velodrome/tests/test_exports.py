"""Exports, read back by what they are for."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from builders import record, trial
from test_cli import velodrome
from velodrome import record as records
from velodrome.errors import UserError
from velodrome.exports import curves, mlflow, parquet, tensorboard, text
from velodrome.extras import extra
from velodrome.parity.verdict import Verdict
from velodrome.record import Record
from velodrome.report import results_csv
from velodrome.report.lines import results

RUNS = [
    record(trial(engine="torch"), seconds=(3.0, 2.0, 2.0)),
    record(trial(engine="torch", repeat=1), seconds=(3.0, 2.5, 2.5)),
    record(trial(engine="jax", devices="gpu:2", samples=500)),
    record(trial(engine="mxnet"), status="crash"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "race"
    path.mkdir()
    (path / "results.jsonl").write_bytes(b"".join(records.encode(r) + b"\n" for r in RUNS))
    return path


def lines(content: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content)))


def test_the_nine_columns_of_2017_have_no_header_and_no_failures() -> None:
    found = lines(text.to_csv_2017(results(RUNS)))
    assert [len(line) for line in found] == [9, 9, 9]
    infrastructure, model, script, batch, gpus, accuracy, epochs, time, samples_sec = found[0]
    assert (model, script, batch, gpus, epochs) == ("lenet", "torch", "64", "0", "3")
    assert infrastructure == "A processor"
    assert (float(accuracy), float(time), float(samples_sec)) == (0.9, 2.0, 500.0)
    assert found[2][4] == "2"


def test_the_older_form_gives_the_whole_time() -> None:
    found = lines(text.to_csv_2017_short(results(RUNS)))
    # builders: validation takes a tenth of the training's time, its loss is 0.6.
    assert [float(cell) for cell in found[0]] == [64, 3, 0.6, 0.9, pytest.approx(7.7)]


def test_json_lines_are_the_records() -> None:
    again = [records.decode(line.encode()) for line in text.to_jsonl(results(RUNS)).splitlines()]
    assert again == RUNS


def test_csv_has_every_trial_under_a_header() -> None:
    found = list(csv.DictReader(io.StringIO(text.to_csv(results(RUNS)))))
    assert [each["status"] for each in found] == ["ok", "ok", "ok", "crash"]
    assert found[3]["reason"] == "it broke"


def test_the_reports_csv_is_what_csv_would_write() -> None:
    broken = RUNS[3]
    assert broken.failure is not None
    failure = msgspec.structs.replace(broken.failure, reason='it "broke", badly\nand late')
    runs = results([*RUNS, msgspec.structs.replace(broken, failure=failure)])
    found = lines(results_csv.text(runs))
    again = io.StringIO(newline="")
    csv.writer(again).writerows(found)
    assert again.getvalue() == results_csv.text(runs)
    first, last = (dict(zip(found[0], found[at], strict=True)) for at in (1, -1))
    assert last["reason"] == failure.reason
    assert (last["time"], last["peak_memory"], last["settled"]) == ("", "", "")
    assert (first["id"], first["started"]) == (RUNS[0].id, RUNS[0].started)
    assert (first["peak_memory"], first["own_memory"]) == ("2097152", "1048576")
    assert (first["time"], first["real"], first["settled"]) == ("2.0", "9.0", "True")


def test_markdown_is_the_ranking() -> None:
    content = text.to_markdown(results(RUNS))
    assert content.startswith("- lenet on digits")
    assert "| torch |" in content


def test_markdown_ranks_nothing_that_deviates() -> None:
    own = trial(engine="torch")
    verdict = Verdict(status="deviates", made="2026-01-01T00:00:00+00:00", trial=own, steps=9)
    content = text.written("markdown", results(RUNS[:2]), [verdict])
    assert "no engine came to its end at parity" in content


def test_parquet_keeps_every_cell_and_its_type(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="extra parquet is not installed")
    path = tmp_path / "it's.parquet"
    parquet.write(results(RUNS), path)
    found = duckdb.connect().read_parquet(str(path))
    names = found.columns
    read = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    written = list(csv.DictReader(io.StringIO(text.to_csv(results(RUNS)))))
    assert [each["id"] for each in read] == [each["id"] for each in written]
    for row, cells in zip(read, written, strict=True):
        for name, cell in cells.items():
            assert cell == ("" if row[name] is None else str(row[name])), name
    empty = tmp_path / "failures.parquet"
    parquet.write(results(RUNS[3:]), empty)
    assert duckdb.connect().read_parquet(str(empty)).types == found.types


def test_mlflow_has_a_run_a_trial_and_a_metric_an_epoch(tmp_path: Path) -> None:
    library = pytest.importorskip("mlflow", reason="extra mlflow is not installed")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert mlflow.log(results(RUNS), uri, "race") == 4
    assert mlflow.log(results(RUNS), uri, "race") == 0
    client = library.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("race").experiment_id
    runs = {run.info.run_name: run for run in client.search_runs([experiment])}
    assert set(runs) == {curves.title(each) for each in RUNS}
    run = runs[curves.title(RUNS[0])]
    assert run.data.params["engine"] == "torch"
    assert run.data.params["recipe.learning_rate"] == "0.05"
    history = client.get_metric_history(run.info.run_id, "train_seconds")
    assert [(each.step, each.value) for each in history] == [(1, 3.0), (2, 2.0), (3, 2.0)]
    assert run.data.metrics["trial.samples_sec"] == 500.0
    assert runs[curves.title(RUNS[3])].info.status == "FAILED"
    assert runs[curves.title(RUNS[3])].data.tags["reason"] == "it broke"


def test_a_store_that_mlflow_refuses_is_one_clear_line(folder: Path) -> None:
    pytest.importorskip("mlflow", reason="extra mlflow is not installed")
    answer = velodrome("export", str(folder), "--mlflow", "nonsense://here")
    assert answer.returncode == 2
    assert "MLflow at nonsense://here" in answer.stderr


def test_tensorboard_has_a_curve_an_epoch(tmp_path: Path) -> None:
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="extra tensorboard is not installed",
    )
    logs = tmp_path / "logs"
    assert tensorboard.log(results(RUNS), logs) == 3
    assert tensorboard.log(results(RUNS), logs) == 0
    events = reader.EventAccumulator(str(logs / curves.title(RUNS[0])))
    events.Reload()
    curve = [(each.step, each.value) for each in events.Scalars("train_seconds")]
    assert curve == [(1, 3.0), (2, 2.0), (3, 2.0)]
    assert "validation_accuracy" in events.Tags()["scalars"]


def test_points_are_in_the_order_of_time() -> None:
    times = [point.time for point in curves.points(RUNS[0])]
    assert times == sorted(times)
    assert times[0] > curves.began(RUNS[0])


def test_titles_tell_trials_apart() -> None:
    def titled(**changes: Any) -> str:
        one: Record = record(trial(**changes))
        return curves.title(one)

    titles = {titled(), titled(repeat=1), titled(batch_size=128), titled(settings="stock")}
    assert len(titles) == 4
    assert curves.title(RUNS[0]) != curves.title(msgspec.structs.replace(RUNS[0], attempt=2))


def test_a_missing_library_is_named_with_its_extra() -> None:
    with pytest.raises(UserError, match=r"velodrome\[parquet\]"):
        extra("no_such_library", "parquet")


def test_a_file_or_standard_output(folder: Path, tmp_path: Path) -> None:
    printed = velodrome("export", str(folder), "--format", "jsonl")
    assert printed.returncode == 0, printed.stderr
    assert json.loads(printed.stdout.splitlines()[0])["id"] == RUNS[0].id
    out = tmp_path / "out.jsonl"
    assert velodrome("export", str(folder), "--format", "jsonl", "--out", str(out)).returncode == 0
    assert out.read_text() == printed.stdout


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "--format"),
        (["--format", "parquet"], "--out"),
        (["--mlflow", "sqlite:///x", "--out", "y"], "--format"),
    ],
)
def test_wrong_use_is_one_clear_line(folder: Path, arguments: list[str], word: str) -> None:
    answer = velodrome("export", str(folder), *arguments)
    assert answer.returncode == 2
    assert word in answer.stderr
