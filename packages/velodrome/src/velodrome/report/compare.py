"""Two run folders against each other: what is comparable, and what is said of it; pure."""

from collections.abc import Sequence

import msgspec

from velodrome.machine import Machine
from velodrome.record import Record
from velodrome.report.process import Result
from velodrome.report.summary import Group, Row, configuration, groups
from velodrome.statistics import Comparison, compare, least_processes
from velodrome.trial import Trial


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration on one engine, as run a and run b have it.

    Attributes:
        a: of the first run, the one that is judged against.
        b: of the second.
        comparison: throughput of b over that of a; None if either has nothing measured.
        refused: why the two may not be compared; empty if they may.
    """

    a: Row
    b: Row
    comparison: Comparison | None = None
    refused: str = ""


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """What came of comparing two runs.

    Attributes:
        pairs: the configurations that both have.
        only_a: titles of those that only the first has.
        only_b: titles of those that only the second has.
        differences: what else differs and must be said: machines, versions.
    """

    pairs: tuple[Pair, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    differences: tuple[str, ...]


def match(a: Sequence[Result], b: Sequence[Result]) -> Match:
    """Compare what two runs have in common, all ratios together holding at 99%.

    Args:
        a: the results of the first run, the one that is judged against.
        b: the results of the second.
    """
    rows_a, rows_b = _rows(groups(a)), _rows(groups(b))
    both = [key for key in rows_a if key in rows_b]
    found = [_pair(rows_a[key], rows_b[key]) for key in both]
    family = sum(not pair.refused for pair in found)
    return Match(
        pairs=tuple(_compared(pair, max(family, 1)) for pair in found),
        only_a=tuple(_title(row) for key, row in rows_a.items() if key not in rows_b),
        only_b=tuple(_title(row) for key, row in rows_b.items() if key not in rows_a),
        differences=tuple(_differences(a, b)),
    )


def slower(pair: Pair, bound: float) -> bool:
    """Whether b is surely slower than a, and by more than the bound (0.05 is 5%).

    Surely slower, and the measured ratio beyond the bound: the time of b over that of a is
    above 1 + bound.
    """
    found = pair.comparison
    return found is not None and found.verdict == "slower" and 1 / found.ratio > 1 + bound


def line(pair: Pair) -> str:
    """One line on a pair."""
    return f"{_title(pair.a)}: {verdict(pair)}"


def verdict(pair: Pair) -> str:
    """What may be said of b against a."""
    if pair.refused:
        return f"not compared: {pair.refused}"
    found = pair.comparison
    if found is None:
        missing = "the first" if not pair.a.processes else "the second"
        return f"not compared: nothing measured in {missing} run"
    text = f"{found.ratio:.3f} times the throughput"
    if found.low is None or found.high is None:
        needed = least_processes(found.level, found.family)
        runs = min(found.n_a, found.n_b)
        return f"{text}, undecided: {runs} run{'s' if runs > 1 else ''} a side, {needed} needed"
    return f"{text} ({found.low:.3f} to {found.high:.3f}), {found.verdict}"


def markdown(match: Match, bound: float | None) -> str:
    """The comparison as a comment on a change: a verdict, then a table."""
    lost = [pair for pair in match.pairs if bound is not None and slower(pair, bound)]
    lines = []
    if bound is not None:
        lines += [
            f"**Slower by more than {bound:.0%}: {', '.join(_title(pair.a) for pair in lost)}**"
            if lost
            else f"Nothing is surely slower by more than {bound:.0%}.",
            "",
        ]
    lines += [
        "| | before, samples/s | after, samples/s | ratio (99%) | |",
        "|---|---:|---:|---:|---|",
    ]
    for pair in match.pairs:
        cells = [_title(pair.a), _speed(pair.a), _speed(pair.b), *_ratio(pair)]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [f"\nNote: {difference}" for difference in match.differences]
    lines += [f"\nOnly before: {title}" for title in match.only_a]
    lines += [f"\nOnly after: {title}" for title in match.only_b]
    return "\n".join(lines) + "\n"


def _ratio(pair: Pair) -> tuple[str, str]:
    found = pair.comparison
    if found is None or found.low is None or found.high is None:
        return (f"{found.ratio:.3f}" if found else ""), verdict(pair).split(", ")[-1]
    return f"{found.ratio:.3f} ({found.low:.3f} to {found.high:.3f})", found.verdict


def _speed(row: Row) -> str:
    return f"{row.samples_sec:,.0f}" if row.samples_sec else ""


_Key = tuple[Trial, str]


def _rows(found: Sequence[Group]) -> dict[_Key, Row]:
    """By configuration; pins stand in the key only where a run has an engine twice."""
    rows: dict[_Key, Row] = {}
    for group in found:
        for row in group.rows:
            key = configuration(row.trial)
            pins = row.pins if (key, "") in rows else ""
            rows[key, pins] = row
    return rows


def _pair(a: Row, b: Row) -> Pair:
    return Pair(a=a, b=b, refused="; ".join(_obstacles(a, b)))


def _obstacles(a: Row, b: Row) -> list[str]:
    """What makes two rows of one configuration other than the same training."""
    found = []
    if a.trial.graph != b.trial.graph:
        found.append("the model is another one")
    if a.trial.data != b.trial.data:
        found.append("the data is not the same")
    meters = [{_meter(record) for record in row.done} for row in (a, b)]
    if all(meters) and meters[0] != meters[1]:
        found.append("arithmetic differs: " + " and ".join("/".join(sorted(m)) for m in meters))
    return found


def _meter(record: Record) -> str:
    return record.ledger.dtype if record.ledger else "unknown"


def _compared(pair: Pair, family: int) -> Pair:
    if pair.refused or not pair.a.processes or not pair.b.processes:
        return pair
    return msgspec.structs.replace(
        pair,
        comparison=compare(
            [one.samples_sec for one in pair.b.processes],
            [one.samples_sec for one in pair.a.processes],
            of="throughput",
            family=family,
        ),
    )


def _title(row: Row) -> str:
    trial = row.trial
    return (
        f"{trial.workload} on {trial.dataset}, {trial.engine}, {trial.devices}, "
        f"batch {trial.batch_size}"
    )


def _differences(a: Sequence[Result], b: Sequence[Result]) -> list[str]:
    found = []
    machines = [{result.record.machine for result in run} for run in (a, b)]
    if machines[0] != machines[1]:
        found.append(
            "these are two machines, so a difference may be theirs: "
            + " against ".join("; ".join(sorted(map(_machine, each))) for each in machines)
        )
    elif a and b:
        found.append(
            "the runs were not interleaved: a drift of the machine between them looks like a "
            "difference"
        )
    versions = [_versions(run) for run in (a, b)]
    for engine in sorted(versions[0].keys() & versions[1].keys()):
        before, after = versions[0][engine], versions[1][engine]
        if before != after:
            changed = [
                f"{name} {before.get(name, 'none')} against {after.get(name, 'none')}"
                for name in sorted(before.keys() | after.keys())
                if before.get(name) != after.get(name)
            ]
            found.append(f"{engine}: {', '.join(changed)}")
    return found


def _machine(machine: Machine) -> str:
    gpus = "".join(f", {gpu.name}" for gpu in machine.gpus)
    return f"{machine.cpu}, {machine.cores} cores{gpus}, {machine.system}"


def _versions(run: Sequence[Result]) -> dict[str, dict[str, str]]:
    """Of each engine's libraries, as its latest record has them."""
    return {
        result.record.trial.engine: result.record.ledger.versions
        for result in run
        if result.record.ledger
    }
