"""Make, list, adopt and remove the frameworks' environments.

Each framework has one, made from a pinned file when it is first needed.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(no_args_is_help=True)

Kind = Annotated[Literal["cpu", "gpu"], typer.Option("--kind", help="Which set of packages.")]
Framework = Annotated[str, typer.Argument(help="Such as mxnet, tensorflow, jax or torch.")]


def _report(line: str) -> None:
    typer.echo(line, err=True)


@app.command("list")
def list_() -> None:
    """Print every environment: its framework, kind, state, Python, pins and interpreter."""
    from velodrome import environment

    for each in environment.list_all():
        place = "" if each.python is None else f"  {each.python}"
        pins = f"  {' '.join(each.pins)}" if each.pins else ""
        typer.echo(
            f"{each.framework:<12} {each.kind:<5} {each.state:<12} {each.detail}{pins}{place}"
        )


@app.command()
def create(
    frameworks: Annotated[
        list[str] | None, typer.Argument(help="Such as mxnet jax; all if none is given.")
    ] = None,
    kind: Kind = "cpu",
    python: Annotated[
        Path | None, typer.Option(help="The Python to make them with, if not this one.")
    ] = None,
) -> None:
    """Make environments, or bring them up to date; does nothing where they are."""
    from velodrome import environment

    for framework in frameworks or environment.frameworks(kind):
        made = environment.ensure(framework, kind, report=_report, interpreter=python)
        typer.echo(f"{framework:<12} {kind:<5} {made.python}")


@app.command()
def remove(
    framework: Framework,
    kind: Kind = "cpu",
    pin: Annotated[
        list[str] | None,
        typer.Option(help="The one made with this version: keras==3.14.1 (repeatable)."),
    ] = None,
) -> None:
    """Delete an environment; an adopted Python is forgotten, not touched."""
    from velodrome import environment

    environment.remove(framework, kind, tuple(pin or ()), report=_report)


@app.command()
def adopt(
    framework: Framework,
    python: Annotated[Path, typer.Argument(help="Its interpreter, such as that of a conda one.")],
    kind: Kind = "cpu",
) -> None:
    """Use an existing Python for a framework; nothing is installed in it."""
    from velodrome import environment

    adopted = environment.adopt(framework, kind, python, report=_report)
    typer.echo(f"{framework:<12} {kind:<5} {adopted.python}")


@app.command()
def python(framework: Framework, kind: Kind = "cpu") -> None:
    """Print the path of a framework's Python, making its environment if need be."""
    from velodrome import environment

    typer.echo(environment.ensure(framework, kind, report=_report).python)
