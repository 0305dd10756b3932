"""The sentences that a run allows, computed: pure.

The documents of 2017 drew theirs by hand: "x3.25 throughput with 4 GPUs over 1 GPU", "20x faster
than the CPU", "4X" the memory. Here each is a ratio of two rows of the run, chosen by a rule that
is named, with the interval that the number of runs allows.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from velodrome import workloads
from velodrome.devices import Devices
from velodrome.machine import Machine
from velodrome.report.process import Floats
from velodrome.report.results import known
from velodrome.report.summary import Group, Row, configuration
from velodrome.statistics import LEVEL, Comparison, compare, least_processes, median
from velodrome.trial import Trial
from velodrome.workloads.graph import Graph

Kind = Literal["devices", "GPU over CPU", "backends", "Keras over native", "activation", "memory"]
Verdict = Literal["more", "less", "tie", "undecided"]

RULES: dict[Kind, str] = {
    "devices": "best throughput on several devices over the best on the fewest of their kind, "
    "batch size and learning rate free",
    "GPU over CPU": "best throughput on one GPU over the best on one CPU, batch size free",
    "backends": "best throughput of the fastest Keras backend over each other's, batch size free",
    "Keras over native": "best throughput of Keras on a framework over that of the framework "
    "used directly, batch size free",
    "activation": "best throughput of a network over that of the same network with another "
    "activation, batch size free",
    "memory": "peak resident memory of the engine that took most over the one that took least, "
    "at the largest batch size that both trained",
}
"""Which two rows each kind of finding divides."""

_MIB = 2**20


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence and what it rests on.

    Attributes:
        kind: the rule that chose its rows, a key of `RULES`.
        sentence: the fact in words, its uncertainty included.
        about: workload, data and what else the two rows share.
        dividend: the row divided.
        divisor: the row that it is divided by.
        ratio: of the medians over the runs, of samples/s or of bytes.
        low, high: the ratio's interval, for all findings of the kind together; None when there
            are too few runs.
        level: confidence of the interval.
        verdict: what may be said: more, less, a tie, or undecided.
        same_batch: the ratio at each batch size that both trained, smallest first.
    """

    kind: Kind
    sentence: str
    about: str
    dividend: Row
    divisor: Row
    ratio: float
    low: float | None
    high: float | None
    level: float
    verdict: Verdict
    same_batch: tuple[tuple[int, float], ...]

    @property
    def rule(self) -> str:
        """How the two rows were chosen."""
        return RULES[self.kind]


class _Series(msgspec.Struct, frozen=True):
    """Rows that differ in batch size alone, by it."""

    trial: Trial
    machine: Machine
    label: str
    rows: dict[int, Row]

    @property
    def best(self) -> Row:
        return max(self.rows.values(), key=_throughput)

    @property
    def devices(self) -> Devices:
        return Devices.parse(self.trial.devices)


class _Pair(msgspec.Struct, frozen=True):
    """Two rows to be divided, and how that is said of them."""

    kind: Kind
    many: _Series
    one: _Series
    dividend: Row
    divisor: Row
    words: Callable[[float], str]


def findings(groups: Iterable[Group]) -> list[Finding]:
    """Every finding that the groups allow, the kinds in the order of `RULES`.

    Rows that are not ranked, since they were not found at parity, have no part.

    Args:
        groups: as `summary.groups` gives them.
    """
    series = _series(groups)
    pairs = [
        *_devices(series),
        *_gpu_over_cpu(series),
        *_backends(series),
        *_keras_over_native(series),
        *_activations(series),
        *_memory(series),
    ]
    counts = {kind: sum(pair.kind == kind for pair in pairs) for kind in RULES}
    return [_finding(pair, counts[pair.kind]) for pair in pairs]


def _series(groups: Iterable[Group]) -> list[_Series]:
    found: dict[tuple[Trial, str, Machine], _Series] = {}
    for group in groups:
        for row in group.rows:
            if row.ranked:
                trial = msgspec.structs.replace(configuration(row.trial), batch_size=0)
                # Whatever the groups compare.
                label = msgspec.structs.replace(row, by="engine").label
                key = trial, label, group.machine
                series = found.setdefault(key, _Series(trial, group.machine, label, {}))
                series.rows[row.trial.batch_size] = row
    return list(found.values())


