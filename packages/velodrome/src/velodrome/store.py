"""The run folder: results that are only ever added to, and survive being cut off."""

import fcntl
import mmap
import os
from collections import Counter
from pathlib import Path
from types import TracebackType

import msgspec

from velodrome import record as records
from velodrome.errors import UserError
from velodrome.record import Record

RESULTS = "results.jsonl"
STUDY = "study.yaml"
MACHINE = "machine.json"
_LOCK = ".lock"

Content = bytes | mmap.mmap
"""Lines of results."""


def read(folder: Path) -> list[Record]:
    """Every record of a run folder, in the order in which they were made.

    A last line that was cut off is left out; `Store` repairs it.

    Raises:
        UserError: there is no such folder, or a line in it is no record.
    """
    lines = content(folder)
    return [
        decoded(line, folder, number)
        for number, line in enumerate(lines[: whole(lines)].splitlines(), 1)
    ]


def content(folder: Path) -> Content:
    """A run folder's results, without a copy of them.

    Raises:
        UserError: there is no such folder.
    """
    path = folder / RESULTS
    try:
        with path.open("rb") as file:
            # An empty file cannot be mapped.
            empty = os.fstat(file.fileno()).st_size == 0
            return b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError:
        raise UserError(f"no results in {folder} (looked for {path})") from None


def whole(lines: Content) -> int:
    """Length of the content up to and with its last whole line.

    A record is written with its newline in one go, so a line without one was cut off.
    """
    return lines.rfind(b"\n") + 1


def decoded(line: bytes, folder: Path, number: int) -> Record:
    """A line of a run folder's results, of this form or an earlier one.

    Raises:
        UserError: it is no record.
    """
    try:
        return records.decode(line)
    except msgspec.DecodeError as error:
        raise UserError(f"{folder / RESULTS}, line {number}: not a record: {error}") from None


class Store:
    """A run folder open for writing; one process at a time.

    Use it as a context manager.

    Raises:
        UserError: another process is writing to the folder, or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / _LOCK).open("w")
        except OSError as error:
            raise UserError(f"cannot write to {folder}: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise UserError(
                f"another velodrome is running in {folder}; wait for it, or choose another --out"
            ) from None
        self.torn = self._repair()
        self.records = read(folder) if (folder / RESULTS).exists() else []
        self._attempts = Counter(record.id for record in self.records)
        self._results = (folder / RESULTS).open("ab")

    def _repair(self) -> bool:
        """Cut off what a killed process left of a line; say whether there was any."""
        path = self.folder / RESULTS
        if not path.exists():
            return False
        lines = content(self.folder)
        kept = whole(lines)
        if kept == len(lines):
            return False
        os.truncate(path, kept)
        return True

    def attempts(self, trial: str) -> int:
        """How often a trial has ended here."""
        return self._attempts[trial]

    def missing(self, trial: str, retry_failed: bool) -> bool:
        """Whether a trial is still to run."""
        if not self._attempts[trial]:
            return True
        return retry_failed and not any(
            record.id == trial and record.status == "ok" for record in self.records
        )

    def append(self, record: Record) -> None:
        """Add a record; it is on the disk when this returns."""
        self._results.write(records.encode(record) + b"\n")
        self._results.flush()
        os.fsync(self._results.fileno())
        self.records.append(record)
        self._attempts[record.id] += 1

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._results.close()
        self._lock.close()
