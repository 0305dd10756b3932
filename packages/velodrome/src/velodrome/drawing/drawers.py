"""Figures drawn in processes of their own, while the rest of a report is made."""

import gc
from concurrent.futures import Future
from importlib import import_module
from pathlib import Path

from velodrome.drawing.chart import Chart
from velodrome.helpers import helpers
from velodrome.machine import usable_threads

_MOST = 4


def load() -> None:
    """Load matplotlib: processes that begin as copies of this one have it then."""
    import_module("velodrome.drawing.figure")


class Drawers:
    """Processes that draw figures while this one goes on.

    Use them as a context manager: at its end every file is written.

    Raises:
        OSError: at the end, a file cannot be written.
    """

    def __init__(self) -> None:
        self._helpers = helpers(min(usable_threads(), _MOST))
        self._begun: list[Future[None]] = []

    def draw(self, chart: Chart, folder: Path, name: str) -> list[Path]:
        """Begin to draw a chart as SVG and as PNG.

        Returns:
            The files that will be there.
        """
        folder.mkdir(parents=True, exist_ok=True)
        both = [folder / f"{name}.svg", folder / f"{name}.png"]
        self._begun.append(self._helpers.submit(_write, chart, *both))
        return both

    def __enter__(self) -> "Drawers":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._helpers.shutdown(wait=kind is None, cancel_futures=kind is not None)
        if kind is None:
            for each in self._begun:
                each.result()


def _write(chart: Chart, svg: Path, png: Path) -> None:
    from velodrome.drawing.figure import write

    gc.disable()  # Figures are full of cycles, and this process does not live long.
    write(chart, svg, png)
