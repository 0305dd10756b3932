"""Files from the network: resumed when broken off, in place only when their checksum is right."""

import hashlib
import http.client
import logging
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

from velodrome.lock import locked

log = logging.getLogger(__name__)

_CHUNK = 1 << 18
_TIMEOUT = 30.0  # seconds without a byte
_FRUITLESS = 3  # attempts in a row at one mirror that brought nothing
_PAUSE = 0.5  # seconds before such an attempt is repeated


class DownloadError(Exception):
    """No mirror gave the file; the message says why, mirror by mirror."""


class _WrongContent(Exception):
    """A mirror serves something that is not the file."""


def checksum(path: Path, algorithm: str = "sha256") -> str:
    """The hexadecimal digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def download(
    urls: Sequence[str], target: Path, *, digest: str, size: int, algorithm: str = "sha256"
) -> None:
    """Bring a file of known content to `target`, from the first mirror that gives it.

    What has come stands in `<target>.part` until its size and checksum are right, and is renamed
    then; a later call, even of another process and from another mirror, goes on where that one
    ends. Of several processes one downloads and the others wait for its file.

    Args:
        urls: the mirrors, in the order to try them.
        target: where the file goes; its folder is made.
        digest: the hexadecimal checksum of the file.
        size: the file's length in bytes.
        algorithm: what `digest` was made with, as `hashlib` names it.

    Raises:
        DownloadError: no mirror gave the file.
    """
    with locked(target.with_name(target.name + ".lock")):
        if target.exists() and checksum(target, algorithm) == digest:
            return
        part = target.with_name(target.name + ".part")
        reasons = []
        for url in urls:
            log.info("downloading %s (%.1f MiB)", url, size / 2**20)
            try:
                _from_mirror(url, part, digest, size, algorithm)
            except (OSError, http.client.HTTPException, _WrongContent) as error:
                reasons.append(f"{urllib.parse.urlsplit(url).netloc}: {_reason(error)}")
                continue
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(target)
            return
        raise DownloadError("; ".join(reasons))


def _from_mirror(url: str, part: Path, digest: str, size: int, algorithm: str) -> None:
    """Complete `part` from one mirror, or raise what kept it from being right."""
    inherited = part.exists()
    _complete(url, part, size)
    if checksum(part, algorithm) == digest:
        return
    part.unlink()
    if inherited:  # the first bytes came from elsewhere: this mirror has not been heard yet
        _from_mirror(url, part, digest, size, algorithm)
        return
    raise _WrongContent(f"the {algorithm} is not {digest}")


def _complete(url: str, part: Path, size: int) -> None:
    """Bring `part` to `size` bytes, asking again as long as that brings more than ever before."""
    most, fruitless = _length(part), 0
    while (had := _length(part)) != size:
        if had > size:
            part.unlink()
            continue
        error: Exception = OSError("the connection ended early")
        try:
            _append(url, part, had, size)
        except urllib.error.HTTPError as refusal:
            if refusal.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.unlink(missing_ok=True)
            elif refusal.code < HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            error = refusal
        except urllib.error.URLError:  # no connection at all
            raise
        except (OSError, http.client.HTTPException) as broken:
            error = broken
        if (now := _length(part)) > most:
            most, fruitless = now, 0
            continue
        fruitless += 1
        if fruitless == _FRUITLESS:
            raise error
        time.sleep(_PAUSE)


def _append(url: str, part: Path, had: int, size: int) -> None:
    """Write what one request gives; bytes that arrive before it breaks off are kept."""
    request = urllib.request.Request(url, headers={"User-Agent": "velodrome"})
    if had:
        request.add_header("Range", f"bytes={had}-")
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        # A server that does not know ranges answers 200 and starts from the first byte.
        resumes = answer.status == HTTPStatus.PARTIAL_CONTENT
        if resumes and not answer.headers.get("Content-Range", "").startswith(f"bytes {had}-"):
            part.unlink()
            raise OSError("another range came than was asked for")
        length = answer.headers.get("Content-Length")
        if not resumes and length is not None and int(length) != size:
            raise _WrongContent(f"{length} bytes instead of {size}")
        with part.open("ab" if resumes else "wb") as file:
            while chunk := answer.read1(_CHUNK):
                file.write(chunk)
                if (tenths := 10 * file.tell() // size) > 10 * (file.tell() - len(chunk)) // size:
                    log.info("%s: %d %%", part.stem, 10 * tenths)
                if file.tell() > size:
                    file.truncate(0)
                    raise _WrongContent(f"longer than {size} bytes")


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, OSError):
        error = error.reason
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
