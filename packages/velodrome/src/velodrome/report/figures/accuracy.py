"""Accuracy: over time, and against throughput."""

from collections.abc import Sequence

import numpy as np

from velodrome.drawing.chart import Axis, Chart, Point
from velodrome.report.figures.parts import (
    Kind,
    by_label,
    chart,
    facets,
    name_of,
    of_engine,
    spread,
)
from velodrome.report.summary import Row


def _accuracy_over_time(rows: Sequence[Row]) -> list[Chart]:
    found = []
    for facet in facets([row for row in rows if row.accuracy is not None]):
        series = tuple(
            of_engine(name_of(row), row.trial.engine, _learning(row)) for row in facet.rows
        )
        found.append(
            chart(
                "accuracy-over-time",
                facet,
                x=Axis(title="time spent training (s)", scale=spread(series, "x")),
                y=Axis(title="validation accuracy"),
                series=series,
            )
        )
    return found


def _learning(row: Row) -> tuple[Point, ...]:
    """Accuracy after each epoch of the process whose training took the median time."""
    order = np.argsort(row.done.trained, kind="stable")
    record = row.done.records[order[(len(order) - 1) // 2]]
    points, seconds = [], 0.0
    for number, epoch in enumerate(record.epochs, 1):
        seconds += epoch.train_seconds
        accuracy = epoch.validation_accuracy
        if accuracy is not None:
            text = f"{name_of(row)}, epoch {number}: {accuracy:.4f} after {seconds:.2f} s"
            points.append(Point(x=seconds, y=accuracy, text=text))
    return tuple(points)


def _accuracy_against_throughput(rows: Sequence[Row]) -> list[Chart]:
    found = []
    for facet in facets([row for row in rows if row.accuracy is not None], "batch_size"):
        series = tuple(
            of_engine(
                label,
                engine,
                tuple(
                    Point(
                        x=row.samples_sec or 0.0,
                        y=row.accuracy or 0.0,
                        text=f"{label}, batch {row.trial.batch_size}: accuracy {row.accuracy:.4f} "
                        f"at {row.samples_sec:,.0f} samples/s",
                    )
                    for row in own
                ),
            )
            for (label, engine), own in by_label(facet.rows).items()
        )
        found.append(
            chart(
                "accuracy-against-throughput",
                facet,
                mark="points",
                x=Axis(title="throughput (samples/s)", scale=spread(series, "x")),
                y=Axis(title="validation accuracy"),
                series=series,
            )
        )
    return found


OVER_TIME = Kind(
    name="accuracy-over-time",
    title="Accuracy over time",
    caption="Validation accuracy after each epoch, over the seconds spent training until "
    "then, in the run whose training took the median time. Further up and to the left is "
    "better.",
    build=_accuracy_over_time,
)

AGAINST_THROUGHPUT = Kind(
    name="accuracy-against-throughput",
    title="Accuracy against throughput",
    caption="Each point is an engine at one batch size. Further up and to the right is "
    "better; engines that train the same mathematics stand at one height.",
    build=_accuracy_against_throughput,
)
