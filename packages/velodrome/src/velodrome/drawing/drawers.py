"""Figures drawn in processes of their own, while the rest of a report is made."""

import gc
from concurrent.futures import Future
from io import BytesIO
from pathlib import Path

from velodrome.drawing.chart import Axis, Chart, Point, Series
from velodrome.helpers import helpers
from velodrome.machine import usable_threads

_MOST = 4


class Drawers:
    """Processes that draw figures while this one goes on.

    Made before there is anything to draw, they load matplotlib and its fonts meanwhile. Use them
    as a context manager: at its end every file is written.

    Attributes:
        pool: the processes, for other work of the report while there is nothing to draw.

    Raises:
        OSError: at the end, a file cannot be written.
    """

    def __init__(self) -> None:
        number = min(usable_threads(), _MOST)
        self.pool = helpers(number)
        self._begun: list[Future[None]] = [self.pool.submit(_load) for _ in range(number)]

    def draw(self, chart: Chart, folder: Path, name: str) -> list[Path]:
        """Begin to draw a chart as SVG and as PNG.

        Returns:
            The files that will be there.
        """
        folder.mkdir(parents=True, exist_ok=True)
        both = [folder / f"{name}.svg", folder / f"{name}.png"]
        self._begun.append(self.pool.submit(_write, chart, *both))
        return both

    def __enter__(self) -> "Drawers":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.pool.shutdown(wait=kind is None, cancel_futures=kind is not None)
        if kind is None:
            for each in self._begun:
                each.result()


def _load() -> None:
    gc.disable()  # As in `velodrome.garbage`; a process that draws does not live long.
    from velodrome.drawing.figure import write

    axis = Axis(title="anything")
    points = (Point(x=1.0, y=1.0),)
    series = (Series(name="anything", points=points, hue=0),)
    anything = Chart(
        kind="", shared={}, title="anything", mark="lines", x=axis, y=axis, series=series
    )
    write(anything, BytesIO(), BytesIO())


def _write(chart: Chart, svg: Path, png: Path) -> None:
    from velodrome.drawing.figure import write

    write(chart, svg, png)
