"""How steady the machine was while a run was measured: pure."""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from velodrome.machine import Machine
from velodrome.report.results import Results, known
from velodrome.report.summary import Group
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


def drifts(groups: Iterable[Group]) -> dict[Machine, Drift | None]:
    """The `drift` of each machine that the groups were measured on."""
    own: dict[Machine, list[Results]] = {}
    for group in groups:
        own.setdefault(group.machine, []).extend(row.runs for row in group.rows)
    return {machine: drift(each) for machine, each in own.items()}


def drift(runs: Sequence[Results]) -> Drift | None:
    """How the fixed kernel's time changed, trial by trial; None without readings."""
    started = np.concatenate([each.started for each in runs])
    around = np.concatenate([np.column_stack([each.before, each.after]) for each in runs])
    readings = known(around[np.argsort(started, kind="stable")].ravel())
    if not len(readings):
        return None
    third = max(len(readings) // 3, 1)
    middle = median(readings)
    at_start = known(np.concatenate([each.at_start for each in runs]))
    return Drift(
        readings=len(readings),
        seconds=middle,
        slowest=float(readings.max()) / middle - 1,
        drift=median(readings[-third:]) / median(readings[:third]) - 1,
        at_start=float(at_start.max()) if len(at_start) else None,
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
