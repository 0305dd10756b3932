"""The figures of a run, each described once; `drawing` and the page draw them."""

import re
from collections.abc import Iterable, Iterator

from velodrome.drawing.chart import Chart
from velodrome.report.figures import accuracy, drift, memory, throughput, time
from velodrome.report.figures.parts import Kind
from velodrome.report.summary import Group
from velodrome.report.words import differing

KINDS: tuple[Kind, ...] = (
    throughput.THROUGHPUT,
    accuracy.OVER_TIME,
    accuracy.AGAINST_THROUGHPUT,
    throughput.KERAS_OVER_NATIVE,
    throughput.BACKENDS,
    throughput.VARIANTS,
    throughput.SCALING,
    time.TOTAL_TIME,
    time.TIME_SPLIT,
    memory.MEMORY,
    drift.DRIFT,
)


def charts(groups: Iterable[Group]) -> list[Chart]:
    """Every figure of a ranking, in the order of `KINDS`."""
    return [chart for _, chart in named(groups)]


def named(groups: Iterable[Group]) -> Iterator[tuple[str, Chart]]:
    """The same, each as soon as it is made, with the name of its files.

    A name has the kind, the workload, and what tells the figure from its like.
    """
    rows = [row for group in groups for row in group.rows if row.done]
    for kind in KINDS:
        alike = kind.build(rows)
        for chart, own in zip(alike, differing(each.shared for each in alike), strict=True):
            parts = {"workload": chart.shared.get("workload", ""), **own}
            name = "-".join([kind.name, *filter(None, parts.values())])
            yield re.sub(r"[^a-z0-9.]+", "-", name.lower()), chart
