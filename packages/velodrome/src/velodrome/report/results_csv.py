"""`results.csv`: a line a trial, the nine columns of the 2017 measurements first."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from velodrome.devices import Devices
from velodrome.record import Record
from velodrome.report import summary

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
    "time_last_epoch",
    "time_with_validation",
    "import_seconds",
    "build_seconds",
    "first_step_seconds",
    "real",
    "user",
    "sys",
    "imported_memory",
    "peak_memory",
    "reason",
)


def write(records: Iterable[Record], path: Path) -> None:
    """Write every record, failures too; what was not measured stays empty."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(_line(record) for record in records)


def _line(record: Record) -> dict[str, Any]:
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
        line |= _measured(record)
    return line


def _measured(record: Record) -> dict[str, Any]:
    last = record.epochs[-1]
    return {
        "accuracy": last.validation_accuracy,
        "time": summary.epoch_time(record),
        "samples_sec": summary.samples_per_second(record),
        "loss": last.loss,
        "validation_loss": last.validation_loss,
        "time_last_epoch": last.train_seconds,
        "time_with_validation": last.train_seconds + last.validation_seconds,
    }
