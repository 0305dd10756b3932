"""Figures of a run, as SVG and PNG."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from velodrome.report.summary import Group, Row


def throughput(groups: Iterable[Group], folder: Path) -> list[Path]:
    """Samples a second over batch size, a line an engine; a file for each set of other axes.

    Args:
        groups: as `summary.groups` gives them.
        folder: where the files go.

    Returns:
        The files written, SVG and PNG.
    """
    together: dict[bytes, list[Row]] = {}
    for group in groups:
        for row in group.rows:
            if row.samples_sec:
                together.setdefault(_but_batch_size(row), []).append(row)
    folder.mkdir(exist_ok=True)
    return [path for rows in together.values() for path in _throughput(rows, folder)]


def _but_batch_size(row: Row) -> bytes:
    trial = msgspec.structs.replace(
        row.trial, engine="", batch_size=0, repeat=0, environment="", graph="", data=""
    )
    return msgspec.json.encode(trial, order="sorted")


def _throughput(rows: list[Row], folder: Path) -> list[Path]:
    from matplotlib.figure import Figure

    engines = sorted({row.trial.engine for row in rows})
    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for number, engine in enumerate(engines):
        points = sorted(
            (row.trial.batch_size, row.samples_sec or 0.0)
            for row in rows
            if row.trial.engine == engine
        )
        # Okabe and Ito's colours, told apart by colour-blind readers too; markers help.
        axes.plot(
            *zip(*points, strict=True),
            marker="os^Dv<>Ph*"[number % 10],
            color=_COLOURS[number % len(_COLOURS)],
            label=engine,
        )
    sizes = sorted({row.trial.batch_size for row in rows})
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("batch size")
    axes.set_ylabel("throughput (samples/s)")
    trial = rows[0].trial
    axes.set_title(f"{trial.workload} on {trial.dataset}, {trial.devices}, {trial.settings}")
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    stem = f"throughput-{trial.workload}-{trial.devices}-{trial.settings}".replace(":", "-")
    paths = [folder / f"{stem}.{form}" for form in ("svg", "png")]
    for path in paths:
        figure.savefig(path, dpi=150)
    return paths


_COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#000000",
    "#7F7F7F",
    "#F0E442",
)
