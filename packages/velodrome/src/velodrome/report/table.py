"""The ranking as tables: for the terminal and as Markdown, from one set of columns."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Literal

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from velodrome.report.ceiling import share_of_ceiling
from velodrome.report.process import cost
from velodrome.report.results import known
from velodrome.report.summary import Group, Row, notes

_MIB = 2**20

Columns = Sequence[tuple[str, Callable[[Row, Group], str]]]


def _number(value: float | None, form: str) -> str:
    return "" if value is None else f"{value:{form}}"


RANKING: Columns = (
    ("engine", lambda row, group: row.label),
    ("samples/s", lambda row, group: _number(row.samples_sec, ",.0f")),
    ("ratio", lambda row, group: _number(row.relative, ".2f")),
    ("99% interval", lambda row, group: interval(row)),
    ("verdict", lambda row, group: verdict(row, group)),
    ("parity", lambda row, group: parity(row)),
    ("s/epoch", lambda row, group: _number(row.time, ".3f")),
    ("accuracy", lambda row, group: _number(row.accuracy, ".4f")),
    ("1st step", lambda row, group: _number(row.first_step, ".2f")),
    ("MiB", lambda row, group: _number(row.peak_memory and row.peak_memory / _MIB, ",.0f")),
    ("runs", lambda row, group: _runs(row)),
)

CLOCKS: Columns = (
    ("engine", lambda row, group: row.label),
    ("import", lambda row, group: _number(row.import_seconds, ".2f")),
    ("build", lambda row, group: _number(row.build_seconds, ".2f")),
    ("1st step", lambda row, group: _number(row.first_step, ".3f")),
    ("s/epoch", lambda row, group: _number(row.time, ".3f")),
    ("with validation", lambda row, group: _number(row.time_with_validation, ".3f")),
    ("to target", lambda row, group: _to_target(row, group)),
    ("overtaken", lambda row, group: _number(row.break_even, "d")),
    ("real", lambda row, group: _number(row.real, ".2f")),
    ("user", lambda row, group: _number(row.user, ".2f")),
    ("sys", lambda row, group: _number(row.sys, ".2f")),
)

RESOURCES: Columns = (
    ("engine", lambda row, group: row.label),
    ("own MiB", lambda row, group: _number(row.own_memory and row.own_memory / _MIB, ",.0f")),
    ("GPU MiB", lambda row, group: _gpus(row, "process")),
    ("framework's GPU MiB", lambda row, group: _gpus(row, "framework")),
    ("joules/epoch", lambda row, group: _number(row.joules, ",.1f")),
    ("cost/epoch", lambda row, group: _number(cost(row.time, _price(row)), ".3g")),
    ("cost to target", lambda row, group: _number(cost(row.to_target, _price(row)), ".3g")),
    ("of ceiling", lambda row, group: _number(share_of_ceiling(row), ".1%")),
    ("cpus", lambda row, group: _cpus(row)),
    ("threads", lambda row, group: _threads(row)),
)


def interval(row: Row) -> str:
    """Of the ratio to the fastest; empty where there are too few runs for one."""
    comparison = row.comparison
    if comparison is None or comparison.low is None or comparison.high is None:
        return ""
    return f"{comparison.low:.2f} to {comparison.high:.2f}"


def parity(row: Row) -> str:
    """Whether the engine trains what the others train."""
    if row.verdict is None:
        return "unknown" if row.done else ""
    said = {"parity": "yes", "deviates": "NO"}
    return said.get(row.verdict.status, row.verdict.status if row.done else "")


def verdict(row: Row, group: Group) -> str:
    """What may be said of the row against the fastest."""
    if row.done and row.flag:
        return "not ranked"
    if row.comparison is None:
        return "fastest" if row.relative == 1.0 else ""
    if row.comparison.low is None:
        return f"undecided, {group.needed} runs needed"
    return row.comparison.verdict


def _price(row: Row) -> float | None:
    return row.runs.used()[-1].site.price_per_hour


def _gpus(row: Row, figure: Literal["process", "framework"]) -> str:
    """Of each device by itself, the largest of the runs: `gpu 0: 512, gpu 1: 498`."""
    most: dict[int, int] = {}
    for device in chain.from_iterable(row.done.devices):
        if (held := getattr(device, figure)) is not None:
            most[device.index] = max(most.get(device.index, 0), held)
    return ", ".join(f"gpu {index}: {held / _MIB:,.0f}" for index, held in sorted(most.items()))


def _cpus(row: Row) -> str:
    used = {each.cpus for each in row.done.used() if each.cpus}
    return "; ".join(sorted("+".join(map(str, cpus)) for cpus in used))


def _threads(row: Row) -> str:
    """What the framework says of its workers, then all threads of the process."""
    told = {str(each.ledger.threads or "?") for each in row.done.used() if each.ledger}
    counted = known(row.done.threads)
    if not len(counted):
        return "/".join(sorted(told))
    return f"{'/'.join(sorted(told))} of {counted.max():.0f}"


def _to_target(row: Row, group: Group) -> str:
    if group.target is None or not row.done:
        return ""
    if row.to_target is not None:
        return f"{row.to_target:.2f}"
    return f"{row.reached} of {len(row.done)} runs reached it"


def _runs(row: Row) -> str:
    if not row.failed:
        return str(len(row.done))
    kinds = ", ".join(sorted(set(row.failed.status)))
    return f"{len(row.done)}, {len(row.failed)} {kinds}" if row.done else kinds


def failures(group: Group) -> list[tuple[str, str, str]]:
    """Engine, reason and reproducing command of each kind of failure in a group."""
    found: dict[tuple[str, str], str] = {}
    for row in group.rows:
        for status, failure in zip(row.failed.status, row.failed.failure, strict=True):
            found.setdefault((row.label, f"{status}: {failure.reason}"), failure.command)
    return [(engine, reason, command) for (engine, reason), command in found.items()]


def cells(group: Group, columns: Columns) -> tuple[list[str], list[list[str]]]:
    """Names of the columns in which anything stands, and a list of cells a row."""
    lines = [[cell(row, group) for _, cell in columns] for row in group.rows]
    kept = [n for n, _ in enumerate(columns) if any(line[n] for line in lines)]
    names = [group.rows[0].by if n == 0 else columns[n][0] for n in kept]
    return names, [[line[n] for n in kept] for line in lines]


class Ranking:
    """A group, as rich prints it."""

    def __init__(self, group: Group) -> None:
        self._group = group

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Title, table, times if a target was asked for, notes, failures."""
        group = self._group
        yield _rich(group, RANKING, group.title)
        if group.target is not None:
            yield _rich(group, CLOCKS, f"seconds; target accuracy {group.target:g}")
        for note in notes(group):
            yield Text(f"Note: {note}", style="yellow")
        for engine, reason, command in failures(group):
            yield Text(f"{engine}: {reason}\n  again: {command}", style="yellow")


def _rich(group: Group, columns: Columns, title: str) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    names, lines = cells(group, columns)
    for number, name in enumerate(names):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for row, line in zip(group.rows, lines, strict=True):
        best = row.relative == 1.0
        table.add_row(*line, style="green" if best else "" if row.done else "dim")
    return table


def markdown(group: Group) -> str:
    """The same as Markdown, with all clocks."""
    lines = [f"### {group.title}", "", *_markdown(group, RANKING)]
    if any(row.done for row in group.rows):
        lines += ["", *_markdown(group, CLOCKS), "", *_markdown(group, RESOURCES)]
    lines += [f"\nNote: {note}" for note in notes(group)]
    lines += [
        f"\n- {engine}: {reason} (again: `{command}`)"
        for engine, reason, command in failures(group)
    ]
    return "\n".join(lines) + "\n"


def _markdown(group: Group, columns: Columns) -> list[str]:
    names, lines = cells(group, columns)
    return [
        f"| {' | '.join(names)} |",
        f"| --- |{' ---: |' * (len(names) - 1)}",
        *(f"| {' | '.join(line)} |" for line in lines),
    ]
