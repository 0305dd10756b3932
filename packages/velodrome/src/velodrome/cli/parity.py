"""Prove that engines train the same mathematics, or show where they do not.

Every engine starts from the same weights and takes the same steps on the same batches, each in
a process of its own. Losses, the gradient of each layer and the weights reached are held
against a reference in float64. The exit status is 0 only if all engines are at parity.
A comparison that was broken off goes on where it stopped.
"""

from pathlib import Path
from typing import Annotated, Any

import typer


def command(
    workload: Annotated[str, typer.Argument(help="One or more workloads (lenet,mlp), or all.")],
    engine: Annotated[str | None, typer.Option(help="Engines; all of them unless given.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Training steps of one batch each.")] = 4,
    batch_size: Annotated[
        str | None, typer.Option(help="Samples a step; 16, of large images 4, unless given.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(help="Limit on the training samples: steps are of fewer, then.")
    ] = None,
    dataset: Annotated[
        str, typer.Option("--dataset", "--data", help="Where the batches come from.")
    ] = "synthetic",
    devices: Annotated[str | None, typer.Option(help="Such as cpu, cpu:2, gpu, 2xcpu.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Such as float32, bfloat16.")] = None,
    pin: Annotated[
        list[str] | None,
        typer.Option(help="Another version than ours: keras==3.14.1 (repeatable)."),
    ] = None,
    settings: Annotated[str | None, typer.Option(help="stock, tuned or both.")] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(help="A recipe's parameter: momentum=0.9 (repeatable)."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights and samples' order.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds an engine may take.")] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Compare anew what the folder has a verdict on.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for verdicts; runs/parity-NAME unless given.")
    ] = None,
) -> int:
    """Compare, keep the verdicts, print the table."""
    from velodrome import environment, study, workloads
    from velodrome.arguments import assignments, several
    from velodrome.parity import check
    from velodrome.progress import watching
    from velodrome.report import parity

    changes: dict[str, Any] = {
        "engines": several(engine),
        "batch_sizes": several(batch_size),
        "samples": samples,
        "dataset": dataset,
        "devices": several(devices),
        "dtypes": several(dtype),
        "pins": pin,
        "settings": several(settings),
        "recipe": assignments(recipe, "--recipe"),
        "seed": seed,
        "timeout": timeout,
    }
    given = {key: value for key, value in changes.items() if value not in (None, [], {})}
    names = ",".join(workloads.registry.all()) if workload == "all" else workload
    wanted = study.load(names, given)
    folder = out or Path("runs") / f"parity-{wanted.name}"
    with watching() as observer:
        environment.note_left_out(observer.note)
        verdicts = list(check.check(wanted, steps, folder, observer.note, again=again))
    parity.show(verdicts, folder)
    return 0 if all(each.status == "parity" for each in verdicts) else 1
