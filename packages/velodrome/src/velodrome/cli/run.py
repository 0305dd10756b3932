"""Train workloads on engines and record what it took.

TARGET is one or more workloads (lenet,mlp), a Keras model of your own (my_model.py:build, with
--data), a study file (my.yaml) or a study that velodrome brings (quickstart). A run that was
stopped goes on where it stopped when the same command is given again. Options that take several
values take them with commas.
"""

from pathlib import Path
from typing import Annotated, Any

import typer


def command(
    target: Annotated[str, typer.Argument(help="Workloads, a study file, or a study's name.")],
    engine: Annotated[str | None, typer.Option(help="Engines; all of them unless given.")] = None,
    devices: Annotated[
        str | None, typer.Option(help="Such as cpu, cpu:2, gpu, gpu:4, 2xgpu:8.")
    ] = None,
    batch_size: Annotated[str | None, typer.Option(help="Samples a step, all devices.")] = None,
    scaling: Annotated[
        str | None, typer.Option(help="Batch sizes of all devices (strong) or of each (weak).")
    ] = None,
    epochs: Annotated[str | None, typer.Option(help="Passes over the training data.")] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            "--data",
            help="Instead of the workload's own; FILE.npz or FILE.py:FUNCTION for your model.",
        ),
    ] = None,
    samples: Annotated[int | None, typer.Option(help="Limit on the training samples.")] = None,
    repeats: Annotated[int | None, typer.Option(help="Fresh processes a configuration.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="Add repeats until ratios are this sure, such as 2%.")
    ] = None,
    max_repeats: Annotated[int | None, typer.Option(help="Most repeats for that; 30.")] = None,
    pin: Annotated[
        list[str] | None,
        typer.Option(help="Another version than ours: keras==3.14.1 (repeatable)."),
    ] = None,
    settings: Annotated[str | None, typer.Option(help="stock, tuned or both.")] = None,
    dtype: Annotated[
        str | None, typer.Option(help="Arithmetic: float32, tf32, bfloat16, float16.")
    ] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(help="A recipe's parameter: learning_rate=0.05,0.01 (repeatable)."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Leave out: engine=jax,batch_size=64 (repeatable)."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of weights, samples' and trials' order.")
    ] = None,
    drop_last: Annotated[
        bool | None, typer.Option("--drop-last", help="Leave out a last batch not full.")
    ] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds a trial may take.")] = None,
    memory_limit: Annotated[float | None, typer.Option(help="GiB a worker may address.")] = None,
    target_accuracy: Annotated[
        float | None, typer.Option(help="Report the time to this validation accuracy too.")
    ] = None,
    infrastructure: Annotated[str | None, typer.Option(help="Your name for the machine.")] = None,
    instance: Annotated[str | None, typer.Option(help="Its type at a cloud provider.")] = None,
    price_per_hour: Annotated[float | None, typer.Option(help="What it costs.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; runs/NAME unless given.")] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run failed trials once more.")
    ] = False,
    executor: Annotated[
        str, typer.Option(help="Where trials run; NAME or NAME://PLACE.")
    ] = "local",
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Trials side by side, never two on a device.")
    ] = None,
) -> int:
    """Read the study, run what is missing of it, report."""
    from velodrome import executors, planner, report, study
    from velodrome.arguments import assignments, several
    from velodrome.progress import watching

    site = {
        "infrastructure": infrastructure,
        "instance": instance,
        "price_per_hour": price_per_hour,
    }
    changes: dict[str, Any] = {
        "engines": several(engine),
        "devices": several(devices),
        "batch_sizes": several(batch_size),
        "scaling": scaling,
        "epochs": several(epochs),
        "settings": several(settings),
        "dtypes": several(dtype),
        "recipe": assignments(recipe, "--recipe"),
        "exclude": [assignments([each], "--exclude") for each in exclude or ()],
        "dataset": dataset,
        "samples": samples,
        "repeats": repeats,
        "precision": precision,
        "max_repeats": max_repeats,
        "pins": pin,
        "seed": seed,
        "drop_last": drop_last,
        "timeout": timeout,
        "memory_limit": memory_limit,
        "target_accuracy": target_accuracy,
        "site": {key: value for key, value in site.items() if value is not None},
    }
    given = {key: value for key, value in changes.items() if value not in (None, [], {})}
    wanted = study.load(target, given)
    folder = out or Path("runs") / wanted.name
    where = executors.named(executor, jobs)
    with watching() as observer:
        planner.run(wanted, folder, observer, retry_failed=retry_failed, executor=where)
    return report.show([folder])
