"""Run a study: from its configurations to trials, and from trials to records."""

import math
import random
from pathlib import Path
from typing import Protocol

import msgspec

from velodrome import datasets, engines, environment, rehearsal, workloads, yaml
from velodrome.datasets import own
from velodrome.datasets.base import PreparedData
from velodrome.devices import Devices
from velodrome.environment import Kind, Pins
from velodrome.errors import UserError
from velodrome.executors import here, machines
from velodrome.executors.base import (
    AnyHappening,
    Begun,
    Ended,
    Executor,
    Note,
    Outcome,
    Task,
    Told,
)
from velodrome.job import AnyEvent, Job, OwnModel
from velodrome.machine import Machine, this_machine
from velodrome.record import Failure, Record
from velodrome.store import MACHINE, STUDY, Store, read
from velodrome.study import Configuration, Study, configurations
from velodrome.trial import Trial
from velodrome.workloads.base import Workload

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
        UserError: a data set does not fit, cannot be had, or is smaller than a batch; a user's
            own model cannot be trained.
    """
    prepared: dict[str, tuple[PreparedData, OwnModel | None]] = {}
    jobs: list[Job] = []
    for repeat in range(study.repeats):
        rounds: dict[bytes, list[Job]] = {}
        for each in configurations(study):
            if each.workload not in prepared:
                prepared[each.workload] = _prepared(study, each.workload)
            job = _job(study, each, repeat, *prepared[each.workload], machine)
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


def _prepared(study: Study, name: str) -> tuple[PreparedData, OwnModel | None]:
    """The data of a workload, and the user's model if it is one."""
    workload = workloads.get(name)
    prepared = _data(workload, study.dataset or workload.dataset, study.samples)
    samples = min(study.samples or prepared.train, prepared.train)
    for each in configurations(study):
        if each.workload == name and each.batch_size > samples:
            raise UserError(
                f"batch_sizes: {each.batch_size} on {each.devices} is more than the {samples} "
                f"training samples of {prepared.name}; take at most {samples} over all devices"
            )
    if not workload.own:
        return prepared, None
    return prepared, rehearsal.model(
        name, prepared, study.seed, study.engines, study.pins, study.timeout
    )


def _data(workload: Workload, name: str, samples: int | None) -> PreparedData:
    """A data set, or a file of the user's, ready for a workload."""
    if workload.own:
        return own.prepare(name, samples)
    return datasets.get(name).prepare(workload.takes(), samples)


def _digest(workload: Workload, model: OwnModel | None) -> str:
    """Of what is trained: the graph, or the user's model."""
    return rehearsal.digest(model) if model else workload.digest()


def _job(
    study: Study,
    configuration: Configuration,
    repeat: int,
    data: PreparedData,
    model: OwnModel | None,
    machine: Machine,
) -> Job:
    workload = workloads.get(configuration.workload)
    trial = Trial(
        engine=configuration.engine,
        workload=workload.name,
        graph=_digest(workload, model),
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
        cpus=here.cpus(trial),
        memory_limit=_bytes(study.memory_limit),
        model=model,
    )


def _hash(of: Trial | Configuration, pins: Pins) -> str:
    """Of the environment, empty where there can be none: such a trial ends as a failure."""
    try:
        return environment.describe(*_place(of), pins).hash
    except UserError:
        return ""


def _place(of: Trial | Configuration) -> tuple[str, Kind]:
    """Framework and kind of the environment that a trial runs in."""
    return engines.registry.get(of.engine).framework, Devices.parse(of.devices).kind


