"""Figures as files for papers, SVG and PNG."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from velodrome.report.chart import HUES, Axis, Chart, Series
from velodrome.report.words import differing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = "os^Dv<>P"


def draw(charts: Iterable[Chart], folder: Path) -> list[Path]:
    """Draw each chart as SVG and as PNG.

    Returns:
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for chart, stem in _named(charts):
        written += _draw(chart, folder / stem)
    return written


def figures(charts: Iterable[Chart]) -> dict[str, "Figure"]:
    """Each chart drawn, by the name of its files; to be shown or changed."""
    return {name: _figure(chart) for chart, name in _named(charts)}


def _named(charts: Iterable[Chart]) -> Iterator[tuple[Chart, str]]:
    """Each chart with a file name: its kind, its workload, what tells it from its like."""
    by_kind: dict[str, list[Chart]] = {}
    for chart in charts:
        by_kind.setdefault(chart.kind, []).append(chart)
    for kind, alike in by_kind.items():
        for chart, own in zip(alike, differing(each.shared for each in alike), strict=True):
            parts = {"workload": chart.shared.get("workload", ""), **own}
            name = "-".join([kind, *filter(None, parts.values())])
            yield chart, re.sub(r"[^a-z0-9.]+", "-", name.lower())


def _figure(chart: Chart) -> "Figure":
    from matplotlib.figure import Figure

    bars = chart.mark == "bars"
    labels = len({point.x for each in chart.series for point in each.points})
    figure = Figure(figsize=(7.5, 1.6 + 0.36 * labels if bars else 4.5), layout="constrained")
    axes = figure.add_subplot()
    if bars:
        _stack(axes, chart)
    else:
        for series in chart.series:
            _plot(axes, series, joined=chart.mark == "lines")
        _scale(axes, "x", chart.x, chart.series)
        _scale(axes, "y", chart.y, chart.series)
    axes.set_title(chart.title, fontsize=9, loc="left", wrap=True)
    axes.grid(alpha=0.3, axis="x" if bars else "both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
    return figure


def _draw(chart: Chart, stem: Path) -> list[Path]:
    import matplotlib

    figure = _figure(chart)
    # Placed once, for both files.
    figure.draw_without_rendering()
    figure.set_layout_engine(None)
    paths = [stem.with_name(f"{stem.name}.{form}") for form in ("svg", "png")]
    # The same results give the same file, byte for byte.
    with matplotlib.rc_context({"svg.hashsalt": stem.name}):
        figure.savefig(paths[0], metadata={"Date": None})
        figure.savefig(paths[1], dpi=150)
    return paths


def _plot(axes: "Axes", series: Series, joined: bool) -> None:
    colour = HUES[series.hue].light
    x = [point.x for point in series.points]
    y = [point.y for point in series.points]
    if series.guide:
        axes.plot(x, y, color=colour, linewidth=0.8, linestyle=":")
        return
    axes.plot(
        x,
        y,
        color=colour,
        linestyle=("--" if series.dashed else "-") if joined else "",
        marker=_MARKERS[series.hue],
        markersize=5,
        markerfacecolor="white" if series.dashed else colour,
        label=series.name,
    )
    for point in series.points:
        if point.low is not None and point.high is not None:
            axes.vlines(point.x, point.low, point.high, color=colour, linewidth=1)


def _stack(axes: "Axes", chart: Chart) -> None:
    labels = list(dict.fromkeys(point.x for each in chart.series for point in each.points))
    ends = dict.fromkeys(labels, 0.0)
    for series in chart.series:
        own = {point.x: point.y for point in series.points}
        lengths = [own.get(label, 0.0) for label in labels]
        axes.barh(
            [str(label) for label in labels],
            lengths,
            left=[ends[label] for label in labels],
            color=HUES[series.hue].light,
            label=series.name,
        )
        for label, length in zip(labels, lengths, strict=True):
            ends[label] += length
    axes.invert_yaxis()
    axes.set_xlabel(chart.y.title)


def _scale(axes: "Axes", which: str, axis: Axis, series: Iterable[Series]) -> None:
    values = sorted({getattr(point, which) for each in series for point in each.points})
    if axis.scale in ("log", "log2"):
        axes.set(**{f"{which}scale": "log"})
    if axis.scale == "log2":
        axes.set(
            **{f"{which}ticks": values, f"{which}ticklabels": [f"{each:g}" for each in values]}
        )
        axes.minorticks_off()
    if axis.scale == "linear" and axis.from_zero:
        axes.set(**{f"{which}lim": (0, None)})
    axes.set(**{f"{which}label": axis.title})
