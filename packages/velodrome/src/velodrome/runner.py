"""Run a study: from its configurations to trials, and from trials to records."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec

from velodrome import ceiling, datasets, engines, environment, gpus, steadiness, workloads, yaml
from velodrome.datasets.base import PreparedData
from velodrome.devices import Devices
from velodrome.environment import Environment, Kind, Pins
from velodrome.errors import UserError
from velodrome.executors import local
from velodrome.executors.local import Outcome
from velodrome.job import AnyEvent, Job
from velodrome.machine import Machine, one_cpu_a_core, this_machine, usable_cpus
from velodrome.record import Failure, FailureKind, Record, Steadiness
from velodrome.store import MACHINE, STUDY, Store, read
from velodrome.study import Configuration, Study, configurations
from velodrome.trial import Trial

_GIB = 2**30


class Observer(Protocol):
    """Who watches a run."""

    def note(self, text: str) -> None:
        """Something worth a line."""

    def planned(self, done: int, jobs: list[Job]) -> None:
        """So many trials were done before; these are to run."""

    def begun(self, job: Job) -> None:
        """A trial starts."""

    def event(self, job: Job, event: AnyEvent) -> None:
        """Its worker reports."""

    def ended(self, record: Record) -> None:
        """It has ended and is on the disk."""


def plan(study: Study, machine: Machine) -> list[Job]:
    """Every job of the study, in the order in which they run.

    Repeats are the slowest axis and engines the fastest, so that what changes on the
    machine over the hours falls on all engines; within a round of engines the order is
    drawn from the study's seed.

    Raises:
        UserError: a data set does not fit, cannot be had, or is smaller than a batch.
    """
    data: dict[str, PreparedData] = {}
    jobs: list[Job] = []
    for repeat in range(study.repeats):
        rounds: dict[bytes, list[Job]] = {}
        for each in configurations(study):
            if each.workload not in data:
                data[each.workload] = _prepared(study, each.workload)
            job = _job(study, each, repeat, data[each.workload], machine)
            rounds.setdefault(_round(each), []).append(job)
        # A seed for each repeat, so that repeats added later change nothing before them.
        shuffle = random.Random(f"{study.seed} {repeat}").shuffle
        for together in rounds.values():
            shuffle(together)
            jobs += together
    return jobs


def _round(configuration: Configuration) -> bytes:
    """What the trials that are compared with each other share."""
    return msgspec.json.encode(msgspec.structs.replace(configuration, engine=""))


def _prepared(study: Study, name: str) -> PreparedData:
    workload = workloads.registry.get(name)
    dataset = datasets.get(study.dataset or workload.dataset)
    prepared = dataset.prepare(workload.takes(), study.samples)
    samples = min(study.samples or prepared.train, prepared.train)
    for each in configurations(study):
        if each.workload == name and each.batch_size > samples:
            raise UserError(
                f"batch_sizes: {each.batch_size} on {each.devices} is more than the {samples} "
                f"training samples of {prepared.name}; take at most {samples} over all devices"
            )
    return prepared


def _job(
    study: Study, configuration: Configuration, repeat: int, data: PreparedData, machine: Machine
) -> Job:
    workload = workloads.registry.get(configuration.workload)
    trial = Trial(
        engine=configuration.engine,
        workload=workload.name,
        graph=workload.digest(),
        recipe=configuration.recipe,
        dataset=data.name,
        data=data.fingerprint,
        samples=study.samples,
        devices=configuration.devices,
        batch_size=configuration.batch_size,
        epochs=configuration.epochs,
        drop_last=study.drop_last,
        dtype=configuration.dtype,
        settings=configuration.settings,
        seed=study.seed,
        repeat=repeat,
        environment=_hash(configuration, study.pins),
    )
    return Job(
        trial=trial,
        graph=workload.graph,
        data=data,
        threads=machine.cores,
        cpus=_cpus(trial),
        memory_limit=_bytes(study.memory_limit),
    )


def _cpus(trial: Trial) -> tuple[int, ...]:
    """A processor of each core when tuned; a framework left alone gets all there are."""
    return one_cpu_a_core() if trial.settings == "tuned" else usable_cpus()


def _hash(of: Trial | Configuration, pins: Pins) -> str:
    """Of the environment, empty where there can be none: such a trial ends as a failure."""
    try:
        return environment.describe(*_place(of), pins).hash
    except UserError:
        return ""


def unsupported(trial: Trial, machine: Machine) -> str | None:
    """Why the trial's engine cannot run it on that machine, or None."""
    engine = engines.registry.get(trial.engine)
    devices = Devices.parse(trial.devices)
    return engine.unsupported(trial) or gpus.missing(engine.framework, devices, machine.gpus)


def _place(of: Trial | Configuration) -> tuple[str, Kind]:
    """Framework and kind of the environment that a trial runs in."""
    return engines.registry.get(of.engine).framework, Devices.parse(of.devices).kind


