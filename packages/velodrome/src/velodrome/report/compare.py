"""Two run folders against each other: what is comparable, and what is said of it; pure."""

from collections.abc import Container, Iterable, Iterator, Sequence
from operator import attrgetter

import msgspec

from velodrome.machine import Machine
from velodrome.parity.verdict import Verdict, find, flag
from velodrome.report.results import Results
from velodrome.report.summary import Configured, Repeats, configuration, middle, repeats
from velodrome.report.words import differing, words
from velodrome.report.words import line as line_of
from velodrome.statistics import Comparison, compare, least_processes
from velodrome.trial import Trial


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration on one engine, as one run has it.

    Attributes:
        trial: that of the newest record.
        pins: versions asked for in place of the pinned ones.
        machine: what it ran on.
        speeds: samples/s of each process that came to its end.
        speed: their median, None if there is none.
        dtypes: the arithmetic in use in these processes.
        ways: in which these ran: the ledger's entries named in `_WAYS`.
        flag: what was found instead of parity, such as `deviates`; empty if nothing was.
    """

    trial: Trial
    pins: str
    machine: Machine
    speeds: tuple[float, ...]
    speed: float | None
    dtypes: frozenset[str]
    ways: frozenset[tuple[object, ...]]
    flag: str = ""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is compared by.

    Attributes:
        sides: its configurations.
        machines: what it ran on.
        versions: of each engine's libraries, as its latest record has them.
    """

    sides: tuple[Side, ...]
    machines: frozenset[Machine]
    versions: dict[str, dict[str, str]]


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration on one engine, as run a and run b have it.

    Attributes:
        title: what it is, in words.
        a: of the first run, the one that is judged against.
        b: of the second.
        comparison: throughput of b over that of a; None if either has nothing measured.
        refused: why the two may not be compared; empty if they may.
    """

    title: str
    a: Side
    b: Side
    comparison: Comparison | None = None
    refused: str = ""


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """What came of comparing two runs.

    Attributes:
        pairs: the configurations that both have.
        only_a: those that only the first has, in words.
        only_b: those that only the second has.
        differences: what else differs and must be said: machines, versions, how engines ran.
    """

    pairs: tuple[Pair, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    differences: tuple[str, ...]


def run(results: Results, verdicts: Sequence[Verdict] = ()) -> Run:
    """What the results of a run are compared by.

    Args:
        results: the run's.
        verdicts: on the engines' parity.
    """
    found = repeats(results)
    sides = [_side(key, each, results.take(each.numbers), verdicts) for key, each in found.items()]
    ledgers = [(each.trial.engine, each.ledger) for each in results.used()]
    return Run(
        sides=tuple(sorted(sides, key=_order)),
        machines=frozenset(machine for _, _, machine in found),
        versions={engine: ledger.versions for engine, ledger in ledgers if ledger},
    )


_WAYS = ("compile_mode", "threads", "memory_format", "data_path", "determinism")
_way = attrgetter(*_WAYS)


def _side(key: Configured, found: Repeats, runs: Results, verdicts: Sequence[Verdict]) -> Side:
    done = runs.take(runs.ok)
    ledgers = [each.ledger for each in done.used()]
    return Side(
        trial=found.trial,
        pins=key[1],
        machine=key[2],
        speeds=tuple(done.samples_sec.tolist()),
        speed=middle(done.samples_sec),
        dtypes=frozenset(ledger.dtype if ledger else "unknown" for ledger in ledgers),
        ways=frozenset(_way(ledger) for ledger in ledgers if ledger),
        flag=flag(find(verdicts, found.trial)),
    )


def _order(side: Side) -> tuple[str, str, str, int, float]:
    """Workload by workload, the fastest first."""
    trial = side.trial
    return trial.workload, trial.dataset, trial.devices, trial.batch_size, -(side.speed or 0.0)


def match(a: Run, b: Run) -> Match:
    """Compare what two runs have in common, all ratios together holding at 99%.

    Args:
        a: the first run, the one that is judged against.
        b: the second.
    """
    apart = _pinned_apart(a) | _pinned_apart(b)
    sides_a, sides_b = _sides(a, apart), _sides(b, apart)
    titles = _titles([*sides_a, *sides_b])
    both = [key for key in sides_a if key in sides_b]
    found = [_pair(titles[key], sides_a[key], sides_b[key]) for key in both]
    compared = [pair for pair in found if not pair.refused]
    family = len(compared)
    return Match(
        pairs=tuple(_compared(pair, max(family, 1)) for pair in found),
        only_a=tuple(titles[key] for key in sides_a if key not in sides_b),
        only_b=tuple(titles[key] for key in sides_b if key not in sides_a),
        differences=tuple(_differences(a, b, compared)),
    )


def slower(pair: Pair, bound: float) -> bool:
    """Whether b is surely slower than a, and by more than the bound (0.05 is 5%).

    Surely slower, and the measured ratio beyond the bound: the time of b over that of a is
    above 1 + bound.
    """
    found = pair.comparison
    return found is not None and found.verdict == "slower" and 1 / found.ratio > 1 + bound


def broken(pair: Pair) -> bool:
    """Whether a measured something, and b nothing."""
    return bool(pair.a.speeds) and not pair.b.speeds


def line(pair: Pair) -> str:
    """One line on a pair."""
    return f"{pair.title}: {verdict(pair)}{_flagged(pair)}"


def _flagged(pair: Pair) -> str:
    """A mark on what is known not to train as the reference does."""
    runs = (("first", pair.a), ("second", pair.b))
    said = ", ".join(f"{side.flag} in the {name} run" for name, side in runs if side.flag)
    return f" (not at parity: {said})" if said else ""


def verdict(pair: Pair) -> str:
    """What may be said of b against a."""
    if pair.refused:
        return f"not compared: {pair.refused}"
    found = pair.comparison
    if found is None:
        missing = "the first" if not pair.a.speeds else "the second"
        return f"not compared: nothing measured in {missing} run"
    text = f"{found.ratio:.3f} times the throughput"
    if found.low is None or found.high is None:
        needed = least_processes(found.level, found.family)
        runs = min(found.n_a, found.n_b)
        return f"{text}, undecided: {runs} run{'s' if runs > 1 else ''} a side, {needed} needed"
    return f"{text} ({found.low:.3f} to {found.high:.3f}), {found.verdict}"


def markdown(match: Match, bound: float | None) -> str:
    """The comparison as a comment on a change: a verdict, then a table."""
    lines = []
    if bound is not None:
        lost = [pair.title for pair in match.pairs if slower(pair, bound)]
        gone = [pair.title for pair in match.pairs if broken(pair)]
        lines += [f"**Slower by more than {bound:.0%}: {'; '.join(lost)}**\n"] if lost else []
        lines += [f"**No longer comes to its end: {'; '.join(gone)}**\n"] if gone else []
        lines = lines or [f"Nothing is surely slower by more than {bound:.0%}.\n"]
    lines += [
        "| | before, samples/s | after, samples/s | ratio (99%) | |",
        "|---|---:|---:|---:|---|",
    ]
    for pair in match.pairs:
        cells = [pair.title, _speed(pair.a), _speed(pair.b), *_ratio(pair)]
        lines.append(f"| {' | '.join(cells)}{_flagged(pair)} |")
    lines += [f"\nNote: {difference}" for difference in match.differences]
    lines += [f"\nOnly before: {title}" for title in match.only_a]
    lines += [f"\nOnly after: {title}" for title in match.only_b]
    return "\n".join(lines) + "\n"


def _ratio(pair: Pair) -> tuple[str, str]:
    found = pair.comparison
    if found is None or found.low is None or found.high is None:
        return (f"{found.ratio:.3f}" if found else ""), verdict(pair).split(", ")[-1]
    return f"{found.ratio:.3f} ({found.low:.3f} to {found.high:.3f})", found.verdict


def _speed(side: Side) -> str:
    return f"{side.speed:,.0f}" if side.speed else ""


_Key = tuple[Trial, str]


def _pinned_apart(run: Run) -> set[Trial]:
    """The configurations that a run has in several versions, by its pins."""
    pins: dict[Trial, set[str]] = {}
    for side in run.sides:
        pins.setdefault(configuration(side.trial), set()).add(side.pins)
    return {trial for trial, several in pins.items() if len(several) > 1}


def _sides(run: Run, apart: Container[Trial]) -> dict[_Key, list[Side]]:
    """By configuration, and by pins where these tell sides apart; of each machine one."""
    sides: dict[_Key, list[Side]] = {}
    for side in run.sides:
        trial = configuration(side.trial)
        sides.setdefault((trial, side.pins if trial in apart else ""), []).append(side)
    return sides


def _titles(keys: Sequence[_Key]) -> dict[_Key, str]:
    """Of each configuration the usual, and what tells it from the others."""
    each = [{"engine": trial.engine, "pins": pins} | words(trial) for trial, pins in keys]
    usual = ("workload", "dataset", "engine", "devices", "batch_size")
    titles = {}
    for key, all_words, own in zip(keys, each, differing(each), strict=True):
        rest = [field for field in all_words if field in own and field not in usual]
        titles[key] = line_of({field: all_words[field] for field in (*usual, *rest)})
    return titles


def _pair(title: str, a: Sequence[Side], b: Sequence[Side]) -> Pair:
    """Of a side that is of several machines, there is none to be compared; one stands for it."""
    several = [*_several("first", a), *_several("second", b)]
    return Pair(title=title, a=a[0], b=b[0], refused="; ".join(several or _obstacles(a[0], b[0])))


def _several(run: str, sides: Sequence[Side]) -> list[str]:
    if len(sides) == 1:
        return []
    machines = "; ".join(sorted(_machine(side.machine) for side in sides))
    return [f"the {run} run has it on {len(sides)} machines ({machines}): give each its own folder"]


def _obstacles(a: Side, b: Side) -> list[str]:
    """What makes two sides of one configuration other than the same training."""
    found = []
    if a.trial.graph != b.trial.graph:
        found.append("the model is another one")
    if a.trial.data != b.trial.data:
        found.append("the data is not the same")
    if a.dtypes and b.dtypes and a.dtypes != b.dtypes:
        found.append(
            f"arithmetic differs: {'/'.join(sorted(a.dtypes))} and {'/'.join(sorted(b.dtypes))}"
        )
    return found


def _compared(pair: Pair, family: int) -> Pair:
    if pair.refused or not pair.a.speeds or not pair.b.speeds:
        return pair
    return msgspec.structs.replace(
        pair,
        comparison=compare(pair.b.speeds, pair.a.speeds, of="throughput", family=family),
    )


def _differences(a: Run, b: Run, compared: Iterable[Pair]) -> list[str]:
    found = []
    if a.machines != b.machines:
        found.append(
            "these are two machines, so a difference may be theirs: "
            + " against ".join("; ".join(sorted(map(_machine, run.machines))) for run in (a, b))
        )
    elif a.sides and b.sides:
        found.append(
            "the runs were not interleaved: a drift of the machine between them looks like a "
            "difference"
        )
    changed: dict[str, list[str]] = {}
    for engine in sorted(a.versions.keys() & b.versions.keys()):
        before, after = a.versions[engine], b.versions[engine]
        changed[engine] = [
            f"{name} {before.get(name, 'none')} against {after.get(name, 'none')}"
            for name in sorted(before.keys() | after.keys())
            if before.get(name) != after.get(name)
        ]
    for pair in compared:
        changed.setdefault(pair.a.trial.engine, []).extend(_ran_otherwise(pair))
    found += [f"{name}: {', '.join(dict.fromkeys(said))}" for name, said in changed.items() if said]
    return found


def _ran_otherwise(pair: Pair) -> Iterator[str]:
    """In what the ledgers of two sides differ; nothing where one has none."""
    for number, name in enumerate(_WAYS):
        before, after = (
            "/".join(sorted({str(way[number] or "not told") for way in side.ways}))
            for side in (pair.a, pair.b)
        )
        if before != after and pair.a.ways and pair.b.ways:
            yield f"{name.replace('_', ' ')} {before} against {after}"


def _machine(machine: Machine) -> str:
    gpus = "".join(f", {gpu.name}" for gpu in machine.gpus)
    return f"{machine.cpu}, {machine.cores} cores{gpus}, {machine.system}"
