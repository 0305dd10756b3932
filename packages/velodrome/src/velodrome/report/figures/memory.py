"""Memory of the process."""

from collections.abc import Sequence

import numpy as np

from velodrome.drawing.chart import Chart
from velodrome.report.figures.parts import Kind, bars
from velodrome.report.summary import Row

_MIB = 2**20


def _memory(rows: Sequence[Row]) -> list[Chart]:
    def parts(row: Row) -> dict[str, float]:
        if row.peak_memory is None:
            return {}
        largest = np.nanargmax(row.done.peak_memory)
        return {
            "framework loaded": float(row.done.imported_memory[largest]) / _MIB,
            "data, model and training": float(row.done.own_memory[largest]) / _MIB,
        }

    return bars("memory", rows, "peak resident memory (MiB)", parts)


MEMORY = Kind(
    name="memory",
    title="Memory",
    caption="Largest resident memory of the process tree, parted into what was held once the "
    "framework was loaded and what came on top. Lower is better.",
    build=_memory,
)
