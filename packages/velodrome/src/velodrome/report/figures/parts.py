"""What figures are put together from: facets of rows, series, axes."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Literal

import msgspec

from velodrome.drawing.chart import HUES, Axis, Chart, Mark, Point, Scale, Series
from velodrome.report.summary import Row
from velodrome.report.words import RECIPE, line, words


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One sort of figure.

    Attributes:
        name: begins the names of its files.
        title: what it shows.
        caption: how to read it, and by what rule its values are had.
        build: makes the figures of rows, one for each set of rows that belong together;
            none where the rows have nothing to show of it.
    """

    name: str
    title: str
    caption: str
    build: Callable[[Sequence[Row]], list[Chart]]


class Facet(msgspec.Struct, frozen=True):
    """Rows that belong in one figure, and what they share."""

    shared: dict[str, str]
    rows: list[Row]


def facets(rows: Sequence[Row], *free: str, each_engine: bool = False) -> list[Facet]:
    """Rows that differ by nothing but the engine and the fields that are free."""
    together: dict[Hashable, list[Row]] = {}
    shared: dict[Hashable, dict[str, str]] = {}
    machines = {row.machine for row in rows}
    # A workload brings its recipe, so what differs by workload differs by recipe.
    hidden = {*free, *(RECIPE if "workload" in free else ())}
    for row in rows:
        common = words(row.trial)
        common = {field: text for field, text in common.items() if field not in hidden}
        if each_engine:
            common = {"engine": name_of(row), **common}
        if len(machines) > 1:
            common["machine"] = f"{row.machine.cpu}, {row.machine.cores} cores"
        key = (tuple(common.items()), row.machine)
        together.setdefault(key, []).append(row)
        shared[key] = common
    return [Facet(shared[key], each) for key, each in together.items()]


def chart(
    kind: str,
    facet: Facet,
    *,
    x: Axis,
    y: Axis,
    series: tuple[Series, ...],
    mark: Mark = "lines",
) -> Chart:
    """The figure of a facet."""
    return Chart(
        kind=kind,
        shared=facet.shared,
        title=line(facet.shared),
        mark=mark,
        x=x,
        y=y,
        series=series,
    )


def lines(kind: str, facet: Facet, title: str, value: Callable[[Row], float | None]) -> Chart:
    """A line an engine over batch size; `title` ends with the unit in brackets."""
    unit = title.rpartition("(")[2].rstrip(")")
    series = tuple(
        of_engine(label, engine, over_batch_size(own, value, unit))
        for (label, engine), own in by_label(facet.rows).items()
    )
    return chart(kind, facet, x=BATCH_SIZE, y=upright(title, series), series=series)


def over_batch_size(
    rows: Sequence[Row], value: Callable[[Row], float | None], unit: str
) -> tuple[Point, ...]:
    """A point a row, the smallest batch first; with whiskers where the unit is samples/s."""
    points = []
    for row in sorted(rows, key=lambda row: row.trial.batch_size):
        middle = value(row)
        if middle is None:
            continue
        text = f"{name_of(row)}, batch {row.trial.batch_size}: {_short(middle)} {unit}"
        low, high = _span(row) if unit == "samples/s" else (None, None)
        if low is not None and high is not None:
            text += f", {len(row.done)} runs from {_short(low)} to {_short(high)}"
        points.append(Point(x=row.trial.batch_size, y=middle, low=low, high=high, text=text))
    return tuple(points)


def _span(row: Row) -> tuple[float | None, float | None]:
    """The slowest and the fastest run, where there are several."""
    each = row.done.samples_sec
    return (float(each.min()), float(each.max())) if len(each) > 1 else (None, None)


def bars(
    kind: str, rows: Sequence[Row], title: str, parts: Callable[[Row], dict[str, float]]
) -> list[Chart]:
    """A bar an engine, put together from parts."""
    found = []
    unit = title.rpartition("(")[2].rstrip(")")
    for facet in facets(rows):
        split = {name_of(row): parts(row) for row in facet.rows}
        names = list(dict.fromkeys(name for each in split.values() for name in each))
        series = tuple(
            Series(
                name=name,
                hue=number,
                points=tuple(
                    Point(
                        x=label,
                        y=each[name],
                        text=f"{label}, {name}: {_short(each[name])} "
                        f"of {_short(sum(each.values()))} {unit}",
                    )
                    for label, each in split.items()
                    if name in each
                ),
            )
            for number, name in enumerate(names)
        )
        if series:
            found.append(
                chart(
                    kind,
                    facet,
                    mark="bars",
                    x=Axis(title="engine", scale="category"),
                    y=Axis(title=title, from_zero=True),
                    series=series,
                )
            )
    return found


def by_label(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """Rows by label and engine, the labels in order."""
    together: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: name_of(row)):
        together.setdefault((name_of(row), row.trial.engine), []).append(row)
    return together


def name_of(row: Row) -> str:
    """The row's label, with what was found of it instead of parity."""
    return f"{row.label} ({row.flag})" if row.flag else row.label


def of_engine(label: str, engine: str, points: tuple[Point, ...]) -> Series:
    """In the framework's colour, broken where Keras drives it."""
    return Series(
        name=label,
        points=points,
        hue=hue(engine),
        engine=engine,
        dashed=engine.startswith("keras-"),
    )


_FRAMEWORKS = ("mxnet", "tensorflow", "torch", "jax", "neon")


GREY = 5


BATCH_SIZE = Axis(title="batch size", scale="log2")


def hue(engine: str) -> int:
    """The framework's colour, the same in every figure."""
    framework = engine.removeprefix("keras-")
    return _FRAMEWORKS.index(framework) if framework in _FRAMEWORKS else len(HUES) - 1


def upright(title: str, series: Sequence[Series]) -> Axis:
    """The y axis of such series, with zero in sight."""
    return Axis(title=title, scale=spread(series, "y"), from_zero=True)


def spread(series: Sequence[Series], axis: Literal["x", "y"]) -> Scale:
    """Logarithmic where a linear axis would press the small values flat."""
    values = [float(getattr(point, axis)) for each in series for point in each.points]
    return "log" if values and max(values) > 30 * min(values) > 0 else "linear"


def _short(value: float) -> str:
    """Three or four digits."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
