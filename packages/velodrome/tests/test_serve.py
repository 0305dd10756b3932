import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import record, trial
from velodrome import record as records
from velodrome.errors import UserError
from velodrome.record import Record
from velodrome.report.server import HOST, server
from velodrome.store import RESULTS


def append(folder: Path, one: Record) -> None:
    folder.mkdir(exist_ok=True)
    with (folder / RESULTS).open("ab") as file:
        file.write(records.encode(one) + b"\n")


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    append(tmp_path / "one", record(trial(engine="jax")))
    append(tmp_path / "two", record(trial(engine="torch")))
    with server(tmp_path, 0) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield listening.server_port
        listening.shutdown()


def ask(port: int, path: str, method: str = "GET", host: str = "localhost") -> tuple[int, str]:
    connection = http.client.HTTPConnection(HOST, port)
    connection.request(method, path, headers={"Host": f"{host}:{port}"})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_every_run_is_named_with_its_answer(port: int) -> None:
    status, text = ask(port, "/")
    assert status == 200
    assert "/one/" in text
    assert "/two/" in text
    assert "jax trained" in text


def test_a_page_follows_its_results(port: int, tmp_path: Path) -> None:
    _, before = ask(port, "/one/version")
    assert f'data-version="{before}"' in ask(port, "/one/")[1]
    append(tmp_path / "one", record(trial(engine="torch"), seconds=(0.1, 0.1)))
    _, after = ask(port, "/one/version")
    assert after != before
    page = ask(port, "/one/")[1]
    assert f'data-version="{after}"' in page
    assert "torch is fastest" in page


def test_a_line_that_is_being_written_does_no_harm(port: int, tmp_path: Path) -> None:
    with (tmp_path / "one" / RESULTS).open("ab") as file:
        file.write(b'{"schema": 1, "id"')
    assert ask(port, "/one/")[0] == 200


@pytest.mark.parametrize("path", ["/three/", "/one", "/one/results.jsonl", "/../one/", "/%2e%2e/"])
def test_nothing_else_is_served(port: int, path: str) -> None:
    assert ask(port, path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed(port: int, method: str) -> None:
    assert ask(port, "/one/", method)[0] == 501


def test_another_sites_name_for_this_machine_is_refused(port: int) -> None:
    assert ask(port, "/one/", host="example.org")[0] == 403


def test_what_cannot_be_served_is_said_in_a_line(tmp_path: Path, port: int) -> None:
    with pytest.raises(UserError, match="no folder"):
        server(tmp_path / "missing", 0)
    with pytest.raises(UserError, match="another --port"):
        server(tmp_path, port)
