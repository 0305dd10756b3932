"""Drift of the machine while a run was measured."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

import numpy as np

from velodrome.drawing.chart import Axis, Chart, Point, Series
from velodrome.report.figures.parts import (
    GREY,
    Facet,
    Kind,
    by_label,
    chart,
    name_of,
    of_engine,
)
from velodrome.report.results import Results, joined
from velodrome.report.summary import Row
from velodrome.statistics import median

# More points of an engine than these are not drawn one by one.
_POINTS = 500


def _drift(rows: Sequence[Row]) -> list[Chart]:
    found = []
    for machine in dict.fromkeys(row.machine for row in rows):
        here = [row for row in rows if row.machine == machine]
        every = joined([row.done for row in here])
        began = _seconds(every.started.min())
        series = [
            of_engine(label, engine, _paces(own, began))
            for (label, engine), own in by_label(here).items()
        ]
        series.append(_kernel(every, began))
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


def _paces(rows: Sequence[Row], began: float) -> tuple[Point, ...]:
    """The throughput of each run over the median of its repeats, where there are several."""
    repeated = [row for row in rows if len(row.done) > 1]
    runs = [
        (started, row, int(repeat), float(speed))
        for row in repeated
        for started, repeat, speed in zip(
            row.done.started, row.done.repeat, row.done.samples_sec, strict=True
        )
    ]
    return tuple(
        Point(
            x=(_seconds(started) - began) / 60,
            y=speed / (row.samples_sec or 1.0),
            text=f"{name_of(row)}, batch {row.trial.batch_size}, run {repeat + 1}: "
            f"{speed:,.0f} samples/s",
        )
        for started, row, repeat, speed in _thinned(sorted(runs, key=lambda run: run[0]))
    )


Many = TypeVar("Many")


def _thinned(many: Sequence[Many]) -> Sequence[Many]:
    """Every n-th, where there are more than an eye can tell apart; the caption says so."""
    return many[:: 1 + len(many) // _POINTS]


def _kernel(runs: Results, began: float) -> Series:
    """The pace of a fixed kernel before each run, over its median."""
    timed = runs.take(~np.isnan(runs.before))
    middle = median(timed.before) if timed else 0.0
    readings = sorted(zip(timed.started.tolist(), timed.before.tolist(), strict=True))
    points = tuple(
        Point(
            x=(_seconds(started) - began) / 60,
            y=middle / seconds,
            text=f"a fixed kernel took {seconds * 1e3:.1f} ms",
        )
        for started, seconds in _thinned(readings)
    )
    return Series(name="a fixed kernel", points=points, hue=GREY)


def _seconds(started: str) -> float:
    return datetime.fromisoformat(started).timestamp()


DRIFT = Kind(
    name="drift",
    title="Drift of the machine",
    caption="Each run's throughput over the median of its configuration, by when it "
    "started; and the pace of a fixed kernel that is timed between the runs. A machine that "
    "keeps its pace scatters about 1; a slope or a step is drift. Of more than "
    f"{_POINTS} runs of an engine, every n-th is shown; the CSV has all.",
    build=_drift,
)
