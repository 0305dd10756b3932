"""How steady the machine was while a run was measured: pure."""

from collections.abc import Iterable

import msgspec

from velodrome.machine import Machine
from velodrome.record import Record
from velodrome.statistics import median
from velodrome.steadiness import UNSTEADY


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """The fixed kernel over a run.

    Attributes:
        readings: how many there are, two a trial.
        seconds: their median.
        slowest: the slowest over the median, less one.
        drift: median of the last third over that of the first, less one.
        at_start: as `slowest`, of the readings before the run; None where there were none.
    """

    readings: int
    seconds: float
    slowest: float
    drift: float
    at_start: float | None = None

    @property
    def steady(self) -> bool:
        """Whether nothing need be said against the machine."""
        return max(abs(self.drift), self.slowest, self.at_start or 0.0) <= UNSTEADY


def drifts(records: Iterable[Record]) -> dict[Machine, Drift | None]:
    """The `drift` of each machine that the records were measured on."""
    own: dict[Machine, list[Record]] = {}
    for record in records:
        own.setdefault(record.machine, []).append(record)
    return {machine: drift(each) for machine, each in own.items()}


def drift(records: Iterable[Record]) -> Drift | None:
    """How the fixed kernel's time changed, trial by trial; None without readings."""
    timed = [each for each in records if each.steadiness is not None]
    timed.sort(key=lambda record: record.started)
    readings = [
        seconds
        for record in timed
        if record.steadiness
        for seconds in (record.steadiness.before, record.steadiness.after)
    ]
    if not readings:
        return None
    at_start = [each.steadiness.at_start for each in timed if each.steadiness]
    third = max(len(readings) // 3, 1)
    middle = median(readings)
    return Drift(
        readings=len(readings),
        seconds=middle,
        slowest=max(readings) / middle - 1,
        drift=median(readings[-third:]) / median(readings[:third]) - 1,
        at_start=max((each for each in at_start if each is not None), default=None),
    )


def sentence(found: Drift) -> str:
    """The drift in words."""
    direction = "slower" if found.drift > 0 else "faster"
    at_start = "" if found.at_start is None else f", {found.at_start:.0%} before the run"
    text = (
        f"Between trials a fixed kernel took {found.seconds * 1e3:.1f} ms "
        f"(median of {found.readings}), at most {found.slowest:.0%} more{at_start}; "
        f"the machine ended {abs(found.drift):.1%} {direction} than it began"
    )
    return f"{text}." if found.steady else f"{text}: it was not steady."