def _together(series: Iterable[_Series], **blank: str) -> Iterator[list[_Series]]:
    """Series that share everything but the fields given."""
    found: dict[tuple[Trial, Machine], list[_Series]] = {}
    for each in series:
        trial = msgspec.structs.replace(each.trial, **blank)
        found.setdefault((trial, each.machine), []).append(each)
    yield from (each for each in found.values() if len(each) > 1)


def _devices(series: Iterable[_Series]) -> Iterator[_Pair]:
    for kind, word in (("cpu", "CPU"), ("gpu", "GPU")):
        of_kind = [each for each in series if each.devices.kind == kind]
        for together in _on_several(of_kind):
            one, *several = sorted(together, key=lambda each: each.devices.total)
            for many in several:
                if many.devices.total > one.devices.total:
                    yield _best("devices", many, one, _more_devices(many, one, word))


def _on_several(series: Iterable[_Series]) -> Iterator[list[_Series]]:
    """The rule of 2017 lowered the learning rate with the devices, so it may differ."""
    found: dict[tuple[Trial, str, Machine], list[_Series]] = {}
    for each in series:
        recipe = msgspec.structs.replace(each.trial.recipe, learning_rate=1.0)
        trial = msgspec.structs.replace(each.trial, devices="", recipe=recipe)
        found.setdefault((trial, each.label, each.machine), []).append(each)
    yield from found.values()


def _more_devices(many: _Series, one: _Series, word: str) -> Callable[[float], str]:
    def count(series: _Series) -> str:
        number = series.devices.total
        return f"{number} {word}{'s' if number > 1 else ''}"

    return lambda ratio: f"x{ratio:.2f} throughput with {count(many)} over {count(one)}"


def _gpu_over_cpu(series: Iterable[_Series]) -> Iterator[_Pair]:
    single = [each for each in series if each.devices.total == 1]
    for together in _on_several(single):
        on = {each.devices.kind: each for each in together}
        if len(on) == 2:
            yield _best("GPU over CPU", on["gpu"], on["cpu"], _faster("a GPU", "the CPU"))


def _faster(one: str, other: str) -> Callable[[float], str]:
    return lambda ratio: f"{one} has {ratio:.2f} times the throughput of {other}"


def _backends(series: Iterable[_Series]) -> Iterator[_Pair]:
    keras = [each for each in series if each.trial.engine.startswith("keras-")]
    for together in _together(keras, engine=""):
        first, *rest = sorted(together, key=lambda each: -_throughput(each.best))
        for other in rest:
            yield _best("backends", first, other, _faster(first.label, other.label))


def _keras_over_native(series: Iterable[_Series]) -> Iterator[_Pair]:
    for together in _together(series, engine=""):
        native = {each.trial.engine: each for each in together}
        for each in together:
            direct = native.get(each.trial.engine.removeprefix("keras-"))
            if direct and direct is not each and direct.trial.engine != each.trial.engine:
                words = _faster(each.label, f"{direct.label} used directly")
                yield _best("Keras over native", each, direct, words)


def _activations(series: Iterable[_Series]) -> Iterator[_Pair]:
    for together in _together(series, workload=""):
        alike: dict[tuple[bytes, str], list[_Series]] = {}
        for each in together:
            workload = workloads.registry.all().get(each.trial.workload)
            if workload:
                key = _but_activations(workload.graph), each.label
                alike.setdefault(key, []).append(each)
        for one, *others in alike.values():
            for other in others:
                words = _faster(one.trial.workload, other.trial.workload)
                yield _best("activation", one, other, words)


def _but_activations(graph: Graph) -> bytes:
    """The graph with every activation left open, as JSON."""
    raw = msgspec.to_builtins(graph)
    for node in raw["nodes"]:
        if node["layer"]["type"] == "Activation":
            node["layer"]["function"] = ""
    return msgspec.json.encode(raw, order="sorted")


def _memory(series: Iterable[_Series]) -> Iterator[_Pair]:
    for together in _together(series, engine=""):
        at_hand = [each for each in together if any(row.peak_memory for row in each.rows.values())]
        shared = set.intersection(*(set(each.rows) for each in at_hand)) if at_hand else set()
        if not shared or len(at_hand) < 2:
            continue
        batch = max(shared)
        least, *_, most = sorted(at_hand, key=lambda each: each.rows[batch].peak_memory or 0)
        yield _Pair(
            "memory", most, least, most.rows[batch], least.rows[batch], _hungrier(most, least)
        )


