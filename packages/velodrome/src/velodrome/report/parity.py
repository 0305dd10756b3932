"""Verdicts of parity as a table: for the terminal and as Markdown."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from velodrome.parity.deviation import Deviation, worst
from velodrome.parity.verdict import Verdict

_KINDS = ("loss", "gradient", "update")


def _of_kind(kind: str) -> Callable[[Verdict], str]:
    """The cell for the worst deviation of a kind."""

    def cell(verdict: Verdict) -> str:
        found = [each for each in verdict.deviations if each.kind == kind]
        return _told(worst(found)) if found else ""

    return cell


def _told(deviation: Deviation) -> str:
    return f"{deviation.error:.0e} / {deviation.tolerance:.0e}"


def _where(verdict: Verdict) -> str:
    return worst(verdict.deviations).quantity if verdict.deviations else ""


def _said(verdict: Verdict) -> str:
    return {"parity": "at parity", "deviates": "DEVIATES", "no-reference": "no reference"}.get(
        verdict.status, verdict.status
    )


COLUMNS: tuple[tuple[str, Callable[[Verdict], str]], ...] = (
    ("engine", lambda verdict: verdict.trial.engine),
    ("devices", lambda verdict: verdict.trial.devices),
    ("verdict", _said),
    *((kind, _of_kind(kind)) for kind in _KINDS),
    ("nearest its limit", _where),
)


def title(verdicts: Sequence[Verdict]) -> str:
    """What the verdicts of a table share."""
    trial, steps = verdicts[0].trial, verdicts[0].steps
    return (
        f"{trial.workload} on {trial.dataset}, batch {trial.batch_size}, {steps} steps and a pass, "
        f"{trial.dtype}, {trial.settings} settings"
    )


def together(verdicts: Iterable[Verdict]) -> list[list[Verdict]]:
    """Verdicts that differ in nothing but engine and devices, in their order."""
    found: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        found.setdefault(title([verdict]) + str(verdict.trial.recipe), []).append(verdict)
    return list(found.values())


def show(verdicts: Sequence[Verdict], folder: Path) -> None:
    """Print the tables and write `parity.md` beside the verdicts."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=160)
    rows = _rows(verdicts)
    if len(rows) > 1:
        console.print(_overview(verdicts))
        for row, found in rows.items():
            for line in _reasons(found.values()):
                console.print(Text(f"{row}, {line}", style="yellow"), soft_wrap=True)
    else:
        for each in together(verdicts):
            console.print(_table(each))
            for line in _reasons(each):
                console.print(Text(line, style="yellow"), soft_wrap=True)
    path = folder / "parity.md"
    path.write_text(markdown(verdicts))
    console.print(_legend(verdicts), soft_wrap=True)
    console.print(f"every layer: {path}", soft_wrap=True)


def reference(verdicts: Iterable[Verdict]) -> str:
    """What engines were held against, in words."""
    coarser = {each.trial.workload: each.reference for each in verdicts if each.reference}
    others = [f"{name} in {dtype}" for name, dtype in coarser.items() if dtype != "float64"]
    but = f" ({', '.join(others)}: it cannot be computed in float64)" if others else ""
    return f"a reference in float64{but}"


def _legend(verdicts: Iterable[Verdict]) -> str:
    return (
        "Error / tolerance of the quantity nearest its limit, relative to "
        f"{reference(verdicts)}; the tolerance is what rounding does to this engine's own result "
        "(docs/parity.md)."
    )


def _table(verdicts: Sequence[Verdict]) -> Table:
    table = Table(
        title=title(verdicts),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for name, _ in COLUMNS:
        table.add_column(name, no_wrap=True)
    for verdict in verdicts:
        table.add_row(*(cell(verdict) for _, cell in COLUMNS), style=_style(verdict))
    return table


def _overview(verdicts: Sequence[Verdict]) -> Table:
    """A row a workload, a column an engine."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    names = _engines(verdicts)
    for name in ("", *names):
        # Broken at the hyphen, eight engines fit a terminal.
        table.add_column(name.replace("-", "-\n"))
    for row, found in _rows(verdicts).items():
        cells = [found.get(name) for name in names]
        table.add_row(row, *(Text(_said(each), _style(each)) if each else "" for each in cells))
    return table


def _style(verdict: Verdict) -> str:
    return {"parity": "green", "deviates": "bold red"}.get(verdict.status, "yellow")


def _engines(verdicts: Iterable[Verdict]) -> list[str]:
    return sorted({verdict.trial.engine for verdict in verdicts})


def _rows(verdicts: Iterable[Verdict]) -> dict[str, dict[str, Verdict]]:
    """By workload and whatever else differs, then by engine."""
    verdicts = list(verdicts)
    columns = zip(*map(_configuration, verdicts), strict=True)
    varying = [len(set(column)) > 1 for column in columns]
    rows: dict[str, dict[str, Verdict]] = {}
    for each in verdicts:
        others = zip(_configuration(each), varying, strict=True)
        name = ", ".join([each.trial.workload, *(text for text, varies in others if varies)])
        rows.setdefault(name, {})[each.trial.engine] = each
    return rows


def _configuration(verdict: Verdict) -> tuple[str, ...]:
    trial = verdict.trial
    return (
        trial.devices,
        f"batch {trial.batch_size}",
        trial.dtype,
        trial.settings,
        trial.dataset,
        f"{verdict.steps} steps",
    )


def _reasons(verdicts: Iterable[Verdict]) -> list[str]:
    return [f"{_who(each)}: {each.reason}" for each in verdicts if each.reason]


def _dropout(verdicts: Iterable[Verdict]) -> list[str]:
    return [
        f"{_who(each)}: dropout at {seen.rate:g} drops {seen.dropped:.3f} of the values, "
        f"multiplies the others by {seen.scale:.3f}, draws its masks anew, and drops nothing in "
        "inference"
        for each in verdicts
        for seen in each.dropout
        if not seen.problem
    ]


def _who(verdict: Verdict) -> str:
    return f"{verdict.trial.engine} on {verdict.trial.devices}"


def markdown(verdicts: Sequence[Verdict]) -> str:
    """The tables, and the relative error of every quantity on every engine."""
    parts = ["# Parity\n", overview_table(verdicts), f"{_legend(verdicts)}\n"]
    for each in together(verdicts):
        parts += [f"## {title(each)}\n", summary_table(each)]
        parts += [f"- {line}" for line in (*_reasons(each), *_dropout(each))]
        parts += ["", _every_quantity(each)]
    return "\n".join(parts)


def overview_table(verdicts: Sequence[Verdict]) -> str:
    """Verdicts alone as Markdown: a row a workload, a column an engine."""
    names = _engines(verdicts)
    rows = [
        [row, *(_said(found[name]) if name in found else "" for name in names)]
        for row, found in _rows(verdicts).items()
    ]
    return _markdown(["", *names], rows)


def summary_table(verdicts: Sequence[Verdict]) -> str:
    """One table of verdicts as Markdown."""
    rows = [[cell(verdict) for _, cell in COLUMNS] for verdict in verdicts]
    return _markdown([name for name, _ in COLUMNS], rows)


def _every_quantity(verdicts: Sequence[Verdict]) -> str:
    judged = [verdict for verdict in verdicts if verdict.deviations]
    if not judged:
        return ""
    by_engine = [{each.quantity: each for each in verdict.deviations} for verdict in judged]
    rows = [[name, *(_told(found[name]) for found in by_engine)] for name in by_engine[0]]
    return _markdown(["quantity", *map(_who, judged)], rows)


def _markdown(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(names)} |", f"|{' --- |' * len(names)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"
