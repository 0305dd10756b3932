"""The ranking as a table: for the terminal and as Markdown, from one set of columns."""

from collections.abc import Callable

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from velodrome.report.summary import Group, Row, notes

_MIB = 2**20


def _number(value: float | None, form: str) -> str:
    return "" if value is None else f"{value:{form}}"


COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("engine", lambda row: row.trial.engine),
    ("samples/s", lambda row: _number(row.samples_sec, ",.0f")),
    ("ratio", lambda row: _number(row.relative, ".2f")),
    ("s/epoch", lambda row: _number(row.time, ".3f")),
    ("accuracy", lambda row: _number(row.accuracy, ".4f")),
    ("1st step", lambda row: _number(row.first_step, ".2f")),
    ("MiB", lambda row: _number(row.peak_memory and row.peak_memory / _MIB, ",.0f")),
    ("runs", lambda row: _runs(row)),
)


def _runs(row: Row) -> str:
    if not row.failed:
        return str(len(row.done))
    kinds = ", ".join(sorted({record.status for record in row.failed}))
    return f"{len(row.done)}, {len(row.failed)} {kinds}" if row.done else kinds


def failures(group: Group) -> list[tuple[str, str, str]]:
    """Engine, reason and reproducing command of each kind of failure in a group."""
    found: dict[tuple[str, str], str] = {}
    for row in group.rows:
        for record in row.failed:
            assert record.failure is not None
            reason = f"{record.status}: {record.failure.reason}"
            found.setdefault((row.trial.engine, reason), record.failure.command)
    return [(engine, reason, command) for (engine, reason), command in found.items()]


class Ranking:
    """A group, as rich prints it."""

    def __init__(self, group: Group) -> None:
        self._group = group

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Title, table, failures."""
        table = Table(
            title=self._group.title,
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
        )
        for number, (name, _) in enumerate(COLUMNS):
            table.add_column(name, justify="right" if number else "left", no_wrap=True)
        for row in self._group.rows:
            cells = [cell(row) for _, cell in COLUMNS]
            best = row.relative == 1.0
            table.add_row(*cells, style="green" if best else "" if row.done else "dim")
        yield table
        for note in notes(self._group):
            yield Text(f"Note: {note}", style="yellow")
        for engine, reason, command in failures(self._group):
            yield Text(f"{engine}: {reason}\n  again: {command}", style="yellow")


def markdown(group: Group) -> str:
    """The same as Markdown."""
    names = [name for name, _ in COLUMNS]
    lines = [
        f"### {group.title}",
        "",
        f"| {' | '.join(names)} |",
        f"| --- |{' ---: |' * (len(names) - 1)}",
    ]
    lines += [f"| {' | '.join(cell(row) for _, cell in COLUMNS)} |" for row in group.rows]
    lines += [f"\nNote: {note}" for note in notes(group)]
    lines += [
        f"\n- {engine}: {reason} (again: `{command}`)"
        for engine, reason, command in failures(group)
    ]
    return "\n".join(lines) + "\n"
