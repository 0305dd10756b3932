"""Run folders as a table, long ones read in several processes."""

from collections.abc import Sequence
from concurrent.futures import Executor
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np

from velodrome import record as records
from velodrome import store
from velodrome.errors import UserError
from velodrome.report.lines import Gathered, decode, places
from velodrome.report.results import Results, joined

_PIECE = 2**24
"""Bytes of results that a process reads at a time."""
_BATCH = 2**17
"""Bytes of them that are decoded at a time: what is made of them stays in its cache."""


def read(
    folders: Sequence[Path], target: float | None = None, pool: Executor | None = None
) -> Results:
    """Every record of run folders, in the order in which they were made.

    A last line that was cut off is left out. Of the same trial in two runs, the newest counts:
    of several folders, the records are in the order in which they were started.

    Args:
        folders: one or several.
        target: validation accuracy whose time is wanted.
        pool: processes that help; this one alone reads, unless given.

    Raises:
        UserError: there is no such folder, or a line in it is no record.
    """
    contents = [store.content(folder) for folder in folders]
    table = joined(
        [
            msgspec.structs.replace(_read(folder, content, target, pool), contents=(content,))
            for folder, content in zip(folders, contents, strict=True)
        ]
    )
    if len(folders) == 1:
        return table
    return table.take(np.argsort(table.started, kind="stable"))


def _read(
    folder: Path, content: store.Content, target: float | None, pool: Executor | None
) -> Results:
    whole = store.whole(content)
    pieces = list(pairwise(_cuts(content, 0, whole, _PIECE))) or [(0, 0)]
    # Helpers begin at the end, this process at the beginning, until they meet.
    begun = {
        piece: pool.submit(_piece, folder, *piece, target) for piece in reversed(pieces[1:]) if pool
    }
    return joined(
        [
            _piece(folder, *piece, target)
            if piece not in begun or begun[piece].cancel()
            else begun[piece].result()
            for piece in pieces
        ]
    )


def _cuts(content: store.Content, begin: int, end: int, size: int) -> list[int]:
    """The two places and those between them, at ends of lines, at least so many bytes apart."""
    cuts = [begin]
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
