"""The fairness ledger: how each engine really ran, side by side."""

from collections.abc import Iterable, Sequence

import msgspec

from velodrome.parity.verdict import Verdict
from velodrome.record import Ledger
from velodrome.report.summary import Group, Row


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which an engine ran.

    Attributes:
        label: that of the rows that ran so.
        engine: their engine.
        settings: theirs.
        entries: the ledger in words, with what the comparison saw.
    """

    label: str
    engine: str
    settings: str
    entries: dict[str, str]


def ways(groups: Sequence[Group]) -> list[Way]:
    """How each engine ran, each way once, by label and settings."""
    found: dict[tuple[str, ...], Way] = {}
    for row in (row for group in groups for row in group.rows):
        for ledger in _distinct(row):
            entries = _entries(ledger, row.verdict)
            found[row.label, row.trial.settings, *entries.values()] = Way(
                label=row.label,
                engine=row.trial.engine,
                settings=row.trial.settings,
                entries=entries,
            )
    return sorted(found.values(), key=lambda way: (way.label, way.settings))


def markdown(groups: Sequence[Group]) -> str:
    """A table with a column a way; what differs between them is bold. Empty if unknown."""
    columns = ways(groups)
    if not columns:
        return ""
    lines = [
        "## Fairness ledger\n",
        "How each engine really ran; what differs between them is bold. What ran, and whether "
        "it repeats, was seen in the comparison with the reference, which is not timed.\n",
        f"| | {' | '.join(f'{way.label}, {way.settings}' for way in columns)} |",
        f"|{' --- |' * (len(columns) + 1)}",
    ]
    for entry in columns[0].entries:
        cells = [way.entries[entry] for way in columns]
        differ = len(set(cells)) > 1
        told = [f"**{cell}**" if differ and cell else cell for cell in cells]
        lines.append(f"| {entry} | {' | '.join(told)} |")
    return "\n".join(lines) + "\n"


def _distinct(row: Row) -> list[Ledger]:
    """Every way in which the row's runs ran, that of the last run last."""
    found: list[Ledger] = []
    for each in reversed(row.runs.used()):
        if each.ledger is not None and each.ledger not in found:
            found.append(each.ledger)
    return found[::-1]


def _entries(ledger: Ledger, verdict: Verdict | None) -> dict[str, str]:
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
