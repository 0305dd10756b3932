"""Published rows, and what was said of them, as JSON, CSV and a table to read."""

import csv
import io
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.table import Table

from velodrome.published.claims import Outcome, Verdict
from velodrome.published.flags import FLAGS
from velodrome.published.rows import PublishedRow


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A claim recomputed, flat.

    Attributes:
        claim_id, seed, source_line, about, printed, quantity: as in `Claim`.
        outcome: whether the rows bear it out.
        held: how many of the ratios that it rests on are as claimed.
        of: how many there are.
        lowest: of those ratios.
        highest: of those ratios.
        rests_on: the rows divided, `dividend/divisor`.
    """

    claim_id: str
    seed: str
    source_line: int
    about: str
    printed: str
    quantity: str
    outcome: Outcome
    held: int
    of: int
    lowest: float
    highest: float
    rests_on: tuple[str, ...]


def flat(verdict: Verdict) -> Claimed:
    """What there is to say of a claim."""
    claim = verdict.claim
    values = [ratio.value for ratio in verdict.ratios]
    return Claimed(
        claim_id=claim.claim_id,
        seed=claim.seed,
        source_line=claim.source_line,
        about=claim.about,
        printed=claim.printed,
        quantity=claim.quantity,
        outcome=verdict.outcome,
        held=verdict.held,
        of=len(values),
        lowest=min(values),
        highest=max(values),
        rests_on=tuple(f"{ratio.dividend}/{ratio.divisor}" for ratio in verdict.ratios),
    )


def to_json(rows: Sequence[PublishedRow | Claimed]) -> str:
    """An array of objects, each with every field of the schema, null where a value is missing."""
    return msgspec.json.format(
        msgspec.json.encode([msgspec.structs.asdict(r) for r in rows])
    ).decode()


def to_csv(rows: Sequence[PublishedRow | Claimed], kind: type[msgspec.Struct]) -> str:
    """A header and a line a row, empty where a value is missing.

    Lists are joined by `;`; `corrected_value` is `field=value` pairs joined by `;`, several
    values of one field by `+`.

    Args:
        rows: all of one kind.
        kind: whose fields are the columns.
    """
    text = io.StringIO()
    fields = kind.__struct_fields__
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows([_cell(getattr(row, field)) for field in fields] for row in rows)
    return text.getvalue()


def to_table(rows: Sequence[PublishedRow]) -> Table:
    """The figures people look for, a row each, and below them what the rows' flags mean."""
    flags = sorted({flag for row in rows for flag in row.flags})
    table = Table(
        box=None,
        header_style="bold",
        pad_edge=False,
        caption="\n".join(f"{flag}: {FLAGS[flag]}" for flag in flags) or None,
        caption_justify="left",
    )
    for heading, right in _COLUMNS:
        table.add_column(heading, justify="right" if right else "left", no_wrap=heading != "flags")
    for row in rows:
        table.add_row(
            row.row_id,
            row.status,
            row.workload,
            row.engine,
            _number(row.batch_total),
            str(row.gpus),
            row.devices,
            str(row.epochs),
            _number(row.epoch_time_s),
            _number(row.total_time_s),
            _number(row.throughput_per_s),
            _number(row.val_accuracy),
            _number(row.mem_peak_mib),
            ", ".join(row.flags),
            _cell(row.corrected_value),
        )
    return table


def claims_table(claims: Sequence[Claimed]) -> Table:
    """What was said, what the rows give, and the verdict."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("claim", "seed", "about"):
        table.add_column(heading)
    for heading in ("printed", "recomputed", "held"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for claim in claims:
        low, high = f"{claim.lowest:.2f}", f"{claim.highest:.2f}"
        table.add_row(
            claim.claim_id,
            claim.seed,
            f"{claim.about} ({claim.quantity})",
            claim.printed,
            low if low == high else f"{low} to {high}",
            f"{claim.held} of {claim.of}",
            claim.outcome,
        )
    return table


_COLUMNS = (
    ("row", False),
    ("status", False),
    ("workload", False),
    ("engine", False),
    ("batch", True),
    ("gpus", True),
    ("devices", False),
    ("epochs", True),
    ("s/epoch", True),
    ("total s", True),
    ("samples/s", True),
    ("val. accuracy", True),
    ("peak MiB", True),
    ("flags", False),
    ("corrected", False),
)


def _number(value: float | None) -> str:
    """Enough digits to read; the exports carry them all."""
    return "" if value is None else f"{value:.0f}" if abs(value) >= 1e4 else f"{value:.5g}"


def _cell(value: Any, separator: str = ";") -> Any:
    if isinstance(value, dict):
        return separator.join(f"{field}={_cell(each, '+')}" for field, each in value.items())
    return separator.join(map(str, value)) if isinstance(value, tuple) else value
