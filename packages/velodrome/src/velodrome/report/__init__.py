"""What a run folder tells: the table on the terminal, and the files beside the results."""

from pathlib import Path

from rich.console import Console

from velodrome import store, yaml
from velodrome.report import drawing, figures, markdown, page, rerun, results_csv, summary
from velodrome.report.process import results
from velodrome.report.table import Ranking


def show(folder: Path, target: float | None = None) -> int:
    """Write the report's files, print the table, name the report.

    Args:
        folder: the run folder.
        target: validation accuracy whose time is wanted; else the study's own.

    Returns:
        0 if anything was measured, 1 if there are only failures.
    """
    groups = write(folder, target)
    console = _console()
    for group in groups:
        console.print(Ranking(group))
    console.print(summary.answer(groups), soft_wrap=True)
    console.print(f"report: {folder / 'report.md'}", soft_wrap=True)
    return 0 if any(row.done for group in groups for row in group.rows) else 1


def show_rerun(folder: Path) -> int:
    """Write the report's files, print ours beside the published figures.

    Returns:
        0 if anything was measured, 1 if there are only failures.
    """
    return rerun.show(write(folder), folder, _console())


def _console() -> Console:
    """Of the terminal's width; where there is none, of one that the tables fit."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=120)


def write(folder: Path, target: float | None = None) -> list[summary.Group]:
    """Write `results.csv`, `figures/`, `report.md` and what a rerun adds; return the ranking."""
    if target is None:
        target = _target(folder)
    measured = results(store.read(folder), target)
    groups = summary.groups(measured, target)
    results_csv.write(measured, folder / "results.csv")
    drawn = drawing.draw(figures.charts(groups), folder / "figures")
    markdown.write(groups, drawn, folder / "report.md")
    csv = (folder / "results.csv").read_text()
    (folder / "report.html").write_text(page.render(folder.resolve().name, groups, csv))
    rerun.write(groups, folder)
    return groups


def _target(folder: Path) -> float | None:
    """The target accuracy of the study that was run in the folder."""
    path = folder / store.STUDY
    study = yaml.read(path) if path.exists() else None
    return study.get("target_accuracy") if isinstance(study, dict) else None
