"""Run folders as a table: what is in it is what the records say, however it was read."""

import math
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import MACHINE, record, trial
from velodrome import report, store
from velodrome.errors import UserError
from velodrome.record import Placement, Record, Site, encode
from velodrome.report import reading
from velodrome.report.lines import results
from velodrome.report.reading import Reading, read
from velodrome.report.results import Results, joined


def folder(path: Path, found: list[Record]) -> Path:
    path.mkdir(exist_ok=True)
    (path / store.RESULTS).write_bytes(b"".join(encode(each) + b"\n" for each in found))
    return path


def same(a: Results, b: Results) -> None:
    """That two tables have the same records and figures."""
    assert list(a.records) == list(b.records)
    assert [a.commons[n] for n in a.common] == [b.commons[n] for n in b.common]
    own = {"commons", "contents", "common", "content", "begin", "end"}
    for name in set(Results.__struct_fields__) - own:
        for one, other in zip(getattr(a, name), getattr(b, name), strict=True):
            assert one == other or (one != one and other != other), name


drawn = st.builds(
    lambda of, seconds, status: record(trial(**of), seconds=tuple(seconds), status=status),
    st.fixed_dictionaries(
        {
            "engine": st.sampled_from(["jax", "torch"]),
            "repeat": st.integers(0, 3),
            "environment": st.sampled_from(["e", "f"]),
        }
    ),
    st.lists(st.floats(0.01, 100), min_size=1, max_size=5),
    st.sampled_from(["ok", "ok", "crash"]),
)


@settings(max_examples=60)
@given(st.lists(drawn, max_size=8), st.integers(0, 8))
def test_a_table_in_two_parts_is_that_of_the_whole(found: list[Record], cut: int) -> None:
    both = joined([results(found[:cut]), results(found[cut:])])
    same(both, results(found))
    assert list(both.records) == found
    for number, one in enumerate(found):
        common = both.commons[both.common[number]]
        assert msgspec.structs.replace(common.trial, repeat=int(both.repeat[number])) == one.trial
        assert math.isnan(both.time[number]) == (one.status != "ok")
        assert (both.failure[number], both.status[number]) == (one.failure, one.status)


def test_what_differs_but_in_the_repeat_has_nothing_in_common() -> None:
    one = record()
    others = [
        record(trial(repeat=1)),
        msgspec.structs.replace(one, note="smaller than the original"),
        msgspec.structs.replace(one, site=Site(price_per_hour=2.0)),
        msgspec.structs.replace(one, machine=msgspec.structs.replace(MACHINE, cores=64)),
        msgspec.structs.replace(one, placement=Placement(cpus=(1,), threads=3)),
    ]
    table = results([one, *others])
    assert table.common.tolist() == [0, 0, 1, 2, 3, 4]
    assert [each.cpus for each in table.used()] == [(), (), (), (), (1,)]


def test_helpers_read_what_this_process_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_PIECE", 3000)
    found = [record(trial(repeat=n), seconds=(3.0, 2.0 + n)) for n in range(40)]
    path = folder(tmp_path / "run", found)
    helped = read([path], 0.8)
    assert list(helped.records) == found
    same(helped, results(found, 0.8))
    assert helped.to_target.tolist() == [3.0] * 40


# Python 3.11's executor stumbles, in a thread of its own, over what was cancelled before.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_a_killed_helper_leaves_is_read_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_PIECE", 3000)
    found = [record(trial(repeat=number)) for number in range(200)]
    others = psutil.Process().children()
    begun = Reading([folder(tmp_path, found)])
    for helper in set(psutil.Process().children()).difference(others):
        helper.kill()
    same(begun.results(), results(found))


def test_each_folder_has_a_table_of_its_own_the_same_twice_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_PIECE", 3000)
    runs = {
        name: [record(trial(engine=name, repeat=n)) for n in range(20)] for name in ("jax", "torch")
    }
    paths = [folder(tmp_path / name, found) for name, found in runs.items()]
    tables = Reading([*paths, paths[0]]).by_folder()
    assert [list(table.records) for table in tables] == [runs["jax"], runs["torch"], runs["jax"]]


def test_records_of_several_runs_are_in_the_order_of_their_start(tmp_path: Path) -> None:
    first, second = (
        msgspec.structs.replace(record(trial(repeat=day)), started=f"2026-01-0{day}T00:00:00+00:00")
        for day in (1, 2)
    )
    table = read([folder(tmp_path / "b", [second]), folder(tmp_path / "a", [first])])
    assert list(table.records) == [first, second]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            b'"train_seconds":2.0',
            b'"train_seconds":"long"',
            "line 2: not a record: .*train_seconds",
        ),
        (b'"cores":2', b'"cores":"two"', "line 2: not a record: .*cores"),
        (b'{"schema"', b'\n{"schema"', "line 2: not a record"),
        (b'"status":"ok"', b'"status":"good"', "line 2: not a record: .*good"),
    ],
)
def test_a_line_that_is_no_record_is_named(
    tmp_path: Path, old: bytes, new: bytes, said: str
) -> None:
    line = encode(record()) + b"\n"
    path = folder(tmp_path, [])
    (path / store.RESULTS).write_bytes(line + line.replace(old, new) + line)
    with pytest.raises(UserError, match=said):
        read([path])


@pytest.mark.parametrize(
    ("seconds", "said"),
    [((0.0, 1.0), "results.jsonl: .*time must be"), ((), "results.jsonl: .*without an epoch")],
)
def test_epochs_that_cannot_be_are_refused(
    tmp_path: Path, seconds: tuple[float, ...], said: str
) -> None:
    path = folder(tmp_path, [record(), record(seconds=seconds)])
    with pytest.raises(UserError, match=said):
        read([path])


def test_the_first_records_are_read_that_called_dtype_precision(tmp_path: Path) -> None:
    one = record()
    line = encode(one).replace(b'"dtype":"float32","settings"', b'"precision":"float32","settings"')
    assert b'"precision"' in line
    path = folder(tmp_path, [])
    (path / store.RESULTS).write_bytes(line + b"\n" + encode(one) + b"\n")
    assert list(read([path]).records) == [one, one]


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    path = folder(tmp_path, [record()])
    with (path / store.RESULTS).open("ab") as file:
        file.write(encode(record())[:-5])
    assert list(read([path]).records) == [record()]
    folder(path, [])
    assert not read([path])


def test_what_some_have_in_common_is_of_these_alone_the_latest_last() -> None:
    a, b = record(), record(trial(engine="jax"))
    table = results([a, b, a])
    assert [each.trial.engine for each in table.used()] == ["jax", "torch"]
    assert [each.trial.engine for each in table.take(np.array([1])).used()] == ["jax"]


def test_a_report_where_none_can_be_is_refused_in_a_line(tmp_path: Path) -> None:
    run, file = folder(tmp_path / "run", [record()]), tmp_path / "file"
    file.touch()
    with pytest.raises(UserError, match=r"cannot write to .*file: File exists"):
        report.show([run], out=file)
