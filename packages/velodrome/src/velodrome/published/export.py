"""Published rows as JSON, CSV and a table to read."""

import csv
import io
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.table import Table

from velodrome.published.flags import FLAGS
from velodrome.published.rows import PublishedRow


def to_json(rows: Sequence[PublishedRow]) -> str:
    """An array of objects, each with every field of the schema, null where a value is missing."""
    return msgspec.json.format(
        msgspec.json.encode([msgspec.structs.asdict(r) for r in rows])
    ).decode()


def to_csv(rows: Sequence[PublishedRow]) -> str:
    """A header and a line a row, empty where a value is missing.

    Lists are joined by `;`; `corrected_value` is `field=value` pairs joined by `;`, several
    values of one field by `+`.
    """
    text = io.StringIO()
    fields = PublishedRow.__struct_fields__
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
