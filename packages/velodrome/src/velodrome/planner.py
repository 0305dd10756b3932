"""Run a study until its ratios are as sure as was asked for."""

from pathlib import Path

import msgspec

from velodrome import environment, runner
from velodrome.executors.base import Executor
from velodrome.parity import check
from velodrome.report import summary
from velodrome.report.process import Floats
from velodrome.report.reading import read
from velodrome.report.summary import Group
from velodrome.runner import Observer
from velodrome.statistics import Comparison, compare, half_width, repeats_to_add
from velodrome.study import Study


def run(
    study: Study,
    folder: Path,
    observer: Observer,
    *,
    retry_failed: bool = False,
    executor: Executor | None = None,
) -> None:
    """Run the study's repeats, then more of them until its `precision` or `max_repeats`.

    Whether all train the same mathematics of a user's own model is found out before.

    Raises:
        UserError: as `runner.run`.
    """
    environment.note_left_out(observer.note)
    check.settle(study, folder / "parity", observer.note)
    runner.run(study, folder, observer, retry_failed=retry_failed, executor=executor)
    wanted = study.precision
    if wanted is None:
        return
    while more := further_repeats(study, summary.groups(read([folder]))):
        repeats = study.repeats + more
        observer.note(f"intervals wider than {wanted:.1%}: going on to {repeats} repeats")
        study = msgspec.structs.replace(study, repeats=repeats)
        runner.run(study, folder, observer, executor=executor)
    widest = _widest(summary.groups(read([folder])))
    reached = "reached" if widest <= wanted else "not reached"
    observer.note(
        f"precision of {wanted:.1%} {reached} after {study.repeats} repeats: "
        f"the widest interval is within {widest:.1%}"
    )


def further_repeats(study: Study, groups: list[Group]) -> int:
    """Repeats to add to those the study has, as the group furthest from the precision asks."""
    assert study.precision is not None
    wanted = 0
    for group in groups:
        values = _values(group)
        if values:
            wanted = max(
                wanted,
                repeats_to_add(
                    _comparisons(group),
                    values,
                    precision=study.precision,
                    max_repeats=study.max_repeats,
                ),
            )
    return min(wanted, study.max_repeats - study.repeats)


def _values(group: Group) -> dict[str, Floats]:
    return {row.label: row.done.samples_sec for row in group.rows if row.done}


def _comparisons(group: Group) -> list[Comparison]:
    """With the fastest; of an engine by itself, what its like in another run would give."""
    found = [row.comparison for row in group.rows if row.comparison]
    return found or [compare(each, each, of="throughput") for each in _values(group).values()]


def _widest(groups: list[Group]) -> float:
    return max((half_width(one) for group in groups for one in _comparisons(group)), default=0.0)
