"""Print the figures published in 2017, or what was claimed of them, as data.

All 310 rows of the five documents (000 to 004), every value as it was printed. Flags say what to
beware of, corrected values stand beside the published ones. Filters take several values, parted
by commas; a row has to pass all filters.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

if TYPE_CHECKING:
    from rich.table import Table

Value = TypeVar("Value", str, int)


def command(
    seed: Annotated[str | None, typer.Option(help="Document: 000, 001, 002, 003, 004.")] = None,
    workload: Annotated[str | None, typer.Option(help="Such as lenet or resnet50.")] = None,
    gpus: Annotated[str | None, typer.Option(help="Number of GPUs; 0 is the CPU.")] = None,
    status: Annotated[
        str | None,
        typer.Option(help="ok, partial, error, crashed, placeholder (never run), duplicate."),
    ] = None,
    claims: Annotated[
        bool,
        typer.Option("--claims", help="The documents' claims, recomputed, instead of the rows."),
    ] = False,
    format: Annotated[
        Literal["json", "csv", "table"],
        typer.Option(help="json and csv carry every field, table those to read."),
    ] = "table",
) -> None:
    """Print the rows that pass the filters, or the claims of the documents asked for."""
    from velodrome.errors import UserError
    from velodrome.published import PublishedRow, export, load, select
    from velodrome.published.claims import judge, load_claims

    rows = load()
    seeds = _wanted("seed", seed, (row.seed for row in rows))
    if claims:
        if (workload, gpus, status) != (None, None, None):
            raise UserError("claims are chosen by --seed alone: they rest on several rows")
        judged = [
            export.flat(judge(claim, rows))
            for claim in load_claims()
            if seeds is None or claim.seed in seeds
        ]
        _print(judged, export.Claimed, export.claims_table, format)
        return
    chosen = select(
        rows,
        seed=seeds,
        workload=_wanted("workload", workload, (row.workload for row in rows)),
        gpus=_wanted("number of gpus", gpus, (row.gpus for row in rows)),
        status=_wanted("status", status, (row.status for row in rows)),
    )
    _print(chosen, PublishedRow, export.to_table, format)
    if format == "table":
        typer.echo(f"{len(chosen)} of {len(rows)} rows")


def _print(
    rows: list[Any], kind: type, to_table: Callable[[list[Any]], "Table"], format: str
) -> None:
    from rich.console import Console
    from rich.measure import Measurement

    from velodrome.published import export

    match format:
        case "json":
            typer.echo(export.to_json(rows))
        case "csv":
            typer.echo(export.to_csv(rows, kind), nl=False)
        case "table":
            table = to_table(rows)
            console = Console(highlight=False)
            if not console.is_terminal:
                # A file or a pipe has no width to keep to.
                unbounded = console.options.update(width=10_000)
                console.width = Measurement.get(console, unbounded, table).maximum
            console.print(table)


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
