"""From records to the rows of a table: repeats put together, engines ranked; pure."""

from collections import Counter
from collections.abc import Container, Hashable, Iterable, Sequence
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np

from velodrome import user_code
from velodrome.machine import Machine
from velodrome.parity.verdict import Verdict, find, flag
from velodrome.report.process import Floats, Integers
from velodrome.report.results import Common, Results, known
from velodrome.report.words import RECIPE, differing, line, words
from velodrome.statistics import (
    LEVEL,
    Comparison,
    break_even_epoch,
    least_processes,
    median,
    rank,
)
from velodrome.trial import Trial
from velodrome.workloads.recipe import Recipe

Axis = Literal[
    "engine", "workload", "dataset", "devices", "batch_size", "epochs", "dtype", "settings"
]
"""What the rows of a group may differ in."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration on one engine, all repeats together.

    All figures are medians over the repeats that came to their end, the process being the
    unit; None where nothing was measured. Seconds, bytes, joules.

    Attributes:
        trial: any of the repeats' trials; they differ in nothing else.
        machine: what they ran on.
        by: the field of the trial in which the rows of a group differ.
        pins: versions asked for in place of the pinned ones, such as `keras==3.14.1`.
        runs: the latest record of each repeat, all of the newest code, data and model.
        done: those that came to their end.
        failed: those that did not.
        superseded: how many older results, of other code, versions, data or model, are left out.
        time: training an epoch, validation excluded.
        time_with_validation: training an epoch and validating after it.
        samples_sec: trained samples a second.
        accuracy: on the validation data after the last epoch.
        setup: import, build, first step and warm-up's excess.
        import_seconds, build_seconds, first_step, real, user, sys: as in `Clocks`.
        peak_memory: largest resident size of the process tree: the largest of the repeats.
        own_memory: that less what the framework held when it was loaded, likewise.
        joules: to train an epoch.
        to_target: training until the target accuracy; None unless every repeat reached it.
        reached: how many repeats reached the target.
        relative: samples_sec over that of the group's fastest engine.
        comparison: with the group's fastest engine; None for that one.
        break_even: epochs after which the fastest engine, its set-up included, is ahead of
            this one: 0 if it is from the start.
        verdict: whether the engine trains the workload as the reference does; None if that
            was not found out for this code, these versions and this recipe.
    """

    trial: Trial
    machine: Machine
    by: Axis = "engine"
    pins: str = ""
    runs: Results
    done: Results
    failed: Results
    superseded: int = 0
    time: float | None = None
    time_with_validation: float | None = None
    samples_sec: float | None = None
    accuracy: float | None = None
    setup: float | None = None
    import_seconds: float | None = None
    build_seconds: float | None = None
    first_step: float | None = None
    real: float | None = None
    user: float | None = None
    sys: float | None = None
    peak_memory: int | None = None
    own_memory: int | None = None
    joules: float | None = None
    to_target: float | None = None
    reached: int = 0
    relative: float | None = None
    comparison: Comparison | None = None
    break_even: int | None = None
    verdict: Verdict | None = None

    @property
    def ranked(self) -> bool:
        """Whether it was measured, and no verdict says other than that it is at parity."""
        return bool(self.done) and not self.flag

    @property
    def flag(self) -> str:
        """What was found instead of parity, such as `deviates`; empty if nothing was."""
        return flag(self.verdict)

    @property
    def label(self) -> str:
        """The engine, or what else is compared, and the versions that were asked for."""
        name = str(getattr(self.trial, self.by))
        return f"{name} ({self.pins})" if self.pins else name


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that are fair to compare: all the same but in one field; the fastest first.

    Attributes:
        title: what they share, in words.
        machine: what all of them ran on.
        rows: ranked; then those not at parity, then those with nothing measured.
        target: the validation accuracy whose time was asked for.
        needed: fewest runs of each engine with which a difference can be shown at all.
    """

    title: str
    machine: Machine
    rows: tuple[Row, ...]
    target: float | None = None
    needed: int = 1


Configured = tuple[Trial, str, Machine]
"""What the repeats of a row have in common: the configuration, the pins and the machine."""


Value = TypeVar("Value", bound=Hashable)


class Repeats(msgspec.Struct, frozen=True, kw_only=True):
    """The records of one configuration that count.

    Attributes:
        trial: that of the newest record.
        numbers: of each repeat the last attempt, by its number in the results.
        superseded: how many there are of other environments, graphs and data.
    """

    trial: Trial
    numbers: Integers
    superseded: int


def repeats(results: Results) -> dict[Configured, Repeats]:
    """The repeats of each configuration.

    Those of an older environment, graph or data are superseded, not mixed with new ones. Those
    of another machine or of other pinned versions stand beside them.

    Args:
        results: in the order of attempts.
    """
    of, keys = _numbered(
        (configuration(each.trial), each.pins, each.machine) for each in results.commons
    )
    edition, editions = _numbered(_version(each.trial) for each in results.commons)
    key, version = of[results.common], edition[results.common]
    newest = np.empty(len(keys), int)
    in_time = np.argsort(results.started, kind="stable")
    newest[key[in_time]] = in_time  # Of several the last one stays.
    last = _last(key * len(editions) + version, results.repeat)
    counting = version[last] == version[newest[key[last]]]
    counts = last[counting]
    by_key = np.split(counts, np.searchsorted(key[counts], np.arange(1, len(keys))))
    superseded = np.bincount(key[last[~counting]], minlength=len(keys))
    return {
        keys[number]: Repeats(
            trial=_trial(results, newest[number]),
            numbers=np.sort(by_key[number]),
            superseded=int(superseded[number]),
        )
        for number in dict.fromkeys(key.tolist())
    }


def _numbered(values: Iterable[Value]) -> tuple[Integers, list[Value]]:
    """A number for each value, the same for the same, and the values by number."""
    found: dict[Value, int] = {}
    numbers = [found.setdefault(value, len(found)) for value in values]
    return np.array(numbers, int), list(found)


def _last(group: Integers, repeat: Integers) -> Integers:
    """The last of each repeat of each group, groups in order."""
    order = np.lexsort((np.arange(len(group)), repeat, group))
    ends = np.nonzero(np.diff(group[order]) | np.diff(repeat[order]))[0]
    found: Integers = order[np.append(ends, len(order) - 1)] if len(order) else order
    return found


def _trial(results: Results, number: int) -> Trial:
    common: Common = results.commons[results.common[number]]
    return msgspec.structs.replace(common.trial, repeat=int(results.repeat[number]))


def _version(trial: Trial) -> tuple[str, str, str]:
    return trial.environment, trial.graph, trial.data


def latest(results: Results) -> Results:
    """The last attempt at each trial; of trials that differ only in code or data, the newest."""
    counting = [each.numbers for each in repeats(results).values()]
    return results.take(np.sort(np.concatenate(counting))) if counting else results


def groups(
    results: Results,
    target: float | None = None,
    by: Axis = "engine",
    verdicts: Sequence[Verdict] = (),
) -> list[Group]:
    """Every group of comparable configurations, by batch size.

    Args:
        results: of one run folder or several.
        target: the validation accuracy whose time is in the figures.
        by: what the rows of a group differ in. Workloads bring their own recipes.
        verdicts: on the engines' parity.
    """
    together: dict[tuple[Trial, Machine], list[Row]] = {}
    for (trial, pins, machine), found in repeats(results).items():
        shared = msgspec.structs.replace(trial, **_ALIKE[by])
        runs = results.take(found.numbers)
        ok = runs.ok
        row = Row(
            trial=found.trial,
            machine=machine,
            by=by,
            pins=pins,
            runs=runs,
            done=runs if ok.all() else runs.take(ok),
            failed=runs.take(~ok),
            superseded=found.superseded,
            verdict=find(verdicts, found.trial),
        )
        together.setdefault((shared, machine), []).append(_measured(row))
    ranked = [_group(each, machine, target) for (_, machine), each in together.items()]
    return sorted(ranked, key=lambda group: group.rows[0].trial.batch_size)


_ALIKE: dict[Axis, dict[str, Any]] = {
    "engine": {"engine": ""},
    "workload": {"workload": "", "recipe": Recipe(learning_rate=1.0)},
    "dataset": {"dataset": ""},
    "devices": {"devices": ""},
    "batch_size": {"batch_size": 0},
    "epochs": {"epochs": 0},
    "dtype": {"dtype": "float32"},
    "settings": {"settings": "stock"},
}


def configuration(trial: Trial) -> Trial:
    """The trial less what repeats, or versions of code and data, differ in."""
    return msgspec.structs.replace(trial, repeat=0, environment="", graph="", data="")


def _measured(row: Row) -> Row:
    """The row with the medians of its runs."""
    done = row.done
    if not done:
        return row
    reached = len(known(done.to_target))
    return msgspec.structs.replace(
        row,
        time=middle(done.time),
        time_with_validation=middle(done.time_with_validation),
        samples_sec=middle(done.samples_sec),
        accuracy=middle(done.accuracy),
        setup=middle(done.setup),
        import_seconds=middle(done.import_seconds),
        build_seconds=middle(done.build_seconds),
        first_step=middle(done.first_step),
        real=middle(done.real),
        user=middle(done.user),
        sys=middle(done.sys),
        peak_memory=_most(done.peak_memory),
        own_memory=_most(done.own_memory),
        joules=middle(done.joules),
        to_target=middle(done.to_target) if reached == len(done) else None,
        reached=reached,
    )


def middle(values: Floats) -> float | None:
    """The median, leaving out where nothing was measured."""
    measured = known(values)
    return median(measured) if len(measured) else None


def _most(values: Floats) -> int | None:
    return int(known(values).max(initial=0)) or None


def shared(row: Row) -> dict[str, str]:
    """What a row has in common with its group, in words by field."""
    common = words(row.trial)
    common.pop(row.by, None)
    if row.by == "workload":
        common = {field: text for field, text in common.items() if field not in RECIPE}
    return common if row.by == "engine" else {"engine": row.trial.engine} | common


def _group(rows: list[Row], machine: Machine, target: float | None) -> Group:
    title = line(shared(rows[0]))
    measured = {row.label: row for row in rows if row.ranked}
    flagged = [row for row in rows if row.done and row.flag]
    empty = sorted((row for row in rows if not row.done), key=lambda row: row.trial.engine)
    if not measured:
        return Group(title=title, machine=machine, rows=(*flagged, *empty), target=target)
    speeds = {name: row.done.samples_sec for name, row in measured.items()}
    ranking = rank(speeds, of="throughput")
    fastest = measured[ranking.baseline]
    pairs = len(measured) * (len(measured) - 1) // 2
    return Group(
        title=title,
        machine=machine,
        rows=(
            *(
                msgspec.structs.replace(
                    measured[name],
                    relative=_over(measured[name].samples_sec, fastest.samples_sec),
                    comparison=ranking.comparisons.get(name),
                    break_even=_break_even(fastest, measured[name]),
                )
                for name in ranking.order
            ),
            *flagged,
            *empty,
        ),
        target=target,
        needed=least_processes(LEVEL, max(pairs, 1)),
    )


def _over(value: float | None, base: float | None) -> float | None:
    return value / base if value and base else None


def _break_even(fastest: Row, row: Row) -> int | None:
    if row is fastest or fastest.setup is None or row.setup is None:
        return None
    assert fastest.time is not None
    assert row.time is not None
    return break_even_epoch(fastest.setup, fastest.time, row.setup, row.time)


def notes(group: Group) -> list[str]:
    """What must be said with the group's results."""
    said = {each.note for row in group.rows for each in row.runs.used() if each.note}
    unsettled = [text for row in group.rows if (text := _unsettled(row))]
    return sorted(said) + _superseded(group) + unsettled + _parity(group)


