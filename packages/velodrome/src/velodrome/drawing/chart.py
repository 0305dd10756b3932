"""What a figure shows, apart from how it is drawn: the page and the files draw the same."""

from typing import Literal

import msgspec

Mark = Literal["lines", "points", "bars"]
Scale = Literal["linear", "log", "log2", "category"]


class Hue(msgspec.Struct, frozen=True):
    """A colour for a light ground and one for a dark, either at a contrast above 3 to 1."""

    light: str
    dark: str


# After Okabe and Ito, darker on light and lighter on dark: told apart by colour-blind
# readers, and by the markers besides.
HUES: tuple[Hue, ...] = (
    Hue("#0072b2", "#56b4e9"),
    Hue("#c75000", "#f5904d"),
    Hue("#00805d", "#2fc79a"),
    Hue("#b0447f", "#e59ac4"),
    Hue("#7d6200", "#d9b93b"),
    Hue("#5b5b66", "#b4b4c0"),
    Hue("#6a4bc4", "#a99cf5"),
    Hue("#a02c2c", "#ee8585"),
)


class Axis(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One axis.

    Attributes:
        title: quantity and unit.
        scale: how values are placed; a `category` takes the points in their order.
        from_zero: whether zero is in sight on a linear scale.
    """

    title: str
    scale: Scale = "linear"
    from_zero: bool = False


class Point(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One value.

    Attributes:
        x: where; a bar's label.
        y: the value; a bar's length.
        low: lower end of its spread, if known.
        high: upper end.
        text: what a reader who points at it is told.
    """

    x: float | str
    y: float
    low: float | None = None
    high: float | None = None
    text: str = ""


class Series(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Points of one name.

    Attributes:
        name: in the legend.
        points: in the order in which they are joined.
        hue: number in `HUES`.
        engine: the engine they belong to, if all to one.
        dashed: broken line and hollow markers, for a variant of the same hue.
        guide: a line to read others against: thin, with no markers and not in the legend.
    """

    name: str
    points: tuple[Point, ...]
    hue: int
    engine: str | None = None
    dashed: bool = False
    guide: bool = False


class Chart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure.

    Attributes:
        kind: name of what it shows, such as `throughput`.
        shared: what all its values have in common, in words, by field of the trial.
        title: the same in a line.
        mark: lines over x; loose points; or bars put end to end, one for each x.
        x: the axis of the points' x.
        y: the axis of the points' y.
        series: what is shown.
    """

    kind: str
    shared: dict[str, str]
    title: str
    mark: Mark
    x: Axis
    y: Axis
    series: tuple[Series, ...]
