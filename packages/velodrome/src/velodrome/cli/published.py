"""Print the figures published in 2017, as data.

All 310 rows of the five documents (000 to 004), every value as it was printed. Flags say what to
beware of, corrected values stand beside the published ones. Filters take several values, parted
by commas; a row has to pass all filters.
"""

from collections.abc import Iterable
from typing import Annotated, Literal, TypeVar

import typer

Value = TypeVar("Value", str, int)


def command(
    seed: Annotated[str | None, typer.Option(help="Document: 000, 001, 002, 003, 004.")] = None,
    workload: Annotated[str | None, typer.Option(help="Such as lenet or resnet50.")] = None,
    gpus: Annotated[str | None, typer.Option(help="Number of GPUs; 0 is the CPU.")] = None,
    status: Annotated[
        str | None,
        typer.Option(help="ok, partial, error, crashed, placeholder (never run), duplicate."),
    ] = None,
    format: Annotated[
        Literal["json", "csv", "table"],
        typer.Option(help="json and csv carry every field, table those to read."),
    ] = "table",
) -> None:
    """Print the rows that pass the filters."""
    from rich.console import Console
    from rich.measure import Measurement

    from velodrome.published import export, load, select

    rows = load()
    chosen = select(
        rows,
        seed=_wanted("seed", seed, (row.seed for row in rows)),
        workload=_wanted("workload", workload, (row.workload for row in rows)),
        gpus=_wanted("number of gpus", gpus, (row.gpus for row in rows)),
        status=_wanted("status", status, (row.status for row in rows)),
    )
    match format:
        case "json":
            typer.echo(export.to_json(chosen))
        case "csv":
            typer.echo(export.to_csv(chosen), nl=False)
        case "table":
            table = export.to_table(chosen)
            console = Console(highlight=False)
            if not console.is_terminal:
                # A file or a pipe has no width to keep to.
                unbounded = console.options.update(width=10_000)
                console.width = Measurement.get(console, unbounded, table).maximum
            console.print(table)
            console.print(f"{len(chosen)} of {len(rows)} rows")


def _wanted(kind: str, text: str | None, known: Iterable[Value]) -> list[Value] | None:
    """The values named in a list parted by commas; None where the option was not given.

    Raises:
        UserError: a name is not that of a known value.
    """
    from velodrome.registry import unknown

    if text is None:
        return None
    by_name = {str(value): value for value in known}
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in by_name:
            raise unknown(kind, name, by_name)
    return [by_name[name] for name in names]