def _superseded(group: Group) -> list[str]:
    count = sum(row.superseded for row in group.rows)
    left_out = f"{count} older result{'s' if count > 1 else ''}"
    return [f"left out: {left_out} of other code, versions, data or model"] if count else []


def _unsettled(row: Row) -> str:
    reasons = [reason for reason in row.done.unsettled if reason]
    if not reasons:
        return ""
    return (
        f"{row.label}: {len(reasons)} of {len(row.done)} runs had not settled "
        f"({reasons[0]}); its throughput is that of the later epochs"
    )


def _parity(group: Group) -> list[str]:
    """Which measured rows are not known to be at parity, and why."""
    measured = [row for row in group.rows if row.done]
    said = [
        f"{row.label}: {row.flag}, so it is not ranked: {row.verdict.reason}"
        for row in measured
        if row.verdict is not None and row.flag
    ]
    unknown = [row.trial for row in measured if row.verdict is None]
    if unknown:

        def all_of(field: str) -> str:
            return ",".join(dict.fromkeys(getattr(trial, field) for trial in unknown))

        defaults = {"devices": "cpu", "dtype": "float32", "settings": "tuned"}
        options = "".join(
            f" --{field} {all_of(field)}"
            for field, each in defaults.items()
            if all_of(field) != each
        )
        said.append(
            f"whether {all_of('engine')} train the same mathematics is unknown; find out: "
            f"velodrome parity {all_of('workload')} --engine {all_of('engine')}{options}"
        )
    return said


