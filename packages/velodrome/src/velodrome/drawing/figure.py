"""Charts as matplotlib draws them, for papers."""

from collections.abc import Iterable
from pathlib import Path
from textwrap import fill
from typing import BinaryIO

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: F401 (loaded before it is wanted)
from matplotlib.figure import Figure

from velodrome.drawing.chart import HUES, Axis, Chart, Series

_MARKERS = "os^Dv<>P"
_DPI = 150
_TITLE = 90
_COMPRESS = 4  # of 9: files 2% larger than at 6, in less time


def write(chart: Chart, svg: Path | BinaryIO, png: Path | BinaryIO) -> None:
    """Draw a chart into two files; the same chart gives the same files, byte for byte.

    Raises:
        OSError: a file cannot be written.
    """
    with matplotlib.rc_context(
        {
            "svg.hashsalt": chart.title,
            "svg.fonttype": "none",  # letters can be edited, searched and read aloud
            "text.hinting": "none",
            "font.sans-serif": ["DejaVu Sans"],  # it comes with matplotlib: no other is looked for
        }
    ):
        drawn = figure(chart)
        # Placed once, for both files, with the sizes of text that the PNG is drawn with.
        FigureCanvasAgg(drawn)
        drawn.tight_layout()
        drawn.set_layout_engine(None)
        drawn.savefig(png, format="png", pil_kwargs={"compress_level": _COMPRESS})
        drawn.savefig(svg, format="svg", metadata={"Date": None})


def figure(chart: Chart) -> Figure:
    """The chart drawn, to be shown or changed."""
    bars = chart.mark == "bars"
    labels = len({point.x for each in chart.series for point in each.points})
    drawn = Figure(figsize=(7.5, 1.6 + 0.36 * labels if bars else 4.5), dpi=_DPI, layout="tight")
    axes = drawn.add_subplot()
    if bars:
        _stack(axes, chart)
    else:
        for series in chart.series:
            _plot(axes, series, joined=chart.mark == "lines")
        _scale(axes, "x", chart.x, chart.series)
        _scale(axes, "y", chart.y, chart.series)
    axes.set_title(fill(chart.title, _TITLE), fontsize=9, loc="left", y=1.0)
    axes.grid(alpha=0.3, axis="x" if bars else "both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
    return drawn


def _plot(axes: Axes, series: Series, joined: bool) -> None:
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
    spreads = [
        (point.x, point.low, point.high)
        for point in series.points
        if point.low is not None and point.high is not None
    ]
    if spreads:
        axes.vlines(*zip(*spreads, strict=True), color=colour, linewidth=1)


def _stack(axes: Axes, chart: Chart) -> None:
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


def _scale(axes: Axes, which: str, axis: Axis, series: Iterable[Series]) -> None:
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
