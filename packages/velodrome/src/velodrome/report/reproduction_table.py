"""Ours beside theirs as a table: for the terminal and as Markdown, from one set of columns."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from velodrome.published import PublishedRow
from velodrome.published.flags import FLAGS
from velodrome.report.markdown import machines
from velodrome.report.reproduction import Figures, Line, devices
from velodrome.report.summary import Group

Cell = Callable[[Line], str]


class Column(NamedTuple):
    """A column; with `here` one of two, theirs and ours."""

    heading: str
    cell: Cell
    here: Cell | None = None
    text: bool = False


def _number(value: float | None, form: str = ",.0f") -> str:
    return "" if value is None else f"{value:{form}}"


def _figure(heading: str, name: str, form: str) -> Column:
    """Their figure and ours."""

    def ours(line: Line) -> str:
        return _number(getattr(line.ours, name), form) if line.ours else ""

    return Column(heading, lambda line: _number(getattr(line.theirs, name), form), ours)


def _seconds(figures: Figures | None) -> str:
    if figures is None:
        return ""
    if figures.epoch_seconds is not None:
        return f"{figures.epoch_seconds:,.2f}"
    return "" if figures.run_seconds is None else f"{figures.run_seconds:,.1f} (run)"


def _engine(line: Line) -> str:
    """Ours, and theirs where it was another."""
    ours = line.trial.engine if line.trial else line.row.engine
    return ours if ours == line.row.engine else f"{ours} (for {line.row.engine})"


def _on(row: PublishedRow) -> str:
    return row.devices or (f"{devices(row)}, {row.instance}" if row.instance else str(devices(row)))


COLUMNS = (
    Column("row", lambda line: line.row.row_id, text=True),
    Column("workload", lambda line: line.row.workload, text=True),
    Column("engine", _engine, text=True),
    Column("batch", lambda line: _number(line.row.batch_total, "d")),
    Column(
        "on",
        lambda line: _on(line.row),
        lambda line: line.trial.devices if line.trial else "",
        text=True,
    ),
    Column(
        "epochs",
        lambda line: str(line.row.epochs),
        lambda line: str(line.trial.epochs) if line.trial else "",
    ),
    _figure("samples/s", "samples_sec", ",.0f"),
    Column("s", lambda line: _seconds(line.theirs), lambda line: _seconds(line.ours)),
    Column("ratio", lambda line: _number(line.ratio, ".3g")),
    _figure("accuracy", "accuracy", ".4f"),
    _figure("speed-up", "speedup", ".2f"),
    _figure("MiB", "memory", ",.0f"),
)


def _said(lines: Sequence[Line]) -> list[Column]:
    """The columns that say something."""
    return [
        column
        for column in COLUMNS
        if any(column.cell(line) or (column.here and column.here(line)) for line in lines)
    ]


def _ran(lines: Iterable[Line]) -> list[Line]:
    return [line for line in lines if line.ours]


def not_run(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """The lines without a result of ours, by their reason."""
    found: dict[str, list[Line]] = {}
    for line in lines:
        if not line.ours:
            found.setdefault(line.reason, []).append(line)
    return found


def meanings(lines: Iterable[Line]) -> list[str]:
    """What the figures beside each other mean, a sentence each."""
    lines = _ran(lines)
    found = []
    stats = {
        "median": "the median over the epochs",
        "last": "the last epoch",
        "mean": "the mean over the whole fit, building of the graph included",
        "log-derived": "taken from a log; which epoch is not said, ours is the median",
        None: "none was published, ours is the median",
    }
    if any(line.theirs.run_seconds for line in lines):
        found.append(
            "Seconds (run): the whole process, loading included; ours is its time outside the "
            "epochs, and as many epochs as theirs."
        )
    for stat, validation in dict.fromkeys(
        (line.row.epoch_time_stat, line.row.includes_validation)
        for line in lines
        if line.ours and line.ours.epoch_seconds
    ):
        held = "included" if validation else "excluded"
        found.append(f"Seconds an epoch: {stats[stat]}; validation {held}.")
    if any(
        line.row.throughput_count == line.row.n_train + line.row.n_val
        for line in lines
        if line.row.throughput_count
    ):
        found.append("Samples/s count the validation samples too.")
    if {line.row.n_train for line in lines} != {
        line.trial.samples or line.row.n_train for line in lines if line.trial
    }:
        found.append("Our times are scaled to their number of samples; our accuracies are not.")
    for ours, theirs in dict.fromkeys(
        (line.trial.dataset, line.row.dataset)
        for line in lines
        if line.trial and line.trial.dataset != line.row.dataset
    ):
        found.append(f"Ours trained on {ours}, theirs on {theirs}.")
    if any(line.trial and line.trial.epochs != line.row.epochs for line in lines):
        found.append("Where the epochs differ, accuracies cannot be compared.")
    if any(line.theirs.memory or (line.ours and line.ours.memory) for line in lines):
        found.append("MiB: the peak of all GPUs together; on a CPU, of the whole process.")
    if any(line.trial and line.trial.devices != str(devices(line.row)) for line in lines):
        found.append("Where devices differ in kind, ours stand in for what this machine lacks.")
    flags = sorted({flag for line in lines for flag in line.row.flags})
    return found + [f"{flag}: {FLAGS[flag]} {_of(flag, lines)}" for flag in flags]


def _of(flag: str, lines: Iterable[Line]) -> str:
    return f"({_names(line for line in lines if flag in line.row.flags)})"


def _names(lines: Iterable[Line]) -> str:
    """Row ids; neighbours as `000-001 to 000-004`."""
    spans: list[list[str]] = []
    for name in dict.fromkeys(line.row.row_id for line in lines):
        seed, _, number = name.partition("-")
        before = spans[-1][-1] if spans else ""
        if before == f"{seed}-{int(number) - 1:03d}":
            spans[-1].append(name)
        else:
            spans.append([name])
    return ", ".join(
        f"{span[0]} to {span[-1]}" if len(span) > 2 else ", ".join(span) for span in spans
    )


class SideBySide:
    """Ours beside theirs, as rich prints it."""

    def __init__(self, name: str, lines: Sequence[Line]) -> None:
        self._name = name
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Title, table, meanings, what was not run."""
        table = Table(
            title=f"{self._name}: ours beside the figures of 2017",
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
        )
        ran = _ran(self._lines)
        columns = _said(ran)
        for column in columns:
            heading = f"{column.heading}\n2017 | here" if column.here else column.heading
            table.add_column(
                heading,
                justify="left" if column.text else "right",
                no_wrap=column.heading != "on",
                overflow="fold",
            )
        for line in ran:
            table.add_row(*(_together(column, line) for column in columns))
        if ran:
            yield table
            yield Text("\n".join(meanings(self._lines)), style="dim")
        for reason, lines in not_run(self._lines).items():
            yield Text(f"not run here: {_names(lines)}: {reason}", style="yellow")