def answer(groups: Iterable[Group]) -> str:
    """One sentence a group: which engine was fastest, by how much, and how sure that is."""
    by_workload: dict[str, list[Group]] = {}
    for group in groups:
        by_workload.setdefault(group.rows[0].trial.workload, []).append(group)
    return "\n".join(
        _answer(group, own)
        for together in by_workload.values()
        for group, own in zip(together, _own(together), strict=True)
    )


def _own(groups: Sequence[Group]) -> list[dict[str, str]]:
    """What tells each group from the others, in words by field."""
    return differing(shared(group.rows[0]) for group in groups)


def headline(groups: Sequence[Group]) -> str:
    """One sentence on all groups: who is fastest, how often, and in how many it is certain."""
    ranked = [group for group in groups if group.rows[0].ranked]
    if not ranked:
        return "No engine came to its end at parity."
    if len(ranked) == 1:
        return _answer(ranked[0])
    wins = Counter(group.rows[0].label for group in ranked).most_common()
    text = f"{wins[0][0]} is fastest in {wins[0][1]} of {len(ranked)} comparisons"
    if wins[1:]:
        text += ", " + " and ".join(f"{label} in {count}" for label, count in wins[1:])
    certain = sum(_leads(group) for group in ranked)
    text += f"; the lead over the second is certain in {certain or 'none'}"
    text += _unknown([row for group in ranked for row in group.rows if row.ranked])
    to_set = f"; {line}" if (line := line_to_set(ranked)) else ""
    return f"{text}{to_set}."


