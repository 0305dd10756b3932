"""The run folder: results that are only ever added to, and survive being cut off."""

import fcntl
import mmap
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import msgspec

from velodrome import record as records
from velodrome.errors import UserError
from velodrome.record import Record

RESULTS = "results.jsonl"
STUDY = "study.yaml"
MACHINE = "machine.json"
_LOCK = ".lock"

# Bytes of results that are read at a time: they and what is made of them stay in the cache.
_PIECE = 2**20


def read(folder: Path) -> list[Record]:
    """Every record of a run folder, in the order in which they were made.

    A last line that was cut off is left out; `Store` repairs it.

    Raises:
        UserError: there is no such folder, or a line in it is no record.
    """
    return [record for batch in batches(folder) for record in batch]


def batches(folder: Path) -> Iterator[list[Record]]:
    """The same, some hundred at a time, for those who need not keep them all.

    Raises:
        UserError: as `read` does, the missing folder at once.
    """
    path = folder / RESULTS
    try:
        with path.open("rb") as file:
            content = _mapped(file)
    except OSError:
        raise UserError(f"no results in {folder} (looked for {path})") from None
    return _batches(content, path)


def _batches(content: bytes | mmap.mmap, path: Path) -> Iterator[list[Record]]:
    lines, begin, whole = memoryview(content), 0, _whole(content)
    while begin < whole:
        end = content.find(b"\n", begin + _PIECE) + 1 or whole
        try:
            yield records.decode_all(lines[begin:end])
        except msgspec.DecodeError:
            # A line is of an earlier form, or none at all: one by one, to say which.
            first = content[:begin].count(b"\n") + 1
            some = content[begin:end].splitlines()
            yield [_decoded(line, path, number) for number, line in enumerate(some, first)]
        begin = end


def _mapped(file: BinaryIO) -> bytes | mmap.mmap:
    """The file's content without a copy of it; an empty file cannot be mapped."""
    empty = os.fstat(file.fileno()).st_size == 0
    return b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _decoded(line: bytes, path: Path, number: int) -> Record:
    try:
        return records.decode(line)
    except msgspec.DecodeError as error:
        raise UserError(f"{path}, line {number}: not a record: {error}") from None


def _whole(content: bytes | mmap.mmap) -> int:
    """Length of the content up to and with its last whole line.

    A record is written with its newline in one go, so a line without one was cut off.
    """
    return content.rfind(b"\n") + 1


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
        content = path.read_bytes()
        whole = _whole(content)
        if whole == len(content):
            return False
        os.truncate(path, whole)
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
