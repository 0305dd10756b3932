"""From lines of JSON to a table, some hundred kilobytes at a time.

What is made of so many lines stays in the processor's cache until numbers are left of it.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from velodrome import record as records
from velodrome.machine import Machine
from velodrome.record import DeviceMemory, Epoch, Ledger, Record, Site
from velodrome.report.process import Epochs, Figures, Objects, figures, numbers
from velodrome.report.results import Common, Results
from velodrome.statistics import time_to_accuracy
from velodrome.store import Content
from velodrome.trial import Trial


class Line(Record, frozen=True, kw_only=True, gc=False):
    """A record whose parts that most have alike are still JSON."""

    environment: msgspec.Raw  # type: ignore[assignment]
    machine: msgspec.Raw  # type: ignore[assignment]
    site: msgspec.Raw  # type: ignore[assignment]
    ledger: msgspec.Raw = msgspec.Raw(b"null")  # type: ignore[assignment]


decode = msgspec.json.Decoder(Line).decode_lines
"""Lines of the present form; raises `msgspec.DecodeError`."""


def results(found: Iterable[Record], target: float | None = None) -> Results:
    """Records in memory as a table, in the order given.

    Args:
        found: of any status.
        target: validation accuracy whose time is wanted.
    """
    content = b"".join(records.encode(each) + b"\n" for each in found)
    gathered = Gathered(target)
    gathered.add(decode(content), *places(content, 0, len(content)))
    return msgspec.structs.replace(gathered.results(), contents=(content,))


def places(content: Content, begin: int, end: int) -> tuple[list[int], list[int]]:
    """Of the lines between two places: where each begins, and where its newline is."""
    newlines, at = [], begin
    while at < end:
        newlines.append(content.find(b"\n", at))
        at = newlines[-1] + 1
    return [begin, *(each + 1 for each in newlines[:-1])][: len(newlines)], newlines


class Gathered:
    """What is left of lines, until there are enough for arrays.

    Args:
        target: validation accuracy whose time is wanted.
    """

    def __init__(self, target: float | None = None) -> None:
        self._target = target
        self._commons: dict[tuple[object, ...], Common] = {}
        self._numbers: dict[tuple[object, ...], int] = {}
        self._common: list[int] = []
        self._begin: list[int] = []
        self._end: list[int] = []
        self._own: tuple[list[Any], ...] = tuple([] for _ in range(8))
        self._measured = [np.empty((11, 0))]
        self._devices: list[tuple[DeviceMemory, ...]] = []
        self._threads: list[int | None] = []
        self._lengths: list[int] = []
        self._training = [np.empty(0)]
        self._evaluation = [np.empty(0)]
        self._spent = [np.empty(0)]
        self._last = [np.empty((4, 0))]
        self._to_target: list[float | None] = []

    def add(self, lines: Sequence[Line], begin: Sequence[int], end: Sequence[int]) -> None:
        """Take lines in.

        Args:
            lines: of any status.
            begin: where each lies.
            end: likewise.

        Raises:
            msgspec.DecodeError: what a line has in common with others is not that of a record.
        """
        keys = [_key(line) for line in lines]
        for key, line in zip(keys, lines, strict=True):
            if key not in self._commons:
                self._commons[key] = _common(line)
                self._numbers[key] = len(self._numbers)
        self._common += [self._numbers[key] for key in keys]
        self._begin += begin
        self._end += end
        columns = zip(*map(_own, lines), strict=True)
        for values, own in zip(self._own, columns, strict=False):  # of no lines, no columns
            values += own
        self._measured.append(numbers([_measured(line) for line in lines], 11))
        self._devices += [line.memory.devices if line.memory else () for line in lines]
        self._threads += [line.placement.threads if line.placement else None for line in lines]
        self._add_epochs([line.epochs for line in lines if line.status == "ok"])

    def _add_epochs(self, processes: Sequence[Sequence[Epoch]]) -> None:
        self._lengths += map(len, processes)
        every = list(chain.from_iterable(processes))
        metered = any(map(_joules, every))
        for values, figure in (
            (self._training, map(_train_seconds, every)),
            (self._evaluation, map(_validation_seconds, every)),
            (self._spent, map(_spent, every) if metered else [math.nan] * len(every)),
        ):
            values.append(np.fromiter(figure, float, len(every)))
        last = [_last(epochs[-1]) for epochs in processes if epochs]
        self._last.append(numbers(last, 4))
        self._to_target += [_to_target(epochs, self._target) for epochs in processes]

    def results(self) -> Results:
        """The lines as a table, without the content that they are from.

        Raises:
            ValueError: one that came to its end has no epochs, or a time that is not above zero.
        """
        found, attempt, status, started, failure, repeat, waited, ceiling = self._own
        measured = np.concatenate(self._measured, axis=1)
        import_seconds, build_seconds, first_step, real, user, sys = measured[:6]
        imported_memory, peak_memory, before, after, at_start = measured[6:]
        count = len(found)
        return Results(
            **self._figures(np.array([each == "ok" for each in status], bool)),
            commons=tuple(self._commons.values()),
            common=np.array(self._common, int),
            content=np.zeros(count, int),
            begin=np.array(self._begin, int),
            end=np.array(self._end, int),
            id=_objects(found),
            attempt=np.array(attempt, int),
            status=_objects(status),
            started=_objects(started),
            failure=_objects(failure),
            waited=np.array(waited, float),
            ceiling=np.array(ceiling, float),
            repeat=np.array(repeat, int),
            import_seconds=import_seconds,
            build_seconds=build_seconds,
            first_step=first_step,
            real=real,
            user=user,
            sys=sys,
            imported_memory=imported_memory,
            peak_memory=peak_memory,
            devices=_objects(self._devices),
            threads=np.array(self._threads, float),
            before=before,
            after=after,
            at_start=at_start,
        )

    def _figures(self, ok: NDArray[np.bool_]) -> dict[str, Any]:
        """Those of the lines that are, nothing at the others."""
        own = figures(
            Epochs(
                lengths=np.array(self._lengths, int),
                train_seconds=np.concatenate(self._training),
                validation_seconds=np.concatenate(self._evaluation),
                joules=np.concatenate(self._spent),
                last=np.concatenate(self._last, axis=1),
                to_target=np.array(self._to_target, float),
            )
        )
        found = {
            name: np.full(len(ok), None if name == "unsettled" else np.nan)
            for name in Figures.__struct_fields__
        }
        for name, values in found.items():
            values[ok] = getattr(own, name)
        return found


_own = attrgetter(
    "id", "attempt", "status", "started", "failure", "trial.repeat", "waited", "ceiling"
)
_clocks = attrgetter("import_seconds", "build_seconds", "first_step_seconds", "real", "user", "sys")
_memory = attrgetter("imported", "peak")
_steadiness = attrgetter("before", "after", "at_start")
_train_seconds = attrgetter("train_seconds")
_validation_seconds = attrgetter("validation_seconds")
_joules = attrgetter("joules")
_last = attrgetter("samples", "validation_accuracy", "loss", "validation_loss")
_configured = attrgetter(*(name for name in Trial.__struct_fields__ if name != "repeat"))


def _key(line: Line) -> tuple[object, ...]:
    return (
        _configured(line.trial),
        bytes(line.environment),
        bytes(line.machine),
        bytes(line.site),
        line.note,
        bytes(line.ledger),
        line.placement and line.placement.cpus,
    )


def _common(line: Line) -> Common:
    return Common(
        trial=msgspec.structs.replace(line.trial, repeat=0),
        pins=msgspec.json.decode(line.environment, type=dict[str, str]).get("pins", ""),
        machine=msgspec.json.decode(line.machine, type=Machine),
        site=msgspec.json.decode(line.site, type=Site),
        note=line.note,
        ledger=msgspec.json.decode(line.ledger, type=Ledger | None),
        cpus=line.placement.cpus if line.placement else (),
    )


def _measured(line: Line) -> tuple[float | None, ...]:
    clocks, memory, steadiness = line.clocks, line.memory, line.steadiness
    return (
        *(_clocks(clocks) if clocks else (None,) * 6),
        *(_memory(memory) if memory else (None,) * 2),
        *(_steadiness(steadiness) if steadiness else (None,) * 3),
    )


def _spent(epoch: Epoch) -> float:
    return sum(epoch.joules.values()) if epoch.joules else math.nan


def _to_target(epochs: Sequence[Epoch], target: float | None) -> float | None:
    if target is None:
        return None
    times = [epoch.train_seconds for epoch in epochs]
    return time_to_accuracy(times, [epoch.validation_accuracy for epoch in epochs], target)


def _objects(values: Sequence[object]) -> Objects:
    """As an array of objects, tuples among them too."""
    found = np.empty(len(values), object)
    found[:] = values
    return found