def line_to_set(groups: Iterable[Group]) -> str:
    """For models of one's own: what to type for the backend that is fastest most often.

    Empty if there is no such model, or nothing was ranked.
    """
    wins = Counter(
        row.trial.engine
        for row in (group.rows[0] for group in groups)
        if row.ranked and user_code.is_reference(row.trial.workload)
    )
    return _line(wins.most_common(1)[0][0]) if wins else ""


def _line(engine: str) -> str:
    return f"export KERAS_BACKEND={engine.removeprefix('keras-')}"


def _leads(group: Group) -> bool:
    """Whether the fastest is faster than the second beyond doubt."""
    comparison = group.rows[1].comparison if len(group.rows) > 1 else None
    return comparison is not None and comparison.verdict == "slower"


def _answer(group: Group, own: Container[str] = ()) -> str:
    """Of a group that differs from others in its own fields."""
    fields = ("engine", "workload", "dataset", "devices", "batch_size")
    common = shared(group.rows[0])
    where = line({name: text for name, text in common.items() if name in fields or name in own})
    ranked = [row for row in group.rows if row.ranked]
    if not ranked:
        flagged = " at parity" if any(row.done for row in group.rows) else ""
        return f"{where}: no engine came to its end{flagged}."
    first, *rest = ranked
    speed = f"{first.samples_sec:,.0f} samples/s"
    if not rest:
        return f"{where}: {first.label} trained {speed}{_unknown(ranked)}."
    if user_code.is_reference(first.trial.workload):
        where += f": {_line(first.trial.engine)}"
    margin = _margin(rest[0], group)
    return f"{where}: {first.label} is fastest with {speed}, {margin}{_unknown(ranked)}."


def _unknown(ranked: Sequence[Row]) -> str:
    """A word of warning on those of the rows that were not compared with the reference."""
    names = dict.fromkeys(row.label for row in ranked if row.verdict is None)
    every = all(row.verdict is None for row in ranked)
    return f"; parity unknown{'' if every else ' for ' + ', '.join(names)}" if names else ""


def _margin(second: Row, group: Group) -> str:
    assert second.relative is not None
    text = f"{1 / second.relative:.2f} times {second.label}"
    comparison = second.comparison
    if comparison is None or comparison.low is None or comparison.high is None:
        fewest = min(len(row.done) for row in group.rows if row.ranked)
        return (
            f"{text} (not sure: {fewest} run{'s' if fewest > 1 else ''} an engine, "
            f"{group.needed} can show a difference)"
        )
    text += f" ({1 / comparison.high:.2f} to {1 / comparison.low:.2f} at {comparison.level:.0%})"
    return (
        text
        + {
            "slower": "",
            "faster": "",
            "tie": ": a tie",
            "undecided": ": undecided",
        }[comparison.verdict]
    )
