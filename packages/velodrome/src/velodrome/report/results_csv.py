"""`results.csv`: a line a trial, the nine columns of the 2017 measurements first."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from velodrome.devices import Devices
from velodrome.record import Record
from velodrome.report.process import cost, process
from velodrome.report.summary import pins

SEED_COLUMNS = (
    "infrastructure",
    "model",
    "script",
    "batch_size",
    "gpus",
    "accuracy",
    "epochs",
    "time",
    "samples_sec",
)
COLUMNS = (
    *SEED_COLUMNS,
    "engine",
    "devices",
    "status",
    "id",
    "attempt",
    "repeat",
    "started",
    "dataset",
    "samples",
    "seed",
    "settings",
    "dtype",
    "learning_rate",
    "momentum",
    "weight_decay",
    "loss",
    "validation_loss",
    "settled",
    "time_with_validation",
    "time_last_epoch",
    "time_last_epoch_with_validation",
    "time_to_target",
    "cost_epoch",
    "cost_to_target",
    "import_seconds",
    "build_seconds",
    "first_step_seconds",
    "real",
    "user",
    "sys",
    "imported_memory",
    "peak_memory",
    "own_memory",
    "joules",
    "pins",
    "reason",
)


def write(records: Iterable[Record], path: Path, target: float | None = None) -> None:
    """Write every record, failures too; what was not measured stays empty."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for record in records:
            line = _line(record, target)
            writer.writerow([line.get(name) for name in COLUMNS])


def _line(record: Record, target: float | None) -> dict[str, Any]:
    trial = record.trial
    devices = Devices.parse(trial.devices)
    line: dict[str, Any] = {
        "infrastructure": record.site.infrastructure or record.machine.cpu,
        "model": trial.workload,
        "script": trial.engine,
        "batch_size": trial.batch_size,
        "gpus": devices.total if devices.kind == "gpu" else 0,
        "epochs": trial.epochs,
        "engine": trial.engine,
        "devices": trial.devices,
        "status": record.status,
        "id": record.id,
        "attempt": record.attempt,
        "repeat": trial.repeat,
        "started": record.started,
        "dataset": trial.dataset,
        "samples": trial.samples,
        "seed": trial.seed,
        "settings": trial.settings,
        "dtype": trial.dtype,
        "learning_rate": trial.recipe.learning_rate,
        "momentum": trial.recipe.momentum,
        "weight_decay": trial.recipe.weight_decay,
        "pins": pins(record),
    }
    if record.clocks:
        for name in (
            "import_seconds",
            "build_seconds",
            "first_step_seconds",
            "real",
            "user",
            "sys",
        ):
            line[name] = getattr(record.clocks, name)
    if record.memory:
        line |= {"imported_memory": record.memory.imported, "peak_memory": record.memory.peak}
    if record.failure:
        line["reason"] = record.failure.reason
    if record.status == "ok":
        line |= _measured(record, target)
    return line


def _measured(record: Record, target: float | None) -> dict[str, Any]:
    last = record.epochs[-1]
    figures = process(record, target)
    price = record.site.price_per_hour
    return {
        "accuracy": last.validation_accuracy,
        "time": figures.time,
        "samples_sec": figures.samples_sec,
        "loss": last.loss,
        "validation_loss": last.validation_loss,
        "settled": not figures.unsettled,
        "time_with_validation": figures.time_with_validation,
        "time_last_epoch": last.train_seconds,
        "time_last_epoch_with_validation": last.train_seconds + last.validation_seconds,
        "time_to_target": figures.to_target,
        "cost_epoch": cost(figures.time, price),
        "cost_to_target": cost(figures.to_target, price),
        "own_memory": figures.own_memory,
        "joules": figures.joules,
    }