def _hungrier(most: _Series, least: _Series) -> Callable[[float], str]:
    return lambda ratio: f"{most.label} takes {ratio:.2f} times the memory of {least.label}"


def _best(kind: Kind, many: _Series, one: _Series, words: Callable[[float], str]) -> _Pair:
    return _Pair(kind, many, one, many.best, one.best, words)


def _throughput(row: Row) -> float:
    return row.samples_sec or 0.0


def _values(kind: Kind, row: Row) -> Floats:
    if kind == "memory":
        return known(row.done.peak_memory)
    return row.done.samples_sec


def _finding(pair: _Pair, family: int) -> Finding:
    many, one = pair.dividend, pair.divisor
    comparison = compare(
        _values(pair.kind, many), _values(pair.kind, one), of="throughput", family=family
    )
    same = tuple(
        (
            batch,
            median(_values(pair.kind, pair.many.rows[batch]))
            / median(_values(pair.kind, pair.one.rows[batch])),
        )
        for batch in sorted(set(pair.many.rows) & set(pair.one.rows))
    )
    verdict: Verdict = {"faster": "more", "slower": "less", "tie": "tie"}.get(  # type: ignore[assignment]
        comparison.verdict, "undecided"
    )
    about = _about(pair)
    return Finding(
        kind=pair.kind,
        sentence=f"{about}: {pair.words(comparison.ratio)} "
        f"({_rests_on(pair)}; {_sure(comparison)}){_at_the_same(pair, same)}.",
        about=about,
        dividend=many,
        divisor=one,
        ratio=comparison.ratio,
        low=comparison.low,
        high=comparison.high,
        level=comparison.level,
        verdict=verdict,
        same_batch=same,
    )


def _about(pair: _Pair) -> str:
    """What the two rows share of workload, data, engine and devices."""
    many, one = pair.many.trial, pair.one.trial
    parts = [
        f"{many.workload} on {many.dataset}" if many.workload == one.workload else many.dataset,
        pair.many.label if pair.many.label == pair.one.label else "",
        many.devices if many.devices == one.devices else "",
        f"{many.settings} settings",
    ]
    return ", ".join(part for part in parts if part)


def _rests_on(pair: _Pair) -> str:
    def figure(row: Row) -> str:
        if pair.kind == "memory":
            return f"{(row.peak_memory or 0) / _MIB:,.0f} MiB at batch {row.trial.batch_size}"
        return f"{_throughput(row):,.0f} samples/s at batch {row.trial.batch_size}"

    return f"{figure(pair.dividend)} over {figure(pair.divisor)}"


def _sure(comparison: Comparison) -> str:
    if comparison.low is None or comparison.high is None:
        runs = min(comparison.n_a, comparison.n_b)
        needed = least_processes(LEVEL, comparison.family)
        return f"not sure: {runs} run{'s' if runs > 1 else ''} each, {needed} can show a difference"
    text = f"{comparison.low:.2f} to {comparison.high:.2f} at {comparison.level:.0%}"
    return text + {"tie": ", a tie", "undecided": ", undecided"}.get(comparison.verdict, "")


def _at_the_same(pair: _Pair, same: Sequence[tuple[int, float]]) -> str:
    """The range over the batch sizes, where one ratio does not tell all."""
    if pair.kind == "memory" or len(same) < 2:
        return ""
    (low_batch, low), *_, (high_batch, high) = sorted(same, key=lambda each: each[1])
    return f"; at the same batch size {low:.2f} ({low_batch}) to {high:.2f} ({high_batch})"


def markdown(found: Sequence[Finding]) -> str:
    """The sentences by kind, each kind with its rule."""
    if not found:
        return ""
    parts = ["## Findings\n"]
    for kind, rule in RULES.items():
        if of_kind := [each for each in found if each.kind == kind]:
            parts.append(f"**{kind[0].upper()}{kind[1:]}** ({rule}):\n")
            parts.append("\n".join(f"- {each.sentence}" for each in of_kind) + "\n")
    return "\n".join(parts)
