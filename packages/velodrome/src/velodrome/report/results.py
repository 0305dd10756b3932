"""Records as a table: what they have in common once, what differs an array a column.

Of a hundred thousand records as objects, the making alone takes longer than a reader waits.
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, Self, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from velodrome import record as records
from velodrome.machine import Machine
from velodrome.record import Ledger, Record, Site
from velodrome.report.process import Figures, Floats, Objects, columns, figures
from velodrome.store import Content
from velodrome.trial import Trial

Integers = NDArray[np.int64]


class Common(msgspec.Struct, frozen=True, kw_only=True):
    """What records of one configuration have in common.

    Attributes:
        trial: with 0 in place of the repeat.
        pins: versions that its environment was asked for, such as `keras==3.14.1`.
        machine, site, note, ledger: as in `Record`.
        cpus: logical processors that the trial was kept on; empty if it was never placed.
    """

    trial: Trial
    pins: str
    machine: Machine
    site: Site
    note: str
    ledger: Ledger | None
    cpus: tuple[int, ...]


class Results(Figures, frozen=True, kw_only=True, eq=False):
    """Records, and the figures of those that came to their end.

    Every attribute but the first two is a column, shape (records,): NaN or None where there is
    nothing, seconds, bytes and joules.

    Attributes:
        commons: what records have in common.
        contents: what the records were read from.
        common: which of `commons` is the record's.
        content: which of `contents` its line is in.
        begin, end: where in it the line lies.
        id, attempt, status, started, failure, waited, ceiling: as in `Record`.
        repeat: as in `Trial`.
        import_seconds, build_seconds, first_step, real, user, sys: as in `Clocks`.
        imported_memory, peak_memory: `imported` and `peak` of `Memory`.
        devices: memory of each GPU.
        threads: as in `Placement`.
        before, after, at_start: as in `Steadiness`.
    """

    commons: tuple[Common, ...]
    contents: tuple[Content, ...] = ()
    common: Integers
    content: Integers
    begin: Integers
    end: Integers
    id: Objects
    attempt: Integers
    status: Objects
    started: Objects
    failure: Objects
    waited: Floats
    ceiling: Floats
    repeat: Integers
    import_seconds: Floats
    build_seconds: Floats
    first_step: Floats
    real: Floats
    user: Floats
    sys: Floats
    imported_memory: Floats
    peak_memory: Floats
    devices: Objects
    threads: Floats
    before: Floats
    after: Floats
    at_start: Floats

    def __len__(self) -> int:
        return len(self.common)

    @property
    def records(self) -> Sequence[Record]:
        """The records themselves, each decoded when it is looked at."""
        return _Records(self)

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Which came to their end."""
        came: NDArray[np.bool_] = self.status == "ok"
        return came

    @property
    def setup(self) -> Floats:
        """Import, build, first step, and what warm-up epochs took beyond settled ones."""
        return self.import_seconds + self.build_seconds + self.first_step + self.warm_up

    @property
    def own_memory(self) -> Floats:
        """The peak less what the interpreter held with the framework loaded."""
        return self.peak_memory - self.imported_memory

    def take(self, which: NDArray[Any]) -> Self:
        """Those of these numbers, or where a truth is; in the order given."""
        return msgspec.structs.replace(
            self, **{name: getattr(self, name)[which] for name in _COLUMNS}
        )

    def having(self, common: Iterable[bool]) -> Self:
        """Those whose common part has a truth here; `common`: one for each of `commons`."""
        return self.take(np.array(list(common), bool)[self.common])

    def used(self) -> list[Common]:
        """What these have in common, that of the latest last."""
        latest = dict.fromkeys(self.common[::-1].tolist())
        return [self.commons[number] for number in reversed(latest)]


_COLUMNS = tuple(name for name in Results.__struct_fields__ if name not in ("commons", "contents"))


class _Records(Sequence[Record]):
    def __init__(self, results: Results) -> None:
        self._results = results

    def __len__(self) -> int:
        return len(self._results)

    @overload
    def __getitem__(self, at: int) -> Record: ...
    @overload
    def __getitem__(self, at: slice) -> list[Record]: ...
    def __getitem__(self, at: int | slice) -> Record | list[Record]:
        if isinstance(at, slice):
            return [self[number] for number in range(*at.indices(len(self)))]
        found = self._results
        content = found.contents[found.content[at]]
        return records.decode(content[found.begin[at] : found.end[at]])


