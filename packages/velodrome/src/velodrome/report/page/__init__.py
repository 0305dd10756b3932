"""`report.html`: everything a run tells, in one file that needs no network."""

import base64
import gzip
import json
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

import msgspec

from velodrome import record as records
from velodrome.drawing.chart import HUES, Chart
from velodrome.parity.verdict import Verdict
from velodrome.report import figures, ledger, markdown, parity, results_csv, summary, table
from velodrome.report.findings import Finding
from velodrome.report.results import Results
from velodrome.report.summary import Group, Row
from velodrome.report.words import differing, line

_MIB = 2**20

# Of more records than these the data stay in the files beside the page.
_EMBEDDED = 5000


def render(
    title: str,
    groups: Sequence[Group],
    findings: Sequence[Finding],
    about: Sequence[str],
    charts: Sequence[Chart],
    measured: Results,
    *,
    version: str = "",
    progress: str = "",
) -> str:
    """The page.

    Args:
        title: what is reported, such as the run's name.
        groups: the ranking.
        findings: the sentences that the results allow.
        about: what `markdown.machines` says of the groups.
        charts: the figures.
        measured: what is to be downloaded from the page, unless it is too much.
        version: names the state of the results where the page is served: it asks for a
            newer one now and then, and loads itself anew. Empty for a file.
        progress: how far a run that is going on has come.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("velodrome.report.page", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    folder = files(__name__)
    rows = [row for group in groups for row in group.rows]
    embedded = sum(len(row.runs) for row in rows) <= _EMBEDDED
    kept = [record for row in rows for record in row.runs.records] if embedded else []
    return environment.get_template("page.html.j2").render(
        title=title,
        version=version,
        progress=progress,
        headline=summary.headline(groups),
        findings=findings,
        answers=summary.answer(groups).splitlines(),
        shared=_shared(groups),
        groups=_groups(groups),
        matrix=_matrix(groups),
        by=_FILTERS[groups[0].rows[0].by] if groups else "",
        filters=_filters(groups),
        kinds=[kind for kind in figures.KINDS if any(each.kind == kind.name for each in charts)],
        parity=_parity(groups),
        reference=parity.reference(_verdicts(groups)),
        ledgers=ledger.ways(groups),
        failures=_failures(groups),
        every=_every(groups),
        machines=about,
        settings=markdown.settings(groups),
        legend=markdown.LEGEND,
        css=Markup(css()),
        js=Markup((folder / "page.js").read_text()),
        plotly=_packed(_plotly()),
        csv=_packed(results_csv.text(measured).encode()) if embedded else "",
        jsonl=_packed(b"".join(records.encode(record) + b"\n" for record in kept)) if kept else "",
        data=Markup(_json({"hues": msgspec.to_builtins(HUES), "charts": _charts(charts)})),
    )


def css() -> str:
    """The style of all pages."""
    return (files(__name__) / "page.css").read_text()


def _plotly() -> bytes:
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

    script: str = get_plotlyjs()
    return script.encode()


def _packed(content: bytes) -> str:
    """Compressed, as text; the page unpacks it when it is wanted."""
    return base64.b64encode(gzip.compress(content, 4, mtime=0)).decode()


def _json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _charts(charts: Iterable[Chart]) -> list[dict[str, Any]]:
    """Each with the words that tell it from the others of its kind."""
    by_kind: dict[str, list[Chart]] = {}
    for chart in charts:
        by_kind.setdefault(chart.kind, []).append(chart)
    return [
        msgspec.to_builtins(chart) | {"label": line(own)}
        for alike in by_kind.values()
        for chart, own in zip(alike, differing(each.shared for each in alike), strict=True)
    ]


def _words(groups: Sequence[Group]) -> list[dict[str, str]]:
    machines = {group.machine for group in groups}
    return [
        summary.shared(group.rows[0])
        | ({"machine": group.machine.cpu} if len(machines) > 1 else {})
        for group in groups
    ]


def _shared(groups: Sequence[Group]) -> str:
    """What all groups have in common."""
    each = _words(groups)
    own = {field for one in differing(each) for field in one} if each else set()
    return (
        line({field: text for field, text in each[0].items() if field not in own}) if each else ""
    )


def _labels(groups: Sequence[Group]) -> list[str]:
    """What tells each group from the others."""
    return [line(own) for own in differing(_words(groups))] if groups else []


def _groups(groups: Sequence[Group]) -> list[dict[str, Any]]:
    return [
        {
            "label": label or group.title,
            "words": _json(shared),
            "tables": [
                (caption, *table.cells(group, columns))
                for caption, columns in (
                    ("Ranking", table.RANKING),
                    ("Clocks", table.CLOCKS),
                    ("Resources", table.RESOURCES),
                )
            ],
            "rows": group.rows,
            "notes": summary.notes(group),
        }
        for group, label, shared in zip(groups, _labels(groups), _words(groups), strict=True)
    ]


def _matrix(groups: Sequence[Group]) -> list[tuple[str, str, list[float | None]]]:
    """A line an engine: its label, its name, and its ratio to the fastest in each group."""
    names = dict.fromkeys(
        (row.label, row.trial.engine if row.by == "engine" else "")
        for group in groups
        for row in group.rows
        if row.done
    )
    found = [
        (
            label,
            engine,
            [
                next((row.relative for row in group.rows if row.label == label), None)
                for group in groups
            ],
        )
        for label, engine in names
    ]
    return sorted(found, key=lambda each: -sum(ratio or 0.0 for ratio in each[2]))


_FILTERS = {
    "engine": "Engine",
    "workload": "Workload",
    "dataset": "Data set",
    "samples": "Samples",
    "devices": "Devices",
    "batch_size": "Batch size",
    "epochs": "Epochs",
    "dtype": "Data type",
    "settings": "Settings",
    "learning_rate": "Learning rate",
    "machine": "Machine",
}


def _filters(groups: Sequence[Group]) -> dict[str, Any]:
    """Fields that have several values, with these; and the engines."""
    each = _words(groups)
    choices = {field: list(dict.fromkeys(one.get(field, "") for one in each)) for field in _FILTERS}
    engines = {row.trial.engine for group in groups for row in group.rows}
    return {
        "fields": [
            (field, title, [value for value in choices[field] if value])
            for field, title in _FILTERS.items()
            if len(choices[field]) > 1 and field != "engine"
        ],
        "engines": sorted(engines),
    }


def _every(groups: Sequence[Group]) -> dict[str, Any]:
    """The table of all rows: only the fields in which rows differ, then the figures."""
    shared = _words(groups)
    fields = [field for field in _FILTERS if len({one.get(field) for one in shared}) > 1]
    lines = []
    for group, common in zip(groups, shared, strict=True):
        for row in group.rows:
            cells: list[tuple[str, str | float]] = [(row.label, row.label)]
            cells += [(common.get(field, ""), _number(common.get(field, ""))) for field in fields]
            cells += [
                ("" if value is None else f"{value:{form}}", "" if value is None else value)
                for value, form in (
                    (row.samples_sec, ",.0f"),
                    (row.relative, ".2f"),
                    (row.time, ".3f"),
                    (row.accuracy, ".4f"),
                    (row.first_step, ".2f"),
                    (row.real, ".1f"),
                    (row.peak_memory and row.peak_memory / _MIB, ",.0f"),
                    (len(row.done), "d"),
                )
            ]
            lines.append(
                {
                    "words": _json(common),
                    "engine": row.trial.engine,
                    "cells": [*cells, _status(row)],
                }
            )
    names = [
        *{_FILTERS[row.by]: None for group in groups for row in group.rows},
        *(_FILTERS[field] for field in fields),
        "Samples/s",
        "Ratio",
        "s/epoch",
        "Accuracy",
        "1st step (s)",
        "Process (s)",
        "MiB",
        "Runs",
        "Status",
    ]
    return {"names": names, "words": 1 + len(fields), "lines": lines}


def _number(text: str) -> str | float:
    """What a text sorts by: the number in `batch 64`, else the text."""
    digits = [part for part in text.split() if part.replace(".", "", 1).isdigit()]
    return float(digits[0]) if digits else text


def _status(row: Row) -> tuple[str, str]:
    kinds = sorted(set(row.failed.status))
    text = ", ".join(kinds) or "ok"
    return text, text


def _verdicts(groups: Sequence[Group]) -> list[Verdict]:
    """What is known of the engines' parity, each verdict once."""
    verdicts: list[Verdict] = []
    for row in (row for group in groups for row in group.rows):
        if row.verdict is not None and row.verdict not in verdicts:
            verdicts.append(row.verdict)
    return verdicts


def _parity(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """The verdicts on the engines, a table for each set that was compared."""
    return [
        {
            "title": parity.title(alike),
            "names": [name for name, _ in parity.COLUMNS],
            "lines": [
                {"verdict": each, "cells": [cell(each) for _, cell in parity.COLUMNS]}
                for each in sorted(alike, key=lambda verdict: verdict.trial.engine)
            ],
        }
        for alike in parity.together(_verdicts(groups))
    ]


def _failures(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Every failure, alike ones of an engine together."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for group, label, shared in zip(groups, _labels(groups), _words(groups), strict=True):
        for row in group.rows:
            for status, failure in zip(row.failed.status, row.failed.failure, strict=True):
                key = row.label, status, failure.reason
                one = found.setdefault(
                    key,
                    {
                        "label": row.label,
                        "engine": row.trial.engine,
                        "status": status,
                        "failure": failure,
                        "where": [],
                        "words": _json(shared),
                    },
                )
                if (label or group.title) not in one["where"]:
                    one["where"].append(label or group.title)
    return list(found.values())
