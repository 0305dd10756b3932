import csv
import io
import json
from typing import Any

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from velodrome.cli import published
from velodrome.errors import UserError
from velodrome.published import PublishedRow, export, select

APP = typer.Typer()
APP.command()(published.command)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(APP, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_json_gives_the_rows_back(rows: list[PublishedRow]) -> None:
    text = export.to_json(rows)
    assert msgspec.json.decode(text, type=list[PublishedRow]) == rows
    assert all(tuple(each) == PublishedRow.__struct_fields__ for each in json.loads(text))


def test_csv_carries_every_value(rows: list[PublishedRow]) -> None:
    read = list(csv.DictReader(io.StringIO(export.to_csv(rows, PublishedRow))))
    assert len(read) == len(rows)
    for row, line in zip(rows, read, strict=True):
        assert line.keys() == set(PublishedRow.__struct_fields__)
        for field, value in msgspec.structs.asdict(row).items():
            if value is None:
                assert line[field] == ""
            elif isinstance(value, tuple):
                assert line[field] == ";".join(map(str, value))
            elif isinstance(value, float):
                assert float(line[field]) == value
            elif not isinstance(value, dict):
                assert line[field] == str(value)


def test_csv_corrections(by_id: dict[str, PublishedRow]) -> None:
    text = export.to_csv([by_id["002-010"], by_id["004-006"], by_id["000-001"]], PublishedRow)
    corrections = [line["corrected_value"] for line in csv.DictReader(io.StringIO(text))]
    assert corrections == ["epoch_time_s=30.4", "mem_per_device=190.0+190.0", ""]


def test_verb_filters_and_exports(rows: list[PublishedRow]) -> None:
    told = json.loads(
        run("--format", "json", "--seed", "000,003", "--workload", "lenet-official", "--gpus", "0")
    )
    expected = select(rows, seed=["000", "003"], workload=["lenet-official"], gpus=[0])
    assert [each["row_id"] for each in told] == [row.row_id for row in expected]
    assert expected
    assert run("--format", "csv", "--status", "crashed").splitlines()[1].startswith("004-001,004,")
    assert json.loads(run("--format", "json", "--seed", "004", "--status", "placeholder")) == []


def test_table_shows_rows_flags_and_corrections_uncut() -> None:
    text = run("--workload", "resnet50", "--gpus", "16")
    (line,) = (line for line in text.splitlines() if line.startswith("002-010"))
    assert "304.02" in line
    assert "average-misprinted" in line
    assert "epoch_time_s=30.4" in line
    assert "average-misprinted: " in text
    assert text.splitlines()[-1] == "3 of 310 rows"
    assert "…" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": "005"}, "unknown seed '005'"),
        ({"workload": "lenett"}, "did you mean 'lenet'"),
        ({"gpus": "one"}, "unknown number of gpus 'one'"),
        ({"gpus": "1,,4"}, "unknown number of gpus ''"),
        ({"status": "okay"}, "crashed, duplicate, error, ok, partial, placeholder"),
    ],
)
def test_unknown_values_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        published.command(**arguments)


def test_claims_are_recomputed_with_a_verdict() -> None:
    text = run("--claims")
    (line,) = (line for line in text.splitlines() if line.startswith("mxnet-over-tensorflow"))
    assert "5-10%" in line
    assert "1.98 to 6.14" in line
    assert "0 of 21" in line
    assert line.endswith("not borne out")
    assert "k80-over-xeon" not in run("--claims", "--seed", "000")


def test_claims_are_data_too() -> None:
    rows = list(csv.DictReader(io.StringIO(run("--claims", "--format", "csv"))))
    same = json.loads(run("--claims", "--format", "json"))
    assert [row["claim_id"] for row in rows] == [each["claim_id"] for each in same]
    (four,) = (each for each in same if each["claim_id"] == "keras-mxnet-4-gpus")
    assert four["lowest"] == pytest.approx(63616 / 19564, rel=1e-3)
    assert four["rests_on"] == ["000-024/000-010"]


def test_claims_are_not_filtered_by_what_several_rows_have() -> None:
    with pytest.raises(UserError, match="seed"):
        run("--claims", "--workload", "lenet")
