"""Report one run or several: tables, CSV, figures and a page.

Filters take several values with commas. Of a single run the files go beside its results; of
several, or with a filter or another comparison, into --out.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer


def command(
    folders: Annotated[list[Path], typer.Argument(help="Run folders.")],
    by: Annotated[
        Literal[
            "engine", "workload", "dataset", "devices", "batch_size", "epochs", "dtype", "settings"
        ],
        typer.Option(help="What is compared."),
    ] = "engine",
    engine: Annotated[str | None, typer.Option(help="Only these engines.")] = None,
    workload: Annotated[str | None, typer.Option(help="Only these workloads.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only these data sets.")] = None,
    devices: Annotated[str | None, typer.Option(help="Only these devices.")] = None,
    batch_size: Annotated[str | None, typer.Option(help="Only these batch sizes.")] = None,
    epochs: Annotated[str | None, typer.Option(help="Only these numbers of epochs.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Only this arithmetic.")] = None,
    settings: Annotated[str | None, typer.Option(help="stock or tuned.")] = None,
    target_accuracy: Annotated[
        float | None,
        typer.Option(help="Give the time to this validation accuracy too, such as 0.98."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the report; report unless given.")
    ] = None,
) -> int:
    """Read the results and write the report."""
    from velodrome import report

    wanted = {
        "engine": engine,
        "workload": workload,
        "dataset": dataset,
        "devices": devices,
        "batch_size": batch_size,
        "epochs": epochs,
        "dtype": dtype,
        "settings": settings,
    }
    only = {field: text.split(",") for field, text in wanted.items() if text}
    selection = report.Selection(target=target_accuracy, only=only, by=by)
    whole = len(folders) == 1 and not only and by == "engine"
    return report.show(folders, selection, out or (folders[0] if whole else Path("report")))
