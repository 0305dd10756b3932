"""What a run folder tells: the table on the terminal, and the files beside the results."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import msgspec
from rich.console import Console

from velodrome import store, yaml
from velodrome.drawing import drawers
from velodrome.errors import UserError
from velodrome.helpers import aside
from velodrome.parity.verdict import keep, known
from velodrome.parity.verdict import read as read_verdicts
from velodrome.registry import unknown
from velodrome.report import (
    figures,
    findings,
    markdown,
    page,
    rerun,
    results_csv,
    steadiness,
    summary,
)
from velodrome.report.reading import Reading
from velodrome.report.results import Results
from velodrome.report.table import Ranking

PAGE = "report.html"


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which results are reported, and how they are put together.

    Attributes:
        target: validation accuracy whose time is wanted; else the studies' own.
        only: values wanted, as text, by field of the trial; fields left out are free.
        by: what is compared.
    """

    target: float | None = None
    only: dict[str, list[str]] = {}
    by: summary.Axis = "engine"


def show(
    folders: Sequence[Path], selection: Selection | None = None, out: Path | None = None
) -> int:
    """Write the report's files, print the table, name the report.

    Args:
        folders: one run folder or several.
        selection: all of the results, unless given.
        out: where the files go; beside the results of a single folder, unless given.

    Returns:
        0 if anything was measured, 1 if there are only failures.
    """
    out = out or folders[0]
    with written(folders, selection or Selection(), out) as groups:
        return _show(groups, out)


def show_rerun(folder: Path) -> int:
    """Write the report's files, print ours beside the published figures.

    Returns:
        0 if anything was measured, 1 if there are only failures.
    """
    with written([folder], Selection(), folder) as groups:
        if rerun.lines(groups, folder):
            return rerun.show(groups, folder, console(160))
        console().print("Of this no figures were published; ours alone:")
        return _show(groups, folder)


def _show(groups: Sequence[summary.Group], out: Path) -> int:
    screen = console()
    for group in groups:
        screen.print(Ranking(group))
    screen.print(summary.answer(groups), soft_wrap=True)
    rows = [row for group in groups for row in group.rows]
    drifts = steadiness.drifts(groups)
    for machine, drift in drifts.items():
        if drift and not drift.steady:
            whose = f"{machine.cpu}, {machine.cores} cores: " if len(drifts) > 1 else ""
            screen.print(f"{whose}{steadiness.sentence(drift)}", style="yellow", soft_wrap=True)
    screen.print(f"report: {out / PAGE}", soft_wrap=True)
    if to_set := summary.line_to_set(groups):
        screen.print(to_set, style="bold", soft_wrap=True)
    return 0 if any(row.done for row in rows) else 1


def console(width: int = 120, record: bool = False) -> Console:
    """Of the terminal's width; where there is none, of one that the tables fit.

    Args:
        width: that of tables.
        record: keep what is printed, to be exported, and print nothing.
    """
    if record:
        return Console(highlight=False, width=width, record=True, file=StringIO())
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=width)


@contextmanager
def written(
    folders: Sequence[Path], selection: Selection, out: Path
) -> Iterator[list[summary.Group]]:
    """Write CSV, figures, Markdown, the page and what a rerun adds; give the ranking.

    Figures are still being drawn meanwhile: at the end of the context all files are there.

    Raises:
        UserError: as `read`, or there can be no such folder as `out`.
    """
    begun = _begun(folders, selection)
    drawers.load()  # While helpers read.
    measured = _selected(begun, selection)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror}") from None
    shown = msgspec.structs.replace(measured, contents=())
    with (
        aside(results_csv.write, shown, out / "results.csv"),
        drawers.Drawers() as drawing,
    ):
        groups, by_engine = _ranked(measured, begun.target, folders, selection)
        charts, drawn = [], []
        for name, chart in figures.named(by_engine):
            charts.append(chart)
            drawn += drawing.draw(chart, out / "figures", name)
        found = findings.findings(by_engine)
        about = markdown.machines(groups)
        markdown.write(groups, found, about, drawn, out / "report.md")
        title = ", ".join(folder.resolve().name for folder in folders)
        (out / PAGE).write_text(page.render(title, groups, found, about, charts, measured))
        _keep_verdicts(groups, out)
        if len(folders) == 1:
            rerun.write(by_engine, out)
        yield groups


def _keep_verdicts(groups: Sequence[summary.Group], out: Path) -> None:
    """Have the verdicts that the report rests on beside it, wherever it is taken."""
    kept = read_verdicts(out)
    for verdict in (row.verdict for group in groups for row in group.rows):
        if verdict is not None and verdict not in kept:
            keep(verdict, out)
            kept.append(verdict)


def read(
    folders: Sequence[Path], selection: Selection
) -> tuple[Results, list[summary.Group], list[summary.Group]]:
    """The results selected, their ranking, and the ranking of the engines.

    Args:
        folders: one run folder or several.
        selection: which results, and how they are put together.

    Raises:
        UserError: a folder holds no results, or nothing has the values wanted.
    """
    begun = _begun(folders, selection)
    measured = _selected(begun, selection)
    return measured, *_ranked(measured, begun.target, folders, selection)


def _begun(folders: Sequence[Path], selection: Selection) -> Reading:
    target = selection.target
    if target is None:
        target = next((found for folder in folders if (found := _target(folder))), None)
    return Reading(folders, target)


def _selected(begun: Reading, selection: Selection) -> Results:
    measured = begun.results()
    for field, values in selection.only.items():
        measured = _only(measured, field, values)
    return measured


def _ranked(
    measured: Results, target: float | None, folders: Sequence[Path], selection: Selection
) -> tuple[list[summary.Group], list[summary.Group]]:
    """The ranking, and that of the engines."""
    verdicts = known(folders)
    by_engine = summary.groups(measured, target, verdicts=verdicts)
    if selection.by == "engine":
        return by_engine, by_engine
    return summary.groups(measured, target, selection.by, verdicts), by_engine


def _only(measured: Results, field: str, values: Sequence[str]) -> Results:
    own = [str(getattr(each.trial, field)) for each in measured.commons]
    known = {str(getattr(each.trial, field)) for each in measured.used()}
    for wanted in values:
        if wanted not in known:
            raise unknown(field.replace("_", " "), wanted, known)
    return measured.having(each in values for each in own)


def _target(folder: Path) -> float | None:
    """The target accuracy of the study that was run in the folder."""
    path = folder / store.STUDY
    study = yaml.read(path) if path.exists() else None
    return study.get("target_accuracy") if isinstance(study, dict) else None
