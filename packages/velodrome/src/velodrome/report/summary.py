"""From records to the rows of a table: repeats put together, engines ranked; pure."""

from collections.abc import Iterable
from statistics import median

import msgspec

from velodrome.record import Record
from velodrome.statistics import steady_state
from velodrome.trial import Trial


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration on one engine, all repeats together.

    Attributes:
        trial: any of the repeats' trials; they differ in nothing else.
        records: the latest record of each repeat.
        time: seconds of training an epoch: the median over repeats of each repeat's
            median over settled epochs; None if no repeat came to its end.
        samples_sec: trained samples a second in that time.
        accuracy: validation accuracy after the last epoch, median over repeats.
        first_step: seconds of one training step from cold, median over repeats.
        peak_memory: bytes, the largest of the repeats.
        relative: samples_sec over that of the group's fastest engine.
    """

    trial: Trial
    records: tuple[Record, ...]
    time: float | None = None
    samples_sec: float | None = None
    accuracy: float | None = None
    first_step: float | None = None
    peak_memory: int | None = None
    relative: float | None = None

    @property
    def done(self) -> tuple[Record, ...]:
        """The repeats that came to their end."""
        return tuple(record for record in self.records if record.status == "ok")

    @property
    def failed(self) -> tuple[Record, ...]:
        """The repeats that did not."""
        return tuple(record for record in self.records if record.status != "ok")


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that are fair to compare: all the same but the engine; the fastest first."""

    title: str
    rows: tuple[Row, ...]


def epoch_time(record: Record) -> float:
    """Seconds of training an epoch: the median over settled epochs, validation excluded."""
    return steady_state([epoch.train_seconds for epoch in record.epochs]).median


def samples_per_second(record: Record) -> float:
    """Trained samples of an epoch over `epoch_time`."""
    return record.epochs[-1].samples / epoch_time(record)


def latest(records: Iterable[Record]) -> list[Record]:
    """The last attempt at each trial; of trials that differ only in code or data, the newest.

    Records of an older environment or graph are superseded, not mixed with new ones.
    """
    newest: dict[bytes, Record] = {}
    for record in records:
        key = _key(msgspec.structs.replace(record.trial, environment="", graph="", data=""))
        newest[key] = record
    return list(newest.values())


def groups(records: Iterable[Record]) -> list[Group]:
    """Every group of comparable configurations, in the order in which they were first run."""
    rows: dict[bytes, list[Record]] = {}
    for record in latest(records):
        rows.setdefault(_key(_configuration(record.trial)), []).append(record)
    together: dict[bytes, list[Row]] = {}
    for repeats in rows.values():
        row = _row(repeats)
        together.setdefault(_key(_comparable(row.trial)), []).append(row)
    found = [_group(each) for each in together.values()]
    return sorted(found, key=lambda group: group.rows[0].trial.batch_size)


def _key(trial: Trial) -> bytes:
    return msgspec.json.encode(trial, order="sorted")


def _configuration(trial: Trial) -> Trial:
    return msgspec.structs.replace(trial, repeat=0, environment="", graph="", data="")


def _comparable(trial: Trial) -> Trial:
    return msgspec.structs.replace(_configuration(trial), engine="")


def _row(repeats: list[Record]) -> Row:
    row = Row(trial=repeats[0].trial, records=tuple(repeats))
    if not (done := row.done):
        return row
    first_steps = [record.clocks.first_step_seconds for record in done if record.clocks]
    return msgspec.structs.replace(
        row,
        time=median(epoch_time(record) for record in done),
        samples_sec=median(samples_per_second(record) for record in done),
        accuracy=median(record.epochs[-1].validation_accuracy for record in done),
        first_step=median(seconds for seconds in first_steps if seconds is not None),
        peak_memory=max(record.memory.peak for record in done if record.memory),
    )


def _group(rows: list[Row]) -> Group:
    best = max((row.samples_sec or 0.0 for row in rows), default=0.0)
    ranked = sorted(rows, key=lambda row: (-(row.samples_sec or 0.0), row.trial.engine))
    return Group(
        title=describe(rows[0].trial),
        rows=tuple(
            msgspec.structs.replace(row, relative=row.samples_sec / best)
            if row.samples_sec
            else row
            for row in ranked
        ),
    )


def describe(trial: Trial) -> str:
    """What the trials of a group share, in words."""
    recipe = trial.recipe
    parts = [
        f"{trial.workload} on {trial.dataset}",
        f"{trial.samples} samples" if trial.samples else "",
        f"batch {trial.batch_size}",
        trial.devices,
        f"{trial.epochs} epoch{'s' if trial.epochs > 1 else ''}",
        f"learning rate {recipe.learning_rate:g}",
        f"momentum {recipe.momentum:g}" if recipe.momentum else "",
        trial.dtype,
        f"{trial.settings} settings",
    ]
    return ", ".join(part for part in parts if part)


def notes(group: Group) -> list[str]:
    """What must be said with the group's results."""
    return sorted({record.note for row in group.rows for record in row.records if record.note})


def answer(groups: Iterable[Group]) -> str:
    """One sentence a group: which engine was fastest, and by how much."""
    return "\n".join(_answer(group) for group in groups)


def _answer(group: Group) -> str:
    trial = group.rows[0].trial
    where = f"{trial.workload} on {trial.dataset}, {trial.devices}, batch {trial.batch_size}"
    ranked = [row for row in group.rows if row.samples_sec]
    if not ranked:
        return f"{where}: no engine came to its end."
    first, *rest = ranked
    text = f"{where}: {first.trial.engine} is fastest with {first.samples_sec:,.0f} samples/s"
    if rest and rest[0].relative:
        text += f", {1 / rest[0].relative:.2f} times {rest[0].trial.engine}"
    return f"{text}."
