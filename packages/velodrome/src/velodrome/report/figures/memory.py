"""Memory of the process."""

from collections.abc import Sequence

from velodrome.drawing.chart import Chart
from velodrome.report.figures.parts import Kind, bars
from velodrome.report.summary import Row

_MIB = 2**20


def _memory(rows: Sequence[Row]) -> list[Chart]:
    def parts(row: Row) -> dict[str, float]:
        used = [record.memory for record in row.done if record.memory]
        if not used:
            return {}
        peak = max(used, key=lambda memory: memory.peak)
        return {
            "framework loaded": peak.imported / _MIB,
            "data, model and training": (peak.peak - peak.imported) / _MIB,
        }

    return bars("memory", rows, "peak resident memory (MiB)", parts)


MEMORY = Kind(
    name="memory",
    title="Memory",
    caption="Largest resident memory of the process tree, parted into what was held once the "
    "framework was loaded and what came on top. Lower is better.",
    build=_memory,
)
