"""Time of the process: over batch size, and where it goes."""

from collections.abc import Sequence

import numpy as np

from velodrome.drawing.chart import HUES, Chart, Series
from velodrome.report.figures.parts import (
    BATCH_SIZE,
    Kind,
    bars,
    chart,
    facets,
    lines,
    over_batch_size,
    upright,
)
from velodrome.report.process import Floats
from velodrome.report.results import Results
from velodrome.report.summary import Row, middle


def _total_time(rows: Sequence[Row]) -> list[Chart]:
    """A line an epoch count for each engine; a line an engine where there is but one count."""
    several = len({row.trial.epochs for row in rows}) > 1
    title = "total time (s)"
    if not several:
        return [
            lines("total-time", facet, title, lambda row: row.real)
            for facet in facets(rows, "batch_size")
        ]
    found = []
    for facet in facets(rows, "batch_size", "epochs", each_engine=True):
        series = tuple(
            Series(
                name=f"{epochs} epochs",
                points=over_batch_size(
                    [row for row in facet.rows if row.trial.epochs == epochs],
                    lambda row: row.real,
                    "s",
                ),
                hue=number % len(HUES),
                engine=facet.rows[0].trial.engine,
            )
            for number, epochs in enumerate(sorted({row.trial.epochs for row in facet.rows}))
        )
        found.append(
            chart("total-time", facet, x=BATCH_SIZE, y=upright(title, series), series=series)
        )
    return found


def _time_split(rows: Sequence[Row]) -> list[Chart]:
    def parts(row: Row) -> dict[str, float]:
        timed = row.done.take(~np.isnan(row.done.real))
        split = {
            "import": timed.import_seconds,
            "build": timed.build_seconds,
            "first step, compiling": timed.first_step,
            "train": timed.trained,
            "evaluate": timed.evaluated,
            "start and end": _rest(timed),
        }
        medians = {name: middle(seconds) for name, seconds in split.items()}
        return {name: seconds for name, seconds in medians.items() if seconds is not None}

    return bars("time-split", rows, "time of the process (s)", parts)


def _rest(timed: Results) -> Floats:
    """Seconds of each process that belong to none of its parts."""
    parts = timed.import_seconds, timed.build_seconds, timed.first_step
    begun = sum(map(np.nan_to_num, parts))
    return np.maximum(timed.real - begun - timed.trained - timed.evaluated, 0.0)


TOTAL_TIME = Kind(
    name="total-time",
    title="Total time over batch size",
    caption="Seconds of the whole process, from its start to its end: a line an epoch count, "
    "or an engine where all trained as many epochs. Lower is better.",
    build=_total_time,
)

TIME_SPLIT = Kind(
    name="time-split",
    title="Where the time goes",
    caption="The whole process, parted: loading the framework; reading data and building the "
    "model; the first step, compilation included; training; evaluation; and the rest, the "
    "process's own start and end. Medians over the runs.",
    build=_time_split,
)
