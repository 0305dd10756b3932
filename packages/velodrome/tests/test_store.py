import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import record, trial
from velodrome import store
from velodrome.errors import UserError
from velodrome.record import decode, encode
from velodrome.store import Store


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    records = [record(trial(repeat=number)) for number in range(3)]
    records.append(record(trial(repeat=4), status="timeout"))
    with Store(tmp_path) as results:
        for each in records:
            results.append(each)
    assert store.read(tmp_path) == records


@settings(max_examples=60)
@given(st.data())
def test_a_file_cut_anywhere_keeps_every_whole_record(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("run")
    records = [record(trial(repeat=number)) for number in range(3)]
    lines = [encode(each) + b"\n" for each in records]
    content = b"".join(lines)
    cut = data.draw(st.integers(0, len(content)))
    (folder / store.RESULTS).write_bytes(content[:cut])
    whole = sum(cut >= len(b"".join(lines[: number + 1])) for number in range(3))
    assert store.read(folder) == records[:whole]
    with Store(folder) as results:
        assert results.torn == (cut != len(b"".join(lines[:whole])))
        for each in records:
            if results.missing(each.id, retry_failed=False):
                results.append(each)
    assert store.read(folder) == records


def test_damage_in_the_middle_is_not_passed_over(tmp_path: Path) -> None:
    good = encode(record()) + b"\n"
    (tmp_path / store.RESULTS).write_bytes(good + b'{"schema": 1}\n' + good)
    with pytest.raises(UserError, match="line 2"):
        store.read(tmp_path)


def test_the_first_records_are_read_that_called_dtype_precision(tmp_path: Path) -> None:
    one = record()
    line = encode(one).replace(b'"dtype":"float32","settings"', b'"precision":"float32","settings"')
    assert b'"precision"' in line
    (tmp_path / store.RESULTS).write_bytes(line + b"\n" + encode(one) + b"\n")
    assert store.read(tmp_path) == [one, one]


def test_a_record_of_a_later_version_says_so(tmp_path: Path) -> None:
    line = encode(record()).replace(b'"schema":1', b'"schema":99')
    (tmp_path / store.RESULTS).write_bytes(line.replace(b'"attempt"', b'"attempts"') + b"\n")
    with pytest.raises(UserError, match="later version"):
        store.read(tmp_path)


def test_a_run_that_has_no_result_yet_is_empty(tmp_path: Path) -> None:
    (tmp_path / store.RESULTS).touch()
    assert store.read(tmp_path) == []


def test_failed_trials_run_again_only_when_asked(tmp_path: Path) -> None:
    good, bad = trial(repeat=0), trial(repeat=1)
    with Store(tmp_path) as results:
        results.append(record(good))
        results.append(record(bad, status="crash"))
        assert not results.missing(good.id, retry_failed=True)
        assert not results.missing(bad.id, retry_failed=False)
        assert results.missing(bad.id, retry_failed=True)
        assert results.missing(trial(repeat=2).id, retry_failed=False)
        assert results.attempts(bad.id) == 1


HOLD = """
import sys, time
from pathlib import Path
from velodrome.store import Store
with Store(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_on_a_folder_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match="another velodrome"):
        Store(tmp_path)
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with Store(tmp_path) as results:
        assert results.records == []


def test_a_record_survives_json() -> None:
    assert decode(encode(record())) == record()
