"""What trackers of experiments are told of a trial: its name, parameters and curves; pure."""

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from velodrome.record import Record
from velodrome.report.results import Results

_CURVES = (
    "loss",
    "accuracy",
    "validation_loss",
    "validation_accuracy",
    "learning_rate",
    "train_seconds",
    "validation_seconds",
)
_FINAL = ("time", "time_with_validation", "samples_sec", "accuracy", "setup", "peak_memory")


class Point(NamedTuple):
    """A value of a curve.

    Attributes:
        name: of the curve.
        value: its value.
        epoch: after which epoch, from 1.
        time: when, in seconds since 1970, as far as the record tells.
    """

    name: str
    value: float
    epoch: int
    time: float


def title(record: Record) -> str:
    """A name that tells a trial from the others of its run at a glance."""
    trial = record.trial
    return (
        f"{trial.workload}-{trial.engine}-{trial.devices}-batch{trial.batch_size}"
        f"-run{trial.repeat}-{trial.short_id}-{record.attempt}"
    ).replace(":", "x")


def parameters(record: Record) -> dict[str, Any]:
    """What was trained and how, the recipe's parameters among them; what is not set left out."""
    trial = msgspec.to_builtins(record.trial)
    flat = trial | {f"recipe.{name}": value for name, value in trial.pop("recipe").items()}
    return {name: value for name, value in flat.items() if value is not None}


def points(record: Record) -> Iterator[Point]:
    """Every curve, epoch after epoch."""
    now = began(record) + _before(record)
    for number, epoch in enumerate(record.epochs, start=1):
        now += epoch.train_seconds + epoch.validation_seconds
        for name in _CURVES:
            yield Point(name, getattr(epoch, name), number, now)
        yield Point("samples_sec", epoch.samples / epoch.train_seconds, number, now)


def final(results: Results, number: int) -> dict[str, float]:
    """The figures of a trial as a whole; none if it did not come to its end."""
    if results.status[number] != "ok":
        return {}
    figures = {f"trial.{name}": float(getattr(results, name)[number]) for name in _FINAL}
    return {name: each for name, each in figures.items() if not math.isnan(each)}


def began(record: Record) -> float:
    """When the trial was started, in seconds since 1970."""
    return datetime.fromisoformat(record.started).timestamp()


def ended(record: Record) -> float:
    """When it ended, likewise."""
    return began(record) + (record.clocks.real if record.clocks else 0.0)


def _before(record: Record) -> float:
    clocks = record.clocks
    if clocks is None:
        return 0.0
    parts = (clocks.import_seconds, clocks.build_seconds, clocks.first_step_seconds)
    return sum(part or 0.0 for part in parts)
