"""Write the report of a run folder anew and print its table."""

from pathlib import Path
from typing import Annotated

import typer


def command(folder: Annotated[Path, typer.Argument(help="The run folder.")]) -> int:
    """Read the results and write table, CSV and figures beside them."""
    from velodrome import report

    return report.show(folder)
