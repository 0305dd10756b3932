"""List the engines, workloads, data sets, studies and executors there are."""

from typing import Annotated, Literal

import typer

Kind = Literal["engines", "workloads", "datasets", "studies", "executors"]


def command(
    kind: Annotated[Kind | None, typer.Argument(help="Only these.")] = None,
) -> None:
    """Print a name and a line for each."""
    from velodrome import datasets, engines, executors, study, workloads

    found: dict[str, dict[str, str]] = {
        "engines": {name: each.summary for name, each in engines.registry.all().items()},
        "workloads": {name: each.summary for name, each in workloads.registry.all().items()},
        "datasets": {name: datasets.get(name).summary for name in datasets.names()},
        "studies": {name: study.summary(name) for name in study.bundled()},
        "executors": {name: each.summary for name, each in executors.registry.all().items()},
    }
    width = max(len(name) for items in found.values() for name in items)
    for title, items in found.items():
        if kind in (None, title):
            typer.echo(f"{title}:")
            for name, summary in items.items():
                typer.echo(f"  {name:<{width}} {summary}")
