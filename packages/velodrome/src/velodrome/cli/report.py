"""Write the report of a run folder anew and print its table."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    folder: Annotated[Path, typer.Argument(help="The run folder.")],
    target_accuracy: Annotated[
        float | None,
        typer.Option(help="Give the time to this validation accuracy too, such as 0.98."),
    ] = None,
) -> int:
    """Read the results and write table, CSV and figures beside them."""
    from velodrome import report

    return report.show(folder, target_accuracy)