def run(
    study: Study,
    folder: Path,
    observer: Observer,
    *,
    retry_failed: bool = False,
    executor: Executor | None = None,
) -> Store:
    """Run what is missing of the study in that folder.

    Args:
        study: what to run.
        folder: the run folder; whatever executor began it.
        observer: who watches.
        retry_failed: whether to run failed trials once more.
        executor: where trials run; this machine, one at a time, unless given.

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
        observer.planned(len(jobs) - len(todo), todo)
        ends = _Ends(study, store, observer)
        tasks = []
        for job in todo:
            if reason := engines.registry.get(job.trial.engine).unsupported(job.trial):
                observer.begun(job)
                outcome = Outcome(kind="unsupported", reason=reason)
                ends.keep(
                    job,
                    Ended(trial=job.trial.id, started=here.now(), outcome=outcome, machine=machine),
                )
            else:
                tasks.append(_task(job, study, store))
        if tasks:
            known = {task.id: task.job for task in tasks}
            chosen = executor or here.Here()
            chosen.run(tasks, lambda happening: ends.take(happening, known), folder)
    return store


def _task(job: Job, study: Study, store: Store) -> Task:
    attempt = store.attempts(job.trial.id) + 1
    log = store.folder / "logs" / f"{job.trial.short_id}-{attempt}.log"
    return Task(job=job, pins=study.pins, timeout=study.timeout, log=str(log.absolute()))


class _Ends:
    """Takes what an executor tells: to the observer, and what has ended to the disk."""

    def __init__(self, study: Study, store: Store, observer: Observer) -> None:
        self._study = study
        self._store = store
        self._observer = observer

    def take(self, happening: AnyHappening, jobs: dict[str, Job]) -> None:
        """Pass it on."""
        match happening:
            case Note():
                self._observer.note(happening.text)
            case Begun():
                self._observer.begun(jobs[happening.trial])
            case Told():
                self._observer.event(jobs[happening.trial], happening.event)
            case Ended():
                self.keep(jobs[happening.trial], happening)

    def keep(self, job: Job, ended: Ended) -> None:
        """Write the record of a trial."""
        record = _record(job, ended, self._study, self._store)
        self._store.append(record)
        self._observer.ended(record)


def _record(job: Job, ended: Ended, study: Study, store: Store) -> Record:
    trial, outcome = job.trial, ended.outcome
    failure = None
    if outcome.kind is not None:
        command = f"velodrome trial {store.folder} {trial.short_id}"
        failure = Failure(reason=outcome.reason, last_lines=outcome.last_lines, command=command)
    return Record(
        id=trial.id,
        attempt=store.attempts(trial.id) + 1,
        status=outcome.kind or "ok",
        started=ended.started,
        trial=trial,
        environment=_told(_place(trial), study.pins),
        machine=ended.machine,
        site=study.site,
        note=job.data.note,
        ledger=outcome.ledger,
        clocks=outcome.clocks,
        epochs=outcome.epochs,
        memory=outcome.memory,
        placement=outcome.placement,
        waited=outcome.waited,
        steadiness=ended.steadiness,
        ceiling=ended.ceiling,
        failure=failure,
    )


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
    workload = workloads.get(trial.workload)
    data = _data(workload, trial.dataset, trial.samples)
    model = (
        rehearsal.model(workload.name, data, trial.seed, [trial.engine], pins, math.inf)
        if workload.own
        else None
    )
    now = {
        "the workload": (_digest(workload, model), trial.graph),
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
        cpus=here.cpus(trial),
        memory_limit=_bytes(memory_limit),
        model=model,
    )
    return job, pins


def run_alone(job: Job, pins: Pins, timeout: float, log: Path, observer: Observer) -> Outcome:
    """Run one job and record nothing.

    Raises:
        UserError: its environment cannot be made.
    """
    environment.note_left_out(observer.note)
    observer.planned(0, [job])
    observer.begun(job)
    place = environment.ensure(*_place(job.trial), pins, report=observer.note)
    engine = engines.registry.get(job.trial.engine)
    return machines.run(
        job,
        place,
        variables=engine.variables(job.trial.settings, job.threads),
        timeout=timeout,
        log=log,
        on_event=lambda event: observer.event(job, event),
    )


def _bytes(gib: float | None) -> int | None:
    return None if gib is None else int(gib * _GIB)
