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


def write(groups: Sequence[Group], folder: Path) -> None:
    """Write ours beside theirs, if the folder's study reruns a table."""
    if found := lines(groups, folder):
        reproduction_table.write(groups, found, folder / FILE)


def show(groups: Sequence[Group], folder: Path, console: Console) -> int:
    """Print ours beside theirs.

    Returns:
        0 if anything was measured, 1 if there are only failures.
    """
    found = lines(groups, folder)
    console.print(reproduction_table.SideBySide(folder.name, found))
    console.print(f"report: {folder / FILE}", soft_wrap=True)
    return 0 if any(row.done for group in groups for row in group.rows) else 1


def lines(groups: Sequence[Group], folder: Path) -> list[Line]:
    """A line for each published row of the folder's study and each result beside it.

    None if the study reruns no table, or nothing of its table was published.
    """
    path = folder / store.STUDY
    wanted = study.load(str(path)) if path.exists() else None
    if wanted is None or wanted.beside is None:
        return []
    measured = [row for group in groups for row in group.rows]
    return reproduction.side_by_side(wanted, measured, select(load(), **wanted.beside))
