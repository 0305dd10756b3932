"""A published table rerun: ours beside theirs, like with like; pure.

The documents of 2017 mean different things by the time of an epoch: the median, the mean or
the last; with the validation pass or without; over this many samples or that. Ours is put into
the meaning of the row that it stands beside before the two are divided.
"""

from collections.abc import Iterable, Sequence
from statistics import mean, median

import msgspec

from velodrome import engines
from velodrome.devices import Devices
from velodrome.published import PublishedRow
from velodrome.record import Epoch, Record
from velodrome.report.summary import Row
from velodrome.study import Study
from velodrome.trial import Trial

_MIB = 2**20


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a row gives, in its own meaning; None where it does not.

    Attributes:
        samples_sec: samples a second.
        epoch_seconds: of an epoch.
        run_seconds: of the whole run, where the row gives no epoch's.
        accuracy: validation accuracy after the last epoch, between 0 and 1.
        speedup: throughput over that on one device of the same series.
        memory: MiB of all GPUs together; ours on a CPU is the process's.
    """

    samples_sec: float | None = None
    epoch_seconds: float | None = None
    run_seconds: float | None = None
    accuracy: float | None = None
    speedup: float | None = None
    memory: float | None = None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A published row and what stands beside it.

    Attributes:
        row: the published row.
        theirs: its figures, corrected where they are known to be misprinted.
        trial: what we ran, None if nothing.
        runs: how many processes came to their end.
        ours: their figures in the row's meaning, the median over the processes.
        ratio: our speed over theirs: of throughputs where both have one, else of times.
        reason: why there is no result of ours; empty if there is one.
    """

    row: PublishedRow
    theirs: Figures
    trial: Trial | None = None
    runs: int = 0
    ours: Figures | None = None
    ratio: float | None = None
    reason: str = ""


def devices(row: PublishedRow) -> Devices:
    """What the row was trained on."""
    return Devices(row.device_kind, max(row.gpus, 1))


def side_by_side(
    study: Study, measured: Iterable[Row], published: Sequence[PublishedRow]
) -> list[Line]:
    """A line for each published row and each result that stands beside it.

    A result stands beside the rows of its workload, engine, devices, batch size and recipe;
    where it was run for several numbers of epochs, that of the row's. What the table has nothing
    of stands in: engines that no row names, for every engine; devices that no row of the
    workload and engine names, for as many GPUs.

    Args:
        study: what was asked for.
        measured: its results, repeats together.
        published: the rows that it stands beside.
    """
    measured = list(measured)
    lines = [
        line
        for row in published
        for line in _lines(row, _candidates(row, study, measured, published), study)
    ]
    return [_with_speedup(line, lines) for line in lines]


def _candidates(
    row: PublishedRow, study: Study, measured: Iterable[Row], published: Iterable[PublishedRow]
) -> list[Row]:
    named = {each.engine for each in published}
    series = {
        str(devices(each))
        for each in published
        if (each.workload, each.engine) == (row.workload, row.engine)
    }
    found = [
        each
        for each in measured
        if each.trial.workload == row.workload
        and each.trial.batch_size == row.batch_total
        and (each.trial.engine == row.engine or each.trial.engine not in named)
        and _on(each.trial.devices, row, series)
        and _trained_alike(each.trial, row)
    ]
    # Where a study has the row's number of epochs, those; where it was cut short, what there is.
    return [each for each in found if each.trial.epochs == row.epochs] or found


def _on(ours: str, row: PublishedRow, series: set[str]) -> bool:
    if ours in series:
        return ours == str(devices(row))
    return row.device_kind == "gpu" and Devices.parse(ours).total == row.gpus


def _trained_alike(trial: Trial, row: PublishedRow) -> bool:
    recipe = trial.recipe
    if row.lr is not None and recipe.learning_rate_on(Devices.parse(trial.devices).total) != row.lr:
        return False
    return row.lr_step_epochs is None or recipe.decay_epochs == (row.lr_step_epochs,)


def _lines(row: PublishedRow, beside: Sequence[Row], study: Study) -> Iterable[Line]:
    line = Line(row=row, theirs=_theirs(row))
    if not beside:
        return [msgspec.structs.replace(line, reason=_why_not(row, study))]
    return [_line(line, each) for each in beside]


def _line(line: Line, beside: Row) -> Line:
    line = msgspec.structs.replace(line, trial=beside.trial)
    if not beside.done:
        record = beside.failed.records[-1]
        assert record.failure is not None
        return msgspec.structs.replace(line, reason=f"{record.status}: {record.failure.reason}")
    each = [ours(record, line.row) for record in beside.done.records]
    figures = Figures(
        **{name: _median(getattr(one, name) for one in each) for name in Figures.__struct_fields__}
    )
    return msgspec.structs.replace(
        line, runs=len(beside.done), ours=figures, ratio=_ratio(line.theirs, figures)
    )


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _ratio(theirs: Figures, ours: Figures) -> float | None:
    if theirs.samples_sec and ours.samples_sec:
        return ours.samples_sec / theirs.samples_sec
    for name in ("epoch_seconds", "run_seconds"):
        their_time, our_time = getattr(theirs, name), getattr(ours, name)
        if their_time and our_time:
            return float(their_time / our_time)
    return None


