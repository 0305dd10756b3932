"""Drift of the machine while a run was measured."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from velodrome.drawing.chart import Axis, Chart, Point, Series
from velodrome.record import Record
from velodrome.report.figures.parts import (
    GREY,
    Facet,
    Kind,
    by_label,
    chart,
    name_of,
    of_engine,
    runs_of,
)
from velodrome.report.process import Process
from velodrome.report.summary import Row
from velodrome.statistics import median

# More points of an engine than these are not drawn one by one.
_POINTS = 500


def _drift(rows: Sequence[Row]) -> list[Chart]:
    found = []
    for machine in dict.fromkeys(row.records[0].machine for row in rows):
        here = [row for row in rows if row.records[0].machine == machine]
        runs = {
            key: [
                (_started(record), row, record, one) for row in own for record, one in runs_of(row)
            ]
            for key, own in by_label(here).items()
        }
        began = min(started for own in runs.values() for started, *_ in own)
        series = [
            of_engine(label, engine, _paces(own, began)) for (label, engine), own in runs.items()
        ]
        series.append(_kernel([each for own in runs.values() for each in own], began))
        if kept := tuple(each for each in series if each.points):
            found.append(
                chart(
                    "drift",
                    Facet({"machine": f"{machine.cpu}, {machine.cores} cores"}, here),
                    mark="points",
                    x=Axis(title="started after (minutes)"),
                    y=Axis(title="pace over the median"),
                    series=kept,
                )
            )
    return found


_Started = tuple[float, Row, Record, Process]


def _paces(runs: Sequence[_Started], began: float) -> tuple[Point, ...]:
    """The throughput of each run over the median of its repeats, where there are several."""
    repeated = [each for each in runs if len(each[1].processes) > 1]
    return tuple(
        Point(
            x=(started - began) / 60,
            y=one.samples_sec / (row.samples_sec or 1.0),
            text=f"{name_of(row)}, batch {row.trial.batch_size}, run {record.trial.repeat + 1}: "
            f"{one.samples_sec:,.0f} samples/s",
        )
        for started, row, record, one in _thinned(sorted(repeated, key=lambda each: each[0]))
    )


Many = TypeVar("Many")


def _thinned(many: Sequence[Many]) -> Sequence[Many]:
    """Every n-th, where there are more than an eye can tell apart; the caption says so."""
    return many[:: 1 + len(many) // _POINTS]


def _kernel(runs: Sequence[_Started], began: float) -> Series:
    """The pace of a fixed kernel before each run, over its median."""
    readings = sorted(
        (started, record.steadiness.before)
        for started, _, record, _ in runs
        if record.steadiness is not None
    )
    middle = median([seconds for _, seconds in readings]) if readings else 0.0
    points = tuple(
        Point(
            x=(started - began) / 60,
            y=middle / seconds,
            text=f"a fixed kernel took {seconds * 1e3:.1f} ms",
        )
        for started, seconds in _thinned(readings)
    )
    return Series(name="a fixed kernel", points=points, hue=GREY)


def _started(record: Record) -> float:
    return datetime.fromisoformat(record.started).timestamp()


DRIFT = Kind(
    name="drift",
    title="Drift of the machine",
    caption="Each run's throughput over the median of its configuration, by when it "
    "started; and the pace of a fixed kernel that is timed between the runs. A machine that "
    "keeps its pace scatters about 1; a slope or a step is drift. Of more than "
    f"{_POINTS} runs of an engine, every n-th is shown; the CSV has all.",
    build=_drift,
)