def write(groups: Sequence[Group], lines: Sequence[Line], path: Path) -> None:
    """Write ours beside theirs, and what ours were measured on, as Markdown."""
    name = path.parent.name
    parts = [f"# {name}: ours beside the figures of 2017\n", *machines(groups), markdown(lines)]
    path.write_text("\n".join(parts))


def markdown(lines: Sequence[Line]) -> str:
    """The same as Markdown, with what the rows that we did not run gave."""
    parts = []
    if ran := _ran(lines):
        parts = [_table(ran), *(f"- {sentence}" for sentence in meanings(lines)), ""]
    for reason, missing in not_run(lines).items():
        parts += [f"### Not run here: {reason}", "", _table(missing)]
    return "\n".join(parts)


def _together(column: Column, line: Line) -> str:
    if column.here is None:
        return column.cell(line)
    return f"{column.cell(line) or '-'} | {column.here(line) or '-'}"


def _table(lines: Sequence[Line]) -> str:
    columns = [each for column in _said(lines) for each in _apart(column, lines)]
    rows = [
        [column.heading for column in columns],
        ["---" if column.text else "---:" for column in columns],
        *([column.cell(line) for column in columns] for line in lines),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _apart(column: Column, lines: Sequence[Line]) -> list[Column]:
    """Theirs and ours as a column each, those without a word left out."""
    if column.here is None:
        return [column]
    both = (
        column._replace(heading=f"{column.heading}, 2017"),
        column._replace(heading=f"{column.heading}, here", cell=column.here),
    )
    return [each for each in both if any(each.cell(line) for line in lines)]