def run(study: Study, folder: Path, observer: Observer, *, retry_failed: bool = False) -> Store:
    """Run what is missing of the study in that folder.

    Raises:
        UserError: before anything runs, whatever is wrong with the study or the folder.
    """
    machine = this_machine()
    jobs = plan(study, machine)
    with Store(folder) as store:
        if store.torn:
            observer.note("the last result had been cut off while it was written; it is run again")
        yaml.write(folder / STUDY, msgspec.to_builtins(study))
        (folder / MACHINE).write_bytes(
            msgspec.json.format(msgspec.json.encode(machine), indent=2) + b"\n"
        )
        todo = [job for job in jobs if store.missing(job.trial.id, retry_failed)]
        places = _environments(todo, study.pins, machine, observer.note)
        observer.planned(len(jobs) - len(todo), todo)
        if todo and (unsteady := steadiness.check()):
            observer.note(unsteady)
        after = steadiness.probe()
        for job in todo:
            observer.begun(job)
            before, record = after, _record(job, study, store, machine, places, observer)
            if record.clocks:
                after = steadiness.probe()
                around = Steadiness(before=before, after=after)
                record = msgspec.structs.replace(
                    record, steadiness=around, ceiling=_ceiling(job, machine, places)
                )
            store.append(record)
            observer.ended(record)
    return store


Places = dict[tuple[str, Kind], Environment | UserError]


def _environments(
    jobs: list[Job], pins: Pins, machine: Machine, note: Callable[[str], None]
) -> Places:
    """Have every environment that the jobs need; the error in place of one that cannot be had."""
    made: Places = {}
    for job in jobs:
        place = _place(job.trial)
        if place not in made and not unsupported(job.trial, machine):
            try:
                made[place] = environment.ensure(*place, pins, report=note)
            except UserError as error:
                note(str(error))
                made[place] = error
    return made


def _ceiling(job: Job, machine: Machine, places: Places) -> float | None:
    """Of the trial's devices in its dtype."""
    place = places.get(_place(job.trial))
    if not isinstance(place, Environment):
        return None
    return ceiling.measured(machine, job.trial.dtype, Devices.parse(job.trial.devices), place)


def _record(
    job: Job,
    study: Study,
    store: Store,
    machine: Machine,
    places: Places,
    observer: Observer,
) -> Record:
    trial = job.trial
    place = _place(trial)
    record = Record(
        id=trial.id,
        attempt=store.attempts(trial.id) + 1,
        status="ok",
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        trial=trial,
        environment=_told(place, study.pins),
        machine=machine,
        site=study.site,
        note=job.data.note,
    )

    def failed(kind: FailureKind, reason: str, last_lines: tuple[str, ...] = ()) -> Record:
        command = f"velodrome trial {store.folder} {trial.short_id}"
        failure = Failure(reason=reason, last_lines=last_lines, command=command)
        return msgspec.structs.replace(record, status=kind, failure=failure)

    if reason := unsupported(trial, machine):
        return failed("unsupported", reason)
    ready = places[place]
    if isinstance(ready, UserError):
        return failed("import", str(ready))
    log = store.folder / "logs" / f"{trial.short_id}-{record.attempt}.log"
    outcome = _outcome(job, ready, study.timeout, log, observer)
    record = msgspec.structs.replace(
        record,
        ledger=outcome.ledger,
        clocks=outcome.clocks,
        epochs=outcome.epochs,
        memory=outcome.memory,
        placement=outcome.placement,
    )
    if outcome.kind is not None:
        return failed(outcome.kind, outcome.reason, outcome.last_lines)
    return record


def _told(place: tuple[str, Kind], pins: Pins) -> dict[str, str]:
    """What a record says of the environment."""
    told = dict(zip(("framework", "kind"), place, strict=True))
    if own := environment.pinned(*place, pins):
        told["pins"] = " ".join(own)
    return told


def pins_of(record: Record) -> Pins:
    """The versions that the record's environment was asked for."""
    return tuple(record.environment.get("pins", "").split())


def again(folder: Path, short_id: str, memory_limit: float | None) -> tuple[Job, Pins]:
    """The job of a trial that has ended in a run folder, to be run by itself, and its pins.

    Raises:
        UserError: no trial or several start so, or code or data are no longer what they were.
    """
    found = {each.id: each for each in read(folder) if each.id.startswith(short_id)}
    if len(found) != 1:
        raise UserError(f"{len(found)} trials in {folder} have an id that starts '{short_id}'")
    (record,) = found.values()
    trial, pins = record.trial, pins_of(record)
    workload = workloads.registry.get(trial.workload)
    data = datasets.get(trial.dataset).prepare(workload.takes(), trial.samples)
    now = {
        "the workload": (workload.digest(), trial.graph),
        "the data": (data.fingerprint, trial.data),
        "the environment or our code in it": (_hash(trial, pins), trial.environment),
    }
    if changed := [what for what, (present, past) in now.items() if present != past]:
        raise UserError(f"trial {short_id} cannot be run again: {', '.join(changed)} has changed")
    job = Job(
        trial=trial,
        graph=workload.graph,
        data=data,
        threads=this_machine().cores,
        cpus=_cpus(trial),
        memory_limit=_bytes(memory_limit),
    )
    return job, pins


def run_alone(job: Job, pins: Pins, timeout: float, log: Path, observer: Observer) -> Outcome:
    """Run one job and record nothing.

    Raises:
        UserError: its environment cannot be made.
    """
    observer.planned(0, [job])
    observer.begun(job)
    place = environment.ensure(*_place(job.trial), pins, report=observer.note)
    return _outcome(job, place, timeout, log, observer)


def _outcome(
    job: Job, place: Environment, timeout: float, log: Path, observer: Observer
) -> Outcome:
    engine = engines.registry.get(job.trial.engine)
    return local.run(
        job,
        place,
        variables=engine.variables(job.trial.settings, job.threads),
        timeout=timeout,
        log=log,
        on_event=lambda event: observer.event(job, event),
    )


def _bytes(gib: float | None) -> int | None:
    return None if gib is None else int(gib * _GIB)
