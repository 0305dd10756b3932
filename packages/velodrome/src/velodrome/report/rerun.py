"""What a rerun of a published table adds to a run folder: `reproduction.md`."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from velodrome import store, study
from velodrome.published import load, select
from velodrome.report import reproduction, reproduction_table
from velodrome.report.reproduction import Line
from velodrome.report.summary import Group

FILE = "reproduction.md"


def write(groups: Sequence[Group], folder: Path) -> list[Line]:
    """Write ours beside theirs, if the folder's study reruns a table.

    Returns:
        A line for each published row and each result beside it; none if there is no table.
    """
    if lines := _lines(groups, folder):
        reproduction_table.write(groups, lines, folder / FILE)
    return lines


def show(groups: Sequence[Group], folder: Path, console: Console) -> int:
    """Print ours beside theirs.

    Returns:
        0 if anything was measured, 1 if there are only failures.
    """
    lines = _lines(groups, folder)
    console.print(reproduction_table.SideBySide(folder.name, lines))
    console.print(f"report: {folder / FILE}", soft_wrap=True)
    return 0 if any(row.done for group in groups for row in group.rows) else 1


def _lines(groups: Sequence[Group], folder: Path) -> list[Line]:
    path = folder / store.STUDY
    wanted = study.load(str(path)) if path.exists() else None
    if wanted is None or wanted.beside is None:
        return []
    measured = [row for group in groups for row in group.rows]
    return reproduction.side_by_side(wanted, measured, select(load(), **wanted.beside))
