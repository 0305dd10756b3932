"""Drift of the machine while a run was measured."""

from collections.abc import Sequence
from datetime import datetime

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
from velodrome.report.process import Objects
from velodrome.report.summary import Row
from velodrome.statistics import median

# More points of an engine than these are not drawn one by one.
_POINTS = 250


def _drift(rows: Sequence[Row]) -> list[Chart]:
    found = []
    for machine in dict.fromkeys(row.machine for row in rows):
        here = [row for row in rows if row.machine == machine]
        began = _seconds(min(row.done.started.min() for row in here))
        series = [
            of_engine(label, engine, _paces(own, began))
            for (label, engine), own in by_label(here).items()
        ]
        series.append(_kernel(here, began))
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
    runs = [(row, number) for row in repeated for number in range(len(row.done))]
    return tuple(_pace(*runs[at], began) for at in _thinned([row.done.started for row in repeated]))


def _pace(row: Row, number: int, began: float) -> Point:
    speed = row.done.samples_sec[number]
    return Point(
        x=(_seconds(row.done.started[number]) - began) / 60,
        y=float(speed) / (row.samples_sec or 1.0),
        text=f"{name_of(row)}, batch {row.trial.batch_size}, "
        f"run {row.done.repeat[number] + 1}: {speed:,.0f} samples/s",
    )


def _thinned(started: Sequence[Objects]) -> list[int]:
    """In the order of their start, every n-th, where there are more than an eye can tell apart."""
    every = np.concatenate([_NONE, *started])
    order: list[int] = np.argsort(every, kind="stable").tolist()
    return order[:: 1 + len(every) // _POINTS]


_NONE = np.array([], object)


def _kernel(rows: Sequence[Row], began: float) -> Series:
    """The pace of a fixed kernel before each run, over its median."""
    timed = [~np.isnan(row.done.before) for row in rows]
    before = np.concatenate([row.done.before[at] for row, at in zip(rows, timed, strict=True)])
    started = [row.done.started[at] for row, at in zip(rows, timed, strict=True)]
    when = np.concatenate(started)
    middle = median(before) if len(before) else 0.0
    points = tuple(
        Point(
            x=(_seconds(when[at]) - began) / 60,
            y=middle / float(before[at]),
            text=f"a fixed kernel took {before[at] * 1e3:.1f} ms",
        )
        for at in _thinned(started)
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
