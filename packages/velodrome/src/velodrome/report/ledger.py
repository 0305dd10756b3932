"""The fairness ledger: how each engine really ran, side by side."""

from collections.abc import Iterable, Sequence

from velodrome.parity.verdict import Verdict
from velodrome.record import Ledger
from velodrome.report.summary import Group, Row


def markdown(groups: Sequence[Group]) -> str:
    """A table with a column an engine; what differs between engines is bold. Empty if unknown."""
    columns: dict[str, dict[str, str]] = {}
    for row in (row for group in groups for row in group.rows):
        for ledger in distinct(row):
            columns[f"{row.trial.engine}, {row.trial.settings}"] = entries(ledger, row.verdict)
    if not columns:
        return ""
    lines = [
        "## Fairness ledger\n",
        "How each engine really ran; what differs between them is bold. What ran, and whether "
        "it repeats, was seen in the comparison with the reference, which is not timed.\n",
        f"| | {' | '.join(columns)} |",
        f"|{' --- |' * (len(columns) + 1)}",
    ]
    for entry in next(iter(columns.values())):
        cells = [column[entry] for column in columns.values()]
        differ = len(set(cells)) > 1
        told = [f"**{cell}**" if differ and cell else cell for cell in cells]
        lines.append(f"| {entry} | {' | '.join(told)} |")
    return "\n".join(lines) + "\n"


def distinct(row: Row) -> list[Ledger]:
    """Every way in which the row's runs ran, that of the last run last."""
    found: list[Ledger] = []
    for record in reversed(row.records):
        if record.ledger is not None and record.ledger not in found:
            found.append(record.ledger)
    return found[::-1]


def entries(ledger: Ledger, verdict: Verdict | None) -> dict[str, str]:
    """The ledger in words, with what the comparison saw."""
    return {
        "dtype": ledger.dtype,
        "TF32": {True: "on", False: "off", None: "not on this device"}[ledger.tf32],
        "compiled": ledger.compile_mode,
        "threads": "not told" if ledger.threads is None else str(ledger.threads),
        "memory format": ledger.memory_format,
        "data path": ledger.data_path,
        "device": ledger.device,
        "determinism": ledger.determinism,
        "repeats to the last bit": _repeats(verdict),
        "really ran": _ran(verdict),
        "versions": _pairs(ledger.versions.items()),
        "variables": _pairs(ledger.variables.items()),
        "notes": "; ".join(ledger.notes),
    }


def _repeats(verdict: Verdict | None) -> str:
    if verdict is None or verdict.repeatable is None:
        return "unknown"
    return "yes" if verdict.repeatable else "no"


def _ran(verdict: Verdict | None) -> str:
    if verdict is None or not verdict.deviations:
        return "unknown"
    return "; ".join(map(str, verdict.kernels)) or "neither oneDNN nor cuDNN"


def _pairs(items: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(items))