def results(found: Iterable[Record], target: float | None = None) -> Results:
    """Records in memory as a table, in the order given.

    Args:
        found: of any status.
        target: validation accuracy whose time is wanted.
    """
    content = b"".join(records.encode(each) + b"\n" for each in found)
    table = parsed(decode(content), *places(content), target)
    return msgspec.structs.replace(table, contents=(content,))


class Line(Record, frozen=True, kw_only=True, gc=False):
    """A record whose parts that most have alike are still JSON."""

    environment: msgspec.Raw  # type: ignore[assignment]
    machine: msgspec.Raw  # type: ignore[assignment]
    site: msgspec.Raw  # type: ignore[assignment]
    ledger: msgspec.Raw = msgspec.Raw(b"null")  # type: ignore[assignment]


decode = msgspec.json.Decoder(Line).decode_lines
"""Many lines of the present form at once; raises `msgspec.DecodeError`."""


def places(content: bytes) -> tuple[Integers, Integers]:
    """Where each line begins, and where its newline is."""
    (end,) = np.nonzero(np.frombuffer(content, np.uint8) == ord("\n"))
    return np.concatenate([[0], end[:-1] + 1])[: len(end)], end


def parsed(
    lines: Sequence[Line], begin: Integers, end: Integers, target: float | None = None
) -> Results:
    """Lines as a table, without the content that they are from.

    Args:
        lines: of any status.
        begin: where each lies, shape (lines,).
        end: likewise.
        target: validation accuracy whose time is wanted.

    Raises:
        ValueError: one that came to its end has no epochs, or a time that is not above zero.
    """
    known: dict[tuple[object, ...], int] = {}
    common = np.array([known.setdefault(_key(line), len(known)) for line in lines], int)
    first = np.unique(common, return_index=True)[1].tolist()
    memory = [line.memory for line in lines]
    placement = [line.placement for line in lines]
    import_seconds, build_seconds, first_step, real, user, sys = columns(
        [line.clocks for line in lines],
        "import_seconds", "build_seconds", "first_step_seconds", "real", "user", "sys",
    )  # fmt: skip
    imported_memory, peak_memory = columns(memory, "imported", "peak")
    before, after, at_start = columns(
        [line.steadiness for line in lines], "before", "after", "at_start"
    )
    waited, ceiling = columns(lines, "waited", "ceiling")
    done = [number for number, line in enumerate(lines) if line.status == "ok"]
    own = figures([lines[number].epochs for number in done], target)
    spread: dict[str, Any] = {
        name: np.full(len(lines), None if name == "unsettled" else np.nan)
        for name in Figures.__struct_fields__
    }
    for name, values in spread.items():
        values[done] = getattr(own, name)
    return Results(
        **spread,
        commons=tuple(_common(lines[number]) for number in first),
        common=common,
        content=np.zeros(len(lines), int),
        begin=begin,
        end=end,
        id=_objects(line.id for line in lines),
        attempt=np.array([line.attempt for line in lines], int),
        status=_objects(line.status for line in lines),
        started=_objects(line.started for line in lines),
        failure=_objects(line.failure for line in lines),
        waited=waited,
        ceiling=ceiling,
        repeat=np.array([line.trial.repeat for line in lines], int),
        import_seconds=import_seconds,
        build_seconds=build_seconds,
        first_step=first_step,
        real=real,
        user=user,
        sys=sys,
        imported_memory=imported_memory,
        peak_memory=peak_memory,
        devices=_objects(each.devices if each else () for each in memory),
        threads=np.array([each.threads if each else None for each in placement], float),
        before=before,
        after=after,
        at_start=at_start,
    )


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


def _objects(values: Iterable[object]) -> Objects:
    """As an array of objects, tuples among them too."""
    each = list(values)
    found = np.empty(len(each), object)
    found[:] = each
    return found


def joined(tables: Sequence[Results]) -> Results:
    """Tables one after another."""
    known: dict[bytes, int] = {}
    commons: list[Common] = []
    own, before = [], 0
    for table in tables:
        numbers = []
        for each in table.commons:
            key = msgspec.json.encode(each)
            if key not in known:
                known[key] = len(commons)
                commons.append(each)
            numbers.append(known[key])
        codes = np.array(numbers, int)[table.common]
        own.append(msgspec.structs.replace(table, common=codes, content=table.content + before))
        before += len(table.contents)
    return Results(
        commons=tuple(commons),
        contents=tuple(content for table in tables for content in table.contents),
        **{name: np.concatenate([getattr(table, name) for table in own]) for name in _COLUMNS},
    )


def known(values: Floats) -> Floats:
    """Those that are not missing."""
    return values[~np.isnan(values)]
