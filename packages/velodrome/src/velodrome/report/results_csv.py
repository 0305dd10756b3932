"""`results.csv`: a line a trial, the nine columns of the 2017 measurements first."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from velodrome.devices import Devices
from velodrome.report.process import Floats, Integers, Objects
from velodrome.report.results import Common, Results

# As many as stay in the processor's cache while they are written.
_TOGETHER = 1000

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


class _Shared(msgspec.Struct, frozen=True):
    """A column of what records have in common."""

    cell: Callable[[Common], Any]

    def texts(self, results: Results) -> list[str]:
        """A cell for each of `commons`."""
        return _texts([self.cell(each) for each in results.commons])


def _trial(field: str) -> _Shared:
    return _Shared(attrgetter(f"trial.{field}"))


def _own(
    values: Callable[[Results], Floats | Integers | Objects],
) -> Callable[[Results], Iterator[str]]:
    """A column of what each record has for itself."""

    def column(results: Results) -> Iterator[str]:
        every = values(results)
        if every.dtype != object and np.isnan(every).all():
            return repeat("", len(every))
        write = _texts if every.dtype == object else _numbers
        some = (every[at : at + _TOGETHER].tolist() for at in range(0, len(every), _TOGETHER))
        return chain.from_iterable(map(write, some))

    return column


def _bytes(values: Callable[[Results], Floats]) -> Callable[[Results], Iterator[str]]:
    """A column of whole numbers, some of which may be missing."""

    def whole(results: Results) -> Objects:
        each = values(results).tolist()
        return np.array([None if value != value else int(value) for value in each], object)

    return _own(whole)


def _numbers(values: list[float]) -> list[str]:
    return msgspec.json.encode(values)[1:-1].decode().replace("null", "").split(",")


def _texts(values: list[Any]) -> list[str]:
    cells = ["" if value is None else str(value) for value in values]
    return [_quoted(cell) for cell in cells] if _SPECIAL.search("".join(cells)) else cells


def _quoted(cell: str) -> str:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="").writerow((cell, ""))
    return file.getvalue()[:-1]


_SPECIAL = re.compile('[,"\r\n]')


def _gpus(common: Common) -> int:
    parsed = Devices.parse(common.trial.devices)
    return parsed.total if parsed.kind == "gpu" else 0


def _settled(results: Results) -> Objects:
    found = np.full(len(results), None, object)
    found[results.ok] = results.unsettled[results.ok] == ""
    return found


def _cost(seconds: Callable[[Results], Floats]) -> Callable[[Results], Floats]:
    """What a time costs, in the currency of the price."""

    def cost(results: Results) -> Floats:
        prices = [each.site.price_per_hour for each in results.commons]
        spent: Floats = seconds(results) / 3600 * np.array(prices, float)[results.common]
        return spent

    return cost


def _reasons(results: Results) -> Objects:
    return np.array([each and each.reason for each in results.failure], object)


_COLUMNS: dict[str, _Shared | Callable[[Results], Iterator[str]]] = {
    "infrastructure": _Shared(lambda each: each.site.infrastructure or each.machine.cpu),
    "model": _trial("workload"),
    "script": _trial("engine"),
    "batch_size": _trial("batch_size"),
    "gpus": _Shared(_gpus),
    "accuracy": _own(attrgetter("accuracy")),
    "epochs": _trial("epochs"),
    "time": _own(attrgetter("time")),
    "samples_sec": _own(attrgetter("samples_sec")),
    "engine": _trial("engine"),
    "pins": _Shared(attrgetter("pins")),
    "devices": _trial("devices"),
    "status": _own(attrgetter("status")),
    "id": _own(attrgetter("id")),
    "attempt": _own(attrgetter("attempt")),
    "repeat": _own(attrgetter("repeat")),
    "started": _own(attrgetter("started")),
    "dataset": _trial("dataset"),
    "samples": _trial("samples"),
    "seed": _trial("seed"),
    "settings": _trial("settings"),
    "dtype": _trial("dtype"),
    "learning_rate": _trial("recipe.learning_rate"),
    "momentum": _trial("recipe.momentum"),
    "weight_decay": _trial("recipe.weight_decay"),
    "loss": _own(attrgetter("loss")),
    "validation_loss": _own(attrgetter("validation_loss")),
    "settled": _own(_settled),
    "time_with_validation": _own(attrgetter("time_with_validation")),
    "time_last_epoch": _own(attrgetter("last_time")),
    "time_last_epoch_with_validation": _own(lambda all: all.last_time + all.last_validation),
    "time_all_epochs_with_validation": _own(lambda all: all.trained + all.evaluated),
    "time_to_target": _own(attrgetter("to_target")),
    "cost_epoch": _own(_cost(attrgetter("time"))),
    "cost_to_target": _own(_cost(attrgetter("to_target"))),
    "import_seconds": _own(attrgetter("import_seconds")),
    "build_seconds": _own(attrgetter("build_seconds")),
    "first_step_seconds": _own(attrgetter("first_step")),
    "real": _own(attrgetter("real")),
    "user": _own(attrgetter("user")),
    "sys": _own(attrgetter("sys")),
    "imported_memory": _bytes(attrgetter("imported_memory")),
    "peak_memory": _bytes(attrgetter("peak_memory")),
    "own_memory": _bytes(lambda all: np.where(all.ok, all.own_memory, np.nan)),
    "joules": _own(attrgetter("joules")),
    "reason": _own(_reasons),
}
COLUMNS = tuple(_COLUMNS)


def write(results: Results, path: Path) -> None:
    """Write every result, failures too; what was not measured stays empty."""
    path.write_text(text(results), newline="")


def text(results: Results) -> str:
    """What `write` writes."""
    return "\r\n".join([",".join(COLUMNS), *lines(results), ""])


def lines(results: Results, columns: Sequence[str] = COLUMNS) -> Iterator[str]:
    """A line each result, without its end; what `csv` would write, in a third of the time."""
    return map(",".join, zip(*_cells(results, columns), strict=True))


def _cells(results: Results, columns: Sequence[str]) -> Iterator[Iterator[str]]:
    """Column by column; of shared ones that stand side by side, all at once."""
    shared: list[list[str]] = []
    for column in (*map(_COLUMNS.__getitem__, columns), None):
        if isinstance(column, _Shared):
            shared.append(column.texts(results))
            continue
        if shared:
            texts = [",".join(cells) for cells in zip(*shared, strict=True)]
            yield map(texts.__getitem__, results.common.tolist())
            shared = []
        if column is not None:
            yield column(results)
