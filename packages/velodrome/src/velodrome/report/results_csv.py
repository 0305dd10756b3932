"""`results.csv`: a line a trial, the nine columns of the 2017 measurements first."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

import msgspec

from velodrome.devices import Devices
from velodrome.report.process import Result, cost
from velodrome.report.summary import pins

# As many as stay in the processor's cache while column after column is read from them.
_TOGETHER = 1000

Part = Literal["result", "record", "trial", "recipe", "figures", "last", "clocks", "memory"]

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


@cache
def _gpus(devices: str) -> int:
    parsed = Devices.parse(devices)
    return parsed.total if parsed.kind == "gpu" else 0


# A column's name, the part of a result it is read from, and how; empty where there is no part.
_COLUMNS: tuple[tuple[str, Part, Callable[[Any], Any]], ...] = (
    ("infrastructure", "record", lambda record: record.site.infrastructure or record.machine.cpu),
    ("model", "trial", attrgetter("workload")),
    ("script", "trial", attrgetter("engine")),
    ("batch_size", "trial", attrgetter("batch_size")),
    ("gpus", "trial", lambda trial: _gpus(trial.devices)),
    ("accuracy", "figures", attrgetter("accuracy")),
    ("epochs", "trial", attrgetter("epochs")),
    ("time", "figures", attrgetter("time")),
    ("samples_sec", "figures", attrgetter("samples_sec")),
    ("engine", "trial", attrgetter("engine")),
    ("pins", "record", pins),
    ("devices", "trial", attrgetter("devices")),
    ("status", "record", attrgetter("status")),
    ("id", "record", attrgetter("id")),
    ("attempt", "record", attrgetter("attempt")),
    ("repeat", "trial", attrgetter("repeat")),
    ("started", "record", attrgetter("started")),
    ("dataset", "trial", attrgetter("dataset")),
    ("samples", "trial", attrgetter("samples")),
    ("seed", "trial", attrgetter("seed")),
    ("settings", "trial", attrgetter("settings")),
    ("dtype", "trial", attrgetter("dtype")),
    ("learning_rate", "recipe", attrgetter("learning_rate")),
    ("momentum", "recipe", attrgetter("momentum")),
    ("weight_decay", "recipe", attrgetter("weight_decay")),
    ("loss", "last", attrgetter("loss")),
    ("validation_loss", "last", attrgetter("validation_loss")),
    ("settled", "figures", lambda figures: not figures.unsettled),
    ("time_with_validation", "figures", attrgetter("time_with_validation")),
    ("time_last_epoch", "last", attrgetter("train_seconds")),
    (
        "time_last_epoch_with_validation",
        "last",
        lambda last: last.train_seconds + last.validation_seconds,
    ),
    ("time_to_target", "figures", attrgetter("to_target")),
    ("cost_epoch", "result", lambda result: _cost(result, "time")),
    ("cost_to_target", "result", lambda result: _cost(result, "to_target")),
    ("import_seconds", "clocks", attrgetter("import_seconds")),
    ("build_seconds", "clocks", attrgetter("build_seconds")),
    ("first_step_seconds", "clocks", attrgetter("first_step_seconds")),
    ("real", "clocks", attrgetter("real")),
    ("user", "clocks", attrgetter("user")),
    ("sys", "clocks", attrgetter("sys")),
    ("imported_memory", "memory", attrgetter("imported")),
    ("peak_memory", "memory", attrgetter("peak")),
    ("own_memory", "figures", attrgetter("own_memory")),
    ("joules", "figures", attrgetter("joules")),
    ("reason", "record", lambda record: record.failure.reason if record.failure else None),
)
COLUMNS = tuple(name for name, _, _ in _COLUMNS)


def write(results: Iterable[Result], path: Path) -> None:
    """Write every result, failures too; what was not measured stays empty."""
    path.write_text(text(results), newline="")


def text(results: Iterable[Result]) -> str:
    """What `write` writes."""
    tables = ("\r\n".join(_rows(columns)) + "\r\n" for columns in _tables(results))
    return "".join([",".join(COLUMNS) + "\r\n", *tables])


def _rows(columns: Iterable[list[Any]]) -> Iterator[str]:
    """What `csv` writes, a column at a time: a cell at a time takes three times as long."""
    return map(",".join, zip(*map(_written, columns), strict=True))


def _written(column: list[Any]) -> list[str]:
    kinds = set(map(type, column))
    if float in kinds and kinds <= _NUMBERS:
        return msgspec.json.encode(column)[1:-1].decode().replace("null", "").split(",")
    cells = ["" if cell is None else str(cell) for cell in column]
    return [_quoted(cell) for cell in cells] if _SPECIAL.search("".join(cells)) else cells


def _quoted(cell: str) -> str:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="").writerow((cell, ""))
    return file.getvalue()[:-1]


_NUMBERS = {float, int, type(None)}
_SPECIAL = re.compile('[,"\r\n]')


def lines(results: Iterable[Result]) -> Iterator[tuple[Any, ...]]:
    """The cells of each result, in the order of `COLUMNS`; None for what was not measured."""
    for columns in _tables(results):
        yield from zip(*columns, strict=True)


def _tables(results: Iterable[Result]) -> Iterator[Iterable[list[Any]]]:
    """The columns of some results, then those of the next, in the order of `COLUMNS`."""
    results = iter(results)
    while some := list(islice(results, _TOGETHER)):
        yield _columns(some)


def _columns(results: Sequence[Result]) -> Iterator[list[Any]]:
    """A column at a time: a hundred thousand lines take half as long as cell by cell."""
    records = [result.record for result in results]
    parts: dict[Part, Sequence[Any]] = {
        "result": results,
        "record": records,
        "trial": [record.trial for record in records],
        "recipe": [record.trial.recipe for record in records],
        "figures": [result.figures for result in results],
        "last": [figures.last if figures else None for _, figures in results],
        "clocks": [record.clocks for record in records],
        "memory": [record.memory for record in records],
    }
    for _, part, cell in _COLUMNS:
        yield [None if each is None else cell(each) for each in parts[part]]


def _cost(result: Result, figure: Literal["time", "to_target"]) -> float | None:
    seconds = getattr(result.figures, figure) if result.figures else None
    return cost(seconds, result.record.site.price_per_hour)
