"""Run folders as a table, long ones read in several processes."""

from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np

from velodrome import record as records
from velodrome import store
from velodrome.errors import UserError
from velodrome.helpers import helpers
from velodrome.machine import usable_threads
from velodrome.report.lines import Gathered, decode, places
from velodrome.report.results import Results, joined

_PIECE = 2**24
"""Bytes of results that a process reads at a time."""
_BATCH = 2**17
"""Bytes of them that are decoded at a time: what is made of them stays in its cache."""


def read(folders: Sequence[Path], target: float | None = None) -> Results:
    """Every record of run folders: see `Reading`."""
    return Reading(folders, target).results()


class Reading:
    """Run folders that are being read: of long ones, helpers have begun at the end.

    Attributes:
        target: validation accuracy whose time is wanted.

    Raises:
        UserError: there is no such folder.
    """

    def __init__(self, folders: Sequence[Path], target: float | None = None) -> None:
        self.target = target
        self._folders = folders
        self._contents = [store.content(folder) for folder in folders]
        self._pieces = [
            (number, *piece)
            for number, content in enumerate(self._contents)
            for piece in pairwise(_cuts(content, 0, store.whole(content), _PIECE))
        ]
        self._helpers = helpers(max(usable_threads() - 1, 1))
        long = sum(map(len, self._contents)) > _PIECE
        self._begun = {
            (number, begin, end): self._helpers.submit(_piece, folders[number], begin, end, target)
            for number, begin, end in reversed(self._pieces if long else [])
        }

    def results(self) -> Results:
        """Every record of all folders.

        Of the same trial in two runs, the newest counts: of several folders, the records are in
        the order in which they were started.

        Raises:
            UserError: a line is no record.
        """
        tables = self.by_folder()
        if len(tables) == 1:
            return tables[0]
        table = joined(tables)
        return table.take(np.argsort(table.started, kind="stable"))

    def by_folder(self) -> list[Results]:
        """Of each folder every record, in the order in which they were made.

        A last line that was cut off is left out.

        Raises:
            UserError: a line is no record.
        """
        try:
            pieces = [(number, self._read(number, *piece)) for number, *piece in self._pieces]
        finally:
            self._helpers.shutdown(cancel_futures=True)
        return [
            msgspec.structs.replace(
                joined([piece for of, piece in pieces if of == number]), contents=(content,)
            )
            for number, content in enumerate(self._contents)
        ]

    def _read(self, number: int, begin: int, end: int) -> Results:
        """Here, from the beginning, until what a helper has begun; all, if the helper is killed."""
        begun = self._begun.get((number, begin, end))
        if begun is not None and not begun.cancel():
            with suppress(BrokenProcessPool):
                return begun.result()
        return _piece(self._folders[number], begin, end, self.target)


def _cuts(content: store.Content, begin: int, end: int, size: int) -> list[int]:
    """The two places and those between them, at ends of lines, at least so many bytes apart."""
    cuts = [begin, content.find(b"\n", begin + size, end) + 1 or end]
    while cuts[-1] < end:
        cuts.append(content.find(b"\n", cuts[-1] + size, end) + 1 or end)
    return cuts


def _piece(folder: Path, begin: int, end: int, target: float | None) -> Results:
    """The lines between two places in a folder's results."""
    content = store.content(folder)
    gathered = Gathered(target)
    for first, last in pairwise(_cuts(content, begin, end, _BATCH)):
        _add(gathered, content, first, last, folder)
    try:
        return gathered.results()
    except ValueError as error:
        raise UserError(f"{folder / store.RESULTS}: {error}") from None


def _add(gathered: Gathered, content: store.Content, begin: int, end: int, folder: Path) -> None:
    at = places(content, begin, end)
    try:
        lines = decode(memoryview(content)[begin:end])
        if len(lines) == len(at[0]):
            gathered.add(lines, *at)
            return
    except msgspec.DecodeError:
        pass
    # A line is of an earlier form, or none at all: one by one, to say which.
    before = content[:begin].count(b"\n")
    each = [
        records.encode(store.decoded(line, folder, before + number))
        for number, line in enumerate(content[begin:end].splitlines(), 1)
    ]
    gathered.add(decode(b"\n".join(each)), *at)
