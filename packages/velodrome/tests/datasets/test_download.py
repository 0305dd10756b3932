import hashlib
import multiprocessing
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from velodrome import download as module
from velodrome.download import DownloadError, checksum, download

from .conftest import Answer, Server

CONTENT = hashlib.shake_128(b"a file").digest(1_000_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def setup(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.content = CONTENT
    monkeypatch.setattr(module, "_PAUSE", 0.0)


def serve(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    """Answer as servers do that know ranges."""
    asked = handler.headers.get("Range")
    start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
    if start >= len(content):
        handler.send_error(416)
        return
    handler.send_response(206 if asked else 200)
    if asked:
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    handler.send_header("Content-Length", str(len(content) - start))
    handler.end_headers()
    handler.wfile.write(content[start:])


def breaks_off(after: int) -> Answer:
    """Promise the whole rest, send so many bytes of it, hang up."""

    def answer(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        write: Callable[[bytes], int] = handler.wfile.write

        def cut(data: bytes) -> int:
            return write(data[:after] if len(data) > 10_000 else data)

        handler.wfile.write = cut  # type: ignore[assignment, method-assign]
        serve(handler, content)

    return answer


def ignores_range(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    del handler.headers["Range"]
    serve(handler, content)


def says_no_length(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(content)


def too_long(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    says_no_length(handler, content + b"more" * 1000)


def wrong_bytes(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    serve(handler, bytes(len(content)))


def a_page(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    """What a captive portal says instead of the file."""
    handler.send_response(200)
    handler.send_header("Content-Length", "13")
    handler.end_headers()
    handler.wfile.write(b"<html></html>")


def another_range(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    if "Range" in handler.headers:
        handler.headers.replace_header("Range", "bytes=0-")
    serve(handler, content)


def fails(code: int) -> Answer:
    return lambda handler, content: handler.send_error(code)


def fetch(server: Server, target: Path, *paths: str) -> None:
    download([server.url(path) for path in paths], target, digest=DIGEST, size=len(CONTENT))


def assert_fetched(target: Path) -> None:
    assert target.read_bytes() == CONTENT
    assert not target.with_name(target.name + ".part").exists()


def test_whole_file_in_one_request(server: Server, tmp_path: Path) -> None:
    server.answers["/a"] = [serve]
    fetch(server, tmp_path / "deep" / "file", "/a")
    assert_fetched(tmp_path / "deep" / "file")
    assert server.requests == [("/a", None)]


def test_what_is_there_is_not_asked_for(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    fetch(server, tmp_path / "file", "/a")
    assert server.requests == []


def test_damaged_file_is_replaced(server: Server, tmp_path: Path) -> None:
    server.answers["/a"] = [serve]
    (tmp_path / "file").write_bytes(CONTENT[:-1] + b"!")
    fetch(server, tmp_path / "file", "/a")
    assert_fetched(tmp_path / "file")


def test_broken_off_goes_on_where_it_ended(server: Server, tmp_path: Path) -> None:
    server.answers["/a"] = [breaks_off(300_000), breaks_off(200_000), serve]
    fetch(server, tmp_path / "file", "/a")
    assert_fetched(tmp_path / "file")
    assert server.requests == [("/a", None), ("/a", "bytes=300000-"), ("/a", "bytes=500000-")]


def test_later_call_goes_on_from_another_mirror(server: Server, tmp_path: Path) -> None:
    server.answers = {"/a": [breaks_off(400_000), fails(503)], "/b": [serve]}
    with pytest.raises(DownloadError, match="503"):
        fetch(server, tmp_path / "file", "/a")
    assert not (tmp_path / "file").exists()
    fetch(server, tmp_path / "file", "/b")
    assert_fetched(tmp_path / "file")
    assert server.requests[-1] == ("/b", "bytes=400000-")


def test_server_that_ignores_range_starts_anew(server: Server, tmp_path: Path) -> None:
    server.answers["/a"] = [breaks_off(300_000), ignores_range]
    fetch(server, tmp_path / "file", "/a")
    assert_fetched(tmp_path / "file")


def test_server_that_ignores_range_and_always_breaks_off_is_given_up(
    server: Server, tmp_path: Path
) -> None:
    def answer(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        del handler.headers["Range"]
        breaks_off(200_000 if len(server.requests) % 2 else 300_000)(handler, content)

    server.answers["/a"] = [answer]
    with pytest.raises(DownloadError, match="ended early"):
        fetch(server, tmp_path / "file", "/a")
    assert not (tmp_path / "file").exists()


def test_another_range_than_asked_for_is_never_appended(server: Server, tmp_path: Path) -> None:
    server.answers["/a"] = [breaks_off(300_000), another_range]
    fetch(server, tmp_path / "file", "/a")
    assert_fetched(tmp_path / "file")


def test_no_content_length(server: Server, tmp_path: Path) -> None:
    server.answers["/a"] = [says_no_length]
    fetch(server, tmp_path / "file", "/a")
    assert_fetched(tmp_path / "file")


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (wrong_bytes, "sha256"),
        (too_long, "longer than 1000000 bytes"),
        (a_page, "13 bytes instead of 1000000"),
        (fails(404), "HTTP 404"),
        (fails(403), "HTTP 403"),
        (fails(500), "HTTP 500"),
    ],
)
def test_bad_mirror_is_named_and_the_next_one_serves(
    server: Server, tmp_path: Path, first: Answer, reason: str
) -> None:
    server.answers = {"/a": [first], "/b": [serve]}
    with pytest.raises(DownloadError, match=f"127.0.0.1:.*{reason}"):
        fetch(server, tmp_path / "file", "/a")
    assert not (tmp_path / "file").exists()
    fetch(server, tmp_path / "file", "/a", "/b")
    assert_fetched(tmp_path / "file")


def test_a_page_instead_of_the_file_leaves_what_came_before(server: Server, tmp_path: Path) -> None:
    server.answers = {"/a": [breaks_off(600_000), a_page], "/b": [serve]}
    fetch(server, tmp_path / "file", "/a", "/b")
    assert_fetched(tmp_path / "file")
    assert server.requests[-1] == ("/b", "bytes=600000-")


def test_partial_file_of_other_content_is_found_out(server: Server, tmp_path: Path) -> None:
    server.answers["/a"] = [serve]
    (tmp_path / "file.part").write_bytes(b"x" * 1234)
    fetch(server, tmp_path / "file", "/a")
    assert_fetched(tmp_path / "file")
    assert server.requests == [("/a", "bytes=1234-"), ("/a", None)]


@pytest.mark.parametrize("length", [len(CONTENT), len(CONTENT) + 5])
def test_partial_file_that_is_too_long_is_found_out(
    server: Server, tmp_path: Path, length: int
) -> None:
    server.answers["/a"] = [serve]
    (tmp_path / "file.part").write_bytes(b"x" * length)
    fetch(server, tmp_path / "file", "/a")
    assert_fetched(tmp_path / "file")


def test_complete_partial_file_needs_no_request(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT)
    fetch(server, tmp_path / "file", "/a")
    assert_fetched(tmp_path / "file")
    assert server.requests == []


def test_shorter_file_at_the_mirror_is_refused(server: Server, tmp_path: Path) -> None:
    server.answers["/a"] = [lambda handler, content: serve(handler, content[:1000])]
    (tmp_path / "file.part").write_bytes(CONTENT[:5000])
    with pytest.raises(DownloadError):
        fetch(server, tmp_path / "file", "/a")


def test_nobody_listens(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="refused"):
        download(["http://127.0.0.1:9/a"], tmp_path / "file", digest=DIGEST, size=len(CONTENT))


def test_several_processes_download_once(server: Server, tmp_path: Path) -> None:
    def slowly(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        time.sleep(0.3)
        serve(handler, content)

    server.answers["/a"] = [slowly]
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(
            target=download,
            args=([server.url("/a")], tmp_path / "file"),
            kwargs={"digest": DIGEST, "size": len(CONTENT)},
        )
        for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert checksum(tmp_path / "file") == DIGEST
    assert server.requests == [("/a", None)]


def test_killed_while_downloading_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    arrived, part = threading.Event(), tmp_path / "file.part"

    def stalls(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        breaks_off(700_000)(handler, content)
        handler.wfile.flush()
        arrived.wait(60)

    server.answers["/a"] = [stalls, serve]
    process = multiprocessing.get_context("spawn").Process(
        target=download,
        args=([server.url("/a")], tmp_path / "file"),
        kwargs={"digest": DIGEST, "size": len(CONTENT)},
    )
    process.start()
    while not part.exists() or part.stat().st_size < 600_000:
        assert process.is_alive()
        time.sleep(0.01)
    process.kill()
    process.join()
    arrived.set()
    had = part.stat().st_size
    assert not (tmp_path / "file").exists()
    fetch(server, tmp_path / "file", "/a")
    assert_fetched(tmp_path / "file")
    assert server.requests == [("/a", None), ("/a", f"bytes={had}-")]
