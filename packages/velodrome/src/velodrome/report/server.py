"""A folder of runs as pages that follow the results: on this machine only, read-only."""

import html
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from velodrome import report, store, study
from velodrome.errors import UserError
from velodrome.report import figures, findings, markdown, page, summary

HOST = "127.0.0.1"
_NAMES = {"127.0.0.1", "localhost"}
_DEPTHS = ("", "*/", "*/*/")


class Runs:
    """The runs below a folder, and their pages; a page is made anew when results have come.

    Args:
        root: a run folder, or one that holds run folders.

    Raises:
        UserError: there is no such folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise UserError(f"no folder {root}")
        self._root = root.resolve()
        self._pages: dict[str, tuple[str, str]] = {}

    def folders(self) -> dict[str, Path]:
        """Run folders by the name they are asked for by."""
        found = [
            path.parent
            for depth in _DEPTHS
            for path in sorted(self._root.glob(f"{depth}{store.RESULTS}"))
        ]
        return {self._name(folder): folder for folder in found}

    def _name(self, folder: Path) -> str:
        inside = folder.relative_to(self._root).as_posix()
        return self._root.name if inside == "." else inside

    def page(self, folder: Path) -> str:
        """The page of a run as it now stands.

        Raises:
            UserError: its results cannot be read.
        """
        state = version(folder)
        made = self._pages.get(str(folder))
        if made is None or made[0] != state:
            measured, groups, by_engine = report.read([folder], report.Selection())
            text = page.render(
                folder.name,
                groups,
                findings.findings(by_engine),
                markdown.machines(groups),
                figures.charts(by_engine),
                measured,
                version=state,
                progress=_progress(folder, set(measured.id)),
            )
            made = self._pages[str(folder)] = state, text
        return made[1]

    def index(self) -> str:
        """A line a run: its name, and the answer it gives so far."""
        lines = [
            f'<li><a href="/{quote(name)}/">{html.escape(name)}</a>: '
            f"{html.escape(_answer(folder))}</li>"
            for name, folder in self.folders().items()
        ]
        runs = f"<ul>{''.join(lines)}</ul>" if lines else "<p>No results yet.</p>"
        return (
            '<!doctype html><html lang="en"><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta http-equiv="refresh" content="5"><link rel="icon" href="data:,">'
            f"<title>Runs - Velodrome</title><style>{page.css()}</style>"
            f"<header><p class=brand>Velodrome</p><h1>{html.escape(str(self._root))}</h1></header>"
            f"<main>{runs}</main></html>"
        )


def version(folder: Path) -> str:
    """Changes when the results do."""
    state = (folder / store.RESULTS).stat()
    return f"{state.st_mtime_ns}-{state.st_size}"


def _answer(folder: Path) -> str:
    try:
        return summary.headline(report.read([folder], report.Selection())[1])
    except UserError as error:
        return str(error)


def _progress(folder: Path, ended: set[str]) -> str:
    """How many of the study's trials have ended; empty when all have."""
    path = folder / store.STUDY
    try:
        wanted = study.load(str(path))
    except UserError:
        return ""
    planned = len(list(study.configurations(wanted))) * wanted.repeats
    if len(ended) >= planned:
        return ""
    return f"{len(ended)} of {planned} trials have ended; the page follows the results."


class _Handler(BaseHTTPRequestHandler):
    """Answers GET alone, and to this machine's own names alone."""

    runs: Runs
    server_version = "velodrome"
    sys_version = ""

    def do_GET(self) -> None:
        # A page of another site must not read the results by a name that it made point here.
        if urlsplit(f"//{self.headers.get('Host', '')}").hostname not in _NAMES:
            self.send_error(HTTPStatus.FORBIDDEN, "only for this machine")
            return
        path = unquote(urlsplit(self.path).path)
        if path == "/":
            self._answer("text/html", self.runs.index)
            return
        name, slash, wanted = path[1:].rpartition("/")
        folder = self.runs.folders().get(name)
        if not slash or folder is None or wanted not in ("", "version"):
            self.send_error(HTTPStatus.NOT_FOUND, "no such run")
        elif wanted:
            self._answer("text/plain", lambda: version(folder))
        else:
            self._answer("text/html", lambda: self.runs.page(folder))

    def _answer(self, kind: str, content: Callable[[], str]) -> None:
        try:
            body, status = content().encode(), HTTPStatus.OK
        except (UserError, OSError) as error:
            body, status, kind = str(error).encode(), HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain"
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a page asks every other second."""


def server(root: Path, port: int) -> ThreadingHTTPServer:
    """A server that listens; `serve_forever` starts it.

    Args:
        root: a run folder, or one that holds run folders.
        port: 0 for any that is free.

    Raises:
        UserError: there is no such folder, or the port is taken.
    """
    handler = type("Handler", (_Handler,), {"runs": Runs(root)})
    try:
        return ThreadingHTTPServer((HOST, port), handler)
    except OSError as error:
        raise UserError(f"port {port}: {error.strerror}; choose another --port") from None