def _theirs(row: PublishedRow) -> Figures:
    epoch = _value(row, "epoch_time_s")
    memory = _value(row, "mem_peak_mib")
    if memory is not None and row.mem_scope == "peak-less-idle-each-gpu":
        memory -= row.mem_idle_mib or 0.0
    return Figures(
        samples_sec=_value(row, "throughput_per_s"),
        epoch_seconds=epoch,
        run_seconds=_value(row, "total_time_s") if epoch is None else None,
        accuracy=_value(row, "val_accuracy"),
        memory=memory,
    )


def _value(row: PublishedRow, field: str) -> float | None:
    """As it should have been printed."""
    value = row.corrected_value.get(field, getattr(row, field))
    return value if isinstance(value, int | float) else None


def ours(record: Record, row: PublishedRow) -> Figures:
    """The figures of a trial in the meaning of a published row.

    Times grow with the samples: where we trained or validated on more or fewer than they did,
    each pass is scaled to their number.

    Args:
        record: a trial that came to its end.
        row: whose meaning is taken.
    """
    shared = Figures(accuracy=record.epochs[-1].validation_accuracy, memory=_memory(record))
    if row.epoch_time_s is None and row.total_time_s is not None:
        return msgspec.structs.replace(shared, run_seconds=run_seconds(record, row))
    epoch = epoch_seconds(record, row)
    count = row.throughput_count or row.n_train
    return msgspec.structs.replace(shared, epoch_seconds=epoch, samples_sec=count / epoch)


def _memory(record: Record) -> float | None:
    """Of all GPUs together, what they held before left out; on the CPU, of the process."""
    if record.memory is None:
        return None
    if not record.memory.devices:
        return record.memory.peak / _MIB
    held = [device.process for device in record.memory.devices]
    return sum(each for each in held if each) / _MIB if None not in held else None


def epoch_seconds(record: Record, row: PublishedRow) -> float:
    """Our seconds an epoch as the row's document counted them.

    The mean is that of a whole fit, which built its graph inside the clock: the first step from
    cold is part of it. Where it is not said which epoch was timed, ours is the median.
    """
    times = [_scaled(epoch, row) for epoch in record.epochs]
    match row.epoch_time_stat:
        case "last":
            return times[-1]
        case "mean":
            cold = (record.clocks and record.clocks.first_step_seconds) or 0.0
            return (cold + sum(times)) / len(times)
        case _:
            return median(times)


def run_seconds(record: Record, row: PublishedRow) -> float | None:
    """Our seconds for the whole process, had it run the row's epochs on the row's samples."""
    if record.clocks is None:
        return None
    spent = sum(epoch.train_seconds + epoch.validation_seconds for epoch in record.epochs)
    epoch = mean(_scaled(each, row, validation=True) for each in record.epochs)
    return record.clocks.real - spent + row.epochs * epoch


def _scaled(epoch: Epoch, row: PublishedRow, *, validation: bool | None = None) -> float:
    seconds = epoch.train_seconds * row.n_train / epoch.samples
    if row.includes_validation if validation is None else validation:
        share = row.n_val / epoch.validation_samples if epoch.validation_samples else 1.0
        seconds += epoch.validation_seconds * share
    return seconds


def _with_speedup(line: Line, lines: Sequence[Line]) -> Line:
    """Theirs and ours over one device: at the same batch size, or else the same batch a GPU."""
    if line.row.gpus < 2:
        return line
    single = [each for each in lines if each.row.gpus == 1 and _table(each) == _table(line)]
    at = {each.row.batch_total: each for each in single}
    if one := at.get(line.row.batch_total) or at.get(line.row.batch_per_gpu):
        speedup = _ratio(one.theirs, line.theirs)
        theirs = msgspec.structs.replace(line.theirs, speedup=speedup)
        line = msgspec.structs.replace(line, theirs=theirs)
    at = {each.row.batch_total: each for each in single if _place(each) == _place(line)}
    one = at.get(line.row.batch_total) or at.get(line.row.batch_per_gpu)
    if one and one.ours and line.ours:
        ours = msgspec.structs.replace(line.ours, speedup=_ratio(one.ours, line.ours))
        line = msgspec.structs.replace(line, ours=ours)
    return line


def _table(line: Line) -> tuple[object, ...]:
    """What rows share that differ in devices and batch size alone."""
    row = line.row
    return row.seed, row.source_table, row.infrastructure_id, row.workload, row.engine, row.epochs


def _place(line: Line) -> tuple[str, str] | None:
    """Our engine and kind of device."""
    if line.trial is None:
        return None
    return line.trial.engine, Devices.parse(line.trial.devices).kind


def _why_not(row: PublishedRow, study: Study) -> str:
    """Why the study has nothing that stands beside a row."""
    if row.status == "placeholder":
        return "never run in 2017"
    if row.workload not in study.workloads:
        return f"workload {row.workload} not asked for"
    if row.engine not in engines.registry.all():
        return f"there is no engine {row.engine}"
    if row.engine not in study.engines:
        return f"engine {row.engine} not asked for"
    if (on := str(devices(row))) not in study.devices:
        return f"{on} not asked for"
    if row.batch_total not in study.batch_sizes:
        return f"batch size {row.batch_total} not asked for"
    return "nothing of the kind in the study"
