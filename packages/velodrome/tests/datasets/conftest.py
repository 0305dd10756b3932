import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

#: where real originals are, before `cache` hides it from the code under test
REAL_DATA = os.environ.get("VELODROME_DATA")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and no original files anywhere."""
    monkeypatch.setenv("VELODROME_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("VELODROME_DATA", raising=False)
    return tmp_path / "home"


@pytest.fixture
def originals(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Show the real originals to the code under test, or skip where they are not all there."""

    def show(*names: str) -> None:
        if not REAL_DATA:
            pytest.skip("VELODROME_DATA is not set: the REAL DATA SET IS NOT TESTED")
        if missing := [name for name in names if not (Path(REAL_DATA) / name).is_file()]:
            pytest.skip(f"not in VELODROME_DATA: {', '.join(missing)}: NOT TESTED")
        monkeypatch.setenv("VELODROME_DATA", REAL_DATA)

    return show


Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


class Server:
    """A real HTTP server on loopback whose paths answer as the test says.

    `answers[path]` is what the requests for that path get, one after the other; the last goes on.
    """

    def __init__(self) -> None:
        self.content = b""
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[tuple[str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append((self.path, self.headers.get("Range")))
                answers = outer.answers[self.path]
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                answer(self, outer.content)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()
