"""Rerun a published table of 2017 on this machine, ours beside theirs.

NAME is a study that velodrome brings (`velodrome list studies`) or a study file, either with a
key `beside` that names published rows. Rows of devices or engines that this machine lacks are
shown with the reason. Options that take several values take them with commas.
"""

from pathlib import Path
from typing import Annotated, Any

import typer


def command(
    name: Annotated[str, typer.Argument(help="A study of a published table.")],
    engine: Annotated[str | None, typer.Option(help="Engines, instead of the table's.")] = None,
    devices: Annotated[str | None, typer.Option(help="Devices, instead of the table's.")] = None,
    epochs: Annotated[str | None, typer.Option(help="Instead of the table's.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Instead of the table's.")] = None,
    samples: Annotated[int | None, typer.Option(help="Limit on the training samples.")] = None,
    repeats: Annotated[int | None, typer.Option(help="Fresh processes a configuration.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; runs/NAME unless given.")] = None,
) -> int:
    """Run what is missing of the study, put ours beside theirs."""
    from velodrome import planner, report, study
    from velodrome.arguments import several
    from velodrome.progress import watching

    changes: dict[str, Any] = {
        "engines": several(engine),
        "devices": several(devices),
        "epochs": several(epochs),
        "dataset": dataset,
        "samples": samples,
        "repeats": repeats,
    }
    given = {key: value for key, value in changes.items() if value not in (None, [])}
    wanted = study.rerun(name, given)
    folder = out or Path("runs") / wanted.name
    with watching() as observer:
        planner.run(wanted, folder, observer)
    return report.show_rerun(folder)
