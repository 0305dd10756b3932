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
from velodrome.report.results import Results, decode, joined, parsed, places

# Bytes of results that are read at a time: what is made of them stays in the processor's cache.
_PIECE = 2**20


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
    ends = [0]
    whole = store.whole(content)
    while ends[-1] < whole:
        ends.append(content.find(b"\n", ends[-1] + _PIECE) + 1 or whole)
    pieces = list(pairwise(ends)) or [(0, 0)]
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


def _piece(folder: Path, begin: int, end: int, target: float | None) -> Results:
    """The lines between two places in a folder's results."""
    content = store.content(folder)[begin:end]
    first, last = places(content)
    try:
        lines = decode(content)
        if len(lines) == len(first):
            return parsed(lines, first + begin, last + begin, target)
    except msgspec.DecodeError:
        pass
    except ValueError as error:
        raise UserError(f"{folder / store.RESULTS}: {error}") from None
    # A line is of an earlier form, or none at all: one by one, to say which.
    before = store.content(folder)[:begin].count(b"\n")
    each = [
        records.encode(store.decoded(line, folder, before + number))
        for number, line in enumerate(content.splitlines(), 1)
    ]
    return parsed(decode(b"\n".join(each)), first + begin, last + begin, target)
