"""Records as a table: what they have in common once, what differs an array a column.

Of a hundred thousand records as objects, the making alone takes longer than a reader waits.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Self, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from velodrome import record as records
from velodrome.machine import Machine
from velodrome.record import Ledger, Record, Site
from velodrome.report.process import Figures, Floats, Integers, Objects
from velodrome.store import Content
from velodrome.trial import Trial


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

    Every attribute but `commons` and `contents` is a column, shape (records,): NaN or None where
    there is nothing; seconds, bytes and joules.

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
